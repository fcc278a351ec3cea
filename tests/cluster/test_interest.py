# SPDX-License-Identifier: BSD-3-Clause
"""A broker gets the values that its clients watch, whatever filter they have."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pyaiot.broker.encoders import ARRAYS
from pyaiot.cluster.broker import ClusteredBroker
from pyaiot.messages import Join, NodeAppeared, Reading, Subscription, ToClient
from pyaiot.registry.record import Edit
from pyaiot.registry.registry import Registry
from tests.broker.test_fanout import FakeSocket


class Pair:
    """The broker of a gateway, and another one. Packets take one turn."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.owner, self.other = (
            ClusteredBroker(
                name=name,
                flush_interval_s=0.02,
                registry=Registry(),
                timer=loop,
                unix_time=loop.time,
                clock=loop.time,
            )
            for name in ("owner", "other")
        )
        self.sent_readings = 0
        for broker, peer in ((self.owner, self.other), (self.other, self.owner)):

            def send(_run: str, packet: bytes, peer: ClusteredBroker = peer) -> None:
                loop.call_soon(peer.receive_packet, packet)

            broker.send_packet = send
        self.owner._deliver(self.owner.router.gateway_connected(1, acknowledges=True, ts=0.0))

    async def send(self, *messages: Any) -> None:
        now = asyncio.get_running_loop().time()
        for message in messages:
            self.owner._deliver(self.owner.router.from_gateway(1, message, now=now, ts=now))
        await asyncio.sleep(1.0)

    async def edit(self, uid: str, edit: Edit) -> None:
        self.owner.people_edited(self.owner.router.registry.edited(uid, edit))
        await asyncio.sleep(1.0)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    it = Pair()
    tasks = [asyncio.create_task(broker.run_member()) for broker in (it.owner, it.other)]
    await asyncio.sleep(5.0)
    yield it
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_values_of_nodes_with_a_tag_follow_the_tag() -> None:
    async with pair() as it:
        await it.send(*(NodeAppeared(uid=uid) for uid in ("A", "B")))
        await it.send(
            Reading(uid="A", resource="t", data="1"), Reading(uid="B", resource="t", data="1")
        )
        await it.edit("A", Edit(tags=("lab",)))
        socket = FakeSocket()
        client = it.other.client_connected(socket, ARRAYS)
        it.other.from_client(client, Subscription(tags=("lab",)))
        it.other.from_client(client, Join(data="client"))
        await asyncio.sleep(2.0)
        assert client.uids == {"A"}
        assert values(socket) == [("A", "1")]
        # Values of others are not even sent between the brokers.
        assert known(it.other, "A") == ["1"]
        assert known(it.other, "B") == []
        await it.edit("B", Edit(tags=("lab",)))
        await it.edit("A", Edit(tags=()))
        await asyncio.sleep(2.0)
        assert values(socket) == [("B", "1")]
        await it.send(
            Reading(uid="A", resource="t", data="2"), Reading(uid="B", resource="t", data="2")
        )
        assert values(socket) == [("B", "2")]
        assert known(it.other, "B") == ["2"]
        assert known(it.other, "A") == ["1"]


def known(broker: ClusteredBroker, uid: str) -> list[str]:
    node = broker.router.nodes.get(uid)
    assert node is not None
    return [reading.data for reading in node.readings.values()]


def values(socket: FakeSocket) -> list[tuple[str, str]]:
    found = [msgspec.convert(it, ToClient) for it in socket.messages]
    socket.writes.clear()
    return [(it.uid, it.data) for it in found if isinstance(it, Reading)]


class Watching:
    """An observer that is given what other brokers report."""

    def __init__(self) -> None:
        self.got: list[ToClient] = []

    def readings_published(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.message_published(reading)

    def message_published(self, message: ToClient) -> None:
        self.got.append(message)

    def command_sent(self, *_args: Any) -> None: ...

    def command_ended(self, *_args: Any) -> None: ...

    def gap_reported(self, *_args: Any) -> None: ...


async def test_an_observer_of_other_brokers_gets_readings_while_it_wants_them() -> None:
    async with pair() as it:
        elsewhere, watching = it.other.observers.elsewhere, Watching()
        assert elsewhere is not None
        elsewhere.add(watching)
        await it.send(NodeAppeared(uid="A"), Reading(uid="A", resource="t", data=1))
        assert [type(message) for message in watching.got] == [NodeAppeared]
        elsewhere.set_readings(watching, wanted=True)
        await it.send(Reading(uid="A", resource="t", data=2))
        assert [it.data for it in watching.got if isinstance(it, Reading)][-1] == 2
