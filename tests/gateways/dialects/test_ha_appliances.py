# SPDX-License-Identifier: BSD-3-Clause
"""Appliances and locks of Home Assistant discovery, with the keys of its documentation."""

import json
from typing import Any, TypeAlias

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.ha_appliances import APPLIANCES
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import recorded


def one(component: str, **config: Any) -> Reader:
    """A device with one entity."""
    whole = {"dev": {"ids": "d"}, **config}
    return Reader("homeassistant").read(recorded((f"homeassistant/{component}/x/config", whole)))


CLIMATE = {
    "mode_stat_t": "d/s",
    "mode_stat_tpl": "{{ value_json.mode }}",
    "mode_cmd_t": "d/mode/set",
    "modes": ["off", "heat"],
    "temp_cmd_t": "d/t/set",
    "temp_stat_t": "d/s",
    "temp_stat_tpl": "{{ value_json.target }}",
    "min_temp": 5,
    "max_temp": 30,
    "temp_step": 0.5,
    "curr_temp_t": "d/s",
    "curr_temp_tpl": "{{ value_json.now }}",
    "fan_mode_cmd_t": "d/fan/set",
    "pr_mode_cmd_t": "d/p/set",
    "pr_mode_stat_t": "d/p",
    "pr_modes": ["eco", "away"],
    "act_t": "d/a",
    "pow_cmd_t": "d/power/set",
}
Case: TypeAlias = tuple[
    str, dict[str, Any], list[tuple[str, Any]], dict[str, Any], dict[tuple[str, str], Any]
]
CASES: list[Case] = [
    (
        "climate",
        CLIMATE,
        [
            ("d/s", {"mode": "heat", "target": 20.5, "now": 19.1}),
            ("d/p", "eco"),
            ("d/a", "heating"),
        ],
        {
            "x_mode": "heat",
            "x_temperature": (20.5, "Cel"),
            "x_current_temperature": (19.1, "Cel"),
            "x_preset_mode": "eco",
            "x_action": "heating",
        },
        {
            ("x_mode", "HEAT"): ("d/mode/set", "heat"),
            ("x_temperature", "21.5"): ("d/t/set", "21.5"),
            ("x_fan_mode", "low"): ("d/fan/set", "low"),
            ("x_power", "false"): ("d/power/set", "OFF"),
        },
    ),
    (
        "water_heater",
        {"mode_cmd_t": "d/m", "temp_cmd_t": "d/t", "curr_temp_t": "d/c", "temp_unit": "F"},
        [("d/c", "104")],
        {"x_current_temperature": "104°F"},
        {("x_mode", "eco"): ("d/m", "eco"), ("x_temperature", "120"): ("d/t", "120")},
    ),
    (
        "humidifier",
        {
            "stat_t": "d/s",
            "cmd_t": "d/c",
            "hum_cmd_t": "d/h/set",
            "hum_stat_t": "d/h",
            "mode_cmd_t": "d/m/set",
            "modes": ["auto", "night"],
            "curr_hum_t": "d/now",
        },
        [("d/s", "ON"), ("d/h", "45"), ("d/now", "38.5")],
        {
            "x": "ON",
            "x_target_humidity": (45, "%RH"),
            "x_current_humidity": (38.5, "%RH"),
        },
        {
            ("x", "off"): ("d/c", "OFF"),
            ("x_target_humidity", "50"): ("d/h/set", "50"),
            ("x_mode", "night"): ("d/m/set", "night"),
        },
    ),
    (
        "fan",
        {
            "stat_t": "d/s",
            "cmd_t": "d/c",
            "pct_cmd_t": "d/p/set",
            "pct_stat_t": "d/p",
            "spd_rng_max": 6,
            "osc_cmd_t": "d/o/set",
            "osc_stat_t": "d/o",
            "pr_mode_cmd_t": "d/m/set",
            "pr_modes": ["auto"],
            "dir_cmd_t": "d/d/set",
        },
        [("d/s", "OFF"), ("d/p", "4"), ("d/o", "oscillate_on")],
        {"x": "OFF", "x_percentage": 4, "x_oscillation": "oscillate_on"},
        {
            ("x", "1"): ("d/c", "ON"),
            ("x_percentage", "6"): ("d/p/set", "6"),
            ("x_oscillation", "false"): ("d/o/set", "oscillate_off"),
            ("x_preset_mode", "AUTO"): ("d/m/set", "auto"),
            ("x_direction", "reverse"): ("d/d/set", "reverse"),
        },
    ),
    (
        "lock",
        {"stat_t": "d/s", "cmd_t": "d/c", "pl_open": "OPEN"},
        [("d/s", "LOCKING"), ("d/s", "LOCKED")],
        {"x": "LOCK"},
        {("x", "false"): ("d/c", "UNLOCK"), ("x_open", "open"): ("d/c", "OPEN")},
    ),
    (
        "alarm_control_panel",
        {"stat_t": "d/s", "cmd_t": "d/c", "sup_feat": ["arm_home", "arm_away"]},
        [("d/s", "armed_home")],
        {"x": "armed_home"},
        {("x", "disarm"): ("d/c", "DISARM"), ("x", "ARM_AWAY"): ("d/c", "ARM_AWAY")},
    ),
    (
        "siren",
        {"stat_t": "d/s", "cmd_t": "d/c"},
        [("d/s", {"state": "ON", "tone": "bell"})],
        {"x": "ON"},
        {("x", "0"): ("d/c", '{"state": "OFF"}')},
    ),
    (
        "siren",
        {"stat_t": "d/s", "cmd_t": "d/c", "cmd_tpl": "{{ value }}!"},
        [("d/s", "OFF")],
        {"x": "OFF"},
        {("x", "on"): ("d/c", "ON!")},
    ),
    (
        "valve",
        {"stat_t": "d/s", "cmd_t": "d/c", "pl_stop": "STOP"},
        [("d/s", "opening")],
        {"x": "opening"},
        {("x", "open"): ("d/c", "OPEN"), ("x", "stop"): ("d/c", "STOP")},
    ),
    (
        "valve",
        {"stat_t": "d/s", "cmd_t": "d/c", "pos": True},
        [("d/s", {"state": "opening", "position": 40}), ("d/s", "opening"), ("d/s", "41")],
        {"x_position": 41},
        {("x_position", "10"): ("d/c", "10")},
    ),
    (
        "update",
        {"stat_t": "d/s", "cmd_t": "d/c", "pl_inst": "install"},
        [("d/s", {"installed_version": "1.2", "latest_version": "1.3", "in_progress": False})],
        {"x_installed": "1.2", "x_latest": "1.3"},
        {("x_install", "install"): ("d/c", "install")},
    ),
    (
        "update",
        {"stat_t": "d/s", "l_ver_t": "d/l"},
        [("d/s", "1.2"), ("d/l", "1.4")],
        {"x_installed": "1.2", "x_latest": "1.4"},
        {},
    ),
    (
        "device_tracker",
        {"stat_t": "d/s", "json_attr_t": "d/a", "pl_home": "in", "pl_not_home": "out"},
        [("d/s", "in"), ("d/a", {"latitude": 48.7, "longitude": 2.2, "gps_accuracy": 5})],
        {"x": "home", "x_position": {"lat": 48.7, "lng": 2.2}},
        {},
    ),
    (
        "event",
        {"stat_t": "d/s", "evt_typ": ["press", "hold"], "dev_cla": "button"},
        [("d/s", {"event_type": "press"}), ("d/s", {"event_type": "other"}), ("d/s", "press")],
        {"x": "press"},
        {},
    ),
    (
        "vacuum",
        {
            "stat_t": "d/s",
            "cmd_t": "d/c",
            "set_fan_spd_t": "d/f",
            "fanspd_lst": ["min", "max"],
            "sup_feat": ["start", "return_home", "fan_speed"],
        },
        [("d/s", {"state": "docked", "fan_speed": "max"})],
        {"x": "docked", "x_fan_speed": "max"},
        {
            ("x_command", "start"): ("d/c", "start"),
            ("x_command", "return_to_base"): ("d/c", "return_to_base"),
            ("x_fan_speed", "min"): ("d/f", "min"),
        },
    ),
    (
        "lawn_mower",
        {
            "act_stat_t": "d/s",
            "act_val_tpl": "{{ value_json.a }}",
            "dock_cmd_t": "d/dock",
            "strt_mw_cmd_t": "d/start",
        },
        [("d/s", {"a": "mowing"})],
        {"x": "mowing"},
        {
            ("x_dock", "now"): ("d/dock", "dock"),
            ("x_start_mowing", "1"): ("d/start", "start_mowing"),
        },
    ),
    ("scene", {"cmd_t": "d/c"}, [], {}, {("x", "1"): ("d/c", "ON")}),
    (
        "notify",
        {"cmd_t": "d/c", "cmd_tpl": '{"text": "{{ value }}"}'},
        [],
        {},
        {("x", "hello"): ("d/c", '{"text": "hello"}')},
    ),
    (
        "light",
        {
            "stat_t": "d/s",
            "cmd_t": "d/c",
            "rgb_cmd_t": "d/rgb/set",
            "rgb_stat_t": "d/rgb",
            "clr_temp_cmd_t": "d/ct/set",
            "fx_cmd_t": "d/fx/set",
            "fx_list": ["rainbow"],
        },
        [("d/rgb", "255,128,0"), ("d/rgb", "1,2"), ("d/rgb", "256,0,0")],
        {"x_color": "#ff8000"},
        {
            ("x_color", "#0000ff"): ("d/rgb/set", "0,0,255"),
            ("x_color_temp", "300"): ("d/ct/set", "300"),
            ("x_effect", "Rainbow"): ("d/fx/set", "rainbow"),
        },
    ),
]


@pytest.mark.parametrize(
    ("component", "config", "messages", "values", "commands"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_entity_has_values_and_commands(
    component: str,
    config: dict[str, Any],
    messages: list[tuple[str, Any]],
    values: dict[str, Any],
    commands: dict[tuple[str, str], tuple[str, str]],
) -> None:
    reader = one(component, **config)
    assert reader.problems() == {}
    reader.read(recorded(*messages))
    assert reader.values("ha-d") == values
    for (resource, text), sent in commands.items():
        assert reader.command("ha-d", resource, text) == sent, resource


def test_every_component_has_a_case() -> None:
    assert set(APPLIANCES) <= {case[0] for case in CASES}


@pytest.mark.parametrize("component", sorted(APPLIANCES))
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"stat_t": "#", "cmd_t": "+", "mode_stat_t": "#", "json_attr_t": "+", "act_stat_t": "#"},
        {"stat_t": 5, "cmd_t": [], "mode_cmd_t": {}, "json_attr_t": 1, "act_stat_t": []},
        {
            "stat_t": "d/s",
            "cmd_t": "d/c",
            "modes": 5,
            "mode_cmd_t": "d/m",
            "evt_typ": "x",
            "sup_feat": 7,
            "fanspd_lst": {},
            "set_fan_spd_t": "d/f",
            "val_tpl": ["x"],
            "json_attr_t": "d/a",
            "json_attr_tpl": 7,
            "code_format": 7,
            "cmd_tpl": 5,
            "act_stat_t": "d/s",
            "act_val_tpl": "{{ states('x') }}",
            "l_ver_t": [],
        },
    ],
    ids=["empty", "wildcards", "types", "further types"],
)
def test_entity_that_cannot_be_one_is_stated(component: str, config: dict[str, Any]) -> None:
    reader = one(component, **config)
    assert list(reader.problems()) == [f"{component} x"]
    assert reader.uids() == set()


@pytest.mark.parametrize(
    ("component", "config", "why"),
    [
        ("lock", {"cmd_t": "d/c", "cod_form": "^\\d{4}$"}, "a code"),
        ("alarm_control_panel", {"stat_t": "d/s", "cmd_t": "d/c", "code": "1234"}, "a code"),
        ("camera", {"t": "d/c"}, "the component camera is not understood"),
        ("image", {"url_t": "d/c"}, "the component image is not understood"),
        ("tag", {"t": "d/c"}, "the component tag is not understood"),
        ("device_automation", {"t": "d/c"}, "the component device_automation"),
    ],
)
def test_what_is_not_understood_is_stated_with_its_reason(
    component: str, config: dict[str, Any], why: str
) -> None:
    assert why in one(component, **config).problems()[f"{component} x"]


def test_states_that_are_none_or_unknown_change_nothing() -> None:
    reader = one("climate", **CLIMATE)
    count = len(reader.events)
    reader.read(recorded(("d/p", "None"), ("d/a", ""), ("d/s", {"mode": None}), ("d/s", "[")))
    assert len(reader.events) == count


def test_number_in_fahrenheit_has_no_unit_that_it_is_not_in() -> None:
    reader = one("number", stat_t="d/s", cmd_t="d/c", unit_of_meas="°F", min=50, max=90)
    reader.read(recorded(("d/s", "70")))
    assert reader.value("ha-d", "x") == 70
    assert reader.command("ha-d", "x", "72") == ("d/c", "72")


def test_command_outside_of_the_limits_is_refused() -> None:
    reader = one("climate", **CLIMATE)
    for resource, text in (("x_temperature", "31"), ("x_mode", "dry"), ("x_action", "idle")):
        with pytest.raises(ProtocolError):
            reader.command("ha-d", resource, text)


def test_siren_without_a_template_gets_json() -> None:
    topic, payload = one("siren", cmd_t="d/c").command("ha-d", "x", "true")
    assert (topic, json.loads(payload)) == ("d/c", {"state": "ON"})
