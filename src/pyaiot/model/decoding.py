# SPDX-License-Identifier: BSD-3-Clause
"""Parses the value of a resource according to its type."""

import math
import re
from typing import Any, Final, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.model.types import ResourceKind, ResourceType
from pyaiot.model.words import truth_of
from pyaiot.readings import read_quantity

JSON_TEXT_MAX: Final = 64 * 1024
"""Longest text that is parsed as JSON, in characters. Longer text is not a position, colour,
vector or JSON.
"""
VECTOR_LENGTH_MAX: Final = 64
"""Largest number of components of a vector. A longer list is not a vector."""
VECTORS_MAX: Final = 4
"""Largest number of named vectors in one value, such as `acc` and `gyro`. A value with more is not
a vector.
"""


class Coordinates(msgspec.Struct, frozen=True, gc=False):
    """A position in degrees north and east."""

    lat: float
    lng: float


TypedValue: TypeAlias = Any
"""By kind: a number is a `float`, a boolean a `bool`, an enum, a text and a command a `str`, a
colour a `str` of the form `#rrggbb`, a position `Coordinates`, a vector a tuple of `float` or a
dict of such tuples by name, and JSON the result of `json.loads`.
"""


def decode(it: ResourceType, data: object) -> TypedValue:
    """Parse `data`: a JSON value that a device sent, or its text. Returns a `TypedValue`.

    Limits and choices are not checked, because a device may report values that must not be
    written. If the kind is unknown, `data` is returned unchanged. Raises `ProtocolError` if it is
    not a value of this kind.
    """
    if not it.kind:
        return data
    match it.kind:
        case "number":
            value: object = read_number(data)
        case "boolean":
            value = read_boolean(data, it)
        case "enum" | "text" | "command":
            value = text_of(data)
        case "colour":
            rgb = read_colour(data)
            value = None if rgb is None else "#{:02x}{:02x}{:02x}".format(*rgb)
        case "position":
            value = read_position(data)
        case "vector":
            value = read_vector(data)
        case "json":
            return read_json(data)
    if value is None:
        raise ProtocolError(f"{shown(data)} is not {_NAMED[it.kind]}")
    return value


_NAMED: Final[dict[ResourceKind, str]] = {
    "number": "a number",
    "boolean": "true or false",
    "enum": "one of the choices",
    "text": "a text",
    "command": "a command",
    "colour": "a colour, such as #ff8800",
    "position": "a position, such as 48.7,2.2",
    "vector": "a list of numbers",
    "json": "JSON",
}
_SHOWN_MAX: Final = 40


def shown(data: object) -> str:
    """A value for an error message: quoted and truncated."""
    return repr(text_of(data)[:_SHOWN_MAX])


def text_of(data: object) -> str:
    """A JSON value as text: text unchanged, anything else as JSON. Raises `ProtocolError`."""
    if isinstance(data, str):
        return data
    try:
        return msgspec.json.encode(data).decode()
    except (msgspec.MsgspecError, TypeError, UnicodeError, OverflowError, RecursionError) as error:
        raise ProtocolError("the value is not JSON") from error


_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")


def read_number(data: object) -> float | None:
    """Parse a finite number, with or without a unit."""
    if isinstance(data, bool):
        return None
    if isinstance(data, str):
        digits = data.strip()
        if _NUMBER.fullmatch(digits):  # also identifiers that are not quantities: `0042`
            number = float(digits)  # `float` strips less than `strip`
            return number if math.isfinite(number) else None
    elif not isinstance(data, int | float):
        return None
    elif isinstance(data, int):
        return float(data) if data.bit_length() <= 1023 else None
    quantity = read_quantity(data)
    return None if quantity is None else quantity.number


def read_boolean(data: object, it: ResourceType) -> bool | None:
    match data:
        case bool():
            return data
        case str():
            return truth_of(data, it.on, it.off)
        case int() | float():
            return truth_of(f"{data:g}", it.on, it.off) if abs(data) < 1e6 else None
        case _:
            return None


def read_json(data: object) -> Any:
    """Parse text; other values are returned unchanged. Raises `ProtocolError`."""
    if not isinstance(data, str):
        text_of(data)
        return data
    if len(data) > JSON_TEXT_MAX:
        raise ProtocolError(f"JSON has at most {JSON_TEXT_MAX} characters")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"{shown(data)} is not JSON") from error


def _parsed(data: object) -> object:
    """The JSON object or array in a text; otherwise the value unchanged."""
    if not isinstance(data, str) or data.lstrip()[:1] not in ("{", "["):
        return data
    try:
        return read_json(data)
    except ProtocolError:
        return None


_PAIR: Final = re.compile(
    r"\s*([+-]?[0-9]{1,3}(?:\.[0-9]{1,30})?)\s*[,; ]\s*([+-]?[0-9.]{1,34})\s*"
)


def read_position(data: object) -> Coordinates | None:
    """`{"lat": 48.7, "lng": 2.2}` (also `lon`, `latitude`, `longitude`), `[48.7, 2.2]`, or text."""
    match _parsed(data):
        case {"lat": lat, "lng": lng} | {"lat": lat, "lon": lng}:
            pass
        case {"latitude": lat, "longitude": lng}:
            pass
        case [lat, lng]:
            pass
        case str(text):
            match = _PAIR.fullmatch(text)
            if match is None:
                return None
            lat, lng = match.groups()
        case _:
            return None
    north, east = read_number(lat), read_number(lng)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return None
    return Coordinates(north, east)


_HEX: Final = re.compile(r"#?([0-9a-fA-F]{6})")
_RGB: Final = re.compile(r"\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*")


def read_colour(data: object) -> tuple[int, int, int] | None:
    """Red, green and blue, each 0 to 255, of `#ff8800`, `255,136,0` or `{"r":…,"g":…,"b":…}`."""
    rgb: list[Any]
    match _parsed(data):
        case {"r": red, "g": green, "b": blue}:
            rgb = [red, green, blue]
        case {"hex": str(text)} | str(text):
            if match := _HEX.fullmatch(text.strip()):
                rgb = list(bytes.fromhex(match[1]))
            elif match := _RGB.fullmatch(text):
                rgb = [int(part) for part in match.groups()]
            else:
                return None
        case [red, green, blue]:
            rgb = [red, green, blue]
        case _:
            return None
    if not all(type(part) is int and 0 <= part <= 255 for part in rgb):
        return None
    return rgb[0], rgb[1], rgb[2]


def read_vector(data: object) -> tuple[float, ...] | dict[str, tuple[float, ...]] | None:
    """`[1, 2, 3]`, or `[{"type": "acc", "values": [1, 2, 3]}, …]`."""
    found = _parsed(data)
    if not isinstance(found, list) or not found:
        return None
    if not isinstance(found[0], dict):
        return _numbers(found)
    named: dict[str, tuple[float, ...]] = {}
    for part in found[: VECTORS_MAX + 1]:
        match part:
            case {"type": str(name), "values": list(values)}:
                numbers = _numbers(values)
            case _:
                return None
        if numbers is None:
            return None
        named[name] = numbers
    return named if len(found) <= VECTORS_MAX else None


def _numbers(values: list[object]) -> tuple[float, ...] | None:
    if len(values) > VECTOR_LENGTH_MAX:
        return None
    numbers = [None if isinstance(value, str) else read_number(value) for value in values]
    found = tuple(number for number in numbers if number is not None)
    return found if len(found) == len(values) else None
