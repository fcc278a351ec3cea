# SPDX-License-Identifier: BSD-3-Clause
"""Attack 21: idle and half-open connections, and large responses that are not read."""

import contextlib
import re
import socket
import sys

import pytest
from aiohttp import web

from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from tests.attacks.raw import SMALL_BUFFER, raw_peer
from tests.attacks.test_file_descriptors import connect, status_of
from tests.programs import ANY_PORTS, Program, Programs

DESCRIPTORS_MAX = 256
HALF_OPEN = 1_100
ANSWER_SIZE = 4 * 1024 * 1024
CLIENTS = 150
HELD_MAX = 64 * 1024 * 1024

WHERE = (r"http://[^ ]*:(\d+)/", r"WebSocket[^\n]*?(\d+)")

RUN = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from pyaiot.cli.entry import main
main()
"""


def started(programs: Programs, *arguments: str, soft: int, hard: int) -> tuple[Program, int]:
    program = programs.start(
        sys.executable, "-c", RUN.format(soft=soft, hard=hard), *arguments, "--log-format", "json"
    )
    found = re.search(r":(\d+)/", program.line())
    assert found is not None
    return program, int(found[1])


def test_half_open_connections_do_not_block_the_web_listener(programs: Programs) -> None:
    arguments = ("broker", "--port", "0", "--key-file", str(programs.key_file()))
    program, port = started(programs, *arguments, soft=DESCRIPTORS_MAX, hard=DESCRIPTORS_MAX)
    with contextlib.ExitStack() as opened, connect(port) as early:
        assert status_of(early, "/healthz") == b"200"
        for number in range(HALF_OPEN):
            half_open = opened.enter_context(connect(port))
            with contextlib.suppress(ConnectionError):
                half_open.sendall(b"GET / HTTP/1.1\r\nHost:"[: number % 20])
            if number % 100 == 0:
                with connect(port) as newcomer:
                    assert status_of(newcomer, "/readyz") == b"200"
        with connect(port) as newcomer:
            assert status_of(newcomer, "/readyz") == b"200"
        assert "Traceback" not in program.stderr
        refusals = [line for line in program.stderr.splitlines() if "refused a connection" in line]
        assert 1 <= len(refusals) <= 10


def test_soft_limit_of_open_files_is_raised_at_start(programs: Programs) -> None:
    arguments = ("broker", "--port", "0", "--key-file", str(programs.key_file()))
    program, port = started(programs, *arguments, soft=64, hard=1024)
    with contextlib.ExitStack() as opened:
        peers = [opened.enter_context(connect(port)) for _ in range(100)]
        assert {status_of(peer, "/healthz") for peer in peers} == {b"200"}
    (line,) = [line for line in program.stderr.splitlines() if "open files" in line]
    assert "from 64 to 1024" in line


def upgrade(port: int) -> socket.socket:
    """A WebSocket that sends nothing else."""
    sock = connect(port)
    sock.sendall(
        b"GET /node HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    return sock


def test_full_node_listener_does_not_affect_the_web_listener(programs: Programs) -> None:
    program = programs.start(
        *(sys.executable, "-c", RUN.format(soft=DESCRIPTORS_MAX, hard=DESCRIPTORS_MAX)),
        *("run", *ANY_PORTS, "--history", "off"),
    )
    output = program.startup_text()
    web, nodes = (int(re.search(pattern, output)[1]) for pattern in WHERE)  # type: ignore[index]
    with contextlib.ExitStack() as opened:
        for number in range(DESCRIPTORS_MAX + 400):
            with contextlib.suppress(ConnectionError):
                opened.enter_context(upgrade(nodes))
            if number % 50 == 0:
                with connect(web) as person:
                    assert status_of(person, "/healthz") == b"200"
        with connect(web) as person:
            assert status_of(person, "/healthz") == b"200"
        assert "cannot accept" not in program.stderr


async def small(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(40_000))


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(ANSWER_SIZE))


@pytest.mark.sockets
async def test_unread_large_responses_hold_bounded_memory() -> None:
    app = web.Application()
    app.router.add_get("/large", large)
    app.router.add_get("/small", small)
    log = ServerLog(lambda _: None)
    server = await HttpServer.open(app, "127.0.0.1", 0, service="It", flag="--port", server_log=log)
    try:
        async with contextlib.AsyncExitStack() as stack:
            statuses = []
            for _ in range(CLIENTS):
                peer = await stack.enter_async_context(
                    raw_peer(server.url, receive_buffer=SMALL_BUFFER)
                )
                head = await peer.request("/large")
                statuses.append(int(head.split()[1]))
            assert set(statuses) == {200, 503}
            assert statuses.count(200) * ANSWER_SIZE <= HELD_MAX
            for path, status in (("/small", b" 200 "), ("/nothing", b" 404 ")):
                async with raw_peer(server.url) as honest:
                    assert status in await honest.request(path)
    finally:
        await server.close()
