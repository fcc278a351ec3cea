# SPDX-License-Identifier: BSD-3-Clause
"""A WebSocket of a server that waits for no peer."""

import asyncio
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

CLOSE_REASON_MAX: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5)."""
CLOSE_LIMIT_S: Final = 2.0
"""A peer that does not answer a close for so long is cut off."""
PONG_BUFFER_MAX: Final = 16 * 1024
"""Bytes waiting in the socket above which pings are not answered: their sender reads nothing."""


class PatientSocket(web.WebSocketResponse):
    """A WebSocket that never waits for a peer that reads nothing."""

    def __init__(self, *protocols: str, heartbeat_s: float, size_max: int) -> None:
        """A peer that does not answer a ping within half of `heartbeat_s` is cut off.

        Larger messages than `size_max` bytes close it with 1009.
        """
        super().__init__(
            protocols=protocols,
            heartbeat=heartbeat_s,
            timeout=CLOSE_LIMIT_S,
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


def cut(reason: str) -> bytes:
    """The bytes of a close reason, cut between characters."""
    return reason.encode(errors="replace")[:CLOSE_REASON_MAX].decode(errors="ignore").encode()
