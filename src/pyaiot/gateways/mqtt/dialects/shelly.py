# SPDX-License-Identifier: BSD-3-Clause
"""Shelly devices of the first generation: `shellies/…`. Pure.

The page "MQTT" of the documentation "Gen1 Device API Reference".
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.devices import (
    RESOURCES_MAX,
    DeviceTable,
    LearnedDevice,
    ResourceBudget,
)
from pyaiot.gateways.mqtt.dialects.dialect import (
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DeviceValue,
    DialectEvent,
    is_level,
    is_number,
    leaves,
    plain_value,
    read_object,
    read_text,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.shelly_labels import ChannelLabels
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, unit_of
from pyaiot.model import READ_ONLY, ResourceType, encode

BASE: Final = "shellies"
CHANNELS_MAX: Final = 16
"""Largest number of relays, lights or covers of one device. Messages of further ones are not
understood."""

_CHANNEL: Final = re.compile(r"[0-9]{1,2}")
_UNITS: Final = {
    "power": "W",
    "reactive_power": "var",
    "voltage": "V",
    "current": "A",
    "temperature": "°C",
    "humidity": "%",
    "battery": "%",
    "lux": "lx",
}
_LEFT_OUT: Final = frozenset({"command", "set", "announce", "info", "input_event", "temperature_f"})
"""Topics of commands, and of states that other topics repeat."""


class _Device(LearnedDevice):
    __slots__ = ("commands", "labels", "name")

    def __init__(self, name: str, budget: ResourceBudget) -> None:
        super().__init__(uid_of("shelly", name), budget)
        self.name = name
        self.labels = ChannelLabels()
        self.commands: dict[str, str] = {}
        """The topic suffix of the command of each writable resource: `relay/0/command`, or
        `light/0/set` for a member of a JSON object."""


class ShellyDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "shelly"
    title: ClassVar[str] = "Shelly"

    def __init__(self) -> None:
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._known: dict[str, tuple[_Device, str, float]] = {}
        """Device, resource and divisor by sensor topic, at most `RESOURCES_MAX`."""

    @property
    def filters(self) -> Sequence[str]:
        return (f"{BASE}/#",)

    def receive(
        self, topic: str, payload: bytes, *, retained: bool, now: float
    ) -> Sequence[DialectEvent] | None:
        known = self._known.get(topic)
        if known is not None and (event := self._receive_known(*known, payload, now)):
            return [event]
        levels = topic.split("/")
        if levels[0] != BASE:
            return None
        if topic in {f"{BASE}/command", f"{BASE}/announce"}:
            return [] if levels[1] == "command" else self._receive_announcement(payload, now)
        if len(levels) < 3 or len(levels) > 5 or not all(map(is_level, levels)):
            raise ProtocolError("the topic is not of the form shellies/DEVICE/…")
        if levels[-1] in _LEFT_OUT or "command" in levels or not payload:
            return []
        is_new = self._devices.get(uid_of("shelly", levels[1])) is None
        device = self._device(levels[1], now)
        events: list[DialectEvent] = list(self._receive_of_device(device, levels[2:], payload))
        if is_new and not retained:
            # Devices answer it with a message on each of their topics.
            events.append(DeviceMessage(f"{BASE}/{device.name}/command", b"announce"))
            events.append(DeviceMessage(f"{BASE}/{device.name}/command", b"update"))
        return device.with_change(events)

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        command = None if device is None else device.commands.get(resource)
        if device is None or command is None:
            raise ProtocolError(READ_ONLY)
        payload = encode(device.types[resource], text)
        topic, _, member = command.partition(" ")
        if member:
            payload = json.dumps({member: plain_value(payload)})
        return DeviceMessage(f"{BASE}/{device.name}/{topic}", payload.encode())

    def _device(self, name: str, now: float) -> _Device:
        return self._devices.seen_or_added(
            uid_of("shelly", name), lambda: _Device(name, self._devices.budget), now
        )

    def _receive_known(
        self, device: _Device, resource: str, divisor: float, payload: bytes, now: float
    ) -> DeviceValue | None:
        """The value of a sensor whose topic is known; None if the message must be read in full."""
        if payload[:1] == b"{" or self._devices.get(device.uid) is not device:
            return None
        value = plain_value(read_text(payload))
        if not is_number(value):
            return None
        self._devices.seen(device, now)
        return device.value(resource, value if divisor == 1 else round(value / divisor, 3))

    def _receive_announcement(self, payload: bytes, now: float) -> Sequence[DialectEvent]:
        announcement = read_object(payload)
        name = announcement.get("id")
        if not isinstance(name, str) or not is_level(name):
            raise ProtocolError("the id of the device is missing")
        device = self._device(name, now)
        device.set_detail("vendor", "Shelly")
        device.set_detail("board", announcement.get("model"))
        device.set_detail("version", announcement.get("fw_ver"))
        return device.with_change([])

    def _receive_of_device(
        self, device: _Device, levels: list[str], payload: bytes
    ) -> Iterator[DialectEvent]:
        if levels == ["online"]:
            text = read_text(payload)
            if text not in {"true", "false"}:
                raise ProtocolError("online is neither true nor false")
            yield DevicePresence(device.uid, text == "true")
            return
        if len(levels) > 1 and _CHANNEL.fullmatch(levels[1]) and int(levels[1]) >= CHANNELS_MAX:
            raise ProtocolError(f"a device has at most {CHANNELS_MAX} channels")
        match levels:
            case ["relay", channel]:
                yield from self._switch(device, levels, f"relay/{channel}/command", payload)
            case [("light" | "color" | "white") as kind, channel]:
                yield from self._switch(device, levels, f"{kind}/{channel}/command", payload)
            case [("light" | "color" | "white") as kind, channel, "status"]:
                yield from self._light(device, kind, channel, payload)
            case ["roller", channel]:
                choices = ("open", "close", "stop")
                it = type_of("enum", choices=choices, writable=True)
                yield from self._add(
                    device, levels, it, read_text(payload), f"roller/{channel}/command"
                )
            case ["roller", channel, "pos"]:
                yield from self._position(device, levels, f"roller/{channel}/command/pos", payload)
            case ["input", _]:
                it = type_of("boolean", on="1", off="0", writable=False)
                yield from self._add(device, levels, it, read_text(payload))
            case _:
                yield from self._sensor(device, levels, payload)

    def _sensor(self, device: _Device, levels: list[str], payload: bytes) -> Iterator[DialectEvent]:
        if payload[:1] != b"{":
            value = plain_value(read_text(payload))
            for event in self._measured(device, levels, value):
                if is_number(value) and not device.changed:
                    if len(self._known) >= RESOURCES_MAX:
                        self._known.clear()
                    topic = "/".join((BASE, device.name, *levels))
                    self._known[topic] = device, event.resource, _divisor(levels)
                yield event
            return
        for names, value in leaves(read_object(payload), *levels):
            yield from self._measured(device, list(names), value)

    def _position(
        self, device: _Device, levels: list[str], command: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        value = plain_value(read_text(payload))
        if is_number(value) and value >= 0:  # -1: it is not calibrated
            it = type_of("number", minimum=0, maximum=100, step=1, writable=True)
            yield from self._add(device, levels, it, value, command)

    def _switch(
        self, device: _Device, levels: list[str], command: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        text = read_text(payload)
        if text == "overpower":
            text = "off"
        if text not in {"on", "off"}:
            raise ProtocolError("the state is neither on nor off")
        it = type_of("boolean", on="on", off="off", writable=True)
        yield from self._add(device, levels, it, text, command)

    def _light(
        self, device: _Device, kind: str, channel: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        for name, value in read_object(payload).items():
            if name in {"brightness", "gain", "white", "temp"} and is_number(value):
                low, high = {"white": (0, 255), "temp": (2700, 6500)}.get(name, (0, 100))
                it = type_of("number", minimum=low, maximum=high, step=1, writable=True)
                yield from self._add(
                    device, [kind, channel, name], it, value, f"{kind}/{channel}/set {name}"
                )

    def _measured(self, device: _Device, levels: list[str], value: Any) -> Iterator[DeviceValue]:
        last = levels[-1]
        if not is_number(value):
            yield from self._add(device, levels, type_of("text", writable=False), value)
            return
        if _divisor(levels) != 1:
            unit, value = unit_of("Wh"), round(value / _divisor(levels), 3)
        elif last in {"total", "total_returned"}:
            unit = unit_of("Wh")
        else:
            unit = unit_of(_UNITS.get(last, ""), last)
        resource = resource_of(*levels)
        known = device.types.get(resource)
        it = known or type_of("number", unit=unit.senml, writable=False)
        if device.set_type(resource, it, unit):
            if known is None:
                _label(device, resource, levels)
            yield device.value(resource, value)

    def _add(
        self, device: _Device, levels: list[str], it: ResourceType, value: Any, command: str = ""
    ) -> Iterator[DeviceValue]:
        resource = resource_of(*levels)
        known = device.types.get(resource)
        if known is not None and known.kind == it.kind:
            it = known  # with its label
        if device.set_type(resource, it, NO_UNIT):
            if it is not known:
                _label(device, resource, levels)
            if command:
                device.commands[resource] = command
            yield device.value(resource, value)


def _label(device: _Device, resource: str, levels: Sequence[str]) -> None:
    """`relay/0/power` is the power of channel 0; `sensor/battery` has no channel."""
    kind, *names = levels
    if names and _CHANNEL.fullmatch(names[0]):
        number = int(names.pop(0))
    else:
        number, names = 0, names or [kind]
    device.labels.add(device, resource, kind, number, tuple(names))


def _divisor(levels: Sequence[str]) -> float:
    """The divisor of a number: the energy of relays is in watt-minutes, a unit without a SenML
    name."""
    is_energy = levels[-1] in {"energy", "total"} and levels[0] in {"relay", "light", "roller"}
    return 60 if is_energy else 1
