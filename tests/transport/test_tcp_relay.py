# SPDX-License-Identifier: BSD-3-Clause
"""Connections that are forwarded to another address of this machine."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from pyaiot.transport.tcp_relay import TcpRelay
from tests.programs import free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

SENT = 32 * 1024 * 1024

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def relayed(
    serve: Serve, *, connections_max: int = 10
) -> AsyncIterator[tuple[TcpRelay, int]]:
    """A relay in front of a server, and the relay's port."""

    handlers: set[asyncio.Task[object]] = set()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        handlers.add(handler)
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(closing, sock=_bound())
    relay = TcpRelay(
        "127.0.0.1", server.sockets[0].getsockname()[1], connections_max=connections_max
    )
    bound = _bound()
    port = bound.getsockname()[1]
    await relay.listen(bound)
    try:
        yield relay, port
    finally:
        await relay.close()
        server.close()
        await asyncio.gather(*handlers)


def _bound() -> socket.socket:
    bound = socket.socket()
    # Accepted connections have the same receive buffer: less than the test sends.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    bound.bind(("127.0.0.1", 0))
    return bound


async def until(condition: Callable[[], bool]) -> None:
    async with time_limit(15):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


async def test_bytes_arrive_unchanged_in_both_directions() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.readexactly(256))
        await writer.drain()

    async with relayed(serve) as (relay, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes(range(256)))
        async with time_limit(5):
            assert await reader.read(-1) == b"got " + bytes(range(256))
        writer.close()
        await until(lambda: not len(relay))


async def test_what_the_peer_sent_before_it_closed_arrives() -> None:
    received = b""

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await reader.read(-1)

    async with relayed(serve) as (_relay, port):
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"x" * 100_000)
        await until(lambda: received == b"x" * 100_000)


async def test_connection_that_the_target_ends_is_ended() -> None:
    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async with relayed(serve) as (relay, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with time_limit(5):
            assert await reader.read(-1) == b""
        writer.close()
        await until(lambda: not len(relay))


async def test_connection_over_the_limit_is_closed_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)

    async with relayed(serve, connections_max=1) as (relay, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        refused, refused_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            assert await refused.read(-1) == b""
        refused_writer.close()
        writer.write(b"2")
        assert await reader.readexactly(1) == b"2"
        assert len(relay) == 1
        writer.close()
        await until(lambda: not len(relay))
    assert "1 connections are forwarded already" in caplog.text


async def test_peer_of_a_target_that_reads_nothing_is_not_read() -> None:
    reading = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reading.wait()
        while await reader.read(65536):
            pass

    async with relayed(serve) as (relay, port):
        _, sender = await asyncio.open_connection("127.0.0.1", port)
        sender.write(b"x" * SENT)
        size = sender.transport.get_write_buffer_size
        before, now = 0, size()
        while now != before:
            await asyncio.sleep(0.1)
            before, now = now, size()
        # The buffers of the kernel hold some megabytes; the relay holds next to nothing.
        assert now > SENT // 4
        reading.set()
        await until(lambda: not size())
        sender.close()
        await until(lambda: not len(relay))


async def test_peer_is_disconnected_if_the_target_does_not_listen() -> None:
    relay = TcpRelay("127.0.0.1", free_port(socket.SOCK_STREAM))
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    await relay.listen(bound)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with time_limit(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read(-1) == b""
        writer.close()
        await until(lambda: not len(relay))
    finally:
        await relay.close()
