# SPDX-License-Identifier: BSD-3-Clause
"""Shelly devices of the second and later generations: notifications and RPC over MQTT. Pure.

The pages "MQTT", "Notifications" and "Component concept" of the documentation "Gen2 Device API
Reference". Topics begin with the id of the device, or with a configured prefix.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialect_access import SHELLY_SOURCE
from pyaiot.gateways.mqtt.dialects.devices import DeviceTable, LearnedDevice, ResourceBudget
from pyaiot.gateways.mqtt.dialects.dialect import (
    NAMES_MAX,
    CommandRefused,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DialectEvent,
    is_level,
    is_number,
    label_of,
    leaves,
    read_object,
    read_text,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.shelly_labels import ChannelLabels
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit, unit_of
from pyaiot.model import READ_ONLY, ResourceType, encode

CALLS_MAX: Final = 20
"""Largest number of command calls of one device whose errors are reported. At most this many
commands wait for one node."""
COMPONENTS_MAX: Final = 64
"""Largest number of components in one message. Further ones are left out."""

_QUERY: Final = 1
"""The id of all calls other than commands: their answers are ignored."""
_ID: Final = re.compile(r"shelly[a-z0-9]{1,24}-[0-9a-fA-F]{6,12}")
_COMPONENT: Final = re.compile(r"([a-z0-9_]{1,24})(?::([0-9]{1,3}))?")
_UNITS: Final = {
    "apower": "W",
    "act_power": "W",
    "total_act_power": "W",
    "aprt_power": "VA",
    "voltage": "V",
    "current": "A",
    "freq": "Hz",
    "total": "Wh",
    "tC": "°C",
    "rh": "%",
    "lux": "lx",
    "rssi": "dBm",
    "percent": "%",
    "V": "V",
    "uptime": "s",
}
_CLASSES: Final = {"rh": "humidity", "percent": "battery"}
_LEFT_OUT: Final = frozenset({"ble", "cloud", "mqtt", "ws", "ts", "script", "schedule", "eth"})
_OF_SYSTEM: Final = frozenset({"uptime", "rssi", "sta_ip"})
"""The reported values of the components `sys` and `wifi`."""
_NOTIFICATIONS: Final = ("NotifyStatus", "NotifyFullStatus")
"""A tuple, because a JSON list as the method is unhashable and cannot be looked up in a set."""
_NOT_VALUES: Final = frozenset({"id", "source", "minute_ts", "by_minute", "tF", "timer_started_at"})


class _Device(LearnedDevice):
    __slots__ = ("calls", "count", "labels", "name", "prefix", "sent")

    def __init__(self, name: str, prefix: str, budget: ResourceBudget) -> None:
        super().__init__(uid_of("shelly2", name), budget)
        self.name = name
        self.prefix = prefix
        self.labels = ChannelLabels()
        self.calls: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {}
        """Method and parameters for the text of a command, by resource."""
        self.count = _QUERY
        """The id of its latest call."""
        self.sent: dict[int, tuple[str, str]] = {}
        """Resource and text of the latest commands by the id of the call, oldest first."""


class ShellyRpcDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "shelly-rpc"
    title: ClassVar[str] = "Shelly"

    def __init__(self) -> None:
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._by_prefix: dict[str, _Device] = {}

    @property
    def filters(self) -> Sequence[str]:
        return ("+/online", "+/events/rpc", "+/status/#", f"{SHELLY_SOURCE}/+/rpc")

    def receive(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,  # noqa: ARG002 - the shape of all dialects
        now: float,
    ) -> Sequence[DialectEvent] | None:
        prefix, _, rest = topic.partition("/")
        if topic.startswith(f"{SHELLY_SOURCE}/"):
            return self._receive_answer(topic, payload, now)
        if rest == "events/rpc":
            message = read_object(payload)
            source = message.get("src")
            known = self._by_prefix.get(prefix)
            if known is not None and known.name == source:
                device = known
            elif not isinstance(source, str) or not _ID.fullmatch(source):
                return None
            else:
                device = self._device(source, prefix, now)
        elif rest == "online" or rest.startswith("status/"):
            known = self._by_prefix.get(prefix)
            if known is None and not _ID.fullmatch(prefix):
                return None
            device = known or self._device(prefix, prefix, now)
            message = {}
        else:
            return None
        self._devices.seen(device, now)
        is_new = not device.details
        events: list[DialectEvent] = []
        if rest == "online":
            text = read_text(payload)
            if text not in {"true", "false"}:
                raise ProtocolError("online is neither true nor false")
            events.append(DevicePresence(device.uid, text == "true"))
            is_new = is_new and text == "true"
        elif rest.startswith("status/"):
            events += self._component(device, rest.removeprefix("status/"), read_object(payload))
        elif message.get("method") in _NOTIFICATIONS:
            events += self._status(device, message.get("params"))
        if is_new:
            device.set_detail("vendor", "Shelly")
            events += [_call(device, name) for name in ("Shelly.GetDeviceInfo", "Shelly.GetStatus")]
        return device.with_change(events)

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        make = None if device is None else device.calls.get(resource)
        if device is None or make is None:
            raise ProtocolError(READ_ONLY)
        method, parameters = make(encode(device.types[resource], text))
        device.count += 1
        device.sent[device.count] = resource, text
        if len(device.sent) > CALLS_MAX:
            del device.sent[next(iter(device.sent))]
        return _call(device, method, parameters, device.count)

    def _device(self, name: str, prefix: str, now: float) -> _Device:
        if not is_level(prefix):
            raise ProtocolError("the prefix of the topic is too long or not printable")
        device = self._devices.get(uid_of("shelly2", name))
        if device is None:
            device = _Device(name, prefix, self._devices.budget)
            evicted = self._devices.add(device, now)
            if evicted is not None:
                self._by_prefix.pop(evicted.prefix, None)
        elif self._by_prefix.get(device.prefix) is device and device.prefix != prefix:
            del self._by_prefix[device.prefix]
        device.prefix = prefix
        self._by_prefix[prefix] = device
        return device

    def _receive_answer(self, topic: str, payload: bytes, now: float) -> Sequence[DialectEvent]:
        """The answer to a call of this dialect. Only known devices are called."""
        answer = read_object(payload)
        source, result = answer.get("src"), answer.get("result")
        device = self._devices.get(uid_of("shelly2", source)) if isinstance(source, str) else None
        if device is None:
            return []
        if topic != f"{SHELLY_SOURCE}/{source}/rpc":
            raise ProtocolError("an answer of another device than its topic states")
        self._devices.seen(device, now)
        number = answer.get("id")
        command = device.sent.pop(number, None) if isinstance(number, int) else None
        error = answer.get("error")
        if isinstance(error, dict):
            return [] if command is None else [CommandRefused(device.uid, *command, _reason(error))]
        if not isinstance(result, dict) or command is not None:
            return []  # the status that follows has the new value
        events: list[DialectEvent] = []
        if isinstance(result.get("model"), str):
            device.set_detail("board", result.get("app") or result["model"])
            device.set_detail("version", result.get("ver"))
            device.set_detail("name", result.get("name"))
        else:
            events += self._status(device, result)
        return device.with_change(events)

    def _status(self, device: _Device, status: object) -> Sequence[DialectEvent]:
        if not isinstance(status, dict):
            return ()
        known = device.known_values(status)
        if known is not None:
            return known
        events: list[DialectEvent] = []
        for name, component in list(status.items())[:COMPONENTS_MAX]:
            if isinstance(component, dict):
                events += self._component(device, name, component)
            else:
                device.remember((name,), "")
        return events

    def _component(
        self, device: _Device, name: str, component: Mapping[str, Any]
    ) -> Iterator[DialectEvent]:
        found = _read_component(name)
        if found is None:
            return
        kind, number = found
        base = name.replace(":", "_")
        for names, value in leaves(component):
            path = (name, *names)
            last = names[-1]
            if last in _NOT_VALUES or (kind in {"sys", "wifi"} and last not in _OF_SYSTEM):
                device.remember(path, "")
                continue
            written = _WRITTEN.get((kind, last)) if len(names) == 1 else None
            if written is not None:
                suffix, it, call = written
                resource = f"{base}_{suffix}" if suffix else base
                device.calls[resource] = call(number)
                unit = NO_UNIT
            else:
                resource = resource_of(base, *_short(names))
                it, unit = _type_of_value(last, value)
            known = device.types.get(resource)
            if device.set_type(resource, known or it, unit):
                if known is None:
                    device.labels.add(
                        device, resource, kind, number, () if written and not suffix else names
                    )
                device.remember(path, resource)
                yield device.value(resource, value)
            else:
                device.calls.pop(resource, None)


@functools.lru_cache(maxsize=NAMES_MAX)
def _read_component(name: str) -> tuple[str, int] | None:
    """`switch:0` is component 0 of the kind `switch`; None if the component is left out."""
    found = _COMPONENT.fullmatch(name)
    return None if found is None or found[1] in _LEFT_OUT else (found[1], int(found[2] or 0))


def _reason(error: Mapping[str, Any]) -> str:
    """The message of an error, for people."""
    code = error.get("code")
    number = f" {code}" if isinstance(code, int) and abs(code) < 1_000_000 else ""
    message = label_of(error.get("message"))
    return f"the device answers with the error{number}" + (f": {message}" if message else "")


def _short(names: tuple[str, ...]) -> tuple[str, ...]:
    """`temperature`, `tC` is a temperature; `aenergy`, `total` an energy."""
    if names in {("tC",), ("rh",)}:
        return ()  # the component is the quantity: `temperature:0`, `humidity:0`
    return names[:-1] if names[-1] in {"tC", "total", "percent"} and len(names) > 1 else names


def _type_of_value(last: str, value: Any) -> tuple[ResourceType, DeviceUnit]:
    if isinstance(value, bool):
        return type_of("boolean", on="true", off="false", writable=False), NO_UNIT
    if is_number(value):
        unit = unit_of(_UNITS.get(last, ""), _CLASSES.get(last, ""))
        return type_of("number", unit=unit.senml, writable=False), unit
    return type_of("json" if isinstance(value, list) else "text", writable=False), NO_UNIT


def _call(
    device: _Device,
    method: str,
    parameters: Mapping[str, Any] | None = None,
    number: int = _QUERY,
) -> DeviceMessage:
    """A request of the RPC protocol. The answer has the same id."""
    request: dict[str, Any] = {
        "id": number,
        "src": f"{SHELLY_SOURCE}/{device.name}",
        "method": method,
    }
    if parameters is not None:
        request["params"] = parameters
    return DeviceMessage(f"{device.prefix}/rpc", json.dumps(request).encode())


def _set(method: str, parameter: str, of_text: Callable[[str], Any]) -> Any:
    def of_component(number: int) -> Any:
        return lambda text: (method, {"id": number, parameter: of_text(text)})

    return of_component


def _cover(number: int) -> Any:
    methods = {"open": "Cover.Open", "close": "Cover.Close", "stop": "Cover.Stop"}
    return lambda text: (methods[text], {"id": number})


def _is_true(text: str) -> bool:
    return text == "true"


def _integer(text: str) -> int:
    return round(float(text))


_SWITCHED: Final = type_of("boolean", on="true", off="false", writable=True)
_PERCENT: Final = type_of("number", minimum=0, maximum=100, step=1, writable=True)
_COVER: Final = type_of("enum", choices=("open", "close", "stop"), writable=True)
_WRITTEN: Final[Mapping[tuple[str, str], tuple[str, ResourceType, Any]]] = {
    ("switch", "output"): ("", _SWITCHED, _set("Switch.Set", "on", _is_true)),
    ("light", "output"): ("", _SWITCHED, _set("Light.Set", "on", _is_true)),
    ("light", "brightness"): ("brightness", _PERCENT, _set("Light.Set", "brightness", _integer)),
    ("cover", "state"): ("", _COVER, _cover),
    ("cover", "current_pos"): ("position", _PERCENT, _set("Cover.GoToPosition", "pos", _integer)),
}
"""Writable components: component and status → suffix of the resource, type, call."""
