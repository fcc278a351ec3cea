# SPDX-License-Identifier: BSD-3-Clause
"""Tokens of programs: a name, a role, an expiry time and a secret. Pure.

The secret is 256 random bits, of which only the SHA-256 is stored. A random secret of that length
does not need a slow hash.
"""

import hashlib
import re
import secrets
from typing import Final

import msgspec

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.errors import OperatorError

NAME_LENGTH_MAX: Final = 64
"""Longest name of a token or a user, in characters. Longer names are refused."""
PREFIX: Final = "aiot_"
"""Prefix of each secret, so that scanners for leaked secrets recognise it."""
_SECRET: Final = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_DURATION: Final = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS_S: Final = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


class Token(msgspec.Struct, frozen=True):
    """A token without its secret. Times are Unix seconds."""

    name: str
    role: Role
    created_at: float
    expires_at: float | None
    """None: it does not expire."""
    digest: bytes
    """SHA-256 of the secret."""
    scope: Scope = EVERYTHING

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


def new_token(
    name: str, role: Role, *, now: float, life_s: float | None, scope: Scope = EVERYTHING
) -> tuple[Token, str]:
    """Make a token and its secret, which is shown once. Raises `OperatorError` for an invalid
    name.
    """
    check_name(name)
    secret = new_secret()
    expires_at = None if life_s is None else now + life_s
    return Token(name, role, now, expires_at, digest_of(secret), scope), secret


def new_secret() -> str:
    """256 random bits, as text."""
    return PREFIX + secrets.token_urlsafe(32)


def check_name(name: str) -> None:
    """Raises `OperatorError` if the name is not allowed for a token or user."""
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
        raise OperatorError(
            f"A name has 1 to {NAME_LENGTH_MAX} printable characters, without spaces at its ends."
        )


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def is_secret(text: str) -> bool:
    """Whether the text has the form of a secret made by `new_token`."""
    return _SECRET.fullmatch(text) is not None


def bearer_secret(header: str) -> str:
    """The secret in an `Authorization` header (RFC 6750 section 2.1); empty if there is none."""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and is_secret(secret) else ""


def read_duration(text: str, *, option: str = "--expires") -> float | None:
    """Parse `12h`, `90d` or `4w` into seconds; None for `never`. Raises `OperatorError`."""
    if text == "never":
        return None
    found = _DURATION.fullmatch(text)
    if found is None or not int(found[1]):
        raise OperatorError(f"{option} takes 12h, 90d, 4w or never, not {text!r}.")
    return float(int(found[1]) * _UNITS_S[found[2]])
