# SPDX-License-Identifier: BSD-3-Clause
"""Topics and payloads of MQTT nodes."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.node_topics import (
    NO_VALUE,
    PAYLOAD_SIZE_MAX,
    RESOURCES_MAX,
    NodeCheck,
    NodeResources,
    NodeValue,
    NodeValues,
    Publication,
    check_topic_name,
    discover_topic,
    encode_check,
    encode_resources,
    encode_value,
    is_of_a_node,
    parse_publication,
    resources_topic,
    set_topic,
    value_in,
    value_topic,
)

HOSTILE = ["", "#", "+", "/", "a/b", "../x", "a+", "b#", "a b", "a\0", "a\n", "\x7f", "\ud800"]
HOSTILE += ["\u2028", "\ufeff", "x" * 65, "x" * 10_000]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"value":"21.5\xc2\xb0C"}',
        b'{"value": 1}',
        b'{"value":null}',
        b'{"x":1,"value":[1]}',
        b'{"value":1,"value":2}',
        b'{"value":{"value":1}}',
    ],
)
def test_the_usual_form_is_read_as_the_general_parser_reads_it(payload: bytes) -> None:
    assert parse_publication("node/a/led", payload) == NodeValue("a", "led", value_in(payload))


@pytest.mark.parametrize(
    "payload",
    [
        b"21.5",
        b'{"val":1}',
        b'{"value":1}\0',
        b'\xef\xbb\xbf{"value":1}',
        b'{"value"',
        b'{"value":"\xff"}',
        b'{"value":9007199254740993}',
        b"",
        b"[" * 10_000,
    ],
)
def test_another_form_is_left_to_the_general_parser(payload: bytes) -> None:
    assert value_in(payload) is NO_VALUE


@pytest.mark.parametrize(
    ("topic", "payload", "publication"),
    [
        ("node/check", b'{"id":"fipy-1"}', NodeCheck("fipy-1")),
        ("node/check", b'{"id": "fipy-1"}', NodeCheck("fipy-1")),
        ("node/check", b'{"id":"1","more":2}', NodeCheck("1")),
        ("node/a/resources", b'["led", "text"]', NodeResources("a", ("led", "text"))),
        ("node/a/resources", b"[]", NodeResources("a", ())),
        ("node/a/led", b'{"value":"1"}', NodeValue("a", "led", "1")),
        ("node/a/led", b'{"value": 1}', NodeValue("a", "led", 1)),
        ("node/a/led", b'{"value":null}', NodeValue("a", "led", None)),
        ("node/check/led", b'{"value":[1,{"a":2}]}', NodeValue("check", "led", [1, {"a": 2}])),
        (
            "node/a/temperature",
            '{"value":"23.5°C"}'.encode(),
            NodeValue("a", "temperature", "23.5°C"),
        ),
    ],
)
def test_what_a_node_publishes_is_read(
    topic: str, payload: bytes, publication: Publication
) -> None:
    assert parse_publication(topic, payload) == publication


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b"21", 21),
        (b"-3", -3),
        (b" 21.5\r\n", 21.5),
        (b"true", True),
        (b"false", False),
        (b"True", "True"),
        (b'"on"', "on"),
        (b"on", "on"),
        (b"on\0", "on"),
        ("21.5 °C".encode(), "21.5 °C"),
        (b"21,5", "21,5"),
        (b"0042", "0042"),
        (b"+5", "+5"),
        (b"nan", "nan"),
        (b"1e999", "1e999"),
        (b'{"value":21.5}', 21.5),
        (b'\xef\xbb\xbf{"value":21.5}', 21.5),
        (b'{"value":21.5}\0', 21.5),
        (b'{"value":21.5}\0\0\0\r\n', 21.5),
        (b'{"value":21.5,"unit":"C","t":1}', 21.5),
        (b'{"x":21.5}', 21.5),
        (b'{"valu":1}', {"valu": 1}),
        (b'{"r":1,"g":2}', {"r": 1, "g": 2}),
        (b'{"lat":48.7,"lng":2.2}', {"lat": 48.7, "lng": 2.2}),
        (b'{"acc":{"x":1},"temperature":2}', {"acc": {"x": 1}, "temperature": 2}),
        (b"[304,488,448]", [304, 488, 448]),
        (b"{}", {}),
    ],
)
def test_the_payloads_of_everyday_firmware_are_values(payload: bytes, value: object) -> None:
    publication = parse_publication("node/a/x", payload)
    assert publication == NodeValue("a", "x", value)
    assert type(publication.value) is type(value)


@pytest.mark.parametrize("resource", ["temperature", "sensor"])
def test_an_object_of_known_quantities_is_a_value_of_each(resource: str) -> None:
    one = parse_publication(f"node/a/{resource}", b'{"temperature":21.5}')
    assert one == NodeValue("a", "temperature", 21.5)
    both = parse_publication(f"node/a/{resource}", b'{"temperature":21.5,"humidity":"40%"}')
    assert both == NodeValues(
        "a", (NodeValue("a", "temperature", 21.5), NodeValue("a", "humidity", "40%"))
    )


@pytest.mark.parametrize("key", ["", "a/b", "#", "a b", "x" * 65])
def test_an_object_with_a_key_that_is_no_name_is_one_value(key: str) -> None:
    data = {"temperature": 21.5, key: 1}
    publication = parse_publication("node/a/x", encode_value(data)[len(b'{"value":') : -1])
    assert publication == NodeValue("a", "x", data)


def test_a_check_and_a_list_may_have_a_mark_before_and_zeros_behind() -> None:
    assert parse_publication("node/check", b'\xef\xbb\xbf{"id":"a"}\0') == NodeCheck("a")
    assert parse_publication("node/a/resources", b'["led"]\0') == NodeResources("a", ("led",))


@pytest.mark.parametrize("number", ["0", "12345", "18446744073709551616"])
def test_a_number_in_a_check_is_an_id(number: str) -> None:
    """Some firmware sends the number of its chip, and its topics have the digits."""
    assert parse_publication("node/check", f'{{"id":{number}}}'.encode()) == NodeCheck(number)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("node/check", b""),
        ("node/check", b"fipy"),
        ("node/check", b"{}"),
        ("node/check", b'{"id":-7}'),
        ("node/check", b'{"id":7.5}'),
        ("node/check", b'{"id":true}'),
        ("node/check", b'{"id":' + b"7" * 65 + b"}"),
        ("node/check", b'{"id":"a"}' + b" " * 2000),
        ("node/a/resources", b'{"led":1}'),
        ("node/a/resources", b'["led",1]'),
        ("node/a/resources", b'["led","a/b"]'),
        ("node/a/resources", encode_resources(["x"] * (RESOURCES_MAX + 1))),
        ("node/a/led", b""),
        ("node/a/led", b"\0\0"),
        ("node/a/led", b" \r\n"),
        ("node/a/led", b"2\x001\0"),
        ("node/a/led", b'{"valu":1'),
        ("node/a/led", b"{value:1}"),
        ("node/a/led", b'"on'),
        ("node/a/led", b"[1,"),
        ("node/a/led", b"o\xff"),
        ("node/a/led", b"x" * (PAYLOAD_SIZE_MAX + 1)),
        ("node/a/led", b'{"value":1'),
        ("node/a/led", b'{"value":NaN}'),
        ("node/a/led", b'{"value":"\xff"}'),
        ("node/a/led", b'{"value":"\\ud800"}'),
        ("node/a/led", b'{"value":' + b"[" * 5000),
        ("node/a/led", b'{"value":"' + b"x" * PAYLOAD_SIZE_MAX + b'"}'),
        ("node/a", b'{"value":1}'),
        ("node/a/b/c", b'{"value":1}'),
        ("gateway/a/b", b'{"value":1}'),
        ("", b""),
    ],
)
def test_what_cannot_be_read_is_a_protocol_error(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_publication(topic, payload)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_never_reaches_a_topic(name: str) -> None:
    for topic in (discover_topic, resources_topic):
        with pytest.raises(ProtocolError):
            topic(name)
    for of_resource in (set_topic, value_topic):
        with pytest.raises(ProtocolError):
            of_resource(name, "led")
        with pytest.raises(ProtocolError):
            of_resource("a", name)


@pytest.mark.parametrize("name", ["#", "+", "a/b", "", "a b", "x" * 65])
def test_a_hostile_id_in_a_check_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        parse_publication("node/check", encode_check(name))
    with pytest.raises(ProtocolError):
        parse_publication(f"node/{name}/led", b'{"value":1}')


@pytest.mark.parametrize("name", ["a", "x" * 64, "é", "$SYS", ".", "*", ">", "__proto__", "~"])
def test_a_plain_name_stands_in_a_topic_as_it_is(name: str) -> None:
    assert check_topic_name(name, "node id") == name
    assert discover_topic(name) == f"gateway/{name}/discover"
    assert set_topic(name, name) == f"gateway/{name}/{name}/set"


def test_what_nodes_encode_is_what_gateways_read() -> None:
    assert parse_publication("node/check", encode_check("é")) == NodeCheck("é")
    publication = parse_publication(value_topic("a", "led"), encode_value({"x": ["°"]}))
    assert publication == NodeValue("a", "led", {"x": ["°"]})
    publication = parse_publication(resources_topic("a"), encode_resources(["led"]))
    assert publication == NodeResources("a", ("led",))


def test_a_wrong_payload_still_identifies_its_node() -> None:
    assert is_of_a_node("node/a/led") == "a"
    assert is_of_a_node("node/check") is None
    assert is_of_a_node("gateway/a/discover") is None
    with pytest.raises(ProtocolError):
        is_of_a_node("node/#/led")
