# SPDX-License-Identifier: BSD-3-Clause
"""What an entity of Home Assistant is as resources: types, values, commands. Pure.

Each kind of entity is one function and one line in `ENTITIES`. Defaults are those of the
documentation of its MQTT integration.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import (
    DeviceMessage,
    label_of,
    plain_value,
    type_of,
)
from pyaiot.gateways.mqtt.dialects.ha_config import EntityConfig
from pyaiot.gateways.mqtt.dialects.templates import WHOLE, CommandTemplate, NoValue, Template
from pyaiot.gateways.mqtt.dialects.units import unit_of
from pyaiot.model import ResourceType, encode

BRIGHTNESS_SCALE: Final = 255
"""The brightness of a light that is fully on, if its configuration states no other."""
POSITION_OPEN: Final = 100
"""The position of an open cover, if its configuration states no other."""

ReadValue: TypeAlias = Callable[[Any], Any]
"""From what the template picks to what is reported. Raises `NoValue` for nothing to report."""
WritePayload: TypeAlias = Callable[[str], str]
"""From the text of a command to the payload. Raises `ProtocolError`."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class EntityResource:
    """One resource of an entity."""

    suffix: str
    """Behind the name of the entity; empty for its main resource."""
    type: ResourceType
    state_topic: str = ""
    template: Template = WHOLE
    read: ReadValue = _same
    command_topic: str = ""
    write: WritePayload | None = None
    qos: int = 0
    retain: bool = False

    def publication(self, text: str) -> DeviceMessage:
        """The message that sets it. Raises `ProtocolError`."""
        if not self.command_topic or self.write is None:
            raise ProtocolError("this resource cannot be written")
        payload = self.write(text).encode(errors="replace")
        return DeviceMessage(self.command_topic, payload, self.qos, self.retain)


def _scalar(value: Any) -> Any:
    """A value as reported: numbers of texts are numbers."""
    return plain_value(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _command(
    entity: EntityConfig, write: WritePayload, topic_key: str = "command_topic"
) -> dict[str, Any]:
    topic = entity.topic(topic_key)
    return {
        "command_topic": topic,
        "write": write if topic else None,
        "qos": entity.qos,
        "retain": entity.retain,
    }


def _templated(template: CommandTemplate | None) -> WritePayload:
    return (lambda text: text) if template is None else template.render


def _sensor(entity: EntityConfig) -> list[EntityResource]:
    device_class = entity.text("device_class")
    unit = unit_of(entity.value("unit_of_measurement"), device_class)
    is_measured = bool(entity.value("unit_of_measurement") or entity.value("state_class"))
    if device_class == "enum" or entity.value("options"):
        kind = type_of("enum", choices=entity.value("options"), writable=False, **_named(entity))
    elif is_measured:
        kind = type_of(
            "number",
            unit=unit.senml,
            precision=entity.value("suggested_display_precision"),
            writable=False,
            **_named(entity),
        )
    else:
        kind = type_of("text", writable=False, **_named(entity))

    def read(value: Any) -> Any:
        if not is_measured:
            return _text(value)
        number = _scalar(value)
        if number in ("", "None", "unknown", "unavailable"):
            raise NoValue
        return unit.reported(number)

    return [EntityResource("", kind, _state(entity), entity.template("value_template"), read)]


def _state(entity: EntityConfig) -> str:
    topic = entity.topic("state_topic")
    if not topic:
        raise ProtocolError("it has no state_topic")
    return topic


def _named(entity: EntityConfig) -> dict[str, Any]:
    return {"label": entity.label, "device_class": entity.text("device_class")}


def _two_words(on: str, off: str, on_of_state: str = "", off_of_state: str = "") -> ReadValue:
    """Reads two words of a state, and reports those of commands."""
    words = {on_of_state or on: on, off_of_state or off: off}
    # A template prints true of JSON as `True`, and payloads are compared with that.

    def read(value: Any) -> Any:
        word = words.get(value if isinstance(value, str) else str(value))
        if word is None:
            raise NoValue
        return word

    return read


def _binary_sensor(entity: EntityConfig) -> list[EntityResource]:
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=False, **_named(entity))
    return [
        EntityResource(
            *("", kind, _state(entity), entity.template("value_template")), _two_words(on, off)
        )
    ]


def _switch(entity: EntityConfig) -> list[EntityResource]:
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=True, **_named(entity))
    read = _two_words(on, off, entity.text("state_on"), entity.text("state_off"))
    write = _templated(entity.command_template("command_template"))
    return [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("value_template"),
            read,
            **_command(entity, lambda text: write(encode(kind, text))),
        )
    ]


def _light(entity: EntityConfig) -> list[EntityResource]:
    schema = entity.value("schema") or "basic"
    if schema == "json":
        return _json_light(entity)
    if schema != "basic":
        raise ProtocolError("lights with this schema are not understood")
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=True, **_named(entity))
    resources = [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("state_value_template"),
            _two_words(on, off),
            **_command(entity, lambda text: encode(kind, text)),
        )
    ]
    if entity.topic("brightness_command_topic"):
        brightness = _brightness_type(entity)
        resources.append(
            EntityResource(
                "brightness",
                brightness,
                entity.topic("brightness_state_topic"),
                entity.template("brightness_value_template"),
                _scalar,
                **_command(
                    entity, lambda text: encode(brightness, text), "brightness_command_topic"
                ),
            )
        )
    return resources


def _brightness_type(entity: EntityConfig) -> ResourceType:
    scale = entity.value("brightness_scale") or BRIGHTNESS_SCALE
    label = f"{entity.label} brightness" if entity.label else ""
    return type_of("number", minimum=0, maximum=scale, step=1, writable=True, label=label)


def _json_light(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of("boolean", on="ON", off="OFF", writable=True, **_named(entity))
    topic = entity.topic("state_topic")

    def member(*path: str) -> Template:
        return Template(is_json=True, path=path)

    def whole(name: str, it: ResourceType) -> WritePayload:
        return lambda text: json.dumps({"state": "ON", name: _number(encode(it, text))})

    resources = [
        EntityResource(
            "",
            kind,
            topic,
            member("state"),
            _two_words("ON", "OFF"),
            **_command(entity, lambda text: json.dumps({"state": encode(kind, text)})),
        )
    ]
    modes = entity.value("supported_color_modes")
    modes = [it for it in modes if isinstance(it, str)] if isinstance(modes, list) else []
    if entity.value("brightness") is True or set(modes) - {"onoff"}:
        it = _brightness_type(entity)
        resources.append(
            EntityResource(
                *("brightness", it, topic, member("brightness"), _scalar),
                **_command(entity, whole("brightness", it)),
            )
        )
    if "color_temp" in modes:
        it = type_of(
            "number",
            minimum=entity.value("min_mireds"),
            maximum=entity.value("max_mireds"),
            step=1,
            writable=True,
        )
        resources.append(
            EntityResource(
                *("color_temp", it, topic, member("color_temp"), _scalar),
                **_command(entity, whole("color_temp", it)),
            )
        )
    if set(modes) & {"rgb", "rgbw", "rgbww"}:
        resources.append(_json_colour(entity, topic, member("color")))
    return resources


def _json_colour(entity: EntityConfig, topic: str, template: Template) -> EntityResource:
    it = type_of("colour", form="hex", writable=True)

    def read(value: Any) -> str:
        parts: list[Any] = [value.get(name) for name in "rgb"] if isinstance(value, dict) else []
        if len(parts) != 3 or not all(isinstance(part, int) and 0 <= part < 256 for part in parts):
            raise NoValue
        return "#{:02x}{:02x}{:02x}".format(*parts)

    def write(text: str) -> str:
        digits = encode(it, text).removeprefix("#")
        red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
        return json.dumps({"state": "ON", "color": {"r": red, "g": green, "b": blue}})

    return EntityResource("color", it, topic, template, read, **_command(entity, write))


def _number(text: str) -> Any:
    value = plain_value(text)
    if isinstance(value, str):
        raise ProtocolError("a number is expected")
    return value


def _cover(entity: EntityConfig) -> list[EntityResource]:
    commands = tuple(
        word
        for key, default in (
            ("payload_open", "OPEN"),
            ("payload_close", "CLOSE"),
            ("payload_stop", "STOP"),
        )
        if (word := entity.text(key, default))
    )
    states = [
        entity.text(f"state_{name}", name)
        for name in ("open", "opening", "closed", "closing", "stopped")
    ]
    kind = type_of("enum", choices=tuple(dict.fromkeys(commands)), writable=True, **_named(entity))

    def read(value: Any) -> Any:
        if _text(value) not in states:
            raise NoValue
        return _text(value)

    resources = [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("value_template"),
            read,
            **_command(entity, lambda text: encode(kind, text)),
        )
    ]
    position_topic, set_topic = entity.topic("position_topic"), entity.topic("set_position_topic")
    if position_topic or set_topic:
        ends = [entity.value("position_closed"), entity.value("position_open")]
        ends = [0 if ends[0] is None else ends[0], POSITION_OPEN if ends[1] is None else ends[1]]
        is_upward = all(isinstance(end, int) for end in ends) and ends[0] <= ends[1]
        it = type_of(
            "number",
            minimum=ends[0] if is_upward else None,
            maximum=ends[1] if is_upward else None,
            step=1,
            writable=bool(set_topic),
        )
        write = _templated(entity.command_template("set_position_template"))
        resources.append(
            EntityResource(
                "position",
                it,
                position_topic,
                entity.template("position_template"),
                _scalar,
                **_command(entity, lambda text: write(encode(it, text)), "set_position_topic"),
            )
        )
    return resources


def _select(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of("enum", choices=entity.value("options"), writable=True, **_named(entity))
    return [_written(entity, kind, _text)]


def _number_entity(entity: EntityConfig) -> list[EntityResource]:
    low, high = entity.value("min"), entity.value("max")
    kind = type_of(
        "number",
        unit=unit_of(entity.value("unit_of_measurement"), entity.text("device_class")).senml,
        minimum=1 if low is None else low,
        maximum=100 if high is None else high,
        step=entity.value("step") or 1,
        writable=True,
        **_named(entity),
    )
    return [_written(entity, kind, _scalar)]


def _text_entity(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of(
        "text",
        minimum=entity.value("min"),
        maximum=entity.value("max"),
        writable=True,
        **_named(entity),
    )
    return [_written(entity, kind, _text)]


def _written(entity: EntityConfig, kind: ResourceType, read: ReadValue) -> EntityResource:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    write = _templated(entity.command_template("command_template"))
    return EntityResource(
        "",
        kind,
        entity.topic("state_topic"),
        entity.template("value_template"),
        read,
        **_command(entity, lambda text: write(encode(kind, text))),
    )


def _button(entity: EntityConfig) -> list[EntityResource]:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    press = entity.text("payload_press", "PRESS")
    kind = type_of("command", on=press, writable=True, **_named(entity))
    write = _templated(entity.command_template("command_template"))
    return [EntityResource("", kind, **_command(entity, lambda _: write(press)))]


ENTITIES: Final[Mapping[str, Callable[[EntityConfig], list[EntityResource]]]] = {
    "binary_sensor": _binary_sensor,
    "button": _button,
    "cover": _cover,
    "light": _light,
    "number": _number_entity,
    "select": _select,
    "sensor": _sensor,
    "switch": _switch,
    "text": _text_entity,
}
"""The entities that are understood, by their component."""


def resources_of(entity: EntityConfig) -> list[EntityResource]:
    """The resources of an entity. Raises `ProtocolError` with the reason if there are none."""
    make = ENTITIES.get(entity.component)
    if make is None:
        raise ProtocolError(f"the component {label_of(entity.component)} is not understood")
    try:
        return make(entity)
    except (TypeError, AttributeError) as error:
        # A value of the wrong JSON type, in a place where none is checked by itself.
        raise ProtocolError("a value in it has the wrong type") from error
