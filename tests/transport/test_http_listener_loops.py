# SPDX-License-Identifier: BSD-3-Clause
"""The limits of a connection on the loops that services use: uvloop, and asyncio without it.

The transports of uvloop derive from no class of asyncio.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

import pyaiot
from pyaiot.transport import http_connection
from pyaiot.transport.connection_table import CONNECTIONS_MAX
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.unread_responses import UNREAD_BYTES_MAX
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

HOST = "127.0.0.1"
LIMIT_S = 20.0
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
HEADER = b" / HTTP/1.1\r\nHost: localhost\r\n"


def run_with_listener(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    check: Callable[[int], Awaitable[None]],
    *,
    connections_max: int = CONNECTIONS_MAX,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bytes(UNREAD_BYTES_MAX // 2))

    async def served() -> None:
        app = web.Application()
        app.router.add_route("*", "/", answer)
        server = await HttpServer.open(
            app,
            HOST,
            0,
            service="It",
            flag="--port",
            server_log=ServerLog(lambda _: None),
            connections_max=connections_max,
        )
        try:
            async with time_limit(LIMIT_S):
                await check(server.port)
        finally:
            await server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(served())


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What the peer sent before it closed or reset the connection."""
    received = b""
    try:
        while piece := await reader.read(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("new_loop", LOOPS)
def test_incomplete_body_ends_a_connection(
    new_loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "BODY_LIMIT_S", 0.1)

    async def check(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"PUT" + HEADER + b"Content-Length: 9\r\n\r\n")
        assert await until_closed(reader) == b""
        writer.close()

    run_with_listener(new_loop, check)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_surplus_connection_takes_the_place_of_one_without_a_request(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def check(port: int) -> None:
        opened = [await asyncio.open_connection(HOST, port) for _ in range(6)]
        ended, _ = await asyncio.wait(
            [asyncio.create_task(until_closed(reader)) for reader, _ in opened],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert ended
        for _, writer in opened:
            writer.close()

    run_with_listener(new_loop, check, connections_max=4)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_clients_that_read_nothing_are_refused_beyond_the_limit(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def check(port: int) -> None:
        held = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET" + HEADER + b"\r\n")
            status = await reader.readline()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            held.append((status.split()[1], writer))
        assert [status for status, _ in held] == [b"200", b"200", b"503"]
        for _, writer in held:
            writer.transport.abort()

    run_with_listener(new_loop, check)


def test_no_module_tests_the_class_of_a_transport() -> None:
    """Such a test is false with uvloop, and true in tests on asyncio."""
    found = [
        path
        for path in Path(pyaiot.__file__).parent.rglob("*.py")
        if re.search(r"isinstance\([^)]*asyncio\.\w*Transport\b", path.read_text("utf-8"))
    ]
    assert found == []
