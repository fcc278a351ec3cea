# SPDX-License-Identifier: BSD-3-Clause
"""The wire format of Protocol Buffers: fields in, fields out. Pure.

Only what Sparkplug B uses: varints, 32 and 64 bits, and bytes. Groups are refused.
"""

import enum
import struct
from collections.abc import Iterator
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


Field: TypeAlias = tuple[int, int, "int | bytes"]
"""Field number, wire type, and value: bytes for `WireType.BYTES`, else an unsigned integer."""


def read_fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in order. Raises `ProtocolError` for bytes that are no message."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        if key < 0x80:  # most keys and lengths are one byte
            at += 1
        else:
            key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if not 0 < number <= FIELD_NUMBER_MAX:
            raise ProtocolError("protobuf: invalid field number")
        value: int | bytes
        match wire_type:
            case 0:
                value, at = _read_varint(data, at)
            case 1:
                value, at = _read_fixed(data, at, 8)
            case 2:
                size, at = _read_varint(data, at)
                if size > end - at:
                    raise ProtocolError("protobuf: a field is longer than its message")
                value, at = data[at : at + size], at + size
            case 5:
                value, at = _read_fixed(data, at, 4)
            case _:
                raise ProtocolError("protobuf: unknown wire type")
        yield number, wire_type, value


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
    value = 0
    for index in range(VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise ProtocolError("protobuf: a varint ends too early")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value & (2**64 - 1), at + index + 1
    raise ProtocolError("protobuf: a varint is too long")


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
