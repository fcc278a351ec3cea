# SPDX-License-Identifier: BSD-3-Clause
"""A CBOR decoder (RFC 8949) with limits, for payloads of constrained nodes. Pure.

Values are None, bool, int, float, str, bytes, list, and dict with keys of int or str. It is written
in Python because untrusted bytes must not reach C code without limits.
"""

import math
import struct
from base64 import urlsafe_b64encode
from decimal import Decimal
from typing import Any, Final, TypeAlias

from pyaiot.errors import NotEnoughBytes, ProtocolError

DEPTH_MAX: Final = 16
"""Nested arrays, maps and tags. A deeper document is refused."""
ITEMS_MAX: Final = 8192
"""Items of one document, including nested ones. A larger document is refused."""

CborValue: TypeAlias = Any

_TEXT: Final = 3  # RFC 8949 section 3.1
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_DECIMAL_FRACTION: Final = 4  # RFC 8949 section 3.4.4
_NUMBER_TAGS: Final = frozenset({2, 3, 5, 30})
_EXPONENT_MAX: Final = 400
"""Beyond the exponents of a double, and well within those of Decimal."""
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}


def decode_cbor(data: bytes) -> CborValue:
    """Decode the value that fills the bytes.

    Tags are ignored, except decimal fractions, which become a float. `undefined` is None. Raises
    `NotEnoughBytes` if the bytes end too early, and `ProtocolError` for malformed data, for
    duplicate keys, for keys that are neither text nor integers, for numbers of more than 64 bits,
    and beyond the limits above.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise ProtocolError(f"CBOR: {len(data) - reader.at} bytes after the value")
    return value


def json_value(value: CborValue) -> object:
    """Convert to a JSON value: bytes as base64url text (RFC 8949 section 6.1), keys as text.

    Raises `ProtocolError` for NaN and infinities, which JSON cannot express.
    """
    match value:
        case bytes():
            return urlsafe_b64encode(value).rstrip(b"=").decode()
        case list():
            return [json_value(item) for item in value]
        case dict():
            return {str(key): json_value(item) for key, item in value.items()}
        case float() if not math.isfinite(value):
            raise ProtocolError("CBOR: a number that is not finite")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self._items = 0

    def value(self, depth: int) -> CborValue:
        self._items += 1
        if self._items > ITEMS_MAX:
            raise ProtocolError(f"CBOR: more than {ITEMS_MAX} items")
        if depth > DEPTH_MAX:
            raise ProtocolError(f"CBOR: nested more than {DEPTH_MAX} deep")
        major, info = divmod(self._byte(), 32)
        match major:
            case 0:
                return self._argument(info)
            case 1:
                return -1 - self._argument(info)
            case 2:
                return self._string(major, info)
            case 3:
                return self._text(info)
            case 4:
                return self._array(info, depth)
            case 5:
                return self._map(info, depth)
            case 6:
                return self._tagged(self._argument(info), depth)
        return self._simple_or_float(info)

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise NotEnoughBytes(f"CBOR: ends {end - len(self._data)} bytes too early")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _argument(self, info: int) -> int:
        """RFC 8949 section 3: in the first byte, or in the 1, 2, 4 or 8 bytes after it."""
        if info < 24:
            return info
        if info > 27:
            raise ProtocolError(f"CBOR: additional information {info} is not allowed here")
        return int.from_bytes(self._take(1 << info - 24), "big")

    def _string(self, major: int, info: int) -> bytes:
        if info != _INDEFINITE:
            return self._take(self._argument(info))
        parts = []
        while (head := self._byte()) != _BREAK:
            self._items += 1
            if head >> 5 != major or head & 31 == _INDEFINITE or self._items > ITEMS_MAX:
                raise ProtocolError("CBOR: invalid chunk of a string")
            parts.append(self._take(self._argument(head & 31)))
        return b"".join(parts)

    def _text(self, info: int) -> str:
        try:
            return self._string(_TEXT, info).decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("CBOR: text that is not UTF-8") from error

    def _array(self, info: int, depth: int) -> list[CborValue]:
        if info != _INDEFINITE:
            count = self._argument(info)
            self._expect(count)
            return [self.value(depth + 1) for _ in range(count)]
        items = []
        while not self._break():
            items.append(self.value(depth + 1))
        return items

    def _map(self, info: int, depth: int) -> dict[int | str, CborValue]:
        found: dict[int | str, CborValue] = {}
        count = None if info == _INDEFINITE else self._argument(info)
        self._expect(2 * (count or 0))
        while not self._break() if count is None else len(found) < count:
            key = self.value(depth + 1)
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise ProtocolError("CBOR: a key is neither text nor an integer")
            if key in found:  # RFC 8949 section 5.6
                raise ProtocolError("CBOR: a duplicate key in a map")
            found[key] = self.value(depth + 1)
        return found

    def _expect(self, items: int) -> None:
        """Each item has at least one byte, so a larger count cannot be complete."""
        if items > len(self._data) - self.at:
            raise NotEnoughBytes("CBOR: fewer bytes than items")

    def _break(self) -> bool:
        if self.at < len(self._data) and self._data[self.at] == _BREAK:
            self.at += 1
            return True
        return False

    def _tagged(self, tag: int, depth: int) -> CborValue:
        if tag in _NUMBER_TAGS:
            raise ProtocolError(f"CBOR: numbers of tag {tag} are not supported")
        value = self.value(depth + 1)
        if tag != _DECIMAL_FRACTION:
            return value
        match value:
            case [int(exponent), int(mantissa)] if abs(exponent) <= _EXPONENT_MAX:
                return float(Decimal(mantissa).scaleb(exponent))
        raise ProtocolError("CBOR: invalid decimal fraction")

    def _simple_or_float(self, info: int) -> CborValue:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info in _FLOATS:
            (number,) = struct.unpack(_FLOATS[info], self._take(1 << info - 24))
            return number
        raise ProtocolError(f"CBOR: unsupported simple value {info}")
