# SPDX-License-Identifier: BSD-3-Clause
"""What a device of each dialect publishes: its description, and its values.

Each dialect sends one temperature in a message; those whose usual messages have more values send
such messages too.
"""

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

Message: TypeAlias = tuple[str, str | bytes]
UPDATE: Final = b'"update"'
"""Occurs once in each reading that a web client receives."""


SPARKPLUG_METRICS: Final = 9


class ForeignMessages(NamedTuple):
    """The messages of one dialect. `number` counts devices, `turn` the values of one."""

    first: Callable[[int, int], Iterator[Message]]
    """Of device `number`, with the number of all devices."""
    value: Callable[[int, int], Message]
    values: int = 1
    """Readings of a message."""


def _own(number: int, _count: int) -> Iterator[Message]:
    uid = f"n{number:05}"
    yield "node/check", json.dumps({"id": uid})
    yield f"node/{uid}/resources", '["temperature"]'


def _tasmota(number: int, _count: int) -> Iterator[Message]:
    yield f"tele/n{number:05}/LWT", "Online"


def _tasmota_plug(number: int, turn: int) -> Message:
    energy = {
        "TotalStartTime": "2023-01-05T10:00:00",
        "Total": 3.185,
        "Yesterday": 3.058,
        "Today": 0.127,
        "Power": 20 + turn,
        "ApparentPower": 24 + turn,
        "ReactivePower": 12,
        "Factor": 0.84,
        "Voltage": 235,
        "Current": 0.085,
    }
    return f"tele/n{number:05}/SENSOR", _json(Time="2024-05-20T19:34:53", ENERGY=energy)


def _zigbee2mqtt(number: int, count: int) -> Iterator[Message]:
    if number == 0:
        exposes = [
            {"type": "numeric", "property": name, "unit": unit, "access": 1}
            for name, unit in (("temperature", "°C"), ("humidity", "%"), ("battery", "%"))
        ]
        devices = [
            {
                "ieee_address": f"0x{each:016x}",
                "friendly_name": f"n{each:05}",
                "definition": {"exposes": exposes},
            }
            for each in range(count)
        ]
        yield "zigbee2mqtt/bridge/devices", json.dumps(devices)


def _zigbee2mqtt_sensor(number: int, turn: int) -> Message:
    return (
        f"zigbee2mqtt/n{number:05}",
        _json(temperature=20.5 + turn, humidity=40 + turn, battery=97, linkquality=120),
    )


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


def _shelly_rpc_plug(number: int, turn: int) -> Message:
    source = _shelly_id(number)
    switch = {"id": 0, "apower": 20.5 + turn, "voltage": 230.1, "current": 0.09}
    message = {
        "src": source,
        "dst": f"{source}/events",
        "method": "NotifyStatus",
        "params": {"ts": 1700000000.5, "switch:0": switch},
    }
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


def _sparkplug_pump_first(number: int, _count: int) -> Iterator[Message]:
    names = b"".join(
        _metric(b"\x0a\x08metric/%d\x10%c\x20\x0a\x69" % (each, each) + struct.pack("<d", 20.5))
        for each in range(SPARKPLUG_METRICS)
    )
    yield f"spBv1.0/g/NBIRTH/n{number:05}", names + b"\x18\x00"


def _sparkplug_pump(number: int, turn: int) -> Message:
    time_ms = b"\x18\x80\xd0\x95\xff\xbc\x31"
    metrics = b"".join(
        _metric(b"\x10%c" % each + time_ms + b"\x69" + struct.pack("<d", 20.5 + turn + each))
        for each in range(SPARKPLUG_METRICS)
    )
    payload = b"\x08" + time_ms[1:] + metrics + b"\x18" + _varint((turn + 1) % 256)
    return f"spBv1.0/g/NDATA/n{number:05}", payload


def _metric(fields: bytes) -> bytes:
    return b"\x12" + bytes([len(fields)]) + fields


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
    "tasmota plug": ForeignMessages(_tasmota, _tasmota_plug, 9),
    "zigbee2mqtt": ForeignMessages(
        _zigbee2mqtt, lambda it, turn: (f"zigbee2mqtt/n{it:05}", _json(temperature=20.5 + turn))
    ),
    "zigbee2mqtt sensor": ForeignMessages(_zigbee2mqtt, _zigbee2mqtt_sensor, 3),
    "shelly": ForeignMessages(
        _none, lambda it, turn: (f"shellies/n{it:05}/sensor/temperature", f"{20 + turn}.5")
    ),
    "shelly-rpc": ForeignMessages(_none, _shelly_rpc),
    "shelly-rpc plug": ForeignMessages(_none, _shelly_rpc_plug, 3),
    "homie": ForeignMessages(
        _homie, lambda it, turn: (f"homie/5/n{it:05}/room/temperature", f"{20 + turn}.5")
    ),
    "sparkplug": ForeignMessages(_sparkplug_first, _sparkplug),
    "sparkplug pump": ForeignMessages(_sparkplug_pump_first, _sparkplug_pump, SPARKPLUG_METRICS),
    "homeassistant": ForeignMessages(
        _home_assistant, lambda it, turn: (f"bench/n{it:05}", _json(t=20.5 + turn))
    ),
}
"""By the name of the dialect, and of the device with several values in a message; `own` are the
topics `node/…`."""
