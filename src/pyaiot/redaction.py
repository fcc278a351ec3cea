# SPDX-License-Identifier: BSD-3-Clause
"""Masks secrets in text that people or logs may see: passwords and keys in URLs. Pure."""

import re
from typing import Final

MASK: Final = "***"
"""Stands in the place of a secret."""

_PARAMETER: Final = re.compile(
    r"(pass(?:word|wd)?|pwd|secret|token|api[_-]?key|\bkey|signature|\bsig)="
    r"(?:'[^']*'|[^\s&;#\"',]+)",
    re.IGNORECASE,
)
_AUTHORITY: Final = re.compile(r"[^/?#]*")


def redact(text: str) -> str:
    """The text with a mask for each password of a URL and each secret parameter of a query."""
    if "://" in text:
        text = "".join(map(_without_passwords, re.split(r'([\s"]+)', text)))
    if "=" in text:
        text = _PARAMETER.sub(rf"\1={MASK}", text)
    return text


def redact_value(value: object) -> object:
    """The value of a setting, with a mask for what is secret in its texts."""
    match value:
        case str():
            # It is one URL, also if its password has a blank.
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
    """`part` is what follows `://`. People write passwords unescaped, with `/`, `?`, `#`, `@`."""
    authority = _AUTHORITY.match(part)
    assert authority is not None  # noqa: S101 - it matches nothing, too
    user_and_password, at, _ = authority[0].rpartition("@")
    user, colon, password = (user_and_password if at else authority[0]).partition(":")
    if at and "@" not in part[authority.end() :]:
        end = len(user_and_password)
    elif at or not password.isdecimal() or scheme.lower().startswith("postgres"):
        end = part.rfind("@")
    else:
        return part  # a port, and an @ in the path
    if not colon or end <= len(user):
        return part
    return f"{user}:{MASK}{part[end:]}"
