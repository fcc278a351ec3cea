# SPDX-License-Identifier: BSD-3-Clause
"""The datatypes and formats of Homie 4 and 5 as resource types, and their payloads. Pure."""

import re
from typing import Any, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import plain_value, type_of
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit, unit_of
from pyaiot.model import ResourceType, encode

FORMAT_LENGTH_MAX: Final = 2048
"""Longest format in characters. A longer one is ignored."""

_RGB: Final = re.compile(r"(?:rgb,)?(\d{1,3}),(\d{1,3}),(\d{1,3})")


def type_of_property(
    datatype: str, format_: str, unit: str, *, settable: bool, label: str
) -> tuple[ResourceType, DeviceUnit]:
    """The type of a property, from its attributes."""
    if len(format_) > FORMAT_LENGTH_MAX:
        format_ = ""
    fields: dict[str, Any] = {"writable": settable, "label": label}
    match datatype:
        case "integer" | "float" | "percent":
            of_unit = unit_of(unit)
            bounds = _bounds(format_)
            if datatype == "integer":
                bounds.setdefault("step", 1)
            it = type_of("number", unit=of_unit.senml, **bounds, **fields)
            return it, NO_UNIT if settable and of_unit.printed else of_unit
        case "boolean":
            return type_of("boolean", on="true", off="false", **fields), NO_UNIT
        case "enum":
            return type_of("enum", choices=format_.split(","), **fields), NO_UNIT
        case "color" if "rgb" in format_.split(","):
            return type_of("colour", form="rgb", **fields), NO_UNIT
        case "json":
            return type_of("json", **fields), NO_UNIT
        case _:
            return type_of("text", **fields), NO_UNIT


def _bounds(format_: str) -> dict[str, Any]:
    """Minimum, maximum and step: `0:100:5`, each of which may be absent."""
    names = ("minimum", "maximum", "step")
    bounds: dict[str, Any] = {}
    for name, text in zip(names, format_.split(":"), strict=False):
        value = plain_value(text)
        if not isinstance(value, str):
            bounds[name] = value
    return bounds


def value_of_payload(it: ResourceType, text: str) -> Any:
    """Convert a payload to the reported value. Raises `ProtocolError` if the payload does not fit
    this type."""
    if it.kind == "number":
        value = plain_value(text)
        if isinstance(value, str):
            raise ProtocolError("a number is expected")
        return value
    if it.kind == "boolean" and text not in {"true", "false"}:
        raise ProtocolError("neither true nor false")
    if it.kind == "colour":
        found = _RGB.fullmatch(text)
        if found is None:
            raise ProtocolError("not a colour")
        return ",".join(found.groups())
    return text


def payload_of(it: ResourceType, text: str, *, version: int) -> str:
    """The payload that sets a property. Homie 5 adds the colour space. Raises `ProtocolError`."""
    payload = encode(it, text)
    return f"rgb,{payload}" if it.kind == "colour" and version >= 5 else payload
