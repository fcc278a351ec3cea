# SPDX-License-Identifier: BSD-3-Clause
"""The virtual WebSocket node over a connection in memory: pings, pongs and timeouts."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from pyaiot.fleet.ledger import ReadingSeries, Tally
from pyaiot.fleet.websocket import PONG_LIMIT_S, VirtualWebSocketNode


class Socket:
    """A gateway that answers pings while `answers` is set."""

    def __init__(self) -> None:
        self.answers = True
        self.texts: list[str] = []
        self._frames: asyncio.Queue[Any] = asyncio.Queue()

    async def send_str(self, text: str) -> None:
        self.texts.append(text)

    async def ping(self, data: bytes) -> None:
        if self.answers:
            self._frames.put_nowait(SimpleNamespace(type=aiohttp.WSMsgType.PONG, data=data))

    def __aiter__(self) -> "Socket":
        return self

    async def __anext__(self) -> Any:
        return await self._frames.get()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[VirtualWebSocketNode, Socket, asyncio.Task[None]]]:
    clock = asyncio.get_running_loop().time
    series = ReadingSeries(Tally("WebSocket"))
    node = VirtualWebSocketNode("a", series, rng=random.Random(1), clock=clock)
    socket = Socket()
    task = asyncio.create_task(node._serve(socket))  # type: ignore[arg-type]
    try:
        await asyncio.sleep(0.01)
        assert node.is_connected
        yield node, socket, task
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 10.0])
async def test_a_connection_is_kept_at_any_rate_of_readings(rate: float) -> None:
    now = asyncio.get_running_loop().time
    async with connected() as (node, _, task):
        for _ in range(12):
            node.read(now=now())
            await asyncio.sleep(1 / rate)
        assert not task.done()
        assert node.series.tally.acknowledged == 12
        assert node.series.tally.skipped == 0


@pytest.mark.parametrize("rate", [0.5, 1.0, 100.0])
async def test_a_gateway_that_answers_no_ping_is_given_up_at_any_rate(rate: float) -> None:
    now = asyncio.get_running_loop().time
    async with connected() as (node, socket, task):
        socket.answers = False
        began = now()
        while not task.done():
            node.read(now=now())
            await asyncio.wait({task}, timeout=1 / rate)
        # Within a step of this test.
        assert now() - began == pytest.approx(PONG_LIMIT_S, abs=1 / rate + 0.5)
        with pytest.raises(TimeoutError):
            await task
