# SPDX-License-Identifier: BSD-3-Clause
"""What foreign devices publish, typed from the documentation of their firmware.

Each recording is a list of topic, payload and whether the message is retained.
"""

import json
import re
from typing import Any, Final, TypeAlias

from pyaiot.gateways.mqtt.dialects.sparkplug_payload import value_field
from pyaiot.protocols.protobuf import WireType, write_field

Recording: TypeAlias = list[tuple[str, bytes, bool]]


def recorded(*messages: tuple[str, Any] | tuple[str, Any, bool]) -> Recording:
    """Texts and JSON as bytes."""
    return [
        (
            message[0],
            message[1]
            if isinstance(message[1], bytes)
            else (message[1] if isinstance(message[1], str) else json.dumps(message[1])).encode(),
            len(message) == 3,
        )
        for message in messages
    ]


def moved(messages: Recording, old: str, new: str) -> Recording:
    """The same messages below another base topic."""
    return [
        (re.sub(f"^{old}/", f"{new}/", topic), payload, retained)
        for topic, payload, retained in messages
    ]


TASMOTA: Final = recorded(
    ("tele/plug-1/LWT", "Online", True),
    (
        "tasmota/discovery/DC4F22AABBCC/config",
        {
            "ip": "192.168.1.40",
            "dn": "Desk plug",
            "fn": ["Desk plug", None, None, None, None, None, None, None],
            "hn": "plug-1-0001",
            "mac": "DC4F22AABBCC",
            "md": "Nous A1T",
            "ty": 0,
            "if": 0,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": "13.4.0",
            "t": "plug-1",
            "ft": "%prefix%/%topic%/",
            "tp": ["cmnd", "stat", "tele"],
            "rl": [1, 0, 0, 0, 0, 0, 0, 0],
            "lk": 1,
            "lt_st": 0,
            "ver": 1,
        },
        True,
    ),
    (
        "tele/plug-1/STATE",
        {
            "Time": "2026-03-01T10:00:00",
            "Uptime": "0T00:10:12",
            "UptimeSec": 612,
            "Heap": 25,
            "SleepMode": "Dynamic",
            "POWER": "OFF",
            "Wifi": {"AP": 1, "SSId": "lab", "Channel": 6, "RSSI": 70, "Signal": -65},
        },
    ),
    (
        "tele/plug-1/SENSOR",
        {
            "Time": "2026-03-01T10:00:00",
            "ENERGY": {
                "TotalStartTime": "2026-01-01T00:00:00",
                "Total": 12.345,
                "Yesterday": 0.312,
                "Today": 0.101,
                "Power": 42,
                "ApparentPower": 50,
                "ReactivePower": 27,
                "Factor": 0.84,
                "Voltage": 231,
                "Current": 0.217,
            },
            "DS18B20": {"Id": "01131A6E3C1D", "Temperature": 21.4},
            "TempUnit": "C",
        },
    ),
    ("stat/plug-1/RESULT", {"POWER": "ON"}),
    ("stat/plug-1/POWER", "ON"),
)

ZIGBEE2MQTT: Final = recorded(
    ("zigbee2mqtt/bridge/state", {"state": "online"}, True),
    (
        "zigbee2mqtt/bridge/devices",
        [
            {"ieee_address": "0x00124b0018e27e5e", "type": "Coordinator", "friendly_name": "Coord"},
            {
                "ieee_address": "0x00158d0001a2b3c4",
                "type": "EndDevice",
                "network_address": 29159,
                "supported": True,
                "disabled": False,
                "friendly_name": "kitchen/climate",
                "software_build_id": "3000-0001",
                "definition": {
                    "model": "WSDCGQ11LM",
                    "vendor": "Aqara",
                    "description": "Temperature and humidity sensor",
                    "exposes": [
                        {
                            "type": "numeric",
                            "name": "temperature",
                            "label": "Temperature",
                            "property": "temperature",
                            "access": 1,
                            "unit": "°C",
                        },
                        {
                            "type": "numeric",
                            "name": "humidity",
                            "label": "Humidity",
                            "property": "humidity",
                            "access": 1,
                            "unit": "%",
                        },
                        {
                            "type": "numeric",
                            "name": "pressure",
                            "property": "pressure",
                            "access": 1,
                            "unit": "hPa",
                        },
                        {
                            "type": "numeric",
                            "name": "linkquality",
                            "property": "linkquality",
                            "access": 1,
                            "unit": "lqi",
                            "value_min": 0,
                            "value_max": 255,
                        },
                    ],
                },
            },
            {
                "ieee_address": "0x0017880102030405",
                "type": "Router",
                "supported": True,
                "disabled": False,
                "friendly_name": "hall_lamp",
                "definition": {
                    "model": "LED1545G12",
                    "vendor": "IKEA",
                    "exposes": [
                        {
                            "type": "light",
                            "features": [
                                {
                                    "type": "binary",
                                    "name": "state",
                                    "property": "state",
                                    "access": 7,
                                    "value_on": "ON",
                                    "value_off": "OFF",
                                    "value_toggle": "TOGGLE",
                                },
                                {
                                    "type": "numeric",
                                    "name": "brightness",
                                    "property": "brightness",
                                    "access": 7,
                                    "value_min": 0,
                                    "value_max": 254,
                                },
                                {
                                    "type": "composite",
                                    "name": "color_xy",
                                    "property": "color",
                                    "access": 7,
                                    "features": [
                                        {"type": "numeric", "name": "x", "property": "x"},
                                        {"type": "numeric", "name": "y", "property": "y"},
                                    ],
                                },
                            ],
                        },
                        {
                            "type": "enum",
                            "name": "effect",
                            "property": "effect",
                            "access": 2,
                            "values": ["blink", "breathe", "okay"],
                        },
                        {
                            "type": "enum",
                            "name": "power_on_behavior",
                            "property": "power_on_behavior",
                            "access": 7,
                            "values": ["off", "previous", "on"],
                        },
                    ],
                },
            },
        ],
        True,
    ),
    ("zigbee2mqtt/hall_lamp/availability", {"state": "online"}, True),
    (
        "zigbee2mqtt/kitchen/climate",
        {"temperature": 20.7, "humidity": 51.3, "pressure": 1003, "linkquality": 120},
    ),
    (
        "zigbee2mqtt/hall_lamp",
        {"state": "OFF", "brightness": 100, "color": {"x": 0.3, "y": 0.4}, "linkquality": 80},
    ),
)


def zigbee_house(count: int) -> Recording:
    """The list of the devices of a large house, about 5 kB each, and the availability of each."""
    exposes = [
        {
            "type": "numeric",
            "name": f"setting_{number}",
            "label": f"Setting {number}",
            "property": f"setting_{number}",
            "description": "A setting of the device, with a text of the usual length. " * 2,
            "access": 7,
            "unit": "s",
            "value_min": 0,
            "value_max": 65535,
            "value_step": 1,
        }
        for number in range(16)
    ]
    entries = [
        {
            "ieee_address": f"0x{0x00158D0001000000 + number:016x}",
            "type": "Router",
            "friendly_name": f"house/device_{number}",
            "definition": {"model": f"M{number}", "vendor": "IKEA", "exposes": exposes},
        }
        for number in range(count)
    ]
    return recorded(
        ("zigbee2mqtt/bridge/devices", entries, True),
        *(
            (f"zigbee2mqtt/house/device_{number}/availability", {"state": "online"}, True)
            for number in range(count)
        ),
    )


SHELLY: Final = recorded(
    ("shellies/shellyplug-s-7AB312/online", "true", True),
    (
        "shellies/announce",
        {
            "id": "shellyplug-s-7AB312",
            "model": "SHPLG-S",
            "mac": "BCFF4D7AB312",
            "ip": "192.168.1.41",
            "new_fw": False,
            "fw_ver": "20230913-113421/v1.14.0",
        },
    ),
    ("shellies/shellyplug-s-7AB312/relay/0", "off"),
    ("shellies/shellyplug-s-7AB312/relay/0/power", "13.50"),
    ("shellies/shellyplug-s-7AB312/relay/0/energy", "600"),
    ("shellies/shellyplug-s-7AB312/temperature", "28.40"),
    ("shellies/shellyplug-s-7AB312/temperature_f", "83.12"),
    ("shellies/shellyplug-s-7AB312/overtemperature", "0"),
)

SHELLY_RPC: Final = recorded(
    ("shellyplusplugs-a8032abe54dc/online", "true", True),
    (
        "shellyplusplugs-a8032abe54dc/events/rpc",
        {
            "src": "shellyplusplugs-a8032abe54dc",
            "dst": "shellyplusplugs-a8032abe54dc/events",
            "method": "NotifyFullStatus",
            "params": {
                "ts": 1631266595.43,
                "ble": {},
                "cloud": {"connected": False},
                "mqtt": {"connected": True},
                "switch:0": {
                    "id": 0,
                    "source": "init",
                    "output": False,
                    "apower": 8.9,
                    "voltage": 237.5,
                    "current": 0.04,
                    "aenergy": {"total": 6.532, "by_minute": [45.2, 47.1, 88.4], "minute_ts": 1},
                    "temperature": {"tC": 23.5, "tF": 74.4},
                },
                "sys": {"mac": "A8032ABE54DC", "restart_required": False, "uptime": 284},
                "wifi": {"sta_ip": "192.168.1.42", "status": "got ip", "ssid": "lab", "rssi": -61},
            },
        },
    ),
    (
        "pyaiot/shelly/shellyplusplugs-a8032abe54dc/rpc",
        {
            "id": 1,
            "src": "shellyplusplugs-a8032abe54dc",
            "dst": "pyaiot/shelly/shellyplusplugs-a8032abe54dc",
            "result": {
                "name": "Coffee machine",
                "id": "shellyplusplugs-a8032abe54dc",
                "mac": "A8032ABE54DC",
                "model": "SNPL-00112EU",
                "gen": 2,
                "ver": "1.0.8",
                "app": "PlusPlugS",
            },
        },
    ),
    (
        "shellyplusplugs-a8032abe54dc/events/rpc",
        {
            "src": "shellyplusplugs-a8032abe54dc",
            "dst": "shellyplusplugs-a8032abe54dc/events",
            "method": "NotifyStatus",
            "params": {"ts": 1631266600.1, "switch:0": {"id": 0, "output": True, "source": "HTTP"}},
        },
    ),
)

HOMIE_4: Final = recorded(
    ("homie/kettle/$homie", "4.0.0", True),
    ("homie/kettle/$name", "Kettle", True),
    ("homie/kettle/$nodes", "boiler", True),
    ("homie/kettle/boiler/$name", "Boiler", True),
    ("homie/kettle/boiler/$properties", "temperature,power,mode", True),
    ("homie/kettle/boiler/temperature", "64.5", True),
    ("homie/kettle/boiler/temperature/$name", "Water temperature", True),
    ("homie/kettle/boiler/temperature/$datatype", "float", True),
    ("homie/kettle/boiler/temperature/$unit", "°C", True),
    ("homie/kettle/boiler/power/$datatype", "boolean", True),
    ("homie/kettle/boiler/power/$settable", "true", True),
    ("homie/kettle/boiler/power", "false", True),
    ("homie/kettle/boiler/mode/$datatype", "enum", True),
    ("homie/kettle/boiler/mode/$format", "tea,coffee,boil", True),
    ("homie/kettle/boiler/mode/$settable", "true", True),
    ("homie/kettle/boiler/mode", "tea", True),
    ("homie/kettle/$state", "ready", True),
)

HOMIE_5: Final = recorded(
    ("homie/5/blind-1/$state", "init", True),
    (
        "homie/5/blind-1/$description",
        {
            "homie": "5.0",
            "version": 7,
            "name": "South blind",
            "nodes": {
                "motor": {
                    "name": "Motor",
                    "properties": {
                        "position": {
                            "name": "Position",
                            "datatype": "integer",
                            "format": "0:100:5",
                            "unit": "%",
                            "settable": True,
                        },
                        "action": {
                            "datatype": "enum",
                            "format": "up,down,stop",
                            "settable": True,
                            "retained": False,
                        },
                        "tint": {"datatype": "color", "format": "rgb", "settable": True},
                    },
                }
            },
        },
        True,
    ),
    ("homie/5/blind-1/motor/position", "40", True),
    ("homie/5/blind-1/motor/tint", "rgb,255,128,0", True),
    ("homie/5/blind-1/$state", "ready", True),
)


def metric(
    name: str,
    datatype: int,
    value: object,
    alias: int | None = None,
    unit: str = "",
    *,
    historical: bool = False,
) -> bytes:
    """A metric of Sparkplug B."""
    data = write_field(1, WireType.BYTES, name.encode()) if name else b""
    if alias is not None:
        data += write_field(2, WireType.VARINT, alias)
    data += write_field(3, WireType.VARINT, 1_700_000_000_000)
    if datatype:
        data += write_field(4, WireType.VARINT, datatype)
    if historical:
        data += write_field(5, WireType.VARINT, 1)
    if unit:
        text = write_field(1, WireType.VARINT, 12) + write_field(8, WireType.BYTES, unit.encode())
        data += write_field(
            9,
            WireType.BYTES,
            write_field(1, WireType.BYTES, b"engUnit") + write_field(2, WireType.BYTES, text),
        )
    return data + value_field(datatype, value)


def payload(sequence: int | None, *metrics: bytes) -> bytes:
    """A payload of Sparkplug B."""
    data = write_field(1, WireType.VARINT, 1_700_000_000_000)
    data += b"".join(write_field(2, WireType.BYTES, each) for each in metrics)
    return data if sequence is None else data + write_field(3, WireType.VARINT, sequence)


SPARKPLUG: Final = recorded(
    (
        "spBv1.0/plant/NBIRTH/line-1",
        payload(
            0,
            metric("bdSeq", 8, 3),
            metric("Node Control/Rebirth", 11, value=False),
            metric("Supply Voltage", 10, 23.9, 1, "V"),
        ),
    ),
    (
        "spBv1.0/plant/DBIRTH/line-1/pump",
        payload(
            1,
            metric("Inlet/Temperature", 9, 18.5, 2, "°C"),
            metric("Running", 11, value=False, alias=3),
            metric("Speed", 3, -20, 4),
            metric("Serial", 12, "P-77", 5),
        ),
    ),
    ("spBv1.0/plant/DDATA/line-1/pump", payload(2, metric("", 9, 19.25, 2))),
)

HOMEASSISTANT: Final = recorded(
    (
        "homeassistant/sensor/garden/temperature/config",
        {
            "name": "Temperature",
            "uniq_id": "garden_temperature",
            "~": "garden",
            "stat_t": "~/sensors",
            "unit_of_meas": "°C",
            "dev_cla": "temperature",
            "stat_cla": "measurement",
            "val_tpl": "{{ value_json.climate.t | float | round(1) }}",
            "avty_t": "~/status",
            "dev": {
                "ids": ["garden-0042"],
                "name": "Garden station",
                "mf": "Example",
                "mdl": "GS1",
                "sw": "1.2",
            },
        },
        True,
    ),
    (
        "homeassistant/switch/garden/valve/config",
        {
            "name": "Valve",
            "uniq_id": "garden_valve",
            "stat_t": "garden/valve/state",
            "cmd_t": "garden/valve/set",
            "pl_on": "open",
            "pl_off": "close",
            "avty": [{"t": "garden/status"}],
            "dev": {"ids": ["garden-0042"]},
        },
        True,
    ),
    (
        "homeassistant/device/fan-7/config",
        {
            "dev": {"ids": "fan-7", "name": "Fan", "mf": "Example"},
            "o": {"name": "example", "sw": "1"},
            "cmps": {
                "speed": {
                    "p": "number",
                    "cmd_t": "fan-7/speed/set",
                    "stat_t": "fan-7/speed",
                    "min": 0,
                    "max": 10,
                    "step": 1,
                },
                "mode": {
                    "p": "select",
                    "cmd_t": "fan-7/mode/set",
                    "stat_t": "fan-7/mode",
                    "ops": ["auto", "night"],
                },
                "restart": {"p": "button", "cmd_t": "fan-7/restart", "pl_prs": "1"},
                "odd": {
                    "p": "sensor",
                    "stat_t": "fan-7/odd",
                    "val_tpl": "{% for i in range(9) %}{{ i }}{% endfor %}",
                },
                "eye": {"p": "camera", "t": "fan-7/eye"},
            },
            "stat_t": "fan-7/state",
            "qos": 1,
        },
        True,
    ),
    ("garden/status", "online", True),
    ("garden/sensors", {"climate": {"t": "21.37", "h": 60}}),
    ("garden/valve/state", "close"),
    ("fan-7/speed", "3"),
    ("fan-7/mode", "night"),
)
