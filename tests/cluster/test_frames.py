# SPDX-License-Identifier: BSD-3-Clause
"""When a broker sends frames to the others."""

import asyncio
from typing import TYPE_CHECKING

from pyaiot.broker.encoders import ARRAYS
from pyaiot.cluster.flush_interval import FEW_PER_S, FLUSH_INTERVAL_S, FLUSH_OF_FEW_S
from pyaiot.cluster.packets import FrameHeader, Interest, decode_items, decode_packet
from pyaiot.messages import Join, NodeAppeared, NodeReset, Reading
from tests.broker.test_fanout import FakeSocket
from tests.cluster.simulation import World
from tests.cluster.test_interest import Pair, pair

if TYPE_CHECKING:
    from collections.abc import Callable


def frames_of(it: Pair) -> list[tuple[float, int]]:
    """The frames that the owner sends from now on: when, and with how many items."""
    loop = asyncio.get_running_loop()
    found: list[tuple[float, int]] = []
    send: Callable[[str, bytes], None] = it.owner.send_packet

    def noted(run: str, packet: bytes) -> None:
        header, body = decode_packet(packet)
        if isinstance(header, FrameHeader):
            found.append((loop.time(), len(decode_items(body))))
        send(run, packet)

    it.owner.send_packet = noted
    return found


async def watched(it: Pair) -> None:
    client = it.other.client_connected(FakeSocket(), ARRAYS)
    it.other.from_client(client, Join(data="client"))
    await it.send(NodeAppeared(uid="A"), Reading(uid="A", resource="t", data=0))


async def report(it: Pair, count: int, pause_s: float, at_once: int) -> None:
    now = asyncio.get_running_loop().time()
    for value in range(1, count + 1):
        readings = [Reading(uid="A", resource="t", data=value) for _ in range(at_once)]
        for reading in readings:
            it.owner._deliver(it.owner.router.from_gateway(1, reading, now=now, ts=now))
        await asyncio.sleep(pause_s)


async def test_few_readings_are_gathered_and_the_first_one_waits_for_nothing() -> None:
    async with pair() as it:
        await watched(it)
        frames, began = frames_of(it), asyncio.get_running_loop().time()
        await report(it, 100, 0.01, 1)
        assert frames[0][0] - began < 0.001
        assert 1 / FLUSH_OF_FEW_S <= len(frames) <= 1 / FLUSH_OF_FEW_S + 5  # beacons take some
        await asyncio.sleep(1.0)
        assert sum(items for _, items in frames) == 100


async def test_many_readings_are_sent_soon() -> None:
    async with pair() as it:
        await watched(it)
        frames = frames_of(it)
        await report(it, 100, 0.01, round(FEW_PER_S / 100) * 2)
        later = [at for at, _ in frames if at > frames[0][0] + 0.2]
        assert 0.7 / FLUSH_INTERVAL_S <= len(later) <= 0.8 / FLUSH_INTERVAL_S + 5


async def test_what_is_no_reading_does_not_wait_and_takes_them_along() -> None:
    async with pair() as it:
        await watched(it)
        await report(it, 20, 0.01, 1)
        loop, frames = asyncio.get_running_loop(), frames_of(it)
        await report(it, 1, 0.0, 1)
        began = loop.time()
        it.owner._deliver(it.owner.router.from_gateway(1, NodeReset(uid="A"), now=began, ts=began))
        await asyncio.sleep(FLUSH_INTERVAL_S + 0.001)
        assert frames
        assert frames[-1][0] - began <= FLUSH_INTERVAL_S
        await asyncio.sleep(1.0)
        assert sum(items for _, items in frames) <= 3


def test_a_broker_without_a_stream_is_sent_no_values() -> None:
    """They come with the snapshot that it requests."""
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(1.0)
    member = world.brokers["broker 0"].member
    (peer,) = member.peers.values()
    peer.end_outgoing()
    member.interested(peer, Interest(number=9))
    member.interested(peer, Interest(number=10, everything=True))
    assert peer.interest.number == 10
    assert not member.has_jobs
