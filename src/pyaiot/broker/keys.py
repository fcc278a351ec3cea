# SPDX-License-Identifier: BSD-3-Clause
"""The key file that gateways and broker share, and its tokens (legacy protocol, section 2).

A token is `[keys] secret` (32 characters), encrypted with `private` (a Fernet key).
"""

import base64
import contextlib
import hashlib
import os
import secrets
import stat
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from pyaiot.broker.used_tokens import UsedTokens, UsedTokensFile
from pyaiot.errors import TEXT_FILE_ENCODING, OperatorError, reason_of

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SECRET_LENGTH: Final = 32
TOKEN_AGE_MAX_S: Final = 24 * 3600
"""Largest age of a gateway's token. An older token is answered 401."""
CLOCK_SKEW_MAX_S: Final = 600
"""Largest difference between the clocks of a gateway and the broker. Beyond it, the token is too
old or from the future: it is answered 401, and the log shows both clocks."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The options of a key file. Their repr shows neither."""

    secret: str = field(repr=False)
    private: str = field(repr=False)


def load_keys(path: Path) -> Keys:
    """Read a key file. Raises `OperatorError` with the remedy."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding=TEXT_FILE_ENCODING)
    except FileNotFoundError as error:
        raise OperatorError(
            f"The key file {path} does not exist: create it with aiot generate-keys --key-file"
            f" {path}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"The key file {path} cannot be read: {reason_of(error)}.") from error
    if mode & stat.S_IRWXO:
        raise OperatorError(
            f"The key file {path} is accessible to every user: restrict it with chmod 600 {path}."
        )
    import configparser  # noqa: PLC0415 - without a key file, it is not needed

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        keys = Keys(parser.get("keys", "secret"), parser.get("keys", "private"))
        _check_fernet_key(keys.private)
    except (configparser.Error, ValueError) as error:
        # The parser's own message would quote the file.
        raise OperatorError(
            f"The file {path} is not a key file: it needs a section [keys] with secret and private."
        ) from error
    return keys


def write_keys(path: Path, keys: Keys, *, replace: bool = False) -> None:
    """Write a key file that only its owner can read. Raises `OperatorError`, also if it exists."""
    text = f"[keys]\nsecret = {keys.secret}\nprivate = {keys.private}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if replace and path.exists() and not path.is_file():
            raise OperatorError(f"The key file {path} is not a file: name another one.")
        if replace:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise OperatorError(f"The key file {path} exists: replace it with --force.") from error
    except OSError as error:
        raise OperatorError(
            f"The key file {path} cannot be written: {reason_of(error)}."
        ) from error


def generate_keys() -> Keys:
    """New keys, from the system's random number generator."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - 8 MB that `aiot run` does not need

    alphabet = string.ascii_letters + string.digits
    secret = "".join(secrets.choice(alphabet) for _ in range(SECRET_LENGTH))
    return Keys(secret, Fernet.generate_key().decode())


def mint_token(keys: Keys) -> str:
    """A new token, for one connection."""
    return _fernet(keys).encrypt(keys.secret.encode()).decode()


class TokenRefusal(msgspec.Struct, frozen=True):
    """Why a token is refused."""

    error: Literal["key", "clock", "used"]
    """For programs."""
    text: str
    """For people. The only part of the token that it contains is the time at which it was made."""


class TokenCheck:
    """Accepts tokens that were made with the key file, are at most 24 hours old and unused."""

    def __init__(
        self,
        keys: Keys,
        unix_time: Callable[[], float],
        used: UsedTokens | UsedTokensFile | None = None,
    ) -> None:
        """`used` None: only this object remembers used tokens."""
        self._keys = keys
        self._unix_time = unix_time
        self._fernet: Fernet | None = None
        """Created with the first token: most brokers have no gateway in another process."""
        self._used = UsedTokens() if used is None else used

    def replace_keys(self, keys: Keys) -> None:
        """Accept only tokens of these keys from now on. Open connections are not affected."""
        if keys != self._keys:
            self._keys, self._fernet = keys, None

    def accept(self, token: str) -> bool:
        """Whether the token is accepted. An accepted token is used up."""
        return self.judge(token) is None

    def judge(self, token: str) -> TokenRefusal | None:
        """Why the token is refused; None if it is accepted and thereby used up."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see generate_keys

        if self._fernet is None:
            self._fernet = _fernet(self._keys)
        try:
            plain = self._fernet.decrypt(token)
            made_at = self._fernet.extract_timestamp(token)
        except (InvalidToken, ValueError, TypeError):
            return _FOREIGN
        if not secrets.compare_digest(plain, self._keys.secret.encode()):
            return _FOREIGN
        now = self._unix_time()
        if not -CLOCK_SKEW_MAX_S <= now - made_at <= TOKEN_AGE_MAX_S + CLOCK_SKEW_MAX_S:
            return TokenRefusal("clock", _wrong_clock(made_at, now))
        # The encrypted bytes, not their text: several base64 texts encode the same bytes.
        digest = hashlib.sha256(base64.urlsafe_b64decode(token)).digest()
        if self._used.refuses(digest, made_at):
            return _USED
        self._used.add(digest, made_at)
        return None


_FOREIGN: Final = TokenRefusal("key", "its token was not made with the key file of this broker")
_USED: Final = TokenRefusal(
    "used", "its token was used before, or is older than the record of used tokens"
)


def _wrong_clock(made_at: int, now: float) -> str:
    order = "before" if made_at < now else "after"
    return (
        f"its token was made at {_utc(made_at)}, {abs(now - made_at):.0f} s {order} the clock here"
        f" ({_utc(now)}): correct the wrong clock"
    )


def _utc(unix_time: float) -> str:
    try:
        return datetime.fromtimestamp(unix_time, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return f"Unix time {unix_time:.0f}"


def _check_fernet_key(key: str) -> None:
    """Raise `ValueError` unless it is a Fernet key: 32 bytes in URL-safe base64."""
    if len(base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)) != 32:
        raise ValueError("a Fernet key has 32 bytes")


def _fernet(keys: Keys) -> "Fernet":
    from cryptography.fernet import Fernet  # noqa: PLC0415 - see generate_keys

    return Fernet(keys.private)
