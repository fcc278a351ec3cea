# SPDX-License-Identifier: BSD-3-Clause
"""Tasmota: `tele/…`, `stat/…`, `cmnd/…`, and its native discovery. Pure.

The pages "MQTT", "Commands" and "Sensors" of the documentation of Tasmota. `tasmota_topics` has the
`FullTopic` of devices.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.base_topics import TASMOTA_FULL_TOPIC, filters_of_tasmota
from pyaiot.gateways.mqtt.dialects.devices import DeviceTable, LearnedDevice, ResourceBudget
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DeviceValue,
    DialectEvent,
    NotUnderstood,
    TopicsWanted,
    is_level,
    is_number,
    leaves,
    read_object,
    read_text,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.tasmota_topics import TasmotaMessage, TasmotaTopics
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit, unit_of
from pyaiot.model import READ_ONLY, encode

RELAYS_MAX: Final = 32
"""Largest number of relays of one device. Further ones are left out."""
MAC_LENGTH_MAX: Final = 12
"""Longest MAC address in a discovery topic, in characters. Longer ones are refused."""

_POWER: Final = re.compile(r"POWER([1-9]|[12][0-9]|3[0-2])?")
_HEX_COLOUR: Final = re.compile(r"[0-9A-Fa-f]{6}([0-9A-Fa-f]{2}){0,2}")
"""Red, green, blue, and the white channels, which `White` and `CT` set."""
_SHUTTER: Final = re.compile(r"Shutter([1-9]|1[0-6])")
_NUMBERS: Final = {
    **dict.fromkeys(("Dimmer", "Dimmer1", "Dimmer2", "Dimmer3", "White"), (0, 100)),
    "CT": (153, 500),
    "FanSpeed": (0, 3),
}
"""Writable numbers and their limits."""
PHASES_MAX: Final = 16
"""Largest number of elements of a list, such as the power of each phase, that become resources. A
longer list is one value."""
_UNITS: Final = {
    "humidity": "%RH",
    "pressure": "hPa",
    "seapressure": "hPa",
    "power": "W",
    "apparentpower": "VA",
    "reactivepower": "var",
    "voltage": "V",
    "current": "A",
    "frequency": "Hz",
    "total": "kWh",
    "today": "kWh",
    "yesterday": "kWh",
    "illuminance": "lx",
    "carbondioxide": "ppm",
    "eco2": "ppm",
    "tvoc": "ppb",
    "pm2.5": "ug/m3",
    "pm10": "ug/m3",
    "distance": "cm",
    "signal": "dBm",
    "uptimesec": "s",
}
"""Units of sensors by value name, in lower case."""
_DEGREES: Final = frozenset({"temperature", "dewpoint", "feelslike"})


class _Device(LearnedDevice):
    __slots__ = ("base", "commands", "power", "states", "words")

    def __init__(self, topic: str, base: str, budget: ResourceBudget) -> None:
        super().__init__(uid_of("tasmota", topic), budget)
        self.base = base
        """Prefix of the topics of its commands."""
        self.words = {"ON": "ON", "OFF": "OFF"}
        """The meaning of its words for the states of relays, which `StateText` may change."""
        self.states = {"Online": True, "Offline": False}
        """The words of its last will."""
        self.commands: dict[str, str] = {}
        """The command of each writable resource."""
        self.power: dict[str, str] = {}
        """The latest state of each relay: it is often sent on two topics."""


class TasmotaDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "tasmota"
    title: ClassVar[str] = "Tasmota"

    def __init__(self, full_topics: Sequence[str] = (TASMOTA_FULL_TOPIC,)) -> None:
        self._filters = filters_of_tasmota(full_topics)
        self._topics = TasmotaTopics(full_topics)
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._topic_of_mac: dict[str, str] = {}
        """At most as many as devices."""
        self._sensor_topics: dict[str, _Device] = {}
        """Devices by sensor topic, at most `DEVICES_MAX`."""

    @property
    def filters(self) -> Sequence[str]:
        return (*self._filters, "tasmota/discovery/#")

    def receive(
        self, topic: str, payload: bytes, *, retained: bool, now: float
    ) -> Sequence[DialectEvent] | None:
        known = self._sensor_topics.get(topic)
        if known is not None and (values := self._receive_known(known, payload, now)) is not None:
            return values
        if topic.startswith("tasmota/discovery/"):
            return self._receive_discovery(topic.split("/"), payload, now)
        message = self._topics.read(topic)
        if message is None:
            if topic.startswith(("tele/", "stat/")):
                raise ProtocolError("the topic is not of the form tele/DEVICE/NAME")
            return None
        if not is_level(message.device):
            raise ProtocolError("the topic of the device is not printable")
        if not payload:
            return []
        return self._receive_message(topic, message, payload, retained=retained, now=now)

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        command = None if device is None else device.commands.get(resource)
        if device is None or command is None:
            raise ProtocolError(READ_ONLY)
        payload = encode(device.types[resource], text)
        return DeviceMessage(f"{device.base}{command}", payload.encode())

    # -- messages of devices --------------------------------------------------------------------

    def _receive_message(
        self, topic: str, message: TasmotaMessage, payload: bytes, *, retained: bool, now: float
    ) -> list[DialectEvent]:
        device = self._device(message.device, message.commands, now)
        if message.commands != device.base:
            if retained:
                raise ProtocolError("the device has another FullTopic now")
            device.base = message.commands
            self._sensor_topics.clear()
        what = message.what
        if what == "LWT":
            online = device.states.get(read_text(payload))
            if online is None:
                raise ProtocolError("LWT is neither Online nor Offline")
            events: list[DialectEvent] = [DevicePresence(device.uid, online)]
        elif message.prefix == "tele":
            events = list(self._receive_telemetry(device, what, payload))
            if what == "SENSOR":
                if len(self._sensor_topics) >= DEVICES_MAX:
                    self._sensor_topics.clear()
                self._sensor_topics[topic] = device
        else:
            events = list(self._receive_status(device, what, payload))
        return device.with_change(events)

    def _receive_known(
        self, device: _Device, payload: bytes, now: float
    ) -> list[DeviceValue] | None:
        """The values of known sensors; None if the message must be read in full."""
        if not payload or self._devices.get(device.uid) is not device:
            return None
        values = device.known_values(read_object(payload))
        if values is not None:
            self._devices.seen(device, now)
        return values

    def _device(self, topic: str, commands: str, now: float) -> _Device:
        return self._devices.seen_or_added(
            uid_of("tasmota", topic), lambda: _Device(topic, commands, self._devices.budget), now
        )

    def _receive_telemetry(
        self, device: _Device, what: str, payload: bytes
    ) -> Iterator[DialectEvent]:
        if what == "STATE":
            yield from self._state(device, read_object(payload))
        elif what == "SENSOR":
            yield from self._sensors(device, read_object(payload))
        elif what in {"INFO1", "INFO2", "INFO3"}:
            info = read_object(payload).get(what.capitalize())
            if isinstance(info, dict):
                device.set_detail("board", info.get("Module"))
                device.set_detail("version", info.get("Version"))
        # Other messages, such as UPTIME and RESULT, repeat known values or are for people.

    def _receive_status(self, device: _Device, what: str, payload: bytes) -> Iterator[DialectEvent]:
        if _POWER.fullmatch(what) and payload[:1] != b"{":
            yield from self._state(device, {what: read_text(payload)}, repeated=True)
        elif what in {"STATUS8", "STATUS10"}:
            sensors = read_object(payload).get("StatusSNS")
            if isinstance(sensors, dict):
                yield from self._sensors(device, sensors)
        elif what == "STATUS11":
            state = read_object(payload).get("StatusSTS")
            if isinstance(state, dict):
                yield from self._state(device, state)
        elif payload[:1] == b"{" and (what == "RESULT" or _POWER.fullmatch(what)):
            yield from self._state(device, read_object(payload))

    def _state(
        self, device: _Device, state: dict[str, Any], *, repeated: bool = False
    ) -> Iterator[DialectEvent]:
        for key, value in state.items():
            if _POWER.fullmatch(key):
                word = value.get("POWER") if isinstance(value, dict) else value
                word = device.words.get(word.upper()) if isinstance(word, str) else None
                if word is None:
                    continue
                resource = key.lower()
                if repeated and device.power.get(resource) == word:
                    continue
                device.power[resource] = word
                self._add_relay(device, key)
                yield device.value(resource, word)
            elif key in _NUMBERS and is_number(value):
                low, high = _NUMBERS[key]
                it = type_of("number", minimum=low, maximum=high, step=1, writable=True)
                if device.set_type(key.lower(), it):
                    device.commands[key.lower()] = key
                    yield device.value(key.lower(), value)
            elif key == "Color" and isinstance(value, str) and _HEX_COLOUR.fullmatch(value):
                if device.set_type("color", type_of("colour", form="hex", writable=True)):
                    device.commands["color"] = "Color"
                    yield device.value("color", f"#{value[:6].lower()}")
            elif isinstance(value, dict) and (shutter := _SHUTTER.fullmatch(key)):
                yield from self._shutter(device, shutter[1], value)
            elif key == "UptimeSec" and is_number(value):
                yield from self._measured(device, "uptime", "uptimesec", value, {})
            elif key == "Wifi" and isinstance(value, dict) and is_number(value.get("Signal")):
                yield from self._measured(device, "wifi_signal", "signal", value["Signal"], {})

    def _shutter(
        self, device: _Device, number: str, shutter: dict[str, Any]
    ) -> Iterator[DialectEvent]:
        position, direction = shutter.get("Position"), shutter.get("Direction")
        resource = f"shutter{number}_position"
        it = type_of("number", minimum=0, maximum=100, step=1, writable=True)
        if is_number(position) and device.set_type(resource, it):
            device.commands[resource] = f"ShutterPosition{number}"
            yield device.value(resource, position)
        if is_number(direction):
            yield from self._measured(device, f"shutter{number}_direction", "", direction, {})

    def _add_relay(self, device: _Device, key: str, label: object = "") -> None:
        resource = key.lower()
        if resource not in device.types or label:
            it = type_of("boolean", on="ON", off="OFF", writable=True, label=label)
            if device.set_type(resource, it):
                device.commands[resource] = key

    def _sensors(self, device: _Device, sensors: dict[str, Any]) -> Iterator[DialectEvent]:
        for names, value in leaves(sensors):
            last = names[-1]
            if last == "Time" or last.endswith(("Unit", "StartTime")):
                device.remember(names, "")
                continue
            if len(names) == 1 and _POWER.fullmatch(names[0]):
                yield from self._state(device, {names[0]: value})
                continue
            if len(names) == 2 and names[0].startswith("Shutter") and _SHUTTER.fullmatch(names[0]):
                if last == "Position":
                    yield from self._state(device, {names[0]: sensors[names[0]]})
                continue
            resource = resource_of(*names)
            if not isinstance(value, list) and resource in device.types:
                device.remember(names, resource)
            if isinstance(value, list) and len(value) <= PHASES_MAX and all(map(is_number, value)):
                for number, each in enumerate(value, 1):
                    name = resource_of(*names, str(number))
                    yield from self._measured(device, name, last.lower(), each, sensors)
                continue
            yield from self._measured(device, resource, last.lower(), value, sensors)

    def _measured(
        self, device: _Device, resource: str, quantity: str, value: Any, sensors: dict[str, Any]
    ) -> Iterator[DialectEvent]:
        known = device.types.get(resource)
        if known is None:
            if is_number(value):
                unit = self._unit(quantity, sensors)
                it = type_of("number", unit=unit.senml, writable=False)
            else:
                unit = NO_UNIT
                it = type_of("json" if isinstance(value, list) else "text", writable=False)
            if not device.set_type(resource, it, unit):
                return
        yield device.value(resource, value)

    def _unit(self, quantity: str, sensors: dict[str, Any]) -> DeviceUnit:
        if quantity in _DEGREES:
            return unit_of("°F" if sensors.get("TempUnit") == "F" else "°C")
        if quantity in {"pressure", "seapressure"} and "PressureUnit" in sensors:
            return unit_of(sensors["PressureUnit"])
        return unit_of(_UNITS.get(quantity, ""))

    # -- discovery ------------------------------------------------------------------------------

    def _receive_discovery(
        self, levels: list[str], payload: bytes, now: float
    ) -> Sequence[DialectEvent]:
        if len(levels) != 4 or not is_level(levels[2]) or len(levels[2]) > MAC_LENGTH_MAX:
            raise ProtocolError("the topic is not of the form tasmota/discovery/MAC/NAME")
        mac, what = levels[2], levels[3]
        if not payload:
            self._topic_of_mac.pop(mac, None)
            return []
        if what == "config":
            return list(self._receive_config(mac, read_object(payload), now))
        topic = self._topic_of_mac.get(mac)
        device = None if topic is None else self._devices.get(uid_of("tasmota", topic))
        if what != "sensors" or device is None:
            return []
        sensors = read_object(payload).get("sn")
        if isinstance(sensors, dict):
            # Only for the types: the values may be old.
            list(self._sensors(device, sensors))
        return device.with_change([])

    def _receive_config(
        self, mac: str, config: dict[str, Any], now: float
    ) -> Iterator[DialectEvent]:
        topic = config.get("t")
        if not isinstance(topic, str) or not is_level(topic):
            raise ProtocolError("the topic of the device is missing")
        try:
            commands, wanted = self._topics.discovered(topic, config)
        except ProtocolError as error:
            yield NotUnderstood(f"Tasmota device {topic}", str(error))
            return
        device = self._device(topic, commands, now)
        device.base = commands
        self._sensor_topics.clear()
        if wanted:
            yield TopicsWanted(wanted)
        _set_words(device, config)
        if mac in self._topic_of_mac or len(self._topic_of_mac) < len(self._devices):
            self._topic_of_mac[mac] = topic
        device.set_detail("name", config.get("dn"))
        device.set_detail("board", config.get("md"))
        device.set_detail("version", config.get("sw"))
        relays, names = config.get("rl"), config.get("fn")
        relays = relays if isinstance(relays, list) else []
        names = names if isinstance(names, list) else []
        used = [index for index, kind in enumerate(relays[:RELAYS_MAX]) if kind in (1, 2)]
        for index in used:
            label = names[index] if index < len(names) else ""
            if label == config.get("dn"):
                label = ""  # the default, which is the name of the device
            self._add_relay(device, "POWER" if len(used) == 1 else f"POWER{index + 1}", label)
        yield from device.with_change([])


def _set_words(device: _Device, config: dict[str, Any]) -> None:
    """Read the words of its last will and of its relays, if discovery states them."""
    states = config.get("state")
    for text, word in zip(states if isinstance(states, list) else [], ("OFF", "ON"), strict=False):
        if is_level(text):
            device.words = {it: to for it, to in device.words.items() if it == to or to != word}
            device.words[text.upper()] = word
    for key, online in (("onln", True), ("ofln", False)):
        text = config.get(key)
        if is_level(text):
            device.states = {it: to for it, to in device.states.items() if to != online}
            device.states[text] = online
