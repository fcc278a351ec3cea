# SPDX-License-Identifier: BSD-3-Clause
"""JSON of devices whose integers keep their digits. Pure.

The decoder turns integers beyond 64 bits into floats. An identifier must not be rounded, so the
integers that a double does not hold become text before they are decoded.
"""

import json
import re
from typing import Final

from pyaiot.readings import INTEGER_MAX

DIGITS_MAX: Final = 64
"""Digits of an integer that is kept as text. JSON with a longer one is left to the decoder."""
_LONG_INTEGER: Final = re.compile(rb"[0-9]{16}")


def quote_long_integers(data: bytes) -> bytes:
    """`data`, with integers beyond `INTEGER_MAX` as text. What is no JSON comes back as it is."""
    if _LONG_INTEGER.search(data) is None:
        return data
    try:
        return json.dumps(json.loads(data, parse_int=_integer)).encode()
    except (ValueError, RecursionError):
        return data


def _integer(digits: str) -> int | str:
    if len(digits) > DIGITS_MAX:
        raise ValueError("too many digits")
    number = int(digits)
    return number if abs(number) <= INTEGER_MAX else digits
