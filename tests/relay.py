# SPDX-License-Identifier: BSD-3-Clause
"""Loses, duplicates and reorders datagrams by a seed, because not every kernel has netem."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True)
class Trouble:
    """The shares of datagrams that each fault affects."""

    loss: float = 0.05
    duplicates: float = 0.05
    reordered: float = 0.05
    """Share of datagrams that are late by up to `delay_s`, so that others overtake them."""
    delay_s: float = 0.05

    def delays(self, rng: random.Random) -> list[float]:
        """The delays after which a datagram arrives, in seconds: none, one or two."""
        if rng.random() < self.loss:
            return []
        copies = 2 if rng.random() < self.duplicates else 1
        return [
            rng.uniform(0.0, self.delay_s) if rng.random() < self.reordered else 0.0
            for _ in range(copies)
        ]


class UdpRelay(asyncio.DatagramProtocol):
    """Between clients and one server. Each client has its own port towards the server."""

    def __init__(self, server_port: int, trouble: Trouble, seed: int) -> None:
        self.lost = 0
        self.passed = 0
        self._server_port = server_port
        self._trouble = trouble
        self._rng = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._ways: dict[Any, _Way] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        way = self._ways.get(addr)
        if way is None:
            way = self._ways[addr] = _Way(self, addr)
            task = self._loop.create_task(way.open(self._server_port))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self.carry(data, way.send)

    def carry(self, data: bytes, send: Any) -> None:
        delays = self._trouble.delays(self._rng)
        self.lost += not delays
        self.passed += len(delays)
        for delay_s in delays:
            self._loop.call_later(delay_s, send, data)

    def back(self, data: bytes, client: tuple[Any, ...]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, client)

    async def close(self) -> None:
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for way in self._ways.values():
            way.close()
        if self._transport is not None:
            self._transport.close()


class _Way(asyncio.DatagramProtocol):
    """The port of one client towards the server."""

    def __init__(self, relay: UdpRelay, client: tuple[Any, ...]) -> None:
        self._relay = relay
        self._client = client
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []

    async def open(self, server_port: int) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=("127.0.0.1", server_port)
        )
        self._transport = transport
        for data in self._early:
            transport.sendto(data)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:  # noqa: ARG002
        self._relay.carry(data, lambda late: self._relay.back(late, self._client))

    def error_received(self, exc: Exception) -> None:
        """The target port is closed: the datagram is lost."""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@contextlib.asynccontextmanager
async def udp_relay(
    server_port: int, *, seed: int, trouble: Trouble | None = None
) -> AsyncIterator[UdpRelay]:
    """A faulty connection to a UDP port of loopback, at `port`."""
    _, relay = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: UdpRelay(server_port, trouble or Trouble(), seed), local_addr=("127.0.0.1", 0)
    )
    try:
        yield relay
    finally:
        await relay.close()


class TcpRelay:
    """A relay between clients and one server. `cut` ends all open connections."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self._server_port)
            self._writers |= {writer, there[1]}
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        writer.close()

    def cut(self) -> None:
        """Abort all connections, also in the middle of a message."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def tcp_relay(
    server_port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[TcpRelay]:
    """A connection to a TCP port of loopback that can be cut, at `port`, which may use TLS."""
    relay = TcpRelay(server_port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        await asyncio.sleep(0)
