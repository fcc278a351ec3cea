# SPDX-License-Identifier: BSD-3-Clause
"""The wire of deployed pages and gateways, byte for byte (legacy protocol, sections 1 and 2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import legacy
from pyaiot.errors import ProtocolError
from pyaiot.messages import (
    Command,
    Hello,
    Join,
    Message,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
)

TS = 1_700_000_000.0


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (NodeAppeared(uid="U", ts=TS, gateway="g"), '{"type":"new","uid":"U","dst":"all"}'),
        (
            Reading(uid="U", resource="R", data="23.5°C", ts=TS, number=23.5, unit="Cel"),
            '{"type":"update","uid":"U","endpoint":"R","data":"23.5°C","dst":"all"}',
        ),
        (
            Reading(uid="U", resource="position", data='{"lat":48.7}'),
            r'{"type":"update","uid":"U","endpoint":"position","data":"{\"lat\":48.7}","dst":"all"}',
        ),
        (
            Reading(uid="U", resource="n", data=1.5),
            '{"type":"update","uid":"U","endpoint":"n","data":1.5,"dst":"all"}',
        ),
        (NodeReset(uid="U", ts=TS), '{"type":"reset","uid":"U"}'),
        (NodeLeft(uid="U", ts=TS, reason="silent"), '{"type":"out","uid":"U"}'),
    ],
)
def test_legacy_client_gets_these_bytes(message: Message, frame: str) -> None:
    assert legacy.encode_to_client(message) == frame.encode()


def test_answer_to_new_is_addressed_to_the_client() -> None:
    assert legacy.encode_to_client(NodeAppeared(uid="U"), "me") == (
        b'{"type":"new","uid":"U","dst":"me"}'
    )


@pytest.mark.parametrize(
    "message", [Receipt(id="1", state="sent"), Hello(name="n", protocol="p"), Join(data="client")]
)
def test_legacy_client_gets_no_messages_that_its_form_lacks(message: Message) -> None:
    assert legacy.encode_to_client(message) is None


def test_legacy_client_requests_the_state() -> None:
    assert legacy.decode_from_client('{"type":"new","data":"client"}') == Join(data="client")


@pytest.mark.parametrize(
    "frame", ['{"type":"new"}', '{"type":"new","data":"server"}', '{"type":"new","data":5,"x":1}']
)
def test_legacy_client_may_send_further_keys_in_new(frame: str) -> None:
    assert legacy.decode_from_client(frame) == Join(data="client")


@pytest.mark.parametrize(
    ("payload", "text"),
    [('"1"', "1"), ("1", "1"), ("1.5", "1.5"), ("true", "true"), ("-0", "0"), ('""', "")],
)
def test_legacy_client_may_write_numbers_and_booleans(payload: str, text: str) -> None:
    data = f'{{"uid":17,"endpoint":"led","payload":{payload},"more":[1]}}'
    frame = f'{{"type":"update","data":{data},"src":"forged"}}'
    assert legacy.decode_from_client(frame) == Command(uid="17", resource="led", payload=text)


def test_legacy_broker_requests_the_state_and_forwards_writes() -> None:
    assert legacy.decode_to_gateway('{"type":"new","data":"client","src":"C"}') == (
        legacy.StateRequest("C")
    )
    frame = '{"type":"update","data":{"uid":"U","endpoint":"/led","payload":1},"src":"C"}'
    assert legacy.decode_to_gateway(frame) == Command(
        uid="U", resource="led", payload="1", client="C"
    )


@pytest.mark.parametrize(
    "frame",
    [
        *("", "[]", '{"type":"new"}', '{"type":"new","src":""}', '{"type":"out","src":"C"}'),
        *(f'{{"type":"new","src":"{"c" * 65}"}}', '{"type":"update","data":{},"src":"C"}'),
    ],
)
def test_invalid_frames_that_a_legacy_broker_forwards_are_refused(frame: str) -> None:
    with pytest.raises(ProtocolError):
        legacy.decode_to_gateway(frame)


@pytest.mark.parametrize("endpoint", ["led", "/led"])
def test_legacy_client_writes_a_resource(endpoint: str) -> None:
    frame = f'{{"type":"update","data":{{"uid":"U","endpoint":"{endpoint}","payload":"1"}}}}'
    assert legacy.decode_from_client(frame) == Command(uid="U", resource="led", payload="1")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "{}",
        '{"type":"update"}',
        '{"type":"update","data":1}',
        '{"type":"update","data":{"uid":"U","endpoint":"led"}}',
        '{"type":"update","data":{"uid":"U","endpoint":"led","payload":null}}',
        '{"type":"update","data":{"uid":"U","endpoint":"led","payload":["1"]}}',
        '{"type":"update","data":{"uid":"all","endpoint":"led","payload":"1"}}',
        '{"type":"update","data":{"uid":"U","endpoint":"/","payload":"1"}}',
        '{"type":"out","uid":"U"}',
        '[{"type":"new","data":"client"}]',
    ],
)
def test_invalid_frame_of_a_legacy_client_is_refused(frame: str) -> None:
    with pytest.raises(ProtocolError):
        legacy.decode_from_client(frame)


def test_messages_of_a_legacy_gateway_are_decoded() -> None:
    def decode(frame: str) -> object:
        return legacy.decode_from_gateway(frame, TS)

    assert decode('{"type":"new","uid":"U","dst":"all"}') == NodeAppeared(uid="U", ts=TS)
    assert decode('{"type":"reset","uid":"U"}') == NodeReset(uid="U", ts=TS)
    assert decode('{"type":"out","uid":"U"}') == NodeLeft(uid="U", ts=TS)
    assert decode('{"type":"update","uid":"U","endpoint":"t","data":"1hPa","dst":"c"}') == Reading(
        uid="U", resource="t", data="1hPa", ts=TS, number=1.0, unit="hPa"
    )
    assert decode('{"type":"update","uid":"alive"}') is None


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"update","uid":"U"}',
        '{"type":"update","uid":"U","endpoint":"t"}',
        '{"type":"update","uid":"alive","endpoint":"t","data":"1"}',
        '{"type":"new","uid":"all"}',
        '{"type":"new"}',
        "[]",
    ],
)
def test_invalid_frame_of_a_legacy_gateway_is_refused(frame: str) -> None:
    with pytest.raises(ProtocolError):
        legacy.decode_from_gateway(frame, TS)


def test_legacy_gateway_gets_a_write_with_the_id_of_its_client() -> None:
    command = Command(id="7", uid="U", resource="led", payload="1", client="c1")
    assert legacy.encode_to_gateway(command) == (
        b'{"type":"update","data":{"uid":"U","endpoint":"led","payload":"1"},"src":"c1"}'
    )
    assert legacy.encode_to_gateway(NodeAppeared(uid="U")) is None


@given(st.text(max_size=100))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    for decode in (
        legacy.decode_from_client,
        legacy.decode_to_gateway,
        lambda t: legacy.decode_from_gateway(t, TS),
    ):
        try:
            decode(text)
        except ProtocolError:
            continue
