# SPDX-License-Identifier: BSD-3-Clause
"""Entities of Home Assistant as resources: types, values, commands. Pure.

Each kind of entity is one function and one line in `ENTITIES`. The defaults are those of the
documentation of its MQTT integration.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import label_of, type_of
from pyaiot.gateways.mqtt.dialects.ha_appliances import APPLIANCES
from pyaiot.gateways.mqtt.dialects.ha_config import EntityConfig
from pyaiot.gateways.mqtt.dialects.ha_resources import (
    EntityResource,
    ReadValue,
    WritePayload,
    command_of,
    named,
    number_of,
    part,
    scalar,
    state_topic,
    templated,
    text_value,
    two_words,
    written_unit,
)
from pyaiot.gateways.mqtt.dialects.templates import NoValue, Template
from pyaiot.gateways.mqtt.dialects.units import unit_of
from pyaiot.model import ResourceType, encode

BRIGHTNESS_SCALE: Final = 255
"""The default brightness of a light that is fully on."""
POSITION_OPEN: Final = 100
"""The default position of an open cover."""


def _sensor(entity: EntityConfig) -> list[EntityResource]:
    device_class = entity.text("device_class")
    unit = unit_of(entity.value("unit_of_measurement"), device_class)
    is_measured = bool(entity.value("unit_of_measurement") or entity.value("state_class"))
    if device_class == "enum" or entity.value("options"):
        kind = type_of("enum", choices=entity.value("options"), writable=False, **named(entity))
    elif is_measured:
        kind = type_of(
            "number",
            unit=unit.senml,
            precision=entity.number("suggested_display_precision"),
            writable=False,
            **named(entity),
        )
    else:
        kind = type_of("text", writable=False, **named(entity))

    def read(value: Any) -> Any:
        if not is_measured:
            return text_value(value)
        number = scalar(value)
        if number in ("", "None", "unknown", "unavailable"):
            raise NoValue
        return unit.reported(number)

    return [EntityResource("", kind, state_topic(entity), entity.template("value_template"), read)]


def _binary_sensor(entity: EntityConfig) -> list[EntityResource]:
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=False, **named(entity))
    return [
        EntityResource(
            *("", kind, state_topic(entity), entity.template("value_template")), two_words(on, off)
        )
    ]


def _switch(entity: EntityConfig) -> list[EntityResource]:
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=True, **named(entity))
    read = two_words(on, off, entity.text("state_on"), entity.text("state_off"))
    write = templated(entity.command_template("command_template"))
    return [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("value_template"),
            read,
            **command_of(entity, lambda text: write(encode(kind, text))),
        )
    ]


def _light(entity: EntityConfig) -> list[EntityResource]:
    schema = entity.value("schema") or "basic"
    if schema == "json":
        return _json_light(entity)
    if schema != "basic":
        raise ProtocolError("lights with this schema are not understood")
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=True, **named(entity))
    resources = [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("state_value_template"),
            two_words(on, off),
            **command_of(entity, lambda text: encode(kind, text)),
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
                scalar,
                **command_of(
                    entity, lambda text: encode(brightness, text), "brightness_command_topic"
                ),
            )
        )
    return resources + _basic_colours(entity)


def _basic_colours(entity: EntityConfig) -> list[EntityResource]:
    """Colour, colour temperature and effect of a light with the basic schema."""

    def read(value: Any) -> str:
        numbers = text_value(value).split(",")
        if len(numbers) != 3 or not all(it.isdecimal() and int(it) < 256 for it in numbers):
            raise NoValue
        return "#{:02x}{:02x}{:02x}".format(*map(int, numbers))

    found = part(entity, "color_temp", "color_temp", "number", scalar, step=1, **_mireds(entity))
    found += part(entity, "effect", "effect", "enum", choices=entity.value("effect_list"))
    if entity.topic("rgb_command_topic"):
        if entity.value("rgb_command_template"):
            raise ProtocolError("templates of colours are not understood")
        it = type_of("colour", form="hex", writable=True)

        def write(text: str) -> str:
            return ",".join(map(str, bytes.fromhex(encode(it, text).removeprefix("#"))))

        topic, template = entity.topic("rgb_state_topic"), entity.template("rgb_value_template")
        found.append(
            EntityResource(
                *("color", it, topic, template, read),
                **command_of(entity, write, "rgb_command_topic"),
            )
        )
    return found


def _mireds(entity: EntityConfig) -> dict[str, Any]:
    return {"minimum": entity.number("min_mireds"), "maximum": entity.number("max_mireds")}


def _brightness_type(entity: EntityConfig) -> ResourceType:
    scale = entity.number("brightness_scale") or BRIGHTNESS_SCALE
    label = f"{entity.label} brightness" if entity.label else ""
    return type_of("number", minimum=0, maximum=scale, step=1, writable=True, label=label)


def _json_light(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of("boolean", on="ON", off="OFF", writable=True, **named(entity))
    topic = entity.topic("state_topic")

    def member(*path: str) -> Template:
        return Template(is_json=True, path=path)

    def whole(name: str, it: ResourceType) -> WritePayload:
        return lambda text: json.dumps({"state": "ON", name: number_of(encode(it, text))})

    resources = [
        EntityResource(
            "",
            kind,
            topic,
            member("state"),
            two_words("ON", "OFF"),
            **command_of(entity, lambda text: json.dumps({"state": encode(kind, text)})),
        )
    ]
    modes = entity.value("supported_color_modes")
    modes = [it for it in modes if isinstance(it, str)] if isinstance(modes, list) else []
    if entity.flag("brightness") or set(modes) - {"onoff"}:
        it = _brightness_type(entity)
        resources.append(
            EntityResource(
                *("brightness", it, topic, member("brightness"), scalar),
                **command_of(entity, whole("brightness", it)),
            )
        )
    if "color_temp" in modes:
        it = type_of(
            "number",
            step=1,
            writable=True,
            **_mireds(entity),
        )
        resources.append(
            EntityResource(
                *("color_temp", it, topic, member("color_temp"), scalar),
                **command_of(entity, whole("color_temp", it)),
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

    return EntityResource("color", it, topic, template, read, **command_of(entity, write))


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
    kind = type_of("enum", choices=tuple(dict.fromkeys(commands)), writable=True, **named(entity))

    def read(value: Any) -> Any:
        if text_value(value) not in states:
            raise NoValue
        return text_value(value)

    resources = [
        EntityResource(
            "",
            kind,
            entity.topic("state_topic"),
            entity.template("value_template"),
            read,
            **command_of(entity, lambda text: encode(kind, text)),
        )
    ]
    position_topic, set_topic = entity.topic("position_topic"), entity.topic("set_position_topic")
    if position_topic or set_topic:
        given = entity.number("position_closed"), entity.number("position_open")
        closed = 0 if given[0] is None else given[0]
        opened = POSITION_OPEN if given[1] is None else given[1]
        ends = [closed, opened]
        is_upward = all(isinstance(end, int) for end in ends) and closed <= opened
        it = type_of(
            "number",
            minimum=ends[0] if is_upward else None,
            maximum=ends[1] if is_upward else None,
            step=1,
            writable=bool(set_topic),
        )
        write = templated(entity.command_template("set_position_template"))
        resources.append(
            EntityResource(
                "position",
                it,
                position_topic,
                entity.template("position_template"),
                scalar,
                **command_of(entity, lambda text: write(encode(it, text)), "set_position_topic"),
            )
        )
    return resources


def _select(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of("enum", choices=entity.value("options"), writable=True, **named(entity))
    return [_written(entity, kind, text_value)]


def _number_entity(entity: EntityConfig) -> list[EntityResource]:
    low, high = entity.number("min"), entity.number("max")
    kind = type_of(
        "number",
        unit=written_unit(entity.value("unit_of_measurement"), entity.text("device_class")),
        minimum=1 if low is None else low,
        maximum=100 if high is None else high,
        step=entity.number("step") or 1,
        writable=True,
        **named(entity),
    )
    return [_written(entity, kind, scalar)]


def _text_entity(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of(
        "text",
        minimum=entity.number("min"),
        maximum=entity.number("max"),
        writable=True,
        **named(entity),
    )
    return [_written(entity, kind, text_value)]


def _written(entity: EntityConfig, kind: ResourceType, read: ReadValue) -> EntityResource:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    write = templated(entity.command_template("command_template"))
    return EntityResource(
        "",
        kind,
        entity.topic("state_topic"),
        entity.template("value_template"),
        read,
        **command_of(entity, lambda text: write(encode(kind, text))),
    )


def _button(entity: EntityConfig) -> list[EntityResource]:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    press = entity.text("payload_press", "PRESS")
    kind = type_of("command", on=press, writable=True, **named(entity))
    write = templated(entity.command_template("command_template"))
    return [EntityResource("", kind, **command_of(entity, lambda _: write(press)))]


ENTITIES: Final[Mapping[str, Callable[[EntityConfig], list[EntityResource]]]] = {
    **APPLIANCES,
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
        # A value of the wrong JSON type that no check expected.
        raise ProtocolError("a value in it has the wrong type") from error
