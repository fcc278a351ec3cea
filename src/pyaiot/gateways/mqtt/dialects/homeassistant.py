# SPDX-License-Identifier: BSD-3-Clause
"""Devices that announce themselves with Home Assistant discovery. Pure.

Configurations with the same `device` form one device. Each entity becomes one or more resources of
it. Configurations are retained messages; states and availability have their own topics.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.base_topics import DISCOVERY_PREFIX
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    PAYLOAD_MAX,
    RESOURCE_LENGTH_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceChanged,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DeviceRemoved,
    DeviceValue,
    DialectEvent,
    NotUnderstood,
    TopicsWanted,
    is_level,
    is_number,
    read_json,
    read_object,
    read_text,
    resource_of,
    shortened,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.ha_config import (
    Availability,
    DeviceConfig,
    EntityConfig,
    device_of,
    entities_of,
    expanded,
)
from pyaiot.gateways.mqtt.dialects.ha_entities import resources_of
from pyaiot.gateways.mqtt.dialects.ha_resources import EntityResource
from pyaiot.gateways.mqtt.dialects.templates import NoValue

CONFIGS_MAX: Final = 10_000
"""Largest number of configurations. Further ones are not understood."""
ENTITIES_MAX: Final = 20_000
"""Largest number of resources of all discovered devices. Further ones are not understood."""
RESOURCES_PER_TOPIC_MAX: Final = RESOURCES_PER_DEVICE_MAX
"""Largest number of resources whose state is in one topic. Further ones are not understood: each
message on that topic is read for all of them."""
OWN_ORIGINS: Final = frozenset({"pyaiot"})
"""Origins of the configurations that Pyaiot itself publishes for Home Assistant. They are
ignored."""
ORIGINS_OF_DIALECTS: Final = {"zigbee2mqtt": "zigbee2mqtt"}
"""Origins whose devices have their own dialect: they are ignored if it is in use."""


class _Device(msgspec.Struct, eq=False):
    uid: str
    name: str = ""
    details: dict[str, str] = msgspec.field(default_factory=dict)
    resources: dict[str, EntityResource] = msgspec.field(default_factory=dict)
    configs: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Resources by the topic of the configuration that announced them."""
    availability: dict[str, Availability] = msgspec.field(default_factory=dict)
    mode: str = "latest"
    available: dict[str, bool] = msgspec.field(default_factory=dict)
    """The last value of each availability topic, the latest at the end."""


class HomeAssistantDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "homeassistant"
    title: ClassVar[str] = "Home Assistant discovery"

    def __init__(
        self,
        prefixes: Sequence[str] = (DISCOVERY_PREFIX,),
        *,
        other_dialects: frozenset[str] = frozenset(),
    ) -> None:
        """`prefixes`: the discovery prefixes. `other_dialects`: the names of the other dialects in
        use."""
        self._prefixes = tuple(f"{prefix}/" for prefix in prefixes)
        self._ignored_origins = OWN_ORIGINS | {
            origin for origin, name in ORIGINS_OF_DIALECTS.items() if name in other_dialects
        }
        self._devices: dict[str, _Device] = {}
        self._device_of_config: dict[str, _Device] = {}
        self._entities = 0
        self._states: dict[str, list[tuple[_Device, str]]] = {}
        """Device and resource by state topic."""
        self._availability: dict[str, list[_Device]] = {}

    @property
    def filters(self) -> Sequence[str]:
        return tuple(f"{prefix}#" for prefix in self._prefixes)

    def receive(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,  # noqa: ARG002 - the shape of all dialects
        now: float,  # noqa: ARG002
    ) -> Sequence[DialectEvent] | None:
        states = self._states.get(topic)
        devices = self._availability.get(topic)
        if states is not None or devices is not None:
            events: list[DialectEvent] = []
            for device in devices or ():
                events += self._receive_availability(device, topic, payload)
            if states is not None:
                events += _values(states, payload)
            return events
        prefix = next((it for it in self._prefixes if topic.startswith(it)), None)
        if prefix is None:
            return None
        levels = topic[len(prefix) :].split("/")
        if levels[-1] != "config" or len(levels) not in {3, 4}:
            # The birth message of Home Assistant, and commands to other devices.
            return []
        if not all(map(is_level, levels)):
            raise ProtocolError("a level of the topic is too long or not printable")
        return list(self._configure(topic, levels[0], levels[1], levels[-2], payload))

    def describe(self, uid: str) -> DeviceDescription:
        device = self._devices[uid]
        types = {name: resource.type for name, resource in device.resources.items()}
        return DeviceDescription(types, {"name": device.name or uid, **device.details})

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        found = None if device is None else device.resources.get(resource)
        if found is None:
            raise ProtocolError("the device has no such resource")
        return found.publication(text)

    # -- configurations -------------------------------------------------------------------------

    def _configure(
        self, topic: str, component: str, first: str, object_id: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        if not payload:
            yield from self._remove(topic)
            return
        values = expanded(read_object(payload, PAYLOAD_MAX))
        origin = values.get("origin")
        name = origin.get("name") if isinstance(origin, dict) else None
        if isinstance(name, str) and name.casefold() in self._ignored_origins:
            return
        config = device_of(values)
        uid = uid_of("ha", config.identifier or first)
        before = self._device_of_config.get(topic)
        if before is not None and before.uid != uid:
            yield from self._remove(topic)
            before = None
        if before is None:
            self._check_limits(uid)
        device = self._devices.get(uid) or _Device(uid)
        self._take_out(device, topic)
        problems: list[NotUnderstood] = []
        wanted = self._add(
            device,
            topic,
            config,
            entities_of(component, object_id, values, _into(problems)),
            problems,
        )
        yield from problems
        if not device.resources:
            return
        self._devices[uid] = device
        self._device_of_config[topic] = device
        if wanted:
            yield TopicsWanted(wanted)
        yield DeviceChanged(uid)

    def _check_limits(self, uid: str) -> None:
        if len(self._device_of_config) >= CONFIGS_MAX:
            raise ProtocolError(f"there are {CONFIGS_MAX} configurations already")
        if uid not in self._devices and len(self._devices) >= DEVICES_MAX:
            raise ProtocolError(f"there are {DEVICES_MAX} devices already")

    def _add(
        self,
        device: _Device,
        topic: str,
        config: DeviceConfig,
        entities: Iterator[EntityConfig],
        problems: list[NotUnderstood],
    ) -> list[str]:
        """Add the entities of a configuration. Returns the topics that they need."""
        if config.name:
            device.name = config.name
        device.details.update(config.details)
        wanted: dict[str, None] = {}
        names = device.configs.setdefault(topic, [])
        for entity in entities:
            what = f"{entity.component} {entity.object_id}"
            try:
                resources = resources_of(entity)
                problems += [NotUnderstood(what, why) for why in entity.problems]
                name = self._free_name(device, entity)
                for availability in entity.availability():
                    device.availability[availability.topic] = availability
                    of_topic = self._availability.setdefault(availability.topic, [])
                    if device not in of_topic:
                        of_topic.append(device)
                    wanted[availability.topic] = None
                device.mode = entity.availability_mode
                for each in resources:
                    resource = f"{name}_{each.suffix}" if each.suffix else name
                    self._add_resource(device, shortened(resource, RESOURCE_LENGTH_MAX), each)
                    names.append(shortened(resource, RESOURCE_LENGTH_MAX))
                    if each.state_topic:
                        wanted[each.state_topic] = None
            except ProtocolError as error:
                problems.append(NotUnderstood(what, str(error)))
        return list(wanted)

    def _free_name(self, device: _Device, entity: EntityConfig) -> str:
        """A resource name that no other entity of the device has."""
        name = resource_of(entity.object_id)
        if name in device.resources:
            name = resource_of(entity.object_id, entity.component)
        if name in device.resources:
            raise ProtocolError("another entity of this device has the same name")
        return name

    def _add_resource(self, device: _Device, name: str, resource: EntityResource) -> None:
        of_topic = self._states.get(resource.state_topic, [])
        if name in device.resources:
            raise ProtocolError("another entity of this device has the same name")
        if len(device.resources) >= RESOURCES_PER_DEVICE_MAX:
            raise ProtocolError(f"a device has at most {RESOURCES_PER_DEVICE_MAX} resources")
        if self._entities >= ENTITIES_MAX:
            raise ProtocolError(f"there are {ENTITIES_MAX} entities already")
        if resource.state_topic:
            if len(of_topic) >= RESOURCES_PER_TOPIC_MAX:
                raise ProtocolError(f"a topic has at most {RESOURCES_PER_TOPIC_MAX} states")
            self._states.setdefault(resource.state_topic, []).append((device, name))
        device.resources[name] = resource
        self._entities += 1

    def _take_out(self, device: _Device, topic: str) -> None:
        """Remove what an earlier configuration under this topic announced."""
        for name in device.configs.pop(topic, ()):
            resource = device.resources.pop(name)
            self._entities -= 1
            if resource.state_topic:
                of_topic = self._states[resource.state_topic]
                of_topic.remove((device, name))
                if not of_topic:
                    del self._states[resource.state_topic]

    def _remove(self, topic: str) -> Iterator[DialectEvent]:
        device = self._device_of_config.pop(topic, None)
        if device is None:
            return
        self._take_out(device, topic)
        if device.resources:
            yield DeviceChanged(device.uid)
            return
        del self._devices[device.uid]
        for each in device.availability:
            of_topic = self._availability[each]
            of_topic.remove(device)
            if not of_topic:
                del self._availability[each]
        yield DeviceRemoved(device.uid)

    # -- availability ---------------------------------------------------------------------------

    def _receive_availability(
        self, device: _Device, topic: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        it = device.availability[topic]
        try:
            value = it.template.value(*_both(payload, is_json=it.template.is_json))
        except (NoValue, ProtocolError):
            return
        if value not in (it.available, it.not_available):
            return
        device.available.pop(topic, None)
        device.available[topic] = value == it.available
        states = device.available.values()
        match device.mode:
            case "all":
                online = all(states) and len(states) == len(device.availability)
                if all(states) and not online:
                    return
            case "any":
                online = any(states)
            case _:
                online = value == it.available
        yield DevicePresence(device.uid, online)


def _into(problems: list[NotUnderstood]) -> Callable[[str, str], None]:
    return lambda what, why: problems.append(NotUnderstood(what, why))


def _both(payload: bytes, *, is_json: bool) -> tuple[str, Any]:
    """The payload as text, and as JSON if a template needs it."""
    text = read_text(payload)
    if not is_json:
        return text, None
    try:
        return text, read_json(payload)
    except ProtocolError:
        return text, None


def _values(states: list[tuple[_Device, str]], payload: bytes) -> Iterator[DialectEvent]:
    """The values in one message. It is read once for all resources with this topic."""
    is_json = any(device.resources[name].template.is_json for device, name in states)
    text, document = _both(payload, is_json=is_json)
    for device, name in states:
        resource = device.resources[name]
        try:
            value = resource.template.value(text, document)
            data = resource.read(value)
            unit = resource.type.unit if is_number(data) else None
            yield DeviceValue(device.uid, name, data, unit)
        except NoValue:
            continue
