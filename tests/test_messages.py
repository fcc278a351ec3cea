# SPDX-License-Identifier: BSD-3-Clause
"""`pyaiot.v2`: what is decoded, and what is refused without affecting other messages."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.messages import (
    FRAME_SIZE_MAX,
    JSON_DEPTH_MAX,
    NAME_LENGTH_MAX,
    VALUE_SIZE_MAX,
    Command,
    Hello,
    Join,
    NodeAppeared,
    NodeDescribed,
    NodeLeft,
    Reading,
    Receipt,
    Subscription,
    decode_from_client,
    decode_from_gateway,
    decode_to_client,
    decode_to_gateway,
    encode,
    encode_frames,
)
from pyaiot.messages.checks import are_plain_readings, check
from pyaiot.model import ResourceType

NAMES = st.text(
    st.characters(categories=("L", "N", "P", "S"), exclude_characters="\xad"),
    min_size=1,
    max_size=64,
).filter(lambda name: name.isprintable() and name not in ("alive", "all"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
    max_leaves=10,
)


def test_reading_has_the_names_of_the_wire() -> None:
    reading = Reading(uid="A", resource="t", data="23.5°C", ts=1.5, number=23.5, unit="Cel")
    assert json.loads(encode(reading)) == {
        "type": "update",
        "uid": "A",
        "endpoint": "t",
        "data": "23.5°C",
        "ts": 1.5,
        "value": 23.5,
        "unit": "Cel",
    }
    assert "°".encode() in encode(reading)


@given(uid=NAMES, resource=NAMES, data=VALUES)
def test_reading_survives_the_wire(uid: str, resource: str, data: object) -> None:
    reading = Reading(uid=uid, resource=resource, data=data, ts=1.0)
    (frame,) = encode_frames([reading])
    messages, problems = decode_from_gateway(frame)
    assert (messages, problems) == ([reading], [])


@given(uid=NAMES, resource=NAMES, payload=st.text(st.characters(codec="utf-8")))
def test_command_survives_the_wire(uid: str, resource: str, payload: str) -> None:
    command = Command(id="1", uid=uid, resource=resource, payload=payload, timeout_s=2.0)
    (frame,) = encode_frames([command])
    assert decode_to_gateway(frame) == [command]
    assert decode_from_client(frame) == [command]


def test_client_may_send_an_array_or_a_single_message() -> None:
    join = b'{"type":"new","data":"client"}'
    assert decode_from_client(join) == [Join(data="client")]
    assert decode_from_client(b" [" + join + b"," + join + b"]") == [Join(data="client")] * 2
    assert decode_from_client('{"type":"subscribe","endpoints":["led"]}') == [
        Subscription(uids=None, resources=("led",))
    ]


LARGE = ResourceType(kind="enum", choices=tuple(f"{i:064}" for i in range(64)))
"""Types of ten such resources are beyond the limit."""
WRONG_SHAPES = [
    b"",
    b"{}",
    b"[",
    b"null",
    b"1",
    b'"text"',
    b'{"type":"update"}',
    b'{"type":"new","data":1}',
    b'{"type":"new","data":"gateway"}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":1}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":null}',
    b'{"type":"command","uid":"","endpoint":"led","payload":"1"}',
    b'{"type":"command","uid":"alive","endpoint":"led","payload":"1"}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":"1","timeout":0}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":"1","timeout":1e999}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":"1","timeout":61}',
    b'{"type":"command","uid":"A\\u0000","endpoint":"led","payload":"1"}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":"\\ud800"}',
    b'{"type":"command","uid":"A","endpoint":"led","payload":"\xff"}',
    b'{"type":"receipt","id":"1","state":"confirmed"}',
    b'{"type":"subscribe","uids":"A"}',
    b"[" * 10_000,
    b"[" * 10_000 + b"]" * 10_000,
    b"NaN",
    b"9" * 5_000,
    "é".encode(),
    b"\xff\xfe",
]


@pytest.mark.parametrize("frame", WRONG_SHAPES, ids=lambda frame: repr(frame[:40]))
def test_invalid_frame_of_a_client_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_from_client(frame)


def test_lone_surrogate_in_a_text_frame_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode_from_client('{"type":"new","data":"\ud800"}')


def test_payload_above_the_limit_is_refused() -> None:
    def command(size: int) -> bytes:
        return encode(Command(uid="A", resource="js", payload="x" * size))

    assert decode_from_client(command(VALUE_SIZE_MAX))
    with pytest.raises(ProtocolError):
        decode_from_client(command(VALUE_SIZE_MAX + 1))


def test_value_nested_too_deep_is_refused_alone() -> None:
    def reading(depth: int) -> bytes:
        return (
            b'{"type":"update","uid":"A","endpoint":"t","data":'
            + b"[" * depth
            + b"]" * depth
            + b"}"
        )

    good, problems = decode_from_gateway(
        b"[" + reading(JSON_DEPTH_MAX) + b"," + reading(JSON_DEPTH_MAX + 1) + b"]"
    )
    assert len(good) == 1
    assert len(problems) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"type":"update"}',
        b'{"type":"nonsense"}',
        b'{"type":"new","uid":5}',
        b'{"type":"new","uid":"alive"}',
        b'{"type":"new","uid":"' + b"x" * 65 + b'"}',
        b'{"type":"update","uid":"A","endpoint":"a\\nb","data":"1"}',
        b'{"type":"update","uid":"A","endpoint":"t","data":"1","ts":1e300}',
        b'{"type":"update","uid":"A","endpoint":"t","data":"1","ts":-1}',
        b'{"type":"new","uid":"A","ts":253402300800}',
        b"[]",
        b"7",
        b'{"type":"describe","uid":"A"}',
        b'{"type":"describe","uid":"A","types":{"r":{"kind":"sound"}}}',
        b'{"type":"describe","uid":"A","types":{"a\\nb":{}}}',
        b'{"type":"describe","uid":"A","types":{"r":{"minimum":2,"maximum":1}}}',
        b'{"type":"describe","uid":"A","types":{"r":{"choices":["a","a"]}}}',
        b'{"type":"describe","uid":"A","types":{"r":{"label":"' + b"x" * 65 + b'"}}}',
        encode(NodeDescribed(uid="A", types={f"r{i}": ResourceType() for i in range(265)})),
        encode(NodeDescribed(uid="A", types={f"r{i}": LARGE for i in range(10)})),
    ],
)
def test_invalid_message_of_a_gateway_is_refused_alone(wrong: bytes) -> None:
    good = encode(NodeAppeared(uid="A"))
    messages, problems = decode_from_gateway(b"[" + good + b"," + wrong + b"," + good + b"]")
    assert messages == [NodeAppeared(uid="A"), NodeAppeared(uid="A")]
    assert len(problems) == 1


@pytest.mark.parametrize("frame", [b"", b"{}", b"[1", b"\xff", b'["\\ud800"]'])
def test_frame_of_a_gateway_that_is_no_array_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_from_gateway(frame)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (decode_from_client, decode_from_gateway, decode_to_client, decode_to_gateway):
        try:
            decode(data)
        except ProtocolError:
            continue


def test_every_truncation_of_a_frame_is_refused() -> None:
    (frame,) = encode_frames([Reading(uid="A", resource="t", data={"a": [1, "é"]}, ts=1.0)])
    for size in range(len(frame)):
        with pytest.raises(ProtocolError):
            decode_from_gateway(frame[:size])


def test_frames_stay_below_their_limit_and_in_order() -> None:
    readings = [Reading(uid="A", resource=f"r{i}", data="x" * 10_000) for i in range(100)]
    frames = list(encode_frames(readings))
    assert len(frames) > 1
    assert all(len(frame) <= FRAME_SIZE_MAX for frame in frames)
    assert [message for frame in frames for message in decode_to_client(frame)] == readings


def test_default_values_are_not_sent() -> None:
    assert encode(NodeLeft(uid="A")) == b'{"type":"out","uid":"A"}'
    assert encode(Hello(name="n", protocol="p")) == b'{"type":"hello","name":"n","protocol":"p"}'
    assert msgspec.json.decode(encode(Receipt(id="1", state="sent")), type=Receipt).detail == ""


ANY_NAMES = st.text(min_size=1, max_size=NAME_LENGTH_MAX) | st.sampled_from(
    ["alive", "all", "a\u202eb"]
)


@given(
    st.builds(
        Reading,
        uid=ANY_NAMES,
        resource=ANY_NAMES,
        data=st.text() | st.integers() | st.just("\0" * (VALUE_SIZE_MAX // 6 + 1)),
    )
)
def test_a_plain_reading_needs_no_further_check(reading: Reading) -> None:
    if are_plain_readings([reading]):
        check(reading)
    elif isinstance(reading.data, str) and len(reading.data) < 1000:
        with pytest.raises(ProtocolError):
            check(reading)
