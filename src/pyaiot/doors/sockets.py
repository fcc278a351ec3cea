# SPDX-License-Identifier: BSD-3-Clause
"""WebSockets of a server that waits for no peer."""

import asyncio
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from pyaiot.frames import close_frame

CLOSE_LIMIT_S: Final = 2.0
"""A peer that does not answer a close for so long is cut off."""
PONG_BUFFER_MAX: Final = 16 * 1024
"""Bytes waiting in the socket above which pings are not answered: their sender reads nothing."""
SEND_BUFFER_SIZE: Final = 256 * 1024
"""Bytes that the kernel may hold for one peer, doubled by Linux for its own use (socket(7))."""


class TransportSink:
    """The socket of a peer. Frames are made elsewhere and written as they are.

    aiohttp writes pings, pongs and closes to the same transport; each write is whole frames.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        # Left alone, Linux lets the buffer of a client that reads nothing grow to megabytes.
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_SIZE)
        self.write = transport.write
        self.buffered = transport.get_write_buffer_size

    def close(self, code: int, reason: str) -> None:
        self._transport.write(close_frame(code, reason))
        self._loop.call_later(CLOSE_LIMIT_S, self._transport.abort)


class PatientSocket(web.WebSocketResponse):
    """A WebSocket that never waits for a peer that reads nothing."""

    def __init__(
        self, *protocols: str, heartbeat_s: float, size_max: int, autoping: bool = True
    ) -> None:
        """A peer that does not answer a ping within half of `heartbeat_s` is cut off.

        Larger messages than `size_max` bytes close it with 1009. Without `autoping`, pings and
        pongs are received as messages are.
        """
        super().__init__(
            protocols=protocols,
            heartbeat=heartbeat_s,
            timeout=CLOSE_LIMIT_S,
            autoping=autoping,
            max_msg_size=size_max,
            # One frame is made for all clients: there is no state of a compressor to share.
            compress=False,
            decode_text=False,
        )
        self.transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self.transport = request.transport
        return await super().prepare(request)

    async def pong(self, message: bytes = b"") -> None:
        # Below this, a write waits for nobody.
        if self.transport and self.transport.get_write_buffer_size() <= PONG_BUFFER_MAX:
            await super().pong(message)

    async def close(
        self, *, code: int = aiohttp.WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if self.transport is not None:
            # Else what the peer does not take keeps the connection and its memory for ever.
            asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self.transport.abort)
        return await super().close(code=code, message=message, drain=drain)
