# SPDX-License-Identifier: BSD-3-Clause
"""Attack 1: who sends nonsense, ignores the close and reads nothing is noticed by nobody else."""

import asyncio
import json
import os
import re
from typing import Any

import pytest

from tests.attacks.raw import CLOSE, CONTINUATION, PING, SMALL_BUFFER, frame, raw_client, raw_peer
from tests.attacks.running import PROMPT_S, Log, System, running_system, until

pytestmark = pytest.mark.sockets

NOT_HTTP = {
    "random bytes": bytes(range(256)),
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01",
    "control characters": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Odd: \0\x01\r\n\r\n",
    "a negative length": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a line of 20 kB": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a URL that is none": b"GET http://[bad/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
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
    "invalid UTF-8": (frame(b"\xff\xfe"), 1003),
    "no JSON": (frame(b"nonsense"), 1003),
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_what_is_not_http_is_answered_400_and_logged_without_traceback(
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
    """Status, media type and document that are answered to these bytes; then it is closed."""
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
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"s3cret" * 2000, "longer"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX y: s3cret\r\n\r\n", "HTTP"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -s3cret\r\n\r\n", "HTTP"),
    ],
)
async def test_what_is_not_http_is_answered_by_a_problem_document(data: bytes, word: str) -> None:
    async with running_system() as system:
        status, kind, problem = await refused(system, data)
        assert (status, kind, problem["status"]) == (400, "application/problem+json", 400)
        assert problem["title"] == "Bad Request"
        assert word in problem["detail"]
        # Whatever was sent may be somebody's secret, and is not said again.
        assert "s3cret" not in str(problem)
        await system.serves()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /nothing HTTP/1.1", 404),
        ("GET /api/nothing HTTP/1.1", 404),
        ("DELETE /api/nodes HTTP/1.1", 405),
        ("BREW /api/nodes HTTP/1.1", 400),
        ("PUT /api/nodes/n/resources/led HTTP/1.1\r\nContent-Length: 70000", 413),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_document_too(
    request_line: str, status: int
) -> None:
    head = f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    async with running_system() as system:
        told, kind, problem = await refused(system, head + b"1" * 70_000 * (status == 413))
        assert (told, kind) == (status, "application/problem+json")
        assert problem["status"] == status


async def test_token_in_a_request_with_a_wrong_byte_is_not_logged(log: Log) -> None:
    async with running_system() as system:
        token = system.token()
        async with raw_peer(system.url) as peer:
            head = "GET /gw HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: token, "
            await peer.send(f"{head}{token}\x01\r\n\r\n".encode())
            assert (await peer.answer()).split()[1] == b"400"
    assert token not in log.everything


@pytest.mark.parametrize(("data", "code"), WRONG_FRAMES.values(), ids=WRONG_FRAMES.keys())
async def test_wrong_frame_is_answered_with_its_close_code(
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
    assert any("a client was closed" in line for line in log.lines)


async def test_unmasked_frame_disturbs_nobody() -> None:
    # RFC 6455 section 5.1 wants it closed; aiohttp reads it, which only the sender can notice.
    async with running_system() as system:
        async with raw_client(system.url) as peer:
            await peer.send(frame(b'{"type":"new","data":"client"}', masked=False))
            assert (await peer.next()).json["uid"]
        await system.serves()


async def test_peer_that_ignores_the_close_and_reads_nothing_is_cut_off() -> None:
    async with running_system() as system:
        await fill_with_state(system)
        async with (
            raw_client(system.url, receive_buffer=SMALL_BUFFER) as closed,
            raw_client(system.url, receive_buffer=SMALL_BUFFER) as pinging,
        ):
            inside = system.inside()
            for peer in (closed, pinging):
                await peer.say({"type": "new", "data": "client"})
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


async def test_nonsense_of_many_is_counted_and_not_a_flood_of_the_log(log: Log) -> None:
    async with running_system() as system:
        for _ in range(100):
            async with raw_client(system.url) as peer:
                await peer.send(frame(os.urandom(64)))
                await peer.closed()
        await system.serves()
        assert system.app.sockets.refused_clients == 100
    assert len(log.lines) <= 10


async def fill_with_state(system: System) -> None:
    """A node with more to tell than sockets hold, so that a client which reads nothing is full."""
    for number in range(64):
        async with asyncio.timeout(PROMPT_S):
            system.coap.gateway.heard("large", {"protocol": "CoAP"})
            system.coap.gateway.reading("large", f"text{number}", "x" * 60_000)
            await system.client.shows("large", **{f"text{number}": "x" * 60_000})
