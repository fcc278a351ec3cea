# SPDX-License-Identifier: BSD-3-Clause
"""What a device of each dialect publishes: its description, and one temperature in a message."""

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

Message: TypeAlias = tuple[str, str | bytes]
RESOURCE: Final = b"temperature"
"""Occurs once in each reading that a web client receives."""


class ForeignMessages(NamedTuple):
    """The messages of one dialect. `number` counts devices, `turn` the values of one."""

    first: Callable[[int, int], Iterator[Message]]
    """Of device `number`, with the number of all devices."""
    value: Callable[[int, int], Message]


def _own(number: int, _count: int) -> Iterator[Message]:
    uid = f"n{number:05}"
    yield "node/check", json.dumps({"id": uid})
    yield f"node/{uid}/resources", '["temperature"]'


def _tasmota(number: int, _count: int) -> Iterator[Message]:
    yield f"tele/n{number:05}/LWT", "Online"


def _zigbee2mqtt(number: int, count: int) -> Iterator[Message]:
    if number == 0:
        expose = {"type": "numeric", "property": "temperature", "unit": "°C", "access": 1}
        devices = [
            {
                "ieee_address": f"0x{each:016x}",
                "friendly_name": f"n{each:05}",
                "definition": {"exposes": [expose]},
            }
            for each in range(count)
        ]
        yield "zigbee2mqtt/bridge/devices", json.dumps(devices)


def _homie(number: int, _count: int) -> Iterator[Message]:
    properties = {"temperature": {"datatype": "float", "unit": "°C"}}
    description = {"homie": "5.0", "nodes": {"room": {"properties": properties}}}
    yield f"homie/5/n{number:05}/$description", json.dumps(description)
    yield f"homie/5/n{number:05}/$state", "ready"


def _shelly_id(number: int) -> str:
    return f"shellyht-{number:012x}"


def _shelly_rpc(number: int, turn: int) -> Message:
    source = _shelly_id(number)
    status = {"ts": 1.5, "temperature:0": {"id": 0, "tC": 20.5 + turn}}
    message = {"src": source, "dst": "x", "method": "NotifyStatus", "params": status}
    return f"{source}/events/rpc", json.dumps(message)


def _home_assistant(number: int, _count: int) -> Iterator[Message]:
    configuration = {
        "name": "Temperature",
        "stat_t": f"bench/n{number:05}",
        "unit_of_meas": "°C",
        "val_tpl": "{{ value_json.t }}",
        "dev": {"ids": f"n{number:05}"},
    }
    yield f"homeassistant/sensor/n{number:05}/temperature/config", json.dumps(configuration)


def _sparkplug_first(number: int, _count: int) -> Iterator[Message]:
    name = b"\x0a\x0btemperature\x10\x01\x20\x0a\x69" + struct.pack("<d", 20.5)
    yield f"spBv1.0/g/NBIRTH/n{number:05}", b"\x12" + bytes([len(name)]) + name + b"\x18\x00"


def _sparkplug(number: int, turn: int) -> Message:
    # The alias of its birth message, a time, and the value.
    metric = b"\x10\x01\x18\x80\xd0\x95\xff\xbc\x31\x69" + struct.pack("<d", 20.5 + turn)
    payload = b"\x12" + bytes([len(metric)]) + metric + b"\x18" + _varint((turn + 1) % 256)
    return f"spBv1.0/g/NDATA/n{number:05}", payload


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 0x7F | 0x80, value >> 7])


def _none(_number: int, _count: int) -> Iterator[Message]:
    return iter(())


def _json(**values: Any) -> str:
    return json.dumps(values)


DIALECTS: Final = {
    "own": ForeignMessages(
        _own, lambda it, turn: (f"node/n{it:05}/temperature", f'{{"value":"{20 + turn}.5°C"}}')
    ),
    "tasmota": ForeignMessages(
        _tasmota,
        lambda it, turn: (
            f"tele/n{it:05}/SENSOR",
            _json(Time="2024-05-20T19:34:53", DS18B20={"Temperature": 20.5 + turn}, TempUnit="C"),
        ),
    ),
    "zigbee2mqtt": ForeignMessages(
        _zigbee2mqtt, lambda it, turn: (f"zigbee2mqtt/n{it:05}", _json(temperature=20.5 + turn))
    ),
    "shelly": ForeignMessages(
        _none, lambda it, turn: (f"shellies/n{it:05}/sensor/temperature", f"{20 + turn}.5")
    ),
    "shelly-rpc": ForeignMessages(_none, _shelly_rpc),
    "homie": ForeignMessages(
        _homie, lambda it, turn: (f"homie/5/n{it:05}/room/temperature", f"{20 + turn}.5")
    ),
    "sparkplug": ForeignMessages(_sparkplug_first, _sparkplug),
    "homeassistant": ForeignMessages(
        _home_assistant, lambda it, turn: (f"bench/n{it:05}", _json(t=20.5 + turn))
    ),
}
"""By the name of the dialect; `own` are the topics `node/…`."""
