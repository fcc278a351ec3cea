# SPDX-License-Identifier: BSD-3-Clause
"""Attack 2: valid JSON with an invalid schema affects only its sender."""

import contextlib
import json

import pytest

from pyaiot.broker.keys import generate_keys, mint_token
from pyaiot.errors import ProtocolError
from pyaiot.messages import VALUE_SIZE_MAX, Problem, decode_to_gateway
from pyaiot.protocols.coap.numbers import Code
from tests import clients
from tests.attacks.raw import frame, raw_client, raw_gateway
from tests.attacks.running import (
    HONEST,
    PROMPT_S,
    Log,
    running_broker,
    running_gateway,
    running_system,
)
from tests.coap_device import coap_device
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

WRITE = b'{"type":"update","data":{"uid":"honest","endpoint":"led","payload":%s}}'
COMMAND = b'{"type":"command","uid":"honest","endpoint":"led","payload":%s}'
UNKNOWN_TYPE = b'{"type":"line\\nend' + b"y" * 2_000 + b'"}'
VALUES = {
    "an integer": b"1",
    "a list": b'["1"]',
    "null": b"null",
    "depth 10,000": b"[" * 10_000 + b"]" * 10_000,
    "5,000 digits": b"9" * 5_000,
    "NaN": b"NaN",
    "a lone surrogate": b'"\\ud800"',
    "invalid UTF-8": b'"\xff"',
    "too many bytes": b'"' + b"x" * 70_000 + b'"',
}
SHAPES = {
    # First, so that it is among the few lines that are logged.
    "an unknown type": UNKNOWN_TYPE,
    "update alone": b'{"type":"update"}',
    "data a number": b'{"type":"update","data":5}',
    "data a list": b'{"type":"update","data":[]}',
    "two keys": b'{"type":"update","data":{"uid":"a","endpoint":"b","x":1}}',
    "no type": b"{}",
    "a letter": "é".encode(),
    "a text": '"é"'.encode(),
    "a number": b"5",
    "null": b"null",
    "nothing": b"",
    "open brackets": b"[" * 100_000,
}


def cases() -> list[tuple[bytes, bool]]:
    # The legacy form takes numbers, as the old broker did.
    values = [value for name, value in VALUES.items() if name != "an integer"]
    legacy = [(shape, False) for shape in (*SHAPES.values(), *(WRITE % v for v in values))]
    return [*legacy, *((COMMAND % value, True) for value in VALUES.values())]


async def test_invalid_messages_close_their_sender_with_1003_or_1007_and_a_short_reason(
    log: Log,
) -> None:
    async with running_system() as system:
        for count, (data, extended) in enumerate(cases(), start=1):
            async with raw_client(system.url, extended=extended) as peer:
                await peer.send(frame(data))
                code, reason = await peer.closed()
                # RFC 6455 section 8.1.
                expected = 1007 if b"\xff" in data else 1003
                assert (code, bool(reason)) == (expected, True), data[:60]
                assert len(reason.encode()) <= 123
            assert system.app.sockets.refused_clients == count
        # The node got none of it.
        assert [request.payload for request in system.node.requests if request.payload] == []
        await system.serves()
    assert log.tracebacks == []
    assert all(line.isprintable() and len(line) < 400 for line in log.lines)


async def test_payload_may_contain_non_ascii_letters() -> None:
    async with running_system() as system:
        receipt = await system.client.write(HONEST, "led", "é")
        assert receipt["state"] == "confirmed"
        await system.serves()


@pytest.mark.parametrize("extended", [True, False])
async def test_invalid_message_of_a_gateway_is_refused_and_others_are_accepted(
    extended: bool, log: Log
) -> None:
    async with (
        running_system() as system,
        raw_gateway(system.url, system.token(), extended=extended) as peer,
    ):
        if extended:
            await peer.send_json([{"type": "hello", "name": "odd", "protocol": "x"}])
        for number, value in enumerate([*VALUES.values()][3:]):
            update = b'{"type":"update","uid":"odd","endpoint":"a","data":%s}' % value
            await peer.send(frame(b"[%s]" % update if extended else update))
            if extended:
                problem = (await peer.next()).json[0]
                assert problem["type"] == "error"
            good = b'{"type":"update","uid":"odd","endpoint":"b","data":"%d"}' % number
            await peer.send(frame(b"[%s]" % good if extended else good))
            async with time_limit(PROMPT_S):
                await system.client.shows("odd", b=str(number))
        assert system.app.sockets.refused_gateways == len(VALUES) - 3
        await system.serves()
        assert "a" not in system.client.nodes["odd"]
    assert log.tracebacks == []


async def test_problem_with_a_message_is_reported_to_its_gateway() -> None:
    async with running_system() as system, raw_gateway(system.url, system.token()) as peer:
        await peer.send(frame(b"[%s]" % UNKNOWN_TYPE))
        (problem,) = (await peer.next()).json
        # A gateway would treat a longer message as invalid and close the link.
        assert decode_to_gateway(json.dumps([problem])) == [Problem(detail=problem["detail"])]
        await system.serves()


async def test_value_that_grows_in_json_does_not_close_the_link_of_its_gateway() -> None:
    async with running_system() as system:
        gateway = system.coap.gateway
        with pytest.raises(ProtocolError):
            gateway.reading(HONEST, "text", "\x01" * 50_000)
        # The largest such value, which takes six times as many bytes in a frame.
        gateway.reading(HONEST, "text", "\x01" * (VALUE_SIZE_MAX // 6))
        await system.serves()
        assert system.client.nodes[HONEST]["text"] == "\x01" * (VALUE_SIZE_MAX // 6)


async def test_post_of_50_kilobytes_is_answered() -> None:
    async with running_system() as system:
        answer = await system.node.post("server", b"text:a" + b"\x01" * 50_000)
        assert answer.code in {Code.BAD_REQUEST, Code.REQUEST_ENTITY_TOO_LARGE}
        await system.serves()


async def test_gateway_reconnects_after_a_restart_of_the_broker() -> None:
    keys = generate_keys()
    async with contextlib.AsyncExitStack() as lasting:
        async with running_broker(keys) as first:
            port = first.port
            gateway = await lasting.enter_async_context(
                running_gateway(first.url, lambda: mint_token(keys))
            )
            device = await lasting.enter_async_context(coap_device(gateway.port))
            await device.post("alive", "alive:N")
            async with raw_client(first.url) as peer:
                await peer.send(frame(b'{"type":"update"}'))
                await peer.closed()
        second = await lasting.enter_async_context(running_broker(keys, port=port))
        people = await lasting.enter_async_context(clients.Broker(second.url))
        client = await lasting.enter_async_context(people.client())
        async with time_limit(5.0):
            await client.shows("N", protocol="CoAP")
        assert len(gateway.links) == 2
