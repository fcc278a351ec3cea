# SPDX-License-Identifier: BSD-3-Clause
"""A WebSocket link ends on request, also if another task ends at the same time."""

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest

from pyaiot.errors import LinkLost
from pyaiot.links import BrokerCodec, GatewayCodec, TakeFrames, WebSocketLink
from pyaiot.messages import FromGateway, NodeAppeared, NodeLeft, ToGateway, encode


class ClosedSocket:
    """Its peer closed it; a send in progress takes a second to give up."""

    close_code = 1001

    def __aiter__(self) -> "ClosedSocket":
        return self

    async def __anext__(self) -> aiohttp.WSMessage:
        await asyncio.sleep(0.1)
        raise StopAsyncIteration

    async def send_frame(self, _data: bytes, _opcode: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise

    async def close(self, **_reason: object) -> None:
        """Closed already."""

    def exception(self) -> None:
        """Nothing went wrong."""


def link() -> WebSocketLink[ToGateway, FromGateway]:
    return WebSocketLink(ClosedSocket(), GatewayCodec())  # type: ignore[arg-type]


def ignore(_messages: Sequence[ToGateway]) -> None:
    """Nothing comes."""


async def test_link_whose_peer_closed_it_is_lost() -> None:
    it = link()
    it.send(NodeAppeared(uid="A"))
    with pytest.raises(LinkLost, match="1001"):
        await it.run(ignore)


async def test_service_that_ends_while_its_link_is_lost_ends() -> None:
    it = link()
    it.send(NodeAppeared(uid="A"))
    task = asyncio.get_running_loop().create_task(it.run(ignore))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_frames_of_one_read_are_received_together_and_invalid_ones_refused() -> None:
    takers: list[TakeFrames] = []
    problems: list[str] = []
    received: list[Sequence[FromGateway]] = []
    it: WebSocketLink[FromGateway, ToGateway] = WebSocketLink(
        ClosedSocket(),  # type: ignore[arg-type]
        BrokerCodec(problems.append),
        take_simple=takers.append,
    )
    task = asyncio.get_running_loop().create_task(it.run(received.append))
    await asyncio.sleep(0)
    (take,) = takers
    first, second = NodeAppeared(uid="A"), NodeLeft(uid="A")
    assert take([encode([first]), b"[{}]", b"\xff", encode([second, first])]) == 4
    assert received == [[first, second, first]]
    assert len(problems) == 2
    assert take([b"[]"]) == 1
    assert len(received) == 1
    with pytest.raises(LinkLost):
        await task
