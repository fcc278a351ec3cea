# SPDX-License-Identifier: BSD-3-Clause
"""Masks secrets in logs and output: passwords and keys in URLs. Pure."""

import re
from typing import Final

MASK: Final = "***"
"""Replaces a secret."""

_PARAMETER: Final = re.compile(
    r"(pass(?:word|wd)?|pwd|secret|token|api[_-]?key|\bkey|signature|\bsig)="
    r"(?:'[^']*'|[^\s&;#\"',]+)",
    re.IGNORECASE,
)
_AUTHORITY: Final = re.compile(r"[^/?#]*")


def redact(text: str) -> str:
    """Mask each password in a URL and each secret query parameter of the text."""
    if "://" in text:
        text = "".join(map(_without_passwords, re.split(r'([\s"]+)', text)))
    if "=" in text:
        text = _PARAMETER.sub(rf"\1={MASK}", text)
    return text


def redact_value(value: object) -> object:
    """Mask the secrets in the value of a setting."""
    match value:
        case str():
            # One URL, even if its password contains a space.
            return redact(_without_passwords(value))
        case tuple() | list():
            return [redact_value(item) for item in value]
        case dict():
            return {key: redact_value(item) for key, item in value.items()}
        case _:
            return value


def _without_passwords(word: str) -> str:
    scheme, *parts = word.split("://")
    words = [scheme]
    for part in parts:
        words.append(_without_password(scheme, part))
        scheme = part
    return "://".join(words)


def _without_password(scheme: str, part: str) -> str:
    """`part` follows `://`. Passwords often are unescaped, with `/`, `?`, `#` or `@`."""
    authority = _AUTHORITY.match(part)
    assert authority is not None  # noqa: S101 - the pattern matches the empty string
    user_and_password, at, _ = authority[0].rpartition("@")
    user, colon, password = (user_and_password if at else authority[0]).partition(":")
    if at and "@" not in part[authority.end() :]:
        end = len(user_and_password)
    elif at or not password.isdecimal() or scheme.lower().startswith("postgres"):
        end = part.rfind("@")
    else:
        return part  # a port, and an `@` in the path
    if not colon or end <= len(user):
        return part
    return f"{user}:{MASK}{part[end:]}"
