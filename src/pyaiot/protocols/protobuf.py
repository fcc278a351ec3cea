# SPDX-License-Identifier: BSD-3-Clause
"""The wire format of Protocol Buffers: fields in, fields out. Pure.

Only what Sparkplug B uses: varints, 32 and 64 bits, and bytes. Groups are refused.
"""

import enum
import struct
from typing import Final, TypeAlias

from pyaiot.errors import ProtocolError

VARINT_BYTES_MAX: Final = 10
"""Bytes of a varint (Encoding, "Base 128 Varints"). A longer one is refused."""
FIELD_NUMBER_MAX: Final = 2**29 - 1
"""The largest number of a field (Encoding, "Message Structure"). A larger one is refused."""


class WireType(enum.IntEnum):
    """How a field is encoded."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


_VARINT, _FIXED64, _BYTES, _FIXED32 = map(int, WireType)
"""The same as plain integers, which are compared faster."""

Field: TypeAlias = tuple[int, int, "int | bytes"]
"""Field number, wire type, and value: bytes for `WireType.BYTES`, else an unsigned integer."""


def read_fields(data: bytes) -> list[Field]:
    """The fields of a message, in order. Raises `ProtocolError` for malformed bytes.

    There are at most half as many as bytes.
    """
    fields: list[Field] = []
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        if key < 0x80:  # most keys, numbers and lengths are one byte
            at += 1
        else:
            key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if not 0 < number <= FIELD_NUMBER_MAX:
            raise ProtocolError("protobuf: invalid field number")
        value: int | bytes
        if not wire_type & 5:  # 0 and 2 begin with a varint
            if at < end and (size := data[at]) < 0x80:
                at += 1
            else:
                size, at = _read_varint(data, at)
            if wire_type == _VARINT:
                value = size
            elif size > end - at:
                raise ProtocolError("protobuf: a field is longer than its message")
            else:
                value = data[at : at + size]
                at += size
        elif wire_type == _FIXED64:
            value, at = _read_fixed(data, at, 8)
        elif wire_type == _FIXED32:
            value, at = _read_fixed(data, at, 4)
        else:
            raise ProtocolError("protobuf: unknown wire type")
        fields.append((number, wire_type, value))
    return fields


def write_field(number: int, wire_type: int, value: int | bytes) -> bytes:
    """One field. Integers are unsigned."""
    key = _varint(number << 3 | wire_type)
    if isinstance(value, bytes):
        return key + _varint(len(value)) + value
    match wire_type:
        case 1:
            return key + value.to_bytes(8, "little")
        case 5:
            return key + value.to_bytes(4, "little")
        case _:
            return key + _varint(value)


def as_float(value: int) -> float:
    """The float of 32 bits with these bits."""
    (number,) = struct.unpack("<f", value.to_bytes(4, "little"))
    return float(number)


def as_double(value: int) -> float:
    """The float of 64 bits with these bits."""
    (number,) = struct.unpack("<d", value.to_bytes(8, "little"))
    return float(number)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    for byte in data[at : at + VARINT_BYTES_MAX]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
    ends = "is too long" if shift == 7 * VARINT_BYTES_MAX else "ends too early"
    raise ProtocolError(f"protobuf: a varint {ends}")


def _read_fixed(data: bytes, at: int, size: int) -> tuple[int, int]:
    if size > len(data) - at:
        raise ProtocolError("protobuf: a number ends too early")
    return int.from_bytes(data[at : at + size], "little"), at + size


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
