# SPDX-License-Identifier: BSD-3-Clause
"""Configurations of Home Assistant discovery, read into entities. Pure.

Section "MQTT Discovery" of the documentation of Home Assistant; the abbreviations are those of its
list "Supported abbreviations".
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import (
    LABEL_LENGTH_MAX,
    RESOURCES_PER_DEVICE_MAX,
    is_number,
    is_topic,
    label_of,
    plain_value,
)
from pyaiot.gateways.mqtt.dialects.ha_abbreviations import ABBREVIATIONS
from pyaiot.gateways.mqtt.dialects.templates import (
    CommandTemplate,
    Template,
    read_command_template,
    read_template,
)

_TRUE: Final = frozenset({"true", "yes", "on", "enable", "1"})

WORD_LENGTH_MAX: Final = 64
"""Longest text value, such as `payload_on`, in characters. A configuration with a longer one is
refused."""
AVAILABILITY_TOPICS_MAX: Final = 8
"""Largest number of availability topics of one configuration. Further ones are left out."""

_INNER: Final = ("device", "origin")
_SHARED: Final = (
    *("availability", "availability_mode", "availability_template", "availability_topic"),
    *("command_topic", "payload_available", "payload_not_available", "qos", "state_topic"),
)
"""Keys of a device configuration that apply to all its components."""


class Availability(msgspec.Struct, frozen=True):
    """A topic with the availability of a device, and the two values that it may have."""

    topic: str
    template: Template
    available: str
    not_available: str


class DeviceConfig(msgspec.Struct, frozen=True):
    """The device of a configuration."""

    identifier: str
    """Its first identifier or connection; empty if it has none."""
    name: str = ""
    details: Mapping[str, str] = msgspec.field(default_factory=dict)


class EntityConfig:
    """The configuration of one entity, with expanded keys and topics."""

    def __init__(self, component: str, object_id: str, values: dict[str, Any]) -> None:
        self.component = component
        self.object_id = object_id
        self._values = values
        self.problems: list[str] = []
        """The parts that were left out, with the reasons for people."""

    def text(self, key: str, default: str = "") -> str:
        """A value as text: payloads may be written as numbers or booleans."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, dict | list):
            raise ProtocolError(f"{key} is not a text")
        text = value if isinstance(value, str) else str(value)
        if len(text) > WORD_LENGTH_MAX or not text.isprintable():
            raise ProtocolError(f"{key} has more than {WORD_LENGTH_MAX} characters")
        return text

    def topic(self, key: str) -> str:
        """A topic without wildcards; empty if absent. Raises `ProtocolError`."""
        value = self._values.get(key)
        if value is None or value == "":
            return ""
        if not is_topic(value):
            raise ProtocolError(f"{key} is not a topic that a foreign device may name")
        return str(value)

    def template(self, key: str) -> Template:
        return read_template(self._values.get(key))

    def command_template(self, key: str) -> CommandTemplate | None:
        return read_command_template(self._values.get(key))

    def value(self, key: str) -> Any:
        return self._values.get(key)

    def number(self, key: str) -> int | float | None:
        """A number, which Home Assistant also accepts as text; None if absent."""
        value = self._values.get(key)
        value = plain_value(value.strip()) if isinstance(value, str) else value
        return value if is_number(value) else None

    def flag(self, key: str) -> bool:
        """Whether the value is true, or a text that Home Assistant accepts as true."""
        value = self._values.get(key)
        return value is True or (isinstance(value, str) and value.strip().lower() in _TRUE)

    @property
    def label(self) -> str:
        return label_of(self._values.get("name"))[:LABEL_LENGTH_MAX]

    @property
    def qos(self) -> int:
        return 1 if self.number("qos") in (1, 2) else 0

    @property
    def retain(self) -> bool:
        return self.flag("retain")

    @property
    def availability_mode(self) -> str:
        mode = self._values.get("availability_mode")
        return mode if isinstance(mode, str) and mode in {"all", "any"} else "latest"

    def availability(self) -> Iterator[Availability]:
        """Its availability topics. Raises `ProtocolError`."""
        stated = self._values.get("availability")
        several = stated if isinstance(stated, list) else [stated]
        if stated is None:
            several = []
        if self._values.get("availability_topic") is not None:
            several = [
                {
                    "topic": self._values["availability_topic"],
                    "value_template": self._values.get("availability_template"),
                    "payload_available": self._values.get("payload_available"),
                    "payload_not_available": self._values.get("payload_not_available"),
                }
            ]
        for each in several[:AVAILABILITY_TOPICS_MAX]:
            if not isinstance(each, dict):
                raise ProtocolError("availability is not a list of objects")
            inner = EntityConfig(self.component, self.object_id, each)
            topic = inner.topic("topic")
            if topic:
                yield Availability(
                    topic,
                    inner.template("value_template"),
                    inner.text("payload_available") or "online",
                    inner.text("payload_not_available") or "offline",
                )


def expanded(config: Mapping[str, Any], base: object = None) -> dict[str, Any]:
    """The configuration with expanded keys. `~` in its topics is replaced by its own base, or else
    by `base`."""
    base = config.get("~", base)
    values: dict[str, Any] = {}
    for key, value in config.items():
        whole = ABBREVIATIONS.get(key, key)
        if whole in _INNER and isinstance(value, dict):
            values[whole] = {_of_inner(inner): each for inner, each in value.items()}
        elif whole == "availability":
            several = value if isinstance(value, list) else [value]
            values[whole] = [
                expanded(each, base) if isinstance(each, dict) else each
                for each in several[: AVAILABILITY_TOPICS_MAX + 1]
            ]
        elif whole.endswith("topic") and isinstance(value, str) and isinstance(base, str):
            values[whole] = _with_base(value, base)
        else:
            values[whole] = value
    return values


def _of_inner(key: str) -> str:
    """Expand a key of `device` or `origin`, where `sw` is short for `sw_version`."""
    return ABBREVIATIONS.get(key, key)


def _with_base(topic: str, base: str) -> str:
    if topic.startswith("~"):
        return base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def device_of(values: Mapping[str, Any]) -> DeviceConfig:
    """The device of an expanded configuration."""
    device = values.get("device")
    if not isinstance(device, dict):
        return DeviceConfig("")
    identifiers = device.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    connections = device.get("connections")
    if not _is_name(first) and isinstance(connections, list) and connections:
        pair = connections[0]
        first = pair[1] if isinstance(pair, list) and len(pair) == 2 else None
    return DeviceConfig(
        str(first) if _is_name(first) else "",
        label_of(device.get("name")),
        {
            detail: text
            for detail, key in (
                ("vendor", "manufacturer"),
                ("board", "model"),
                ("version", "sw_version"),
            )
            if (text := label_of(device.get(key)))
        },
    )


def _is_name(name: object) -> bool:
    return isinstance(name, str | int) and not isinstance(name, bool) and str(name) != ""


def entities_of(
    component: str, object_id: str, values: dict[str, Any], refuse: Callable[[str, str], None]
) -> Iterator[EntityConfig]:
    """The entities of an expanded configuration: one, or the components of a device. `refuse` is
    called with the name and the problem of each invalid component."""
    if component != "device":
        yield EntityConfig(component, object_id, values)
        return
    components = values.get("components")
    if not isinstance(components, dict):
        raise ProtocolError("a configuration of a device has components")
    shared = {key: values[key] for key in _SHARED if key in values}
    for count, (name, each) in enumerate(components.items()):
        if count >= RESOURCES_PER_DEVICE_MAX:
            refuse(name, f"a device has at most {RESOURCES_PER_DEVICE_MAX} resources")
            return
        if not isinstance(each, dict):
            refuse(name, "a component is an object")
            continue
        inner = shared | expanded(each, values.get("~"))
        platform = inner.get("platform")
        if len(inner) == len(shared) + 1 and isinstance(platform, str):
            continue  # only the platform: the component was removed
        yield EntityConfig(platform if isinstance(platform, str) else "", name, inner)
