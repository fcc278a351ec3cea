# SPDX-License-Identifier: BSD-3-Clause
"""Homie 4 and 5. Pure.

The Homie convention, versions 4.0 and 5.0: "Topology", "Device lifecycle", "Property attributes".
Homie 4 has a topic for each attribute; Homie 5 has one JSON document for a device.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.base_topics import HOMIE_BASE
from pyaiot.gateways.mqtt.dialects.devices import (
    RESOURCES_MAX,
    DeviceTable,
    LearnedDevice,
    ResourceBudget,
)
from pyaiot.gateways.mqtt.dialects.dialect import (
    PAYLOAD_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DeviceRemoved,
    DialectEvent,
    is_level,
    label_of,
    read_object,
    read_text,
    resource_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.homie_types import (
    payload_of,
    type_of_property,
    value_of_payload,
)

VERSION_5: Final = "5"
ATTRIBUTES: Final = frozenset({"name", "datatype", "format", "settable", "unit"})
"""Attributes of a Homie 4 property that are read."""
ATTRIBUTE_LENGTH_MAX: Final = 2048
"""Longest attribute, in characters. A longer one is not understood."""
KEPT_VALUES_MAX: Final = RESOURCES_PER_DEVICE_MAX
KEPT_LENGTH_MAX: Final = 256
"""Values of a device that are kept because their datatype or unit may arrive later, and their
length in characters. Further values are not reported until they are sent again."""

_ONLINE: Final = frozenset({"init", "ready", "alert", "sleeping"})
_OFFLINE: Final = frozenset({"disconnected", "lost"})


class _Device(LearnedDevice):
    __slots__ = ("attributes", "base", "kept", "name", "paths", "version")

    def __init__(
        self, uid: str, base: str, name: str, version: int, budget: ResourceBudget
    ) -> None:
        super().__init__(uid, budget)
        self.name = name
        self.version = version
        self.paths: dict[str, str] = {}
        """Resources by `node/property`."""
        self.attributes: dict[str, dict[str, str]] = {}
        """Homie 4: the attributes of each property, by `node/property`."""
        self.kept: dict[str, str] = {}
        """The latest payloads, by `node/property`."""

        self.base = f"{base}/{name}" if version == 4 else f"{base}/{version}/{name}"


class HomieDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "homie"
    title: ClassVar[str] = "Homie"

    def __init__(self, base: str = HOMIE_BASE) -> None:
        self._base = base
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._topics: dict[str, tuple[_Device, str]] = {}
        """Device and `node/property` by value topic, at most `RESOURCES_MAX`."""

    @property
    def filters(self) -> Sequence[str]:
        return (f"{self._base}/#",)

    def receive(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,
        now: float,
    ) -> Sequence[DialectEvent] | None:
        known = self._topics.get(topic)
        if known is not None and self._devices.get(known[0].uid) is known[0]:
            self._devices.seen(known[0], now)
            return self._receive_value(*known, topic, payload)
        if not topic.startswith(f"{self._base}/"):
            return None
        levels = topic[len(self._base) + 1 :].split("/")
        version = 5 if levels[0] == VERSION_5 else 4
        levels = levels[1:] if version == 5 else levels
        if len(levels) < 2 or not all(map(is_level, levels)):
            raise ProtocolError("the topic is not of the form homie/DEVICE/…")
        if levels[0].startswith("$"):
            return []  # a broadcast
        device = self._device(levels[0], version, now)
        match levels[1:]:
            case ["$state"]:
                events = list(self._receive_state(device, payload))
            case ["$description"] if version == 5:
                before = dict(device.paths)
                self._receive_description(device, payload)
                new = [it for it in device.paths if it not in before]
                events = self._kept_values(device, device.paths if retained else new)
            case ["$name"] if version == 4:
                device.set_detail("name", read_text(payload))
                events = []
            case [attribute, *_] if attribute.startswith("$"):
                events = []
            case [node, name] if not name.startswith("$"):
                events = self._receive_value(device, f"{node}/{name}", topic, payload)
            case [node, name, attribute] if version == 4 and attribute[1:] in ATTRIBUTES:
                path = f"{node}/{name}"
                is_new = path not in device.paths
                self._receive_attribute(device, path, attribute[1:], payload)
                events = self._kept_values(device, (path,) if retained or is_new else ())
            case _:
                events = []  # commands, targets, and attributes that are for people
        return device.with_change(events)

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        if device is None or resource not in device.types:
            raise ProtocolError("the device has no such resource")
        path = next(path for path, name in device.paths.items() if name == resource)
        payload = payload_of(device.types[resource], text, version=device.version)
        # The convention asks for messages to /set that are not retained.
        return DeviceMessage(f"{device.base}/{path}/set", payload.encode(), qos=1)

    def _device(self, name: str, version: int, now: float) -> _Device:
        # The same id in the other version, or below another base topic, is a different device.
        bases = () if self._base == HOMIE_BASE else (self._base,)
        uid = uid_of(f"homie{version}", *bases, name)
        return self._devices.seen_or_added(
            uid, lambda: _Device(uid, self._base, name, version, self._devices.budget), now
        )

    def _receive_state(self, device: _Device, payload: bytes) -> Iterator[DialectEvent]:
        if not payload:
            self._devices.remove(device.uid)
            device.changed = False
            yield DeviceRemoved(device.uid)
            return
        state = read_text(payload)
        if state in _ONLINE or state in _OFFLINE:
            yield DevicePresence(device.uid, state in _ONLINE)

    def _receive_value(
        self, device: _Device, path: str, topic: str, payload: bytes
    ) -> list[DialectEvent]:
        if not payload:
            return []
        text = read_text(payload)
        is_kept = path in device.kept or len(device.kept) < KEPT_VALUES_MAX
        if is_kept and len(text) <= KEPT_LENGTH_MAX:
            device.kept[path] = text
        resource = device.paths.get(path)
        if resource is None:
            return []
        if len(self._topics) >= RESOURCES_MAX:
            self._topics.clear()
        self._topics[topic] = device, path
        return [device.value(resource, value_of_payload(device.types[resource], text))]

    def _kept_values(self, device: _Device, paths: Iterable[str]) -> list[DialectEvent]:
        """The values of properties whose types have changed."""
        events: list[DialectEvent] = []
        for path in paths:
            resource, text = device.paths.get(path), device.kept.get(path)
            if resource is None or text is None:
                continue
            try:
                value = value_of_payload(device.types[resource], text)
            except ProtocolError:
                continue
            events.append(device.value(resource, value))
        return events

    # -- Homie 4 --------------------------------------------------------------------------------

    def _receive_attribute(
        self, device: _Device, path: str, attribute: str, payload: bytes
    ) -> None:
        text = read_text(payload)
        if len(text) > ATTRIBUTE_LENGTH_MAX:
            raise ProtocolError(f"an attribute has at most {ATTRIBUTE_LENGTH_MAX} characters")
        if path not in device.attributes and len(device.attributes) >= RESOURCES_PER_DEVICE_MAX:
            raise ProtocolError(f"a device has at most {RESOURCES_PER_DEVICE_MAX} properties")
        attributes = device.attributes.setdefault(path, {})
        attributes[attribute] = text
        if "datatype" in attributes:
            self._add_property(device, path, attributes)

    # -- Homie 5 --------------------------------------------------------------------------------

    def _receive_description(self, device: _Device, payload: bytes) -> None:
        if not payload:
            return
        description = read_object(payload, PAYLOAD_MAX)
        device.set_detail("name", description.get("name"))
        before = dict(device.types)
        device.forget_types()
        device.paths.clear()
        nodes = description.get("nodes")
        for node, of_node in (nodes if isinstance(nodes, dict) else {}).items():
            properties = of_node.get("properties") if isinstance(of_node, dict) else None
            for name, each in (properties if isinstance(properties, dict) else {}).items():
                if isinstance(each, dict) and is_level(node) and is_level(name):
                    self._add_property(device, f"{node}/{name}", _as_texts(each))
        device.changed = device.changed and device.types != before

    def _add_property(self, device: _Device, path: str, attributes: Mapping[str, str]) -> None:
        node, _, name = path.partition("/")
        resource = device.paths.get(path) or resource_of(name)
        if device.paths.get(path) is None and resource in device.types:
            resource = resource_of(node, name)
            if resource in device.types:
                return
        it, unit = type_of_property(
            attributes.get("datatype", ""),
            attributes.get("format", ""),
            attributes.get("unit", ""),
            settable=attributes.get("settable") == "true",
            label=label_of(attributes.get("name")),
        )
        if device.set_type(resource, it, unit):
            device.paths[path] = resource


def _as_texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of Homie 5 in the form of Homie 4, where all are text."""
    texts = {name: value for name, value in attributes.items() if isinstance(value, str)}
    if attributes.get("settable") is True:
        texts["settable"] = "true"
    return texts
