# SPDX-License-Identifier: BSD-3-Clause
"""Zigbee2MQTT: the devices of a Zigbee network behind one bridge. Pure.

The pages "MQTT Topics and Messages" and "Exposes" of its documentation, with one base topic, by
default `zigbee2mqtt`. The IEEE address identifies a device; its friendly name is its label and part
of its topic.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeGuard

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.base_topics import ZIGBEE2MQTT_BASE
from pyaiot.gateways.mqtt.dialects.devices import DeviceTable, LearnedDevice, ResourceBudget
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICE_LIST_PAYLOAD_MAX,
    DEVICES_MAX,
    LEVEL_LENGTH_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceChanged,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DeviceRemoved,
    DialectEvent,
    NotUnderstood,
    is_topic,
    label_of,
    read_list,
    read_object,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit, unit_of
from pyaiot.model import ResourceType, encode

EXPOSE_DEPTH_MAX: Final = 4
"""Largest depth of nested `features`. Deeper ones are left out."""

_STATE: Final = 1
_SET: Final = 2
"""Bits of `access`: the value is published, and can be set."""


class _Device(LearnedDevice):
    __slots__ = ("friendly_name", "properties")

    def __init__(self, address: str, friendly_name: str, budget: ResourceBudget) -> None:
        super().__init__(uid_of("z2m", address), budget)
        self.friendly_name = friendly_name
        self.properties: dict[str, str] = {}
        """Resources by property."""


class Zigbee2MqttDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "zigbee2mqtt"
    title: ClassVar[str] = "Zigbee2MQTT"

    def __init__(self, base: str = ZIGBEE2MQTT_BASE) -> None:
        self._base = f"{base}/"
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._by_name: dict[str, _Device] = {}
        """By friendly name, which may contain slashes."""
        self._early: dict[str, bool] = {}
        """Availability by names that are not in the list, at most `DEVICES_MAX`: after a reconnect
        the MQTT broker sends retained messages in any order."""

    @property
    def filters(self) -> Sequence[str]:
        return (f"{self._base}#",)

    def receive(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,  # noqa: ARG002 - the shape of all dialects
        now: float,
    ) -> Sequence[DialectEvent] | None:
        if not topic.startswith(self._base):
            return None
        rest = topic[len(self._base) :]
        device = self._by_name.get(rest)
        if device is not None:
            return list(self._receive_state(device, payload))
        if rest.startswith("bridge/"):
            return list(self._receive_of_bridge(rest.removeprefix("bridge/"), payload, now))
        name, _, what = rest.rpartition("/")
        device = self._by_name.get(name)
        online = _is_online(payload) if what == "availability" else None
        if device is not None:
            # Other topics are commands to this device.
            return [] if online is None else [DevicePresence(device.uid, online)]
        if online is None or not is_topic(name):
            raise ProtocolError("no device in bridge/devices has this name")
        self._early.pop(name, None)
        if len(self._early) >= DEVICES_MAX:
            del self._early[next(iter(self._early))]
        self._early[name] = online
        return []

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        if device is None or resource not in device.types:
            raise ProtocolError("the device has no such resource")
        it = device.types[resource]
        name = next(name for name, each in device.properties.items() if each == resource)
        value: Any = encode(it, text)
        if it.kind in {"number", "json", "boolean"}:
            value = _as_json(value)
        payload = json.dumps({name: value})
        return DeviceMessage(f"{self._base}{device.friendly_name}/set", payload.encode())

    # -- the bridge -----------------------------------------------------------------------------

    def _receive_of_bridge(self, what: str, payload: bytes, now: float) -> Iterator[DialectEvent]:
        if what == "state":
            if _is_online(payload) is False:
                # Its last will: from now on, nothing is known about its devices.
                self._early.clear()
                for device in self._devices.values():
                    yield DevicePresence(device.uid, online=False)
        elif what == "devices" and payload:
            yield from self._receive_devices(payload, now)
        # Others, such as bridge/info and bridge/logging, are of the bridge itself.

    def _receive_devices(self, payload: bytes, now: float) -> Iterator[DialectEvent]:
        entries = read_list(payload, DEVICE_LIST_PAYLOAD_MAX)
        found: dict[str, _Device] = {}
        for number, document in enumerate(entries[:DEVICES_MAX], 1):
            try:
                entry = read_object(document)
            except ProtocolError as error:
                yield NotUnderstood(f"Zigbee2MQTT device {number} of the list", str(error))
                continue
            if entry.get("type") == "Coordinator":
                continue
            address, name = entry.get("ieee_address"), entry.get("friendly_name")
            if entry.get("disabled") is True:
                continue
            if not _is_address(address) or not is_topic(name) or len(name) > LEVEL_LENGTH_MAX:
                yield NotUnderstood(
                    f"Zigbee2MQTT device {label_of(name)}", "its address or name is not valid"
                )
                continue
            if name in found:
                yield NotUnderstood(
                    f"Zigbee2MQTT device {label_of(name)}", "another one has the same name"
                )
                continue
            device = self._devices.get(uid_of("z2m", address))
            if device is None:
                device = _Device(address, name, self._devices.budget)
                self._devices.add(device, now)
            device.friendly_name = name
            self._devices.seen(device, now)
            found[name] = device
            self._define(device, entry)
            if device.changed:
                device.changed = False
                yield DeviceChanged(device.uid)
            online = self._early.pop(name, None)
            if online is not None:
                yield DevicePresence(device.uid, online)
        self._by_name = found
        kept = {device.uid for device in found.values()}
        for device in self._devices.values():
            if device.uid not in kept:
                self._devices.remove(device.uid)
                yield DeviceRemoved(device.uid)

    def _define(self, device: _Device, entry: Mapping[str, Any]) -> None:
        definition = entry.get("definition")
        definition = definition if isinstance(definition, dict) else {}
        before = dict(device.types)
        device.forget_types()
        device.changed = False
        device.properties.clear()
        device.set_detail("name", entry.get("friendly_name"))
        device.set_detail("vendor", definition.get("vendor") or entry.get("manufacturer"))
        device.set_detail("board", definition.get("model") or entry.get("model_id"))
        device.set_detail("version", entry.get("software_build_id"))
        exposes = definition.get("exposes")
        for expose in _features(exposes if isinstance(exposes, list) else []):
            self._expose(device, expose)
        if device.types != before:
            device.changed = True

    def _expose(self, device: _Device, expose: Mapping[str, Any]) -> None:
        name = expose["property"]
        if name in device.properties or len(device.properties) >= RESOURCES_PER_DEVICE_MAX:
            return
        resource = resource_of(name)
        if resource in device.types:
            return
        it, unit = _type_of_expose(expose)
        if device.set_type(resource, it, unit):
            device.properties[name] = resource

    # -- devices --------------------------------------------------------------------------------

    def _receive_state(self, device: _Device, payload: bytes) -> Iterator[DialectEvent]:
        if not payload:
            return
        state = read_object(payload)
        for name, resource in device.properties.items():
            value = state.get(name)
            if value is not None:
                yield device.value(resource, value)


def _features(exposes: list[Any], depth: int = 1) -> Iterator[Mapping[str, Any]]:
    """The entries that have a property: the entry itself, or the features of a light, switch or
    cover. A composite with a property, such as a colour, is one value."""
    for expose in exposes[:RESOURCES_PER_DEVICE_MAX]:
        if not isinstance(expose, dict):
            continue
        features = expose.get("features")
        if isinstance(expose.get("property"), str) and expose["property"]:
            yield expose
        elif isinstance(features, list) and depth < EXPOSE_DEPTH_MAX:
            yield from _features(features, depth + 1)


def _type_of_expose(expose: Mapping[str, Any]) -> tuple[ResourceType, DeviceUnit]:
    access = expose.get("access")
    access = access if isinstance(access, int) else _STATE
    fields: dict[str, Any] = {
        "writable": bool(access & _SET) or expose.get("type") == "composite",
        "label": expose.get("label") or "",
    }
    name = expose["property"]
    match expose.get("type"):
        case "binary":
            on, off = _word(expose.get("value_on")), _word(expose.get("value_off"))
            if on and off:
                fields |= {"on": on, "off": off}
            return type_of("boolean", **fields), NO_UNIT
        case "numeric":
            unit = unit_of(expose.get("unit"), name)
            it = type_of(
                "number",
                unit=unit.senml,
                minimum=expose.get("value_min"),
                maximum=expose.get("value_max"),
                step=expose.get("value_step"),
                device_class=name if name in _DEVICE_CLASSES else "",
                **fields,
            )
            return it, unit
        case "enum":
            if not access & _STATE and access & _SET:
                return type_of("command", choices=expose.get("values"), **fields), NO_UNIT
            return type_of("enum", choices=expose.get("values"), **fields), NO_UNIT
        case "text":
            return type_of("text", **fields), NO_UNIT
        case _:
            return type_of("json", **fields), NO_UNIT


_DEVICE_CLASSES: Final = frozenset(
    {"temperature", "humidity", "pressure", "illuminance", "battery", "power", "voltage"}
    | {"current", "energy", "co2", "pm25"}
)
"""Properties that are also device classes of Home Assistant."""


def _word(value: object) -> str:
    """A value of a binary property as text: JSON `true` becomes `true`."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else ""


def _as_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


def _is_address(address: object) -> TypeGuard[str]:
    return isinstance(address, str) and 0 < len(address) <= 32 and address.isalnum()


def _is_online(payload: bytes) -> bool | None:
    """Whether the payload is `online`, or `{"state":"online"}` since version 2; None if it is
    neither online nor offline."""
    text = payload.decode(errors="replace")
    if text[:1] == "{":
        state = read_object(payload).get("state")
        text = state if isinstance(state, str) else ""
    return {"online": True, "offline": False}.get(text)
