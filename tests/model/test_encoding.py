# SPDX-License-Identifier: BSD-3-Clause
"""Values in the words of a device, and values that it refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.model import UNKNOWN, Coordinates, ResourceType, decode, encode, infer, payload_for

LED = ResourceType(kind="boolean", on="ON", off="OFF")
SPEED = ResourceType(kind="number", unit="Cel", minimum=5, maximum=30.5, step=0.5)
MODE = ResourceType(kind="enum", choices=("Auto", "heat", "off"))


@pytest.mark.parametrize("value", ["true", "on", "1", "ON", "yes", " Yes ", True, 1, 1.0])
@pytest.mark.parametrize(
    ("on", "off"), [("1", "0"), ("ON", "OFF"), ("true", "false"), ("open", "closed")]
)
def test_every_word_for_true_becomes_the_word_of_the_device(
    value: object, on: str, off: str
) -> None:
    assert encode(ResourceType(kind="boolean", on=on, off=off), value) == on


@pytest.mark.parametrize("value", ["false", "off", "0", "OFF", "no", False, 0])
def test_every_word_for_false_becomes_the_word_of_the_device(value: object) -> None:
    assert encode(LED, value) == "OFF"
    assert encode(ResourceType(kind="boolean"), value) == "0"


def test_the_words_of_the_device_come_first() -> None:
    inverted = ResourceType(kind="boolean", on="0", off="1")
    assert encode(inverted, "0") == "0"
    assert decode(inverted, "0") is True
    assert encode(inverted, "on") == "0"


@pytest.mark.parametrize(
    ("it", "value", "reason"),
    [
        (LED, "maybe", "it takes ON or OFF"),
        (LED, 2, "it takes ON or OFF"),
        (ResourceType(kind="boolean"), "", "it takes 1 or 0"),
        (SPEED, "31", "it takes a number from 5 to 30.5 Cel"),
        (SPEED, -1, "it takes a number from 5 to 30.5 Cel"),
        (SPEED, "warm", "it takes a number from 5 to 30.5 Cel"),
        (SPEED, "20 hPa", "it takes a number in Cel"),
        (SPEED, True, "it takes a number from"),
        (SPEED, "nan", "it takes a number from"),
        (SPEED, "1e999", "it takes a number from"),
        (ResourceType(kind="number", minimum=1), 0, "of at least 1"),
        (ResourceType(kind="number", maximum=1, unit="V"), 2, "of at most 1 V"),
        (MODE, "cool", "it takes one of Auto, heat, off"),
        (ResourceType(kind="command", choices=("u",)), "x", "one of u"),
        (ResourceType(kind="text", maximum=3), "four", "it takes a text of at most 3 characters"),
        (ResourceType(kind="text", minimum=1), "", "it takes a text of at least 1 characters"),
        (ResourceType(kind="colour"), "red", "it takes a colour such as #ff8800"),
        (ResourceType(kind="colour"), {"r": 256, "g": 0, "b": 0}, "a colour"),
        (ResourceType(kind="colour"), {"r": True, "g": 0, "b": 0}, "a colour"),
        (ResourceType(kind="position"), "91,0", "latitude,longitude"),
        (ResourceType(kind="vector"), "[1,", "it takes a list of numbers"),
        (ResourceType(kind="vector"), [], "it takes a list of numbers"),
        (ResourceType(kind="json"), "{", "it takes JSON"),
        (ResourceType(kind="json"), "[" * 60_000, "it takes JSON"),
        (ResourceType(kind="text", writable=False), "x", "is read-only"),
        (UNKNOWN, {1, 2}, None),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_what_is(
    it: ResourceType, value: object, reason: str | None
) -> None:
    if reason is None:
        assert encode(it, value) == "[1,2]"
        return
    with pytest.raises(ProtocolError) as raised:
        encode(it, value)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("it", "value", "payload"),
    [
        (SPEED, "21.50", "21.50"),  # as typed: a device may count digits
        (SPEED, 21.5, "21.5"),
        (SPEED, 21, "21"),
        (SPEED, "21.5 °C", "21.5"),
        (SPEED, "30.5", "30.5"),
        (SPEED, "5", "5"),
        (ResourceType(kind="number"), "0042", "0042"),
        (ResourceType(kind="number"), "\x1f1\n", "1"),
        (MODE, "AUTO", "Auto"),
        (MODE, "off", "off"),
        (ResourceType(kind="enum", choices=("a", "A")), "a", "a"),
        (ResourceType(kind="enum"), "anything", "anything"),
        (ResourceType(kind="command", on="PRESS"), "", "PRESS"),
        (ResourceType(kind="command"), "12:3:14\n", "12:3:14\n"),
        (ResourceType(kind="command", choices=("u", "s")), "U", "u"),
        (ResourceType(kind="text"), "", ""),
        (ResourceType(kind="text"), 5, "5"),
        (ResourceType(kind="colour"), "255,136,0", "#ff8800"),
        (ResourceType(kind="colour", form="rgb"), "#FF8800", "255,136,0"),
        (ResourceType(kind="colour", form="json"), "ff8800", '{"r":255,"g":136,"b":0}'),
        (ResourceType(kind="colour"), '{"hex":"#ff8800"}', "#ff8800"),
        (ResourceType(kind="position"), "48.7, 2.2", '{"lat":48.7,"lng":2.2}'),
        (ResourceType(kind="position"), {"lat": 48, "lon": -2}, '{"lat":48,"lng":-2}'),
        (ResourceType(kind="vector"), [1, 2.5], "[1,2.5]"),
        (ResourceType(kind="json"), '{"a":1}', '{"a":1}'),
        (ResourceType(kind="json"), {"a": None}, '{"a":null}'),
        (UNKNOWN, "as it is", "as it is"),
    ],
)
def test_a_value_is_written_in_the_words_of_the_device(
    it: ResourceType, value: object, payload: str
) -> None:
    assert encode(it, value) == payload


def test_words_with_spaces_are_words() -> None:
    blank = ResourceType(kind="boolean", on=" ", off="O")
    assert decode(blank, encode(blank, "true")) is True
    assert decode(ResourceType(kind="boolean", on="an ", off="aus"), "AN") is True


def test_choices_that_differ_in_case_only_are_written_exactly() -> None:
    with pytest.raises(ProtocolError):
        encode(ResourceType(kind="enum", choices=("On", "oN")), "ON")


def test_what_is_only_inferred_refuses_nothing() -> None:
    inferred = infer("led", "0")
    assert payload_for(inferred, UNKNOWN, "on") == "1"
    assert payload_for(inferred, UNKNOWN, "blink") == "blink"
    with pytest.raises(ProtocolError):
        payload_for(LED, LED, "blink")


def test_the_reason_is_short_whatever_the_choices() -> None:
    it = ResourceType(kind="enum", choices=tuple(f"{i:064}" for i in range(64)))
    with pytest.raises(ProtocolError) as raised:
        encode(it, "x" * 10_000)
    assert len(str(raised.value)) <= 256


def test_values_are_read_by_their_type() -> None:
    assert decode(ResourceType(kind="number"), "23.5°C") == 23.5
    assert decode(ResourceType(kind="number"), "0042") == 42
    assert decode(LED, "on") is True
    assert decode(LED, 0) is False
    assert decode(SPEED, 99) == 99  # a device may report what nobody may write
    assert decode(MODE, "unknown") == "unknown"
    assert decode(ResourceType(kind="colour"), [255, 136, 0]) == "#ff8800"
    assert decode(ResourceType(kind="position"), '{"lat":1,"lng":2}') == Coordinates(1, 2)
    assert decode(ResourceType(kind="position"), {"latitude": 1, "longitude": 2}) == Coordinates(
        1, 2
    )
    assert decode(ResourceType(kind="vector"), "[1,2]") == (1.0, 2.0)
    imu = '[{"type":"acc","values":[304,488,448]},{"type":"gyro","values":[1,0,0]}]'
    assert decode(ResourceType(kind="vector"), imu) == {
        "acc": (304.0, 488.0, 448.0),
        "gyro": (1.0, 0.0, 0.0),
    }
    assert decode(ResourceType(kind="json"), '{"a":[1]}') == {"a": [1]}
    assert decode(UNKNOWN, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("number", "--327.-6°C"),
        ("number", None),
        ("number", 2**2000),
        ("boolean", None),
        ("boolean", "maybe"),
        ("colour", None),
        ("colour", "#12345"),
        ("position", [1]),
        ("position", {"lat": "x", "lng": 1}),
        ("vector", [{"type": "acc"}]),
        ("vector", [{"type": "acc", "values": ["1"]}]),
        ("vector", list(range(65))),
        ("vector", [{"type": str(i), "values": [1]} for i in range(5)]),
        ("json", "{" + " " * 70_000),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: object, data: object) -> None:
    with pytest.raises(ProtocolError):
        decode(ResourceType(kind=kind), data)  # type: ignore[arg-type]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
kinds = st.sampled_from(
    ["", "number", "boolean", "enum", "text", "command", "colour", "position", "vector", "json"]
)


@given(st.booleans(), st.sampled_from([("1", "0"), ("ON", "OFF"), ("open", "closed")]))
def test_a_boolean_is_read_as_it_was_written(truth: bool, words: tuple[str, str]) -> None:
    it = ResourceType(kind="boolean", on=words[0], off=words[1])
    assert decode(it, encode(it, truth)) is truth


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_was_written(number: float) -> None:
    it = ResourceType(kind="number")
    assert decode(it, encode(it, number)) == number


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(["", "hex", "rgb", "json"]))
def test_a_colour_is_read_as_it_was_written(rgb: tuple[int, int, int], form: object) -> None:
    it = ResourceType(kind="colour", form=form)  # type: ignore[arg-type]
    assert decode(it, encode(it, list(rgb))) == "#{:02x}{:02x}{:02x}".format(*rgb)


@given(kinds, json_values)
def test_any_value_is_written_or_refused(kind: object, value: object) -> None:
    it = ResourceType(kind=kind)  # type: ignore[arg-type]
    payload, reason = "", ""
    try:
        payload = encode(it, value)
    except ProtocolError as error:
        reason = str(error)
    assert len(reason) <= 256
    if reason:
        return
    if kind not in ("", "enum", "text", "command"):
        decode(it, payload)
        if kind == "json":
            json.loads(payload)
