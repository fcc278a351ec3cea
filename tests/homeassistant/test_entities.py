# SPDX-License-Identifier: BSD-3-Clause
"""Resources as entities, as Home Assistant documents them: components, states and commands."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.homeassistant.discovery import (
    EARLIER_SIZE_MAX,
    Description,
    components_of,
    config_payload,
)
from pyaiot.homeassistant.entities import STATE_LENGTH_MAX, Entity
from pyaiot.homeassistant.names import Topics
from pyaiot.homeassistant.units import UNITS
from pyaiot.model import ResourceType, infer


def component(it: ResourceType) -> dict[str, Any]:
    return Entity(it).component("Name", "state", "command")


def number(unit: str, **more: Any) -> ResourceType:
    return ResourceType(kind="number", unit=unit, **more)


@pytest.mark.parametrize(
    ("unit", "shown", "device_class"),
    [
        ("Cel", "°C", "temperature"),
        ("%RH", "%", "humidity"),
        ("%EL", "%", "battery"),
        ("hPa", "hPa", "pressure"),
        ("Pa", "Pa", "pressure"),
        ("lx", "lx", "illuminance"),
        ("W", "W", "power"),
        ("V", "V", "voltage"),
        ("mV", "mV", "voltage"),
        ("A", "A", "current"),
        ("Hz", "Hz", "frequency"),
        ("m/s", "m/s", "speed"),
        ("s", "s", "duration"),
        ("dBm", "dBm", "signal_strength"),
        ("B", "B", "data_size"),
    ],
)
def test_a_number_has_the_unit_and_class_of_home_assistant(
    unit: str, shown: str, device_class: str
) -> None:
    assert component(number(unit)) == {
        "p": "sensor",
        "name": "Name",
        "stat_t": "state",
        "unit_of_meas": shown,
        "dev_cla": device_class,
        "stat_cla": "measurement",
    }


def test_a_meter_counts_up() -> None:
    assert component(number("kWh"))["stat_cla"] == "total_increasing"


def test_a_number_without_a_unit_is_charted() -> None:
    assert component(number("")) == {
        "p": "sensor",
        "name": "Name",
        "stat_t": "state",
        "stat_cla": "measurement",
    }


def test_a_unit_that_home_assistant_does_not_know_is_shown_without_a_class() -> None:
    shown = component(number("furlong"))
    assert shown["unit_of_meas"] == "furlong"
    assert "dev_cla" not in shown


def test_the_class_of_metadata_counts_where_the_unit_allows_it() -> None:
    assert component(number("ppm", device_class="carbon_dioxide"))["dev_cla"] == "carbon_dioxide"
    assert component(number("hPa", device_class="atmospheric_pressure"))["dev_cla"] == (
        "atmospheric_pressure"
    )
    # Home Assistant refuses a class that it does not know.
    assert component(number("Cel", device_class="nonsense"))["dev_cla"] == "temperature"
    assert "dev_cla" not in component(number("ppm", device_class="temperature"))
    switch = ResourceType(kind="boolean", writable=True, device_class="nonsense")
    assert "dev_cla" not in component(switch)


def test_a_unit_that_home_assistant_lacks_is_converted_both_ways() -> None:
    entity = Entity(number("kVA", writable=True, minimum=0.0, maximum=2.0, step=0.1))
    assert entity.state("1.5") == b"1500"
    shown = entity.component("Name", "state", "command")
    assert (shown["min"], shown["max"], shown["step"]) == (0.0, 2000.0, 100.0)
    assert entity.value_of_command("1500", None) == 1.5


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        (
            ResourceType(kind="boolean", writable=True, device_class="outlet"),
            {"p": "switch", "dev_cla": "outlet", "stat_t": "state", "cmd_t": "command"},
        ),
        (
            ResourceType(kind="boolean", device_class="motion"),
            {"p": "binary_sensor", "dev_cla": "motion", "stat_t": "state"},
        ),
        (
            ResourceType(kind="number", unit="Cel", writable=True, minimum=5, maximum=30, step=0.5),
            {
                "p": "number",
                "min": 5.0,
                "max": 30.0,
                "step": 0.5,
                "mode": "auto",
                "unit_of_meas": "°C",
                "dev_cla": "temperature",
                "stat_t": "state",
                "cmd_t": "command",
            },
        ),
        (
            ResourceType(kind="enum", choices=("eco", "boost"), writable=True),
            {"p": "select", "ops": ("eco", "boost"), "stat_t": "state", "cmd_t": "command"},
        ),
        (
            ResourceType(kind="enum", choices=("eco", "boost")),
            {"p": "sensor", "dev_cla": "enum", "ops": ("eco", "boost"), "stat_t": "state"},
        ),
        (
            ResourceType(kind="text", writable=True, maximum=16),
            {"p": "text", "min": 0, "max": 16, "stat_t": "state", "cmd_t": "command"},
        ),
        (ResourceType(kind="text"), {"p": "sensor", "stat_t": "state"}),
        (
            ResourceType(kind="command", device_class="restart"),
            {"p": "button", "pl_prs": "PRESS", "dev_cla": "restart", "cmd_t": "command"},
        ),
        (
            ResourceType(kind="command", choices=("u", "d")),
            {"p": "select", "ops": ("u", "d"), "cmd_t": "command"},
        ),
        (
            ResourceType(kind="colour", writable=True),
            {
                "p": "light",
                "schema": "json",
                "sup_clrm": ["rgb"],
                "brightness": False,
                "stat_t": "state",
                "cmd_t": "command",
            },
        ),
        (
            ResourceType(kind="position"),
            {"p": "device_tracker", "json_attr_t": "state", "src_type": "gps"},
        ),
        (ResourceType(kind="vector"), {"p": "sensor", "stat_t": "state"}),
        (ResourceType(kind="json"), {"p": "sensor", "stat_t": "state"}),
    ],
)
def test_each_kind_has_its_component(it: ResourceType, expected: dict[str, Any]) -> None:
    assert component(it) == {**expected, "name": "Name"}


def test_limits_of_a_number_are_a_range_that_home_assistant_accepts() -> None:
    def limits(**more: Any) -> tuple[float, float, float]:
        shown = component(number("", writable=True, **more))
        return shown["min"], shown["max"], shown["step"]

    assert limits() == (-1_000_000.0, 1_000_000.0, 0.001)
    assert limits(minimum=5.0, maximum=5.0) == (5.0, 6.0, 1.0)
    assert limits(minimum=0.0, maximum=10.0, step=1e-9) == (0.0, 10.0, 0.001)
    assert limits(precision=0)[2] == 1.0


def test_the_label_of_a_resource_is_its_name() -> None:
    assert component(ResourceType(kind="text", label="Message"))["name"] == "Message"


@pytest.mark.parametrize(
    ("it", "data", "state"),
    [
        (number("Cel"), "23.5°C", b"23.5"),
        (number(""), 7, b"7"),
        (number("S/m"), 0.12, b"1.2"),
        (number("Cel"), "broken", None),
        (ResourceType(kind="boolean", on="open", off="shut"), "open", b"ON"),
        (ResourceType(kind="boolean"), "false", b"OFF"),
        (ResourceType(kind="boolean"), "perhaps", None),
        (ResourceType(kind="enum", choices=("a", "b")), "a", b"a"),
        (ResourceType(kind="enum", choices=("a", "b")), "c", None),
        (ResourceType(kind="enum", choices=("a", "b"), writable=True), "c", None),
        (ResourceType(kind="text"), "é" * 300, ("é" * STATE_LENGTH_MAX).encode()),
        (ResourceType(kind="text"), "\ud800", b"?"),
        (ResourceType(kind="command"), "u", None),
        (
            ResourceType(kind="colour", writable=True),
            "255,136,0",
            b'{"state":"ON","color_mode":"rgb","color":{"r":255,"g":136,"b":0}}',
        ),
        (
            ResourceType(kind="colour", writable=True),
            "#00ff00",
            b'{"state":"ON","color_mode":"rgb","color":{"r":0,"g":255,"b":0}}',
        ),
        (
            ResourceType(kind="colour", writable=True),
            "#000000",
            b'{"state":"OFF","color_mode":"rgb","color":{"r":0,"g":0,"b":0}}',
        ),
        (ResourceType(kind="colour"), "255,136,0", b"#ff8800"),
        (
            ResourceType(kind="position"),
            '{"lat":48.7,"lng":2.2}',
            b'{"latitude":48.7,"longitude":2.2,"gps_accuracy":0}',
        ),
        (ResourceType(kind="vector"), "[1,2,3]", b"[1.0,2.0,3.0]"),
        (ResourceType(kind="json"), {"a": 1}, b'{"a":1}'),
        (ResourceType(), "anything", b"anything"),
    ],
)
def test_a_value_is_a_state_of_home_assistant(
    it: ResourceType, data: object, state: bytes | None
) -> None:
    assert Entity(it).state(data) == state


@pytest.mark.parametrize(
    ("it", "text", "value"),
    [
        (ResourceType(kind="boolean", writable=True), "ON", True),
        (ResourceType(kind="boolean", writable=True), "OFF", False),
        (number("Cel", writable=True), "21.50", 21.5),
        (ResourceType(kind="enum", choices=("a",), writable=True), "a", "a"),
        (ResourceType(kind="text", writable=True), "hello", "hello"),
        (ResourceType(kind="command"), "PRESS", ""),
        (ResourceType(kind="command", choices=("u",)), "u", "u"),
        (
            ResourceType(kind="colour", writable=True),
            '{"state":"ON","color":{"r":255,"g":136,"b":0}}',
            "#ff8800",
        ),
        (ResourceType(kind="colour", writable=True), '{"state":"OFF"}', "#000000"),
    ],
)
def test_a_command_is_a_value_of_the_model(it: ResourceType, text: str, value: object) -> None:
    assert Entity(it).value_of_command(text, None) == value


def test_a_light_without_a_colour_gets_the_one_that_it_has() -> None:
    light = Entity(ResourceType(kind="colour", writable=True))
    assert light.value_of_command('{"state":"ON"}', "#112233") == "#112233"
    assert light.value_of_command('{"state":"ON"}', "#000000") == "#ffffff"
    assert light.value_of_command('{"state":"ON"}', None) == "#ffffff"


@pytest.mark.parametrize(
    ("it", "text"),
    [
        (ResourceType(kind="boolean", writable=True), "on"),
        (number("Cel", writable=True), "nan"),
        (number("Cel", writable=True), "1e999"),
        (number("Cel", writable=True), "warm"),
        (ResourceType(kind="colour", writable=True), "ON"),
        (ResourceType(kind="colour", writable=True), '{"color":{"r":256,"g":0,"b":0}}'),
        (ResourceType(kind="colour", writable=True), "[" * 100_000),
    ],
)
def test_a_command_that_is_none_is_refused(it: ResourceType, text: str) -> None:
    with pytest.raises(ProtocolError):
        Entity(it).value_of_command(text, None)


@given(st.text(max_size=20), st.one_of(st.text(), st.floats(), st.integers(), st.booleans()))
def test_whatever_a_device_sends_is_a_state_that_home_assistant_accepts(
    name: str, data: object
) -> None:
    state = Entity(infer(name, data)).state(data)
    assert state is None or len(state.decode()) <= STATE_LENGTH_MAX or state.startswith(b"{")


def test_the_discovery_message_is_as_documented() -> None:
    types = {
        "temperature": number("Cel"),
        "led": ResourceType(kind="boolean", writable=True),
    }
    payload = config_payload(
        Topics("pyaiot", "homeassistant"),
        "pyaiot_a",
        Description(name="Node A", room="Kitchen", vendor="RIOT", model="samr21", version="1.2"),
        {resource: Entity(it) for resource, it in types.items()},
        removed=["binary_sensor.led"],
    )
    message = json.loads(payload)
    assert message.pop("o").pop("name") == "Pyaiot"
    assert message == {
        "dev": {
            "ids": ["pyaiot_a"],
            "name": "Node A",
            "mf": "RIOT",
            "mdl": "samr21",
            "sw": "1.2",
            "sa": "Kitchen",
        },
        "avty": [{"t": "pyaiot/pyaiot"}, {"t": "pyaiot/pyaiot_a"}],
        "avty_mode": "all",
        "cmps": {
            "sensor.temperature": {
                "p": "sensor",
                "name": "Temperature",
                "uniq_id": "pyaiot_a__temperature",
                "stat_t": "pyaiot/pyaiot_a/temperature",
                "stat_cla": "measurement",
                "unit_of_meas": "°C",
                "dev_cla": "temperature",
            },
            "switch.led": {
                "p": "switch",
                "name": "LED",
                "uniq_id": "pyaiot_a__led",
                "stat_t": "pyaiot/pyaiot_a/led",
                "cmd_t": "pyaiot/pyaiot_a/led/set",
            },
            "binary_sensor.led": {"p": "binary_sensor"},
        },
    }


def test_what_is_read_back_is_what_pyaiot_published() -> None:
    topics = Topics("pyaiot", "homeassistant")
    entities = {"led": Entity(ResourceType(kind="boolean"))}
    payload = config_payload(topics, "pyaiot_a", Description(name="a"), entities, ["sensor.x"])
    assert components_of(payload) == frozenset({"binary_sensor.led", "sensor.x"})
    for other in (
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"o":{"name":"Tasmota"},"cmps":{}}',
        b'{"cmps":{"sensor.x":{"p":"sensor"}}}',
        b'{"o":{"name":"Pyaiot"},"cmps":[]}',
        b'{"o":{"name":"Pyaiot"}, "x": "' + b"x" * EARLIER_SIZE_MAX + b'"}',
        b"\xff",
    ):
        assert components_of(other) is None


def test_every_factor_converts() -> None:
    assert {name for name, unit in UNITS.items() if unit.factor != 1.0} == {"S/m", "kVA", "kvar"}
