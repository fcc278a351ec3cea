# SPDX-License-Identifier: BSD-3-Clause
"""Attack 1: invalid bytes, ignored closes and stalled readers affect only their connection."""

import asyncio
import contextlib
import json
import os
import re
import struct
import time
from typing import Any

import pytest

from tests.attacks.raw import (
    CLOSE,
    CONTINUATION,
    PING,
    SMALL_BUFFER,
    frame,
    raw_client,
    raw_gateway,
    raw_peer,
)
from tests.attacks.running import PROMPT_S, Log, System, running_system, until
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
)
TURN_LIMIT_S = 0.03
"""Processor time that one client may take in a row, including that of the test."""
NOT_HTTP = {
    "random bytes": bytes(range(256)),
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01",
    "control characters": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Odd: \0\x01\r\n\r\n",
    "a negative length": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a line of 20 kB": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "an invalid URL": b"GET http://[bad/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
# What is sent, and the close code of RFC 6455 section 7.4.1 for it.
WRONG_FRAMES = {
    "unknown opcode": (frame(b"x", 3), 1002),
    "reserved bits": (frame(b"x", reserved=4), 1002),
    "a long ping": (frame(b"x" * 200, PING), 1002),
    "a close of one byte": (frame(b"x", CLOSE), 1002),
    "a continuation of nothing": (frame(b"", CONTINUATION), 1002),
    "a text inside a text": (frame(b"x", fin=False) + frame(b"y"), 1002),
    "300 kB": (frame(b"x" * 300_000), 1009),
    "a length of 2**63": (b"\x81\xff" + b"\xff" * 8, 1009),
    "invalid UTF-8": (frame(b"\xff\xfe"), 1007),
    "invalid UTF-8 in JSON": (frame(b'{"type":"new","data":"client","x":"\xc3("}'), 1007),
    "a surrogate": (frame(b"\xed\xa0\x80"), 1007),
    "no mask": (frame(b'{"type":"new","data":"client"}', masked=False), 1002),
    "a ping without a mask": (frame(b"", PING, masked=False), 1002),
    "a long frame without a mask": (frame(b"x" * 70_000, masked=False), 1002),
    "a mask, then none": (frame(b"", PING) + frame(b"", PING, masked=False), 1002),
    "2,000 fragments": (frame(b"", fin=False) + frame(b"", 0, fin=False) * 2_000, 1008),
    **{
        f"a close with the code {code}": (frame(struct.pack("!H", code), CLOSE), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    },
    "a close with a reason that is not UTF-8": (frame(b"\x03\xe8\xff", CLOSE), 1007),
    "no JSON": (frame(b"nonsense"), 1003),
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_invalid_http_is_answered_400_and_logged_without_traceback(
    data: bytes, log: Log
) -> None:
    async with running_system() as system:
        async with raw_peer(system.url) as peer:
            await peer.send(data)
            assert (await peer.answer()).split()[1] == b"400"
        assert system.app.refused_requests == 1
        await system.serves()
    assert log.tracebacks == []
    assert len(log.lines) == 1


async def refused(system: System, data: bytes) -> tuple[int, str, dict[str, Any]]:
    """Send `data`. Returns status, media type and document of the response."""
    async with raw_peer(system.url) as peer:
        await peer.send(data)
        head = await peer.answer()
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        body = await peer.body(int(length))
    (kind,) = re.findall(rb"(?im)^content-type: ([^;\r]+)", head)
    return int(head.split()[1]), kind.decode(), json.loads(body)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GARBAGE\r\n\r\n", "method"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "HTTP"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"s3cret" * 2000, "too long"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX y: s3cret\r\n\r\n", "HTTP"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -s3cret\r\n\r\n", "HTTP"),
    ],
)
async def test_invalid_http_is_answered_by_a_problem_document(data: bytes, word: str) -> None:
    async with running_system() as system:
        status, kind, problem = await refused(system, data)
        assert (status, kind, problem["status"]) == (400, "application/problem+json", 400)
        assert problem["title"] == "Bad Request"
        assert word in problem["detail"]
        # The request may contain a secret, so the response does not repeat it.
        assert "s3cret" not in str(problem)
        await system.serves()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /nothing HTTP/1.1", 404),
        ("GET /api/nothing HTTP/1.1", 404),
        ("PUT /api/nodes HTTP/1.1", 405),
        ("BREW /api/nodes HTTP/1.1", 400),
        ("PUT /api/nodes/n/resources/led HTTP/1.1\r\nContent-Length: 70000", 413),
    ],
)
async def test_errors_of_the_framework_are_problem_documents_too(
    request_line: str, status: int
) -> None:
    head = f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    async with running_system() as system:
        found, kind, problem = await refused(system, head + b"1" * 70_000 * (status == 413))
        assert (found, kind) == (status, "application/problem+json")
        assert problem["status"] == status


async def test_token_in_an_invalid_request_is_not_logged(log: Log) -> None:
    async with running_system() as system:
        token = system.token()
        async with raw_peer(system.url) as peer:
            head = "GET /gw HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: token, "
            await peer.send(f"{head}{token}\x01\r\n\r\n".encode())
            assert (await peer.answer()).split()[1] == b"400"
    assert token not in log.everything


@pytest.mark.parametrize(("data", "code"), WRONG_FRAMES.values(), ids=WRONG_FRAMES.keys())
async def test_invalid_frame_is_answered_with_its_close_code(
    data: bytes, code: int, log: Log
) -> None:
    async with running_system() as system:
        async with raw_client(system.url) as peer:
            await peer.send(data)
            found, _ = await peer.closed()
            assert found == code
        assert system.app.sockets.refused_clients == 1
        await system.serves()
    assert log.tracebacks == []
    assert any("closed a client" in line for line in log.lines)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1014, 3000, 4999])
async def test_close_with_a_valid_code_is_answered_and_not_counted(code: int) -> None:
    async with running_system() as system:
        async with raw_client(system.url) as peer:
            await peer.send(frame(struct.pack("!H", code) + b"fertig", CLOSE))
            assert (await peer.closed())[0] == 1000
        assert system.app.sockets.refused_clients == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"[]", masked=False), 1002),
        (frame(struct.pack("!H", 5000), CLOSE), 1002),
    ],
)
async def test_invalid_frame_of_a_gateway_is_answered_with_its_close_code(
    data: bytes, code: int, log: Log
) -> None:
    async with running_system() as system:
        async with raw_gateway(system.url, system.token()) as peer:
            await peer.send(data)
            assert (await peer.closed())[0] == code
        await system.serves()
    assert log.tracebacks == []


async def test_frame_that_arrives_with_the_request_is_checked() -> None:
    async with running_system() as system:
        for masked in (True, False):
            async with raw_peer(system.url) as peer:
                head = "\r\n".join(["GET /ws HTTP/1.1", "Host: localhost", *UPGRADE, "", ""])
                request = frame(b'{"type":"new","data":"client"}', masked=masked)
                await peer.send(head.encode() + request)
                assert b" 101 " in await peer.answer()
                first = await peer.next()
                assert (first.opcode == CLOSE) is not masked
                if not masked:
                    assert first.close[0] == 1002


@pytest.mark.parametrize("path", ["/ws", "/gw"])
@pytest.mark.parametrize("version", ["12", "8", "", "13, 12", "x"])
async def test_other_websocket_version_is_answered_426_by_the_broker(
    path: str, version: str
) -> None:
    async with running_system() as system:
        headers = [line for line in UPGRADE if "Version" not in line]
        headers.append(f"Sec-WebSocket-Version: {version}")
        headers.append(f"Sec-WebSocket-Protocol: token, {system.token()}")
        async with raw_peer(system.url) as peer:
            head = await peer.request(path, *headers)
        assert b" 426 " in head.splitlines()[0]
        assert b"Sec-WebSocket-Version: 13" in head


@pytest.mark.parametrize("path", ["/ws", "/gw"])
async def test_websocket_over_http_1_0_is_answered_426(path: str) -> None:
    """RFC 6455 section 4.2.1; RFC 9110 section 7.8: HTTP/1.0 has no upgrades."""
    async with running_system() as system, raw_peer(system.url) as peer:
        lines = [f"GET {path} HTTP/1.0", "Host: localhost", *UPGRADE]
        lines.append(f"Sec-WebSocket-Protocol: token, {system.token()}")
        await peer.send("\r\n".join([*lines, "", ""]).encode())
        assert b" 426 " in (await peer.answer()).splitlines()[0]


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        (("pyaiot.v2",), b"pyaiot.v2"),
        (("foo", "pyaiot.v2"), b"pyaiot.v2"),
        (("foo, bar", "x,pyaiot.v2 , pyaiot.v2"), b"pyaiot.v2"),
        (("foo", "bar"), None),
        ((), None),
    ],
)
async def test_subprotocols_may_be_in_several_headers(
    offers: tuple[str, ...], chosen: bytes | None
) -> None:
    """RFC 6455 section 11.3.4."""
    async with running_system() as system, raw_peer(system.url) as peer:
        headers = [f"Sec-WebSocket-Protocol: {offer}" for offer in offers]
        head = await peer.request("/ws", *UPGRADE, *headers)
        assert b" 101 " in head.splitlines()[0]
        lines = [line for line in head.splitlines() if b"ebsocket-protocol" in line.lower()]
        assert lines == ([] if chosen is None else [b"Sec-WebSocket-Protocol: " + chosen])


@pytest.mark.parametrize(
    "flood",
    [
        frame(b"[]"),
        frame(b"", PING),
        frame(b"x", fin=False) + frame(b"", 0, fin=False) * 1_000 + frame(b"", 0),
        frame(b"[" + b",".join([b'{"type":"subscribe"}'] * 2_000) + b"]"),
    ],
    ids=["empty arrays", "pings", "fragments", "many messages in one frame"],
)
async def test_flood_of_one_client_does_not_delay_the_others(flood: bytes) -> None:
    async with running_system() as system, raw_client(system.url, extended=True) as peer:
        turns = []
        flooding = asyncio.ensure_future(peer.send(flood * (8_000_000 // len(flood))))
        # What one turn of the loop takes of the processor, while the flood lasts.
        for _ in range(400):
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)
        flooding.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await flooding
        # The first turn may import modules.
        assert sorted(turns)[-2] < TURN_LIMIT_S


async def test_peer_that_ignores_the_close_and_reads_nothing_is_disconnected() -> None:
    async with running_system() as system:
        await fill_with_state(system)
        async with (
            raw_client(system.url, receive_buffer=SMALL_BUFFER) as closed,
            raw_client(system.url, receive_buffer=SMALL_BUFFER) as pinging,
        ):
            inside = system.inside()
            for peer in (closed, pinging):
                await peer.send_json({"type": "new", "data": "client"})
            await until(lambda: all(client.sink.buffered() > 0 for client in inside))
            await closed.send(frame(b"nonsense"))
            await closed.send(frame(b"more nonsense"))
            for _ in range(100):
                pinging.send_now(frame(b"x" * 100, PING) * 100)
                await asyncio.sleep(0)
            await pinging.send(frame(b"nonsense"))
            await system.serves()
            await closed.cut_off()
            await pinging.cut_off()
        await until(lambda: len(system.inside()) == 0)
        await system.serves()
        assert system.app.sockets.refused_clients == 2


async def test_invalid_bytes_of_many_clients_are_counted_and_rarely_logged(log: Log) -> None:
    async with running_system() as system:
        for _ in range(100):
            async with raw_client(system.url) as peer:
                await peer.send(frame(os.urandom(64)))
                await peer.closed()
        await system.serves()
        assert system.app.sockets.refused_clients == 100
    assert len(log.lines) <= 10


async def fill_with_state(system: System) -> None:
    """Add a node whose values exceed the socket buffers of a client that reads nothing."""
    for number in range(64):
        async with time_limit(PROMPT_S):
            system.coap.gateway.node_seen("large", {"protocol": "CoAP"})
            system.coap.gateway.reading("large", f"text{number}", "x" * 60_000)
            await system.client.shows("large", **{f"text{number}": "x" * 60_000})
