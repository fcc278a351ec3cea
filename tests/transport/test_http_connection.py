# SPDX-License-Identifier: BSD-3-Clause
"""The limits of a connection, on a simulated clock and transport."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web

from pyaiot.transport.http_connection import (
    BODY_LIMIT_S,
    HEADER_LIMIT_S,
    IDLE_LIMIT_S,
    PATH_SEGMENTS_MAX,
    HttpConnection,
    HttpConnections,
)
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import REQUEST_LINE_SIZE_MAX
from pyaiot.transport.unread_responses import UNREAD_LIMIT_S

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = bytes(1_000_000)
HIGH_WATER = 64 * 1024
BODIES = web.AppKey("bodies", list[bytes])


class Wire:
    """A transport whose peer reads when the test calls `read`.

    Like those of uvloop, it derives from no class of asyncio.
    """

    def __init__(self, connection: HttpConnection, address: str) -> None:
        self._extra = {"peername": (address, 4000)}
        self.sent = b""
        self.closing = False
        self.closed = False
        self._connection = connection
        self._read = 0
        self._paused = False
        self.reads = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._extra.get(name, default)

    def write(self, data: Any) -> None:
        self.sent += bytes(data)
        if self.reads:
            self._read = len(self.sent)
        if not self._paused and self.get_write_buffer_size() > HIGH_WATER:
            self._paused = True
            self._connection.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def read(self, size: int) -> None:
        """The peer reads `size` bytes."""
        self._read = min(len(self.sent), self._read + size)
        if self._paused and self.get_write_buffer_size() < HIGH_WATER // 4:
            self._paused = False
            self._connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.sent) - self._read

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        """Like a socket, it is open until the peer has read everything."""
        self.closing = True
        if not self.get_write_buffer_size():
            self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = self.closing = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    @property
    def status(self) -> int:
        return int(self.sent.split()[1])


class Listener:
    """An application without a port."""

    def __init__(self, runner: web.AppRunner, connections_max: int, bodies: list[bytes]) -> None:
        self.bodies = bodies
        """Of the requests, as the application read them."""
        self.log = ServerLog(lambda _: None)
        assert runner.server is not None
        self.connections = HttpConnections(
            runner.server, connections_max=connections_max, log=self.log
        )

    def connect(self, address: str = "192.0.2.1") -> tuple[HttpConnection, Wire]:
        connection = self.connections.make()
        wire = Wire(connection, address)
        connection.connection_made(cast("asyncio.Transport", wire))
        return connection, wire


async def answer(request: web.Request) -> web.StreamResponse:
    request.app[BODIES].append(await request.read())
    return web.Response(body=LARGE if request.path == "/large" else b"yes")


@asynccontextmanager
async def listening(connections_max: int = 8) -> AsyncIterator[Listener]:
    app = web.Application()
    app[BODIES] = []
    app.router.add_route("*", "/", answer)
    app.router.add_get("/large", answer)
    app.router.add_get("/deep{rest:.*}", answer)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=0.1, max_line_size=REQUEST_LINE_SIZE_MAX
    )
    await runner.setup()
    try:
        yield Listener(runner, connections_max, app[BODIES])
    finally:
        await runner.cleanup()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b"G", GET[:-1], b"PUT / HTTP/1.1\r\nX: y\r\n"])
async def test_request_whose_header_takes_ten_seconds_is_answered_408(sent: bytes) -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        if sent:
            connection.data_received(sent)
        await asyncio.sleep(HEADER_LIMIT_S - 0.1)
        assert not wire.closed
        if sent:
            # More bytes do not extend the deadline.
            connection.data_received(b"")
        await asyncio.sleep(0.2)
        assert (wire.closed, wire.status) == (True, 408)
        assert listener.log.timed_out_connections == 1
        assert len(listener.connections.table) == 0


async def test_header_of_a_second_request_has_the_same_deadline() -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        connection.data_received(GET)
        await settle()
        assert wire.status == 200
        await asyncio.sleep(HEADER_LIMIT_S * 2)
        assert not wire.closed
        connection.data_received(b"GET / HT")
        await asyncio.sleep(HEADER_LIMIT_S + 0.1)
        assert wire.closed


async def test_idle_connection_is_closed_at_its_limit() -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        connection.data_received(GET)
        await asyncio.sleep(IDLE_LIMIT_S - 1)
        assert not wire.closed
        await asyncio.sleep(3)
        assert wire.closed
        assert listener.log.timed_out_connections == 0


async def test_request_in_pieces_is_served_within_its_deadline() -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        for byte in GET:
            connection.data_received(bytes((byte,)))
            await asyncio.sleep(HEADER_LIMIT_S / 2 / len(GET))
        await asyncio.sleep(HEADER_LIMIT_S)
        assert (wire.closed, wire.status) == (False, 200)


async def test_incomplete_body_ends_the_connection_at_its_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        connection.data_received(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        await asyncio.sleep(BODY_LIMIT_S - 1)
        assert not wire.closed
        connection.data_received(b"x")
        await asyncio.sleep(2)
        assert wire.closed
        assert listener.log.timed_out_connections == 1
    assert [record for record in caplog.records if record.exc_info] == []


async def test_compressed_body_is_not_decompressed() -> None:
    """A megabyte would become a gigabyte, in one turn of the event loop."""
    body = gzip.compress(LARGE)
    async with listening() as listener:
        connection, wire = listener.connect()
        connection.data_received(
            b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await settle()
        assert wire.status == 200
        assert listener.bodies == [body]


@pytest.mark.parametrize(("segments", "status"), [(PATH_SEGMENTS_MAX, 200), (60_000, 404)])
async def test_path_with_many_segments_has_no_route(segments: int, status: int) -> None:
    """The router of aiohttp takes half a second for 60,000."""
    async with listening() as listener:
        connection, wire = listener.connect()
        path = b"/deep" + b"/" * (segments - 1)
        connection.data_received(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        await settle()
        assert wire.status == status


async def test_complete_body_cancels_its_deadline() -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        connection.data_received(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
        await asyncio.sleep(1)
        connection.data_received(b"x")
        await asyncio.sleep(BODY_LIMIT_S + 1)
        assert (wire.closed, wire.status) == (False, 200)


async def test_unread_response_is_aborted_after_thirty_seconds() -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        wire.reads = False
        connection.data_received(GET.replace(b" / ", b" /large "))
        await asyncio.sleep(UNREAD_LIMIT_S - 1)
        assert not wire.closed
        wire.read(1000)
        # It has read something, which extends its time.
        await asyncio.sleep(UNREAD_LIMIT_S)
        assert not wire.closed
        await asyncio.sleep(UNREAD_LIMIT_S)
        assert wire.closed
        assert listener.log.refused_responses == 1
        assert listener.connections.unread.size == 0


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
async def test_small_unread_response_does_not_hold_its_connection(header: bytes) -> None:
    async with listening() as listener:
        connection, wire = listener.connect()
        wire.reads = False
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n")
        await asyncio.sleep(UNREAD_LIMIT_S - 1)
        assert not wire.closed
        await asyncio.sleep(2)
        assert wire.closed
        assert len(listener.connections.table) == 0


async def test_evicted_connection_is_closed_at_once_despite_unread_bytes() -> None:
    async with listening(1) as listener:
        first, wire = listener.connect("127.0.0.1")
        wire.reads = False
        first.data_received(GET)
        await settle()
        listener.connect("127.0.0.1")
        await settle()
        assert wire.closed


async def test_unread_responses_of_all_clients_are_bounded() -> None:
    async with listening(300) as listener:
        wires = []
        for number in range(150):
            connection, wire = listener.connect(f"192.0.2.{number + 1}")
            wire.reads = False
            connection.data_received(GET.replace(b" / ", b" /large "))
            await settle()
            wires.append(wire)
        statuses = [wire.status for wire in wires]
        assert set(statuses) == {200, 503}
        assert sum(len(wire.sent) for wire in wires) < 40_000_000
        # A client that reads is served after the grace period of the others.
        await asyncio.sleep(11)
        connection, wire = listener.connect("198.51.100.1")
        connection.data_received(GET.replace(b" / ", b" /large "))
        await settle()
        assert (wire.status, len(wire.sent) > len(LARGE)) == (200, True)


async def test_connection_at_the_limit_evicts_one_without_a_request() -> None:
    async with listening(4) as listener:
        first = [listener.connect(f"192.0.2.{number}") for number in range(4)]
        served, wire = listener.connect("198.51.100.1")
        served.data_received(GET)
        await settle()
        assert wire.status == 200
        assert [wire.closed for _, wire in first] == [True, False, False, False]
        assert len(listener.connections.table) == 4


async def test_connection_beyond_the_share_is_answered_503_and_rarely_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(4) as listener:
        for _ in range(2):
            listener.connect("192.0.2.1")
        for _ in range(100):
            _, wire = listener.connect("192.0.2.1")
            assert (wire.closed, wire.status) == (True, 503)
        await settle()
        assert len(listener.connections.table) == 2
        assert listener.log.refused_connections == 100
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 6
