# SPDX-License-Identifier: BSD-3-Clause
"""A WebSocket that was closed for an invalid message leaves nothing in memory."""

import asyncio
import gc

import pytest

from pyaiot.transport.websocket import CLOSE_LIMIT_S, NonBlockingWebSocket
from tests.attacks.raw import raw_client
from tests.web.serving import serving

pytestmark = pytest.mark.sockets(speed=10)


def sockets_in_memory() -> int:
    gc.collect()
    return sum(isinstance(it, NonBlockingWebSocket) for it in gc.get_objects())


async def test_messages_after_the_close_do_not_hold_the_connection() -> None:
    async with serving() as served:
        for _ in range(10):
            async with raw_client(served.url, extended=True) as peer:
                await peer.send_json("nonsense")
                await peer.closed()
                await peer.send_json("more nonsense")
                await asyncio.sleep(0.2)  # the server reads it, and waits for a close frame
        await asyncio.sleep(CLOSE_LIMIT_S + 1.0)  # then it aborts the connection
        assert sockets_in_memory() == 0
