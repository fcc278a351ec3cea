# SPDX-License-Identifier: BSD-3-Clause
"""Tasmota devices, from what their documentation shows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.devices import PATHS_MAX
from pyaiot.gateways.mqtt.dialects.dialect import DeviceChanged, TopicsWanted
from pyaiot.gateways.mqtt.dialects.tasmota import TasmotaDialect
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import TASMOTA, recorded

PLUG = "tasmota-plug-1"
USUAL = ["cmnd", "stat", "tele"]


def test_sensors_have_units() -> None:
    plug = Reader("tasmota").read(TASMOTA)
    assert plug.values(PLUG) == {
        "power": "ON",
        "uptime": (612, "s"),
        "wifi_signal": (-65, "dBm"),
        "energy_total": (12.345, "kWh"),
        "energy_yesterday": (0.312, "kWh"),
        "energy_today": (0.101, "kWh"),
        "energy_power": (42, "W"),
        "energy_apparentpower": (50, "VA"),
        "energy_reactivepower": (27, "var"),
        "energy_factor": 0.84,
        "energy_voltage": (231, "V"),
        "energy_current": (0.217, "A"),
        "ds18b20_id": "01131A6E3C1D",
        "ds18b20_temperature": (21.4, "Cel"),
    }


def test_fahrenheit_is_reported_with_its_unit_which_is_converted_later() -> None:
    sensor = {"BME280": {"Temperature": 70.7}, "TempUnit": "F"}
    plug = Reader("tasmota").read(recorded(("tele/plug-1/SENSOR", sensor)))
    assert plug.value(PLUG, "bme280_temperature") == "70.7°F"
    assert plug.type(PLUG, "bme280_temperature").unit == "Cel"


def test_discovery_names_the_device() -> None:
    plug = Reader("tasmota").read(TASMOTA)
    assert plug.dialect.describe(PLUG).details == {
        "name": "Desk plug",
        "board": "Nous A1T",
        "version": "13.4.0",
    }
    assert plug.type(PLUG, "power").label == ""


@pytest.mark.parametrize(
    ("full_topic", "prefixes", "state", "command"),
    [
        ("%topic%/%prefix%/", ["cmnd", "stat", "tele"], "plug-2/tele/STATE", "plug-2/cmnd/POWER"),
        ("home/%prefix%/%topic%", ["c", "s", "t"], "home/t/plug-2/STATE", "home/c/plug-2/POWER"),
        (
            "%prefix%/h/%topic%/",
            ["cmnd", "stat", "tele"],
            "tele/h/plug-2/STATE",
            "cmnd/h/plug-2/POWER",
        ),
        (
            "%hostname%/%id%/%prefix%/",
            ["cmnd", "stat", "tele"],
            "ph/AABB/tele/STATE",
            "ph/AABB/cmnd/POWER",
        ),
    ],
)
def test_discovery_states_the_full_topic(
    full_topic: str, prefixes: list[str], state: str, command: str
) -> None:
    config = {"t": "plug-2", "ft": full_topic, "tp": prefixes, "hn": "ph", "mac": "AABB", "rl": [1]}
    plug = Reader("tasmota").read(
        recorded(("tasmota/discovery/AABBCCDDEEFF/config", config), (state, {"POWER": "ON"}))
    )
    assert plug.uids() == {"tasmota-plug-2"}
    assert plug.value("tasmota-plug-2", "power") == "ON"
    assert plug.command("tasmota-plug-2", "power", "0") == (command, "OFF")
    (wanted,) = [it.topics for it in plug.events if isinstance(it, TopicsWanted)]
    assert state in wanted


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"ft": "%topic%/"}, "no %prefix%"),
        ({"ft": "node/%topic%/%prefix%/"}, "may name"),
        ({"ft": "$SYS/%prefix%/%topic%/"}, "may name"),
        ({"ft": "%prefix%/+/%topic%/"}, "may name"),
        ({"ft": "%prefix%/%other%/"}, "may name"),
        ({"ft": "%hostname%/%prefix%/"}, "does not state %hostname%"),
        ({"ft": "%hostname%/%prefix%/", "hn": "%prefix%"}, "does not state %hostname%"),
        ({"tp": ["cmnd", "stat"], "ft": "%topic%/%prefix%/"}, "three words"),
        ({"tp": ["cmnd", "stat", "#"], "ft": "%topic%/%prefix%/"}, "may name"),
        ({"tp": ["a", "b", "b"], "ft": "%topic%/%prefix%/"}, "the same"),
        ({"tp": 5, "ft": 5}, "no %prefix%"),
    ],
)
def test_full_topic_that_a_device_may_not_have_is_not_understood(
    config: dict[str, object], why: str
) -> None:
    config = {"t": "plug-2", "tp": ["cmnd", "stat", "tele"], **config}
    plug = Reader("tasmota").read(recorded(("tasmota/discovery/AABBCCDDEEFF/config", config)))
    assert list(plug.problems()) == ["Tasmota device plug-2"]
    assert why in plug.problems()["Tasmota device plug-2"]
    assert plug.uids() == set()


def test_full_topics_of_the_settings_need_no_discovery() -> None:
    device = TasmotaDialect(("%topic%/%prefix%/", "home/%prefix%/%topic%"))
    assert device.filters == (
        *("+/tele/+", "+/stat/+", "home/tele/+/+", "home/stat/+/+", "tasmota/discovery/#"),
    )
    for topic, command in (
        ("a/stat/RESULT", "a/cmnd/POWER"),
        ("home/stat/b/RESULT", "home/cmnd/b/POWER"),
    ):
        events = device.receive(topic, b'{"POWER":"ON"}', retained=False, now=0.0)
        assert events
        uid = f"tasmota-{command.split('/')[-2 if 'home' in topic else 0]}"
        assert device.command(uid, "power", "true").topic == command
    assert device.receive("a/b/RESULT", b"{}", retained=False, now=0.0) is None


def test_device_with_a_new_full_topic_keeps_its_node() -> None:
    device = TasmotaDialect(("%prefix%/%topic%/", "%topic%/%prefix%/"))
    state = b'{"POWER":"ON"}'
    device.receive("stat/a/RESULT", state, retained=False, now=0.0)
    device.receive("a/stat/RESULT", state, retained=False, now=0.0)
    with pytest.raises(ProtocolError, match="another FullTopic"):
        device.receive("tele/a/LWT", b"Offline", retained=True, now=0.0)
    assert device.command("tasmota-a", "power", "true").topic == "a/cmnd/POWER"


def test_words_of_states_and_of_the_last_will_are_those_of_discovery() -> None:
    config = {
        "t": "p",
        "ft": "%prefix%/%topic%/",
        "tp": ["cmnd", "stat", "tele"],
        "rl": [1],
        "state": ["aus", "ein", "um", "halt"],
        "onln": "da",
        "ofln": "weg",
    }
    device = Reader("tasmota").read(
        recorded(
            ("tasmota/discovery/AABBCCDDEEFF/config", config),
            ("tele/p/LWT", "da"),
            ("stat/p/POWER", "ein"),
        )
    )
    assert (device.online("tasmota-p"), device.value("tasmota-p", "power")) == (True, "ON")
    device.read(recorded(("stat/p/POWER", "aus"), ("tele/p/LWT", "weg")))
    assert (device.online("tasmota-p"), device.value("tasmota-p", "power")) == (False, "OFF")
    assert device.command("tasmota-p", "power", "true") == ("cmnd/p/POWER", "ON")


def test_relay_is_switched_with_its_own_words() -> None:
    plug = Reader("tasmota").read(TASMOTA)
    assert plug.command(PLUG, "power", "true") == ("cmnd/plug-1/POWER", "ON")
    assert plug.command(PLUG, "power", "0") == ("cmnd/plug-1/POWER", "OFF")
    with pytest.raises(ProtocolError, match="ON or OFF"):
        plug.command(PLUG, "power", "maybe")
    with pytest.raises(ProtocolError, match="read-only"):
        plug.command(PLUG, "energy_power", "3")


def test_device_with_several_relays_and_a_light() -> None:
    state = {"POWER1": "ON", "POWER2": "OFF", "Dimmer": 40, "Color": "FF8000", "CT": 327}
    device = Reader("tasmota").read(recorded(("tele/strip/STATE", state)))
    uid = "tasmota-strip"
    assert device.values(uid) == {
        "power1": "ON",
        "power2": "OFF",
        "dimmer": 40,
        "color": "#ff8000",
        "ct": 327,
    }
    assert device.command(uid, "power2", "ON") == ("cmnd/strip/POWER2", "ON")
    assert device.command(uid, "dimmer", "70") == ("cmnd/strip/Dimmer", "70")
    assert device.command(uid, "color", "#00FF00") == ("cmnd/strip/Color", "#00ff00")


def test_state_on_two_topics_is_one_reading() -> None:
    plug = Reader("tasmota").read(TASMOTA)
    count = len(plug.events)
    plug.read(recorded(("stat/plug-1/RESULT", {"POWER": "OFF"}), ("stat/plug-1/POWER", "OFF")))
    assert len(plug.events) == count + 1


def test_last_will_puts_a_device_offline() -> None:
    plug = Reader("tasmota").read(TASMOTA)
    assert plug.online(PLUG) is True
    plug.read(recorded(("tele/plug-1/LWT", "Offline")))
    assert plug.online(PLUG) is False


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tele/plug-1/STATE", b"[]"),
        ("tele/plug-1/STATE", b"{"),
        ("tele/plug-1/STATE", b"\xff"),
        ("tele/plug-1/LWT", b"maybe"),
        ("tele/plug-1/SENSOR", b'{"a":' * 5000),
        ("tele/plug-1", b"{}"),
        ("tele/a/b/c/STATE", b"{}"),
        ("tele//STATE", b"{}"),
        ("tasmota/discovery/AABBCCDDEEFF001/config", b"{}"),
        ("tasmota/discovery/AABBCCDDEEFF/config", b'{"t":"a/b"}'),
        ("tasmota/discovery/AABBCCDDEEFF/config", b'{"t":"#"}'),
    ],
)
def test_what_is_no_message_of_tasmota_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader("tasmota").dialect.receive(topic, payload, retained=False, now=0.0)


def test_values_of_the_wrong_type_are_left_out() -> None:
    state = {"POWER": 1, "POWER2": ["ON"], "Dimmer": "x", "CT": True, "Color": "zz", "Wifi": []}
    device = Reader("tasmota").read(recorded(("tele/x/STATE", state)))
    assert device.values("tasmota-x") == {}


def test_phases_and_shutters_of_a_device_with_two_relays_are_resources() -> None:
    energy = {"TotalStartTime": "2023-07-09T22:43:02", "Total": 0.852, "Power": [12, 0]}
    energy |= {"Factor": [0.9, 0.0], "Voltage": 231, "Current": [0.055, 0.0]}
    sensors = {"Time": "2024-05-20T19:34:53", "ENERGY": energy}
    shutter = {"Position": 100, "Direction": 0, "Target": 100, "Tilt": 0}
    moving = {"Shutter1": {"Position": 35, "Direction": 1, "Target": 76}}
    device = Reader("tasmota").read(
        recorded(
            ("tele/blind/SENSOR", {**sensors, "Shutter1": shutter}),
            ("stat/blind/RESULT", moving),
            ("stat/blind/RESULT", {"ShutterPosition1": 76}),
        )
    )
    uid = "tasmota-blind"
    assert device.values(uid) == {
        "energy_total": (0.852, "kWh"),
        "energy_power_1": (12, "W"),
        "energy_power_2": (0, "W"),
        "energy_factor_1": 0.9,
        "energy_factor_2": 0.0,
        "energy_voltage": (231, "V"),
        "energy_current_1": (0.055, "A"),
        "energy_current_2": (0.0, "A"),
        "shutter1_position": 35,
        "shutter1_direction": 1,
    }
    assert device.command(uid, "shutter1_position", "70") == ("cmnd/blind/ShutterPosition1", "70")


def test_relay_with_the_name_of_its_device_has_no_label() -> None:
    config = {"t": "lamp", "dn": "Tasmota", "fn": ["Tasmota", "Heater"], "rl": [1, 1]}
    topics = {"ft": "%prefix%/%topic%/", "tp": USUAL}
    device = Reader("tasmota").read(recorded(("tasmota/discovery/A0/config", config | topics)))
    assert device.type("tasmota-lamp", "power1").label == ""
    assert device.type("tasmota-lamp", "power2").label == "Heater"


def test_words_of_a_changed_state_text_are_the_same_states() -> None:
    device = Reader("tasmota").read(
        recorded(("stat/Shutter_06/RESULT", {"POWER1": "off"}), ("stat/Shutter_06/POWER2", "on"))
    )
    assert device.values("tasmota-Shutter_06") == {"power1": "OFF", "power2": "ON"}


def test_fans_channels_and_white_are_written() -> None:
    state = {"FanSpeed": 2, "Dimmer1": 30, "White": 10, "Color": "FF800010A0"}
    device = Reader("tasmota").read(recorded(("tele/fan/STATE", state)))
    assert device.values("tasmota-fan") == {
        "fanspeed": 2,
        "dimmer1": 30,
        "white": 10,
        "color": "#ff8000",
    }
    assert device.command("tasmota-fan", "fanspeed", "3") == ("cmnd/fan/FanSpeed", "3")
    assert device.command("tasmota-fan", "dimmer1", "5") == ("cmnd/fan/Dimmer1", "5")


def test_several_thermometers_on_one_wire_have_units() -> None:
    sensors = {
        "DS18B20-1": {"Id": "01131B123456", "Temperature": 20.1},
        "DS18B20-2": {"Id": "01131B654321", "Temperature": 68.5},
        "TempUnit": "C",
    }
    device = Reader("tasmota").read(recorded(("tele/cellar/SENSOR", sensors)))
    assert device.value("tasmota-cellar", "ds18b20-1_temperature") == (20.1, "Cel")
    assert device.value("tasmota-cellar", "ds18b20-2_id") == "01131B654321"


def test_names_that_are_one_resource_do_not_fill_the_memory() -> None:
    device = TasmotaDialect()
    for number in range(PATHS_MAX):
        sensor = {"A": {f"{number:b}".replace("0", "é").replace("1", "è"): 5}, "xUnit": 1}
        payload = json.dumps({f"{number}Unit": 5, **sensor}).encode()
        device.receive("tele/x/SENSOR", payload, retained=False, now=0.0)
    (learned,) = device._devices.values()
    assert learned.names_known == PATHS_MAX
    assert len(learned.types) < 20


_NAMES = st.sampled_from(["A", "Temperature", "Power", "POWER1", "xUnit", "Shutter1", "Position"])
_SENSORS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["ON", "x"]),
    lambda it: st.lists(it, max_size=2) | st.dictionaries(_NAMES, it, max_size=3),
    max_leaves=8,
)


@given(messages=st.lists(st.dictionaries(_NAMES, _SENSORS, max_size=3), min_size=2, max_size=5))
def test_sensors_that_are_known_have_the_values_of_sensors_that_are_read_anew(
    messages: list[dict[str, Any]],
) -> None:
    remembers, forgets = TasmotaDialect(), TasmotaDialect()
    for message in messages:
        payload = json.dumps(message).encode()
        forgets._sensor_topics.clear()
        events = [
            it.receive("tele/x/SENSOR", payload, retained=False, now=0.0)
            for it in (remembers, forgets)
        ]
        assert events[0] == events[1]


def test_known_sensors_of_a_device_that_was_evicted_are_read_anew() -> None:
    device = TasmotaDialect()
    payload = json.dumps({"AM2301": {"Temperature": 20.5}}).encode()
    for _ in range(3):
        device.receive("tele/x/SENSOR", payload, retained=False, now=0.0)
    device._devices.remove("tasmota-x")
    events = device.receive("tele/x/SENSOR", payload, retained=False, now=1.0)
    assert events is not None
    assert DeviceChanged("tasmota-x") in events
