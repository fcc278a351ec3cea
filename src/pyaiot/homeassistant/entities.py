# SPDX-License-Identifier: BSD-3-Clause
"""A resource as an entity of Home Assistant: its component, its states and its commands. Pure.

The keys of a component are the abbreviations that Home Assistant documents
(https://www.home-assistant.io/integrations/mqtt/#supported-abbreviations-in-mqtt-discovery-messages).
"""

import math
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError
from pyaiot.homeassistant.units import (
    BINARY_CLASSES,
    BUTTON_CLASSES,
    SWITCH_CLASSES,
    TOTALS,
    number_class,
    unit_of,
)
from pyaiot.model import Coordinates, ResourceType, decode

STATE_LENGTH_MAX: Final = 255
"""Longest state in characters. Home Assistant refuses longer ones, so longer text is truncated."""
NUMBER_LOW: Final = -1_000_000.0
NUMBER_HIGH: Final = 1_000_000.0
"""Limits of a writable number that states none. The defaults of Home Assistant are 1 and 100."""
DESCRIPTIONS: Final = frozenset(
    {"board", "id", "mcu", "name", "os", "protocol", "vendor", "version"}
)
"""Resources that describe the device itself, and are not entities."""

_ON: Final = b"ON"
_OFF: Final = b"OFF"
_PRESS: Final = "PRESS"
_encode: Final = msgspec.json.Encoder().encode


class Entity:
    """A resource as an entity: its component, and the conversion of its values and commands."""

    __slots__ = ("_factor", "is_written", "platform", "type")

    def __init__(self, it: ResourceType) -> None:
        self.type = it
        self.platform = platform_of(it)
        self.is_written = self.platform in _WRITTEN
        """Whether it has a command topic."""
        self._factor = unit_of(it.unit).factor if it.kind == "number" else 1.0

    def component(self, name: str, state_topic: str, command_topic: str) -> dict[str, Any]:
        """The component of a discovery message, without its unique id.

        `name`: for people, if the type has no label.
        """
        it = self.type
        config: dict[str, Any] = {"p": self.platform, "name": it.label or name}
        if self.is_written:
            config["cmd_t"] = command_topic
        if self.platform == "device_tracker":
            config |= {"json_attr_t": state_topic, "src_type": "gps"}
        elif it.kind != "command":
            config["stat_t"] = state_topic
        return config | self._options()

    def _options(self) -> dict[str, Any]:
        """The fields that only this component has."""
        it = self.type
        match self.platform:
            case "sensor" if it.kind == "number":
                measured = self._measured()
                return {**measured, "stat_cla": _state_class(measured)}
            case "sensor" if it.kind == "enum" and it.choices:
                return {"dev_cla": "enum", "ops": it.choices}
            case "number":
                low, high, step = self._limits()
                return {**self._measured(), "min": low, "max": high, "step": step, "mode": "auto"}
            case "select":
                return {"ops": it.choices}
            case "text":
                high = STATE_LENGTH_MAX if it.maximum is None else it.maximum
                return {"min": _length(it.minimum or 0.0), "max": _length(high)}
            case "binary_sensor":
                return _classed(it.device_class, BINARY_CLASSES)
            case "switch":
                return _classed(it.device_class, SWITCH_CLASSES)
            case "button":
                return {"pl_prs": _PRESS, **_classed(it.device_class, BUTTON_CLASSES)}
            case "light":
                return {"schema": "json", "sup_clrm": ["rgb"], "brightness": False}
            case _:
                return {}

    def _measured(self) -> dict[str, Any]:
        unit = unit_of(self.type.unit)
        measured: dict[str, Any] = {}
        if unit.text:
            measured["unit_of_meas"] = unit.text
        if found := number_class(unit, self.type.device_class):
            measured["dev_cla"] = found
        if self.type.precision is not None and self.platform == "sensor":
            measured["sug_dsp_prc"] = self.type.precision
        return measured

    def _limits(self) -> tuple[float, float, float]:
        it, factor = self.type, self._factor
        low = NUMBER_LOW if it.minimum is None else it.minimum * factor
        high = NUMBER_HIGH if it.maximum is None else it.maximum * factor
        low, high = min(low, high), max(low, high)
        if low == high:
            high = low + 1.0  # Home Assistant requires a range
        step = 1.0 if it.step is None and _is_whole(it) else 0.001 if it.step is None else it.step
        return low, high, max(0.001, step * factor)  # the least that Home Assistant accepts

    def state(self, data: object, number: float | None = None) -> bytes | None:
        """The payload for a value; None if Home Assistant has no state for it. `number`: that of
        the reading, which was parsed with regard to the name of the resource.
        """
        it = self.type
        if number is not None and it.kind == "number":
            return _digits(number * self._factor)
        try:
            value = decode(it, data)
        except ProtocolError:
            return None
        match self.platform, value:
            case ("sensor" | "number", float()):
                return _digits(value * self._factor)
            case ("switch" | "binary_sensor", bool()):
                return _ON if value else _OFF
            case ("device_tracker", Coordinates(lat=lat, lng=lng)):
                return _encode({"latitude": lat, "longitude": lng, "gps_accuracy": 0})
            case ("light", str()):
                red, green, blue = bytes.fromhex(value[1:])
                return _encode(
                    {
                        "state": "ON" if red or green or blue else "OFF",
                        "color_mode": "rgb",
                        "color": {"r": red, "g": green, "b": blue},
                    }
                )
            case ("button", _):
                return None
            case ("select", str()) if value not in it.choices:
                return None
            case ("sensor", str()) if it.kind == "enum" and it.choices and value not in it.choices:
                return None
            case (_, str()):
                return _text(value)
            case _:
                return _text(state_text(value))

    def value_of_command(self, text: str, current: object) -> object:
        """The value that a command of Home Assistant writes, for `model.payload_for`.

        `current`: the latest value of the resource. Raises `ProtocolError`.
        """
        match self.platform:
            case "switch":
                if text not in ("ON", "OFF"):
                    raise ProtocolError("a switch is ON or OFF")
                return text == "ON"
            case "number":
                try:
                    number = float(text)
                except ValueError as error:
                    raise ProtocolError("this is not a number") from error
                if not math.isfinite(number):
                    raise ProtocolError("this is not a finite number")
                return float(f"{number / self._factor:.12g}")
            case "button":
                return ""
            case "light":
                return self._colour(text, current)
            case _:
                return text

    def _colour(self, text: str, current: object) -> str:
        """The colour of a command of the JSON schema of lights."""
        try:
            command = _decode_light(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ProtocolError("this is not a command for a light") from error
        if command.state == "OFF":
            return "#000000"
        if command.color is not None:
            rgb = command.color
            return f"#{rgb.r:02x}{rgb.g:02x}{rgb.b:02x}"
        try:
            before = str(decode(self.type, current))
        except ProtocolError:
            before = "#000000"
        return "#ffffff" if before == "#000000" else before


_Byte = Annotated[int, Meta(ge=0, le=255)]


class _Rgb(msgspec.Struct):
    r: _Byte
    g: _Byte
    b: _Byte


class _LightCommand(msgspec.Struct):
    state: str = "ON"
    color: _Rgb | None = None


_decode_light: Final = msgspec.json.Decoder(_LightCommand).decode


def platform_of(it: ResourceType) -> str:
    """The component of Home Assistant for a resource of this type."""
    is_written = it.writable is True
    match it.kind:
        case "number":
            return "number" if is_written else "sensor"
        case "boolean":
            return "switch" if is_written else "binary_sensor"
        case "enum":
            return "select" if is_written and it.choices else "sensor"
        case "command":
            return "select" if it.choices else "button"
        case "colour":
            return "light" if is_written else "sensor"
        case "position":
            return "device_tracker"
        case "text" if is_written:
            return "text"
        case _:
            return "sensor"


_WRITTEN: Final = frozenset({"button", "light", "number", "select", "switch", "text"})


def _classed(stated: str, known: frozenset[str]) -> dict[str, str]:
    return {"dev_cla": stated} if stated in known else {}


def _state_class(config: dict[str, Any]) -> str:
    return "total_increasing" if config.get("dev_cla") in TOTALS else "measurement"


def _is_whole(it: ResourceType) -> bool:
    limits = (it.minimum, it.maximum)
    return it.precision == 0 or all(
        limit is not None and float(limit).is_integer() for limit in limits
    )


def _length(limit: float) -> int:
    return max(0, min(STATE_LENGTH_MAX, int(limit)))


def _digits(number: float) -> bytes:
    """A short representation, without rounding errors of a multiplication."""
    if number.is_integer() and abs(number) < 1e15:
        return b"%d" % number
    return f"{number:.12g}".encode()


def _text(text: str) -> bytes:
    return text[:STATE_LENGTH_MAX].encode("utf-8", "replace")


def state_text(value: object) -> str:
    """A value as text: text unchanged, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except (msgspec.MsgspecError, TypeError, UnicodeError, OverflowError, RecursionError):
        return ""
