# SPDX-License-Identifier: BSD-3-Clause
"""Passwords of users, hashed with argon2id (RFC 9106).

A separate module, so that it is loaded only when needed. A call takes tens of milliseconds of CPU
and 64 MiB: run it on a thread, and only few at once.
"""

import unicodedata
from typing import Final

import argon2

from pyaiot.errors import OperatorError

PASSWORD_LENGTH_MIN: Final = 8
PASSWORD_LENGTH_MAX: Final = 1024
"""Shortest and longest password, in characters. Others are refused."""

_hasher = argon2.PasswordHasher()  # RFC 9106, the second recommended option
NO_USER: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$Q3tHLRqqsMKolRI5NNc8nQ"
    "$FactAkmB1NCCRIPcIu799zX2mukTeh+Wq10eLNlLdG8"
)
"""A hash of 256 random bits that nobody knows. It is verified if the user does not exist, so that
the response takes as long.
"""


def hash_password(password: str) -> str:
    """Hash a password. Raises `OperatorError` if it is too short or too long."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise OperatorError(
            f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters."
        )
    return _hasher.hash(_normal(password))


def is_password(password: str, expected: str) -> bool:
    """Whether the password has this hash."""
    if len(password) > PASSWORD_LENGTH_MAX:
        return False
    try:
        return _hasher.verify(expected, _normal(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _normal(password: str) -> str:
    """Normalise: é may be typed as one character or as two (RFC 8265 section 4.2)."""
    return unicodedata.normalize("NFC", password)
