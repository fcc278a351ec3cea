# SPDX-License-Identifier: BSD-3-Clause
"""JSON from devices, with all digits of its integers. Pure.

The decoder turns integers beyond 64 bits into floats. Identifiers must not be rounded, so integers
that a double cannot represent become text before they are decoded.
"""

import json
from typing import Final

from pyaiot.readings import INTEGER_MAX

DIGITS_MAX: Final = 64
"""Digits of an integer that is kept as text. JSON with a longer integer is returned unchanged."""
_LONG_INTEGER: Final = b"0" * 16
_AS_ZERO: Final = bytes(48 if byte in b"0123456789" else 32 for byte in range(256))
"""All digits as `0`, other bytes as a space: a search for a run of digits is that for a text, which
costs a fifth of a regular expression."""


def quote_long_integers(data: bytes) -> bytes:
    """`data`, with integers beyond `INTEGER_MAX` as text. Invalid JSON is returned unchanged."""
    if _LONG_INTEGER not in data.translate(_AS_ZERO):
        return data
    try:
        return json.dumps(json.loads(data, parse_int=_integer)).encode()
    except (ValueError, RecursionError):
        return data


def is_exact(number: float) -> bool:
    """Whether the decoder keeps the digits of every JSON number that is decoded to this one."""
    return -INTEGER_MAX <= number <= INTEGER_MAX


def _integer(digits: str) -> int | str:
    if len(digits) > DIGITS_MAX:
        raise ValueError("too many digits")
    number = int(digits)
    return number if abs(number) <= INTEGER_MAX else digits
