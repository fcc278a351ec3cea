# SPDX-License-Identifier: BSD-3-Clause
"""The payload of Sparkplug B: metrics with names, aliases, types and values. Pure.

Eclipse Sparkplug 3.0, section 6.4, and its `sparkplug_b.proto`.
"""

import enum
import math
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pyaiot.errors import ProtocolError
from pyaiot.model import ResourceType, encode
from pyaiot.protocols.protobuf import (
    WireType,
    as_double,
    as_float,
    read_fields,
    write_field,
)

METRICS_MAX: Final = 500
"""Largest number of metrics in one message. Further ones are left out."""
NAME_LENGTH_MAX: Final = 256
"""Longest name of a metric, in bytes. A metric with a longer one is left out."""
PROPERTIES_MAX: Final = 32
"""Largest number of properties of a metric that are read. Further ones are left out."""

_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
"""Bits of `Int8` to `Int64`."""
_UNSIGNED: Final = {5: 8, 6: 16, 7: 32, 8: 64}


class MetricType(enum.IntEnum):
    """The other data types that are read."""

    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15


NUMBERS: Final = frozenset({*_SIGNED, *_UNSIGNED, MetricType.FLOAT, MetricType.DOUBLE})
TEXTS: Final = frozenset({MetricType.STRING, MetricType.TEXT, MetricType.UUID})


_NO_PROPERTIES: Final[Mapping[str, Any]] = {}


class SparkplugMetric(NamedTuple):
    """A metric. `value` is None for null, or for a type that is not understood."""

    name: str = ""
    alias: int | None = None
    datatype: int = 0
    """0 if the message has no type; the type of the birth message then applies."""
    value: Any = None
    raw: tuple[int, "int | bytes"] | None = None
    """Field number and value, until the type is known."""
    properties: Mapping[str, Any] = _NO_PROPERTIES
    is_historical: bool = False
    """The value is a past one that is sent late."""


class SparkplugPayload(NamedTuple):
    """Metrics and the sequence number of the message; None if it has none."""

    metrics: tuple[SparkplugMetric, ...] = ()
    sequence: int | None = None


def read_payload(data: bytes) -> SparkplugPayload:
    """The payload of a message. Raises `ProtocolError`."""
    metrics: list[SparkplugMetric] = []
    sequence = None
    for number, wire_type, value in read_fields(data):
        if number == 2 and wire_type == _BYTES and isinstance(value, bytes):
            if len(metrics) < METRICS_MAX:
                metrics.append(_read_metric(value))
        elif number == 3 and wire_type == _VARINT and isinstance(value, int):
            sequence = value & 0xFF
    return SparkplugPayload(tuple(metrics), sequence)


def _read_metric(data: bytes) -> SparkplugMetric:
    name, alias, datatype, raw, is_null, is_historical = "", None, 0, None, False, False
    properties = _NO_PROPERTIES
    for number, wire_type, value in read_fields(data):
        if number >= 10:
            if _VALUE_TYPES.get(number) == wire_type:
                raw = (number, value)
        elif number == 3:
            continue  # its time: `is_historical` is what matters
        elif number == 1 and isinstance(value, bytes):
            name = _text(value) if len(value) <= NAME_LENGTH_MAX else ""
        elif number == 2 and isinstance(value, int):
            alias = value
        elif number == 4 and isinstance(value, int):
            datatype = value
        elif number == 5 and wire_type == _VARINT:
            is_historical = value != 0
        elif number == 7 and wire_type == _VARINT:
            is_null = value != 0
        elif number == 9 and isinstance(value, bytes):
            properties = _read_properties(value)
    if is_null:
        raw = None
    value = value_of(datatype, raw)
    return SparkplugMetric(name, alias, datatype, value, raw, properties, is_historical)


_VARINT, _FIXED64, _BYTES, _FIXED32 = map(int, WireType)
_VALUE_TYPES: Final = {
    10: _VARINT,
    11: _VARINT,
    12: _FIXED32,
    13: _FIXED64,
    14: _VARINT,
    15: _BYTES,
    16: _BYTES,
}
"""Wire types of the fields of a value: int, long, float, double, boolean, string, bytes."""


def value_of(datatype: int, raw: "tuple[int, int | bytes] | None") -> Any:
    """The value of a metric; None if it has no value of this type."""
    if raw is None:
        return None
    number, value = raw
    if isinstance(value, bytes):
        return _text(value) if number == 15 and datatype in TEXTS else None
    if number == 12:
        result = as_float(value)
        return result if math.isfinite(result) else None
    if number == 13:
        result = as_double(value)
        return result if math.isfinite(result) else None
    if number == 14:
        return value != 0
    bits = _SIGNED.get(datatype)
    if bits is not None:
        value &= 2**bits - 1
        return value - 2**bits if value >= 2 ** (bits - 1) else value
    bits = _UNSIGNED.get(datatype)
    if bits is not None:
        return value & (2**bits - 1)
    return value if datatype == MetricType.DATE_TIME else None


def _read_properties(data: bytes) -> dict[str, Any]:
    """A property set: texts and numbers by name. Names without a value are left out."""
    names: list[str] = []
    values: list[Any] = []
    for number, _wire_type, value in read_fields(data):
        if not isinstance(value, bytes) or len(names) > PROPERTIES_MAX:
            continue
        if number == 1:
            names.append(_text(value))
        elif number == 2:
            values.append(_read_property(value))
    return {
        name: value
        for name, value in zip(names[:PROPERTIES_MAX], values, strict=False)
        if value is not None
    }


def _read_property(data: bytes) -> Any:
    datatype, raw = 0, None
    for number, wire_type, value in read_fields(data):
        if number == 1 and isinstance(value, int):
            datatype = value
        elif _VALUE_TYPES.get(number + 7) == wire_type:
            # The fields of values begin at 3, where those of metrics begin at 10.
            raw = (number + 7, value)
    return value_of(datatype, raw)


def command_payload(name: str, alias: int | None, datatype: int, value: Any, ts_ms: int) -> bytes:
    """A payload with one metric, for NCMD and DCMD. Raises `ProtocolError` for a wrong value."""
    metric = write_field(1, WireType.BYTES, name.encode())
    if alias is not None:
        metric += write_field(2, WireType.VARINT, alias)
    metric += write_field(3, WireType.VARINT, ts_ms) + write_field(4, WireType.VARINT, datatype)
    metric += value_field(datatype, value)
    return write_field(1, WireType.VARINT, ts_ms) + write_field(2, WireType.BYTES, metric)


def value_field(datatype: int, value: Any) -> bytes:
    """The field of a metric with its value. Raises `ProtocolError`."""
    if datatype == MetricType.BOOLEAN:
        return write_field(14, WireType.VARINT, int(bool(value)))
    if datatype in TEXTS:
        return write_field(15, WireType.BYTES, str(value).encode())
    if datatype not in NUMBERS:
        raise ProtocolError("metrics of this type cannot be written")
    try:
        if datatype == MetricType.FLOAT:
            return write_field(12, WireType.FIXED32, _bits(struct.pack("<f", float(value))))
        if datatype == MetricType.DOUBLE:
            return write_field(13, WireType.FIXED64, _bits(struct.pack("<d", float(value))))
        number = int(value)
    except (ValueError, OverflowError) as error:
        raise ProtocolError("the value is not a number of this type") from error
    bits = _SIGNED.get(datatype) or _UNSIGNED[datatype]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if datatype in _SIGNED else (0, 2**bits)
    if not low <= number < high:
        raise ProtocolError(f"the value is not within {low} and {high - 1}")
    # Negative numbers are two's complement of 32 or 64 bits (sparkplug_b.proto, `int_value`).
    width = 64 if bits == 64 else 32
    return write_field(11 if width == 64 else 10, WireType.VARINT, number & (2**width - 1))


def typed(it: ResourceType, datatype: int, text: str) -> Any:
    """Convert the text of a command to the value to write. Raises `ProtocolError`."""
    payload = encode(it, text)
    if datatype == MetricType.BOOLEAN:
        return payload == "true"
    if datatype in NUMBERS - {MetricType.FLOAT, MetricType.DOUBLE}:
        return int(float(payload)) if "." in payload or "e" in payload else int(payload)
    return payload


def _bits(packed: bytes) -> int:
    return int.from_bytes(packed, "little")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a text is not UTF-8") from error
