# SPDX-License-Identifier: BSD-3-Clause
"""A resource of an entity of Home Assistant, and what all kinds of entities share. Pure."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import DeviceMessage, plain_value, type_of
from pyaiot.gateways.mqtt.dialects.ha_config import EntityConfig
from pyaiot.gateways.mqtt.dialects.templates import WHOLE, CommandTemplate, NoValue, Template
from pyaiot.gateways.mqtt.dialects.units import unit_of
from pyaiot.model import READ_ONLY, ResourceKind, ResourceType, encode

ReadValue: TypeAlias = Callable[[Any], Any]
"""Converts the value that the template selects to the reported value. Raises `NoValue` if there is
nothing to report."""
WritePayload: TypeAlias = Callable[[str], str]
"""Converts the text of a command to the payload. Raises `ProtocolError`."""


def same(value: Any) -> Any:
    return value


class EntityResource(msgspec.Struct, frozen=True):
    """One resource of an entity."""

    suffix: str
    """Suffix to the name of the entity; empty for its main resource."""
    type: ResourceType
    state_topic: str = ""
    template: Template = WHOLE
    read: ReadValue = same
    command_topic: str = ""
    write: WritePayload | None = None
    qos: int = 0
    retain: bool = False

    def publication(self, text: str) -> DeviceMessage:
        """The message that sets it. Raises `ProtocolError`."""
        if not self.command_topic or self.write is None:
            raise ProtocolError(READ_ONLY)
        payload = self.write(text).encode(errors="replace")
        return DeviceMessage(self.command_topic, payload, self.qos, self.retain)


def scalar(value: Any) -> Any:
    """A value as it is reported: text that is a number becomes a number."""
    return plain_value(value) if isinstance(value, str) else value


def text_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def command_of(
    entity: EntityConfig, write: WritePayload, topic_key: str = "command_topic"
) -> dict[str, Any]:
    topic = entity.topic(topic_key)
    return {
        "command_topic": topic,
        "write": write if topic else None,
        "qos": entity.qos,
        "retain": entity.retain,
    }


def templated(template: CommandTemplate | None) -> WritePayload:
    return (lambda text: text) if template is None else template.render


def state_topic(entity: EntityConfig) -> str:
    topic = entity.topic("state_topic")
    if not topic:
        raise ProtocolError("it has no state_topic")
    return topic


def named(entity: EntityConfig) -> dict[str, Any]:
    return {"label": entity.label, "device_class": entity.text("device_class")}


def two_words(on: str, off: str, on_of_state: str = "", off_of_state: str = "") -> ReadValue:
    """Reads the two words of a state, and also those of commands."""
    words = {on_of_state or on: on, off_of_state or off: off}
    # A template prints true of JSON as `True`, and payloads are compared with that.

    def read(value: Any) -> Any:
        word = words.get(value if isinstance(value, str) else str(value))
        if word is None:
            raise NoValue
        return word

    return read


def number_of(text: str) -> Any:
    value = plain_value(text)
    if isinstance(value, str):
        raise ProtocolError("a number is expected")
    return value


def word(value: Any) -> str:
    """A word of a state. The text `None` means no value."""
    text = text_value(value)
    if text in ("", "None", "null"):
        raise NoValue
    return text


def part(
    entity: EntityConfig,
    suffix: str,
    prefix: str,
    kind: ResourceKind,
    read: ReadValue = word,
    **fields: Any,
) -> list[EntityResource]:
    """A part of an entity with its own topics and templates: `mode`, with `mode_command_topic` and
    `mode_state_topic`.

    None if it has no topics, or if a topic or template is not understood; the reason is then added
    to the problems of the entity.
    """
    try:
        state, command = (entity.topic(f"{prefix}_{it}_topic") for it in ("state", "command"))
        if not state and not command:
            return []
        it = type_of(kind, writable=bool(command), label=part_label(entity, suffix), **fields)
        templates = [f"{prefix}_state_template", f"{prefix}_value_template", "value_template"]
        key = next((each for each in templates if entity.value(each)), "")
        write = templated(entity.command_template(f"{prefix}_command_template"))
        return [
            EntityResource(
                *(suffix, it, state, entity.template(key), read),
                **command_of(
                    entity, lambda text: write(encode(it, text)), f"{prefix}_command_topic"
                ),
            )
        ]
    except ProtocolError as error:
        entity.problems.append(f"its {suffix}: {error}")
        return []


def measured(
    entity: EntityConfig, suffix: str, key: str, unit: object = "", device_class: str = ""
) -> list[EntityResource]:
    """A value that an entity only reports: `action`, with `action_topic`. None in the same cases as
    for `part`."""
    found = unit_of(unit, device_class)
    it = type_of(
        "number" if unit else "text",
        unit=found.senml,
        writable=False,
        label=part_label(entity, suffix),
        device_class=device_class,
    )

    def read(value: Any) -> Any:
        return found.reported(scalar(word(value))) if unit else word(value)

    try:
        topic, template = entity.topic(f"{key}_topic"), entity.template(f"{key}_template")
    except ProtocolError as error:
        entity.problems.append(f"its {suffix}: {error}")
        return []
    return [EntityResource(suffix, it, topic, template, read)] if topic else []


def written_unit(unit: object, device_class: str = "") -> str:
    """The SenML name of the unit of a writable number; empty if the unit would be converted: limits
    and commands are in the unit of the device."""
    found = unit_of(unit, device_class)
    return "" if found.printed else found.senml


def part_label(entity: EntityConfig, suffix: str) -> str:
    """The label of a part: the label of its entity, and the name of the part."""
    return f"{entity.label} {suffix.replace('_', ' ')}".strip() if entity.label else ""


def actions(
    entity: EntityConfig, suffix: str, words: Iterable[str], states: str = ""
) -> EntityResource:
    """Commands whose state has its own words. `states`: the key of the template of the state; empty
    if there is none."""
    choices = tuple(dict.fromkeys(filter(None, words)))
    it = type_of("enum" if states else "command", choices=choices, writable=True, **named(entity))
    write = templated(entity.command_template("command_template"))
    return EntityResource(
        suffix,
        it,
        entity.topic("state_topic") if states else "",
        entity.template(states) if states else WHOLE,
        word,
        **command_of(entity, lambda text: write(encode(it, text))),
    )
