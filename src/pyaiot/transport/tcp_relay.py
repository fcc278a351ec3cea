# SPDX-License-Identifier: BSD-3-Clause
"""Forwards TCP connections to another address of this machine."""

import asyncio
import contextlib
import logging
import socket
from typing import Final

from pyaiot.transport.rate_limit import RateLimitedLog

CONNECTIONS_MAX: Final = 1000
"""Connections that a relay forwards at the same time. One more is closed at once."""
CONNECT_LIMIT_S: Final = 5.0
"""How long the target of a relay may take to accept a connection. Then the peer is disconnected."""
BUFFER_MAX: Final = 64 * 1024
"""Bytes that wait in a relay in one direction of a connection. Above it, the sender is not read."""

log = logging.getLogger(__name__)


class TcpRelay:
    """Accepts connections on one socket and forwards each to one target, unchanged.

    A connection that one peer closes, even in one direction only, is closed in both.
    """

    def __init__(self, host: str, port: int, *, connections_max: int = CONNECTIONS_MAX) -> None:
        """`host`, `port`: the target."""
        self._host = host
        self._port = port
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._log = RateLimitedLog(log)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Connections that are forwarded."""
        return len(self._tasks)

    async def listen(self, bound: socket.socket) -> None:
        """Accept connections on a bound socket, which the relay owns from now on."""
        self._server = await asyncio.start_server(self._accept, sock=bound, limit=BUFFER_MAX)

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._connections_max:
            self._log.warning(
                "TCP port %s: %s connections are forwarded already; one more was closed",
                *(self._port, self._connections_max),
                now=self._loop.time(),
            )
            writer.close()
            return
        task = self._loop.create_task(self._forward(reader, writer), name="TCP relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                target_reader, target_writer = await asyncio.open_connection(
                    self._host, self._port, limit=BUFFER_MAX
                )
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        directions = (
            self._loop.create_task(_copy(reader, target_writer), name="TCP relay, to the target"),
            self._loop.create_task(_copy(target_reader, writer), name="TCP relay, to the peer"),
        )
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            # What was written before is still sent.
            writer.close()
            target_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one of the two connections ends."""
    writer.transport.set_write_buffer_limits(high=BUFFER_MAX)
    with contextlib.suppress(OSError):
        while data := await reader.read(BUFFER_MAX):
            writer.write(data)
            await writer.drain()
