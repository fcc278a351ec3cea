# SPDX-License-Identifier: BSD-3-Clause
"""Devices that announce themselves as Home Assistant documents it."""

import json
from typing import Any

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import TopicsWanted
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import HOMEASSISTANT, recorded

GARDEN = "ha-garden-0042"
FAN = "ha-fan-7"


def one(component: str, **config: Any) -> Reader:
    """A device with one entity."""
    whole = {"dev": {"ids": "d"}, **config}
    return Reader("homeassistant").read(recorded((f"homeassistant/{component}/x/config", whole)))


def test_entities_of_one_device_are_one_node() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    assert reader.uids() == {GARDEN, FAN}
    assert reader.values(GARDEN) == {"temperature": (21.4, "Cel"), "valve": "close"}
    assert reader.dialect.describe(GARDEN).details == {
        "name": "Garden station",
        "vendor": "Example",
        "board": "GS1",
        "version": "1.2",
    }
    temperature = reader.type(GARDEN, "temperature")
    assert (temperature.kind, temperature.device_class) == ("number", "temperature")


def test_topics_of_states_and_availability_are_wanted() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT[:1])
    (wanted,) = [it for it in reader.events if isinstance(it, TopicsWanted)]
    assert wanted.topics == ["garden/status", "garden/sensors"]


def test_what_is_not_understood_is_stated_per_entity() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    assert list(reader.problems()) == ["sensor odd", "camera eye"]
    assert list(reader.dialect.describe(FAN).types) == ["speed", "mode", "restart"]


def test_commands_have_the_topics_and_words_of_the_configuration() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    assert reader.command(GARDEN, "valve", "on") == ("garden/valve/set", "open")
    assert reader.command(FAN, "speed", "7") == ("fan-7/speed/set", "7")
    assert reader.command(FAN, "mode", "AUTO") == ("fan-7/mode/set", "auto")
    assert reader.command(FAN, "restart", "now") == ("fan-7/restart", "1")
    assert reader.dialect.command(FAN, "speed", "1").qos == 1
    with pytest.raises(ProtocolError, match="10"):
        reader.command(FAN, "speed", "11")
    with pytest.raises(ProtocolError):
        reader.command(GARDEN, "temperature", "1")


def test_availability_puts_a_device_online_and_offline() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    assert reader.online(GARDEN) is True
    reader.read(recorded(("garden/status", "offline")))
    assert reader.online(GARDEN) is False


@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("all", [None, True, False, True]),
        ("any", [True, True, True, True]),
        ("latest", [True, True, False, True]),
    ],
)
def test_several_availability_topics_count_by_mode(mode: str, states: list[bool | None]) -> None:
    reader = one(
        "sensor",
        stat_t="d/s",
        avty=[{"t": "d/a"}, {"t": "d/b", "pl_avail": "1", "pl_not_avail": "0"}],
        avty_mode=mode,
    )
    seen = []
    for topic, payload in (("d/a", "online"), ("d/b", "1"), ("d/b", "0"), ("d/b", "1")):
        reader.read(recorded((topic, payload)))
        seen.append(reader.online("ha-d"))
    assert seen == states


def test_binary_sensor_with_a_template() -> None:
    reader = one(
        "binary_sensor",
        stat_t="d/s",
        dev_cla="window",
        pl_on="True",
        pl_off="False",
        val_tpl="{{ value_json['contact'] }}",
    )
    reader.read(recorded(("d/s", {"contact": True})))
    assert reader.value("ha-d", "x") == "True"
    assert reader.type("ha-d", "x").device_class == "window"


def test_switch_whose_states_differ_from_its_commands_reports_those_of_commands() -> None:
    reader = one(
        "switch", stat_t="d/s", cmd_t="d/c", pl_on="1", pl_off="0", stat_on="on", stat_off="off"
    )
    reader.read(recorded(("d/s", "on")))
    assert reader.value("ha-d", "x") == "1"
    assert reader.command("ha-d", "x", "false") == ("d/c", "0")


def test_light_with_json_schema() -> None:
    reader = one(
        "light",
        schema="json",
        stat_t="d/s",
        cmd_t="d/c",
        brightness=True,
        sup_clrm=["rgb", "color_temp"],
        min_mirs=153,
        max_mirs=500,
    )
    state = {"state": "ON", "brightness": 120, "color": {"r": 255, "g": 128, "b": 0}}
    reader.read(recorded(("d/s", state)))
    assert reader.values("ha-d") == {"x": "ON", "x_brightness": 120, "x_color": "#ff8000"}

    def sent(resource: str, text: str) -> object:
        return json.loads(reader.command("ha-d", resource, text)[1])

    assert sent("x", "0") == {"state": "OFF"}
    assert sent("x_brightness", "30") == {"state": "ON", "brightness": 30}
    assert sent("x_color_temp", "200") == {"state": "ON", "color_temp": 200}
    assert sent("x_color", "#0000ff") == {"state": "ON", "color": {"r": 0, "g": 0, "b": 255}}


def test_light_with_the_basic_schema() -> None:
    reader = one("light", stat_t="d/s", cmd_t="d/c", bri_stat_t="d/b", bri_cmd_t="d/b/set")
    reader.read(recorded(("d/s", "ON"), ("d/b", "200")))
    assert reader.values("ha-d") == {"x": "ON", "x_brightness": 200}
    assert reader.command("ha-d", "x_brightness", "5") == ("d/b/set", "5")
    assert list(one("light", schema="template", cmd_t="d/c").problems()) == ["light x"]


def test_cover_with_a_position() -> None:
    reader = one("cover", stat_t="d/s", cmd_t="d/c", pos_t="d/p", set_pos_t="d/p/set")
    reader.read(recorded(("d/s", "opening"), ("d/p", "40")))
    assert reader.values("ha-d") == {"x": "opening", "x_position": 40}
    assert reader.command("ha-d", "x", "stop") == ("d/c", "STOP")
    assert reader.command("ha-d", "x_position", "10") == ("d/p/set", "10")


def test_text_select_number_and_button() -> None:
    assert one("text", cmd_t="d/c", max=5).command("ha-d", "x", "hello") == ("d/c", "hello")
    with pytest.raises(ProtocolError):
        one("text", cmd_t="d/c", max=5).command("ha-d", "x", "longer")
    number = one("number", cmd_t="d/c", cmd_tpl='{"level": {{ value }}}', max=50)
    assert number.command("ha-d", "x", "9") == ("d/c", '{"level": 9}')
    assert one("button", cmd_t="d/c").command("ha-d", "x", "") == ("d/c", "PRESS")
    assert one("select", cmd_t="d/c", ops=["a", "b"]).type("ha-d", "x").choices == ("a", "b")


def test_empty_configuration_removes_its_entity_and_at_last_the_device() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    reader.read(recorded(("homeassistant/switch/garden/valve/config", "")))
    assert list(reader.dialect.describe(GARDEN).types) == ["temperature"]
    assert reader.removed() == set()
    reader.read(recorded(("homeassistant/sensor/garden/temperature/config", "")))
    assert reader.removed() == {GARDEN}
    assert reader.dialect.receive("garden/status", b"online", retained=False, now=0.0) is None
    assert reader.dialect.receive("garden/sensors", b"1", retained=False, now=0.0) is None


def test_new_configuration_replaces_the_old_one() -> None:
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    for _ in range(3):
        reader.read(HOMEASSISTANT[:3])
    assert list(reader.dialect.describe(GARDEN).types) == ["temperature", "valve"]
    count = len(reader.events)
    reader.read(recorded(("garden/sensors", {"climate": {"t": 1}})))
    assert len(reader.events) == count + 1


def test_component_with_only_its_platform_was_removed() -> None:
    config = json.loads(HOMEASSISTANT[2][1])
    config["cmps"]["speed"] = {"p": "number"}
    reader = Reader("homeassistant").read(HOMEASSISTANT)
    reader.read(recorded(("homeassistant/device/fan-7/config", config)))
    assert list(reader.dialect.describe(FAN).types) == ["mode", "restart"]


def test_what_pyaiot_publishes_for_home_assistant_is_ignored() -> None:
    for name in ("Pyaiot", "pyaiot"):
        assert one("sensor", stat_t="pyaiot/x/s", o={"name": name}).events == []


def test_devices_of_zigbee2mqtt_are_left_to_its_own_dialect() -> None:
    config = {"dev": {"ids": "z"}, "stat_t": "zigbee2mqtt/z", "o": {"name": "Zigbee2MQTT"}}
    messages = recorded(("homeassistant/sensor/z/t/config", config))
    assert Reader("homeassistant", "zigbee2mqtt").read(messages).events == []
    assert Reader("homeassistant").read(messages).uids() == {"ha-z"}


def test_birth_message_and_other_topics_are_no_configuration() -> None:
    reader = Reader("homeassistant").read(recorded(("homeassistant/status", "online")))
    assert reader.events == []
    assert reader.dialect.receive("elsewhere/x", b"1", retained=False, now=0.0) is None


@pytest.mark.parametrize(
    "config",
    [
        {"stat_t": "a/+/b"},
        {"stat_t": "#"},
        {"stat_t": "node/x/led"},
        {"stat_t": "gateway/x/led/set"},
        {"stat_t": "$SYS/broker"},
        {"stat_t": "/x"},
        {"stat_t": 7},
        {"stat_t": "x" * 300},
        {"stat_t": "a\nb"},
        {"~": "#", "stat_t": "~"},
        {"stat_t": "s", "avty_t": "+/x"},
        {"stat_t": "s", "avty": [3]},
        {"stat_t": "s", "val_tpl": "{{ states('sensor.x') }}"},
        {"stat_t": "s", "val_tpl": "{{ value_json.a" + ".b" * 40 + " }}"},
        {"stat_t": "s", "val_tpl": ["x"]},
        {"stat_t": "s", "dev_cla": {"x": 1}},
        {"stat_t": "s", "dev_cla": "x" * 65},
        {},
    ],
)
def test_entity_that_names_what_it_may_not_is_not_understood(config: dict[str, Any]) -> None:
    reader = one("sensor", **config)
    assert reader.uids() == set()
    assert list(reader.problems()) == ["sensor x"]


def test_command_topic_of_our_own_nodes_is_refused() -> None:
    reader = one("switch", stat_t="s", cmd_t="gateway/victim/led/set")
    assert list(reader.problems()) == ["switch x"]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("homeassistant/sensor/x/config", b"["),
        ("homeassistant/sensor/x/config", b"[]"),
        ("homeassistant/sensor/x/config", b'{"a":' * 3000),
        ("homeassistant/sensor/x/config", 300_000 * b" "),
        ("homeassistant/sensor//config", b"{}"),
        ("homeassistant/device/x/config", b"{}"),
        ("homeassistant/device/x/config", b'{"cmps":[1]}'),
    ],
)
def test_what_is_no_configuration_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader("homeassistant").dialect.receive(topic, payload, retained=False, now=0.0)


def test_numbers_and_truth_values_may_be_texts() -> None:
    config = {
        "name": "Level",
        "stat_t": "d/level",
        "cmd_t": "d/level/set",
        "dev": {"ids": "d"},
        "min": "5",
        "max": " 30 ",
        "step": "0.5",
        "retain": "true",
        "qos": "1",
    }
    device = Reader("homeassistant").read(recorded(("homeassistant/number/d/config", config)))
    it = device.type("ha-d", "d")
    assert (it.minimum, it.maximum, it.step) == (5, 30, 0.5)
    message = device.dialect.command("ha-d", "d", "7.5")
    assert (message.payload, message.qos, message.retain) == (b"7.5", 1, True)
    with pytest.raises(ProtocolError):
        device.dialect.command("ha-d", "d", "31")
