# SPDX-License-Identifier: BSD-3-Clause
"""Passwords of users: argon2id (RFC 9106). A module of its own, so that it is loaded when needed.

A call takes tens of milliseconds of CPU and 64 MiB: call it on a thread, few at once.
"""

import unicodedata
from typing import Final

import argon2

from pyaiot.errors import OperatorError

PASSWORD_LENGTH_MIN: Final = 8
PASSWORD_LENGTH_MAX: Final = 1024
"""Characters of a password. Others are refused."""

_hasher = argon2.PasswordHasher()  # RFC 9106, the second recommended option
NO_USER: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$Q3tHLRqqsMKolRI5NNc8nQ"
    "$FactAkmB1NCCRIPcIu799zX2mukTeh+Wq10eLNlLdG8"
)
"""A hash to verify against where there is no user, so that the answer takes as long. Of 256 random
bits that nobody has."""


def hash_password(password: str) -> str:
    """Raises `OperatorError` for one that is too short or too long."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise OperatorError(
            f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters."
        )
    return _hasher.hash(_normal(password))


def is_password(password: str, expected: str) -> bool:
    """Whether it is the password with this hash."""
    if len(password) > PASSWORD_LENGTH_MAX:
        return False
    try:
        return _hasher.verify(expected, _normal(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _normal(password: str) -> str:
    """Systems type é as one character or as two: both are one password (RFC 8265 section 4.2)."""
    return unicodedata.normalize("NFC", password)
