# SPDX-License-Identifier: BSD-3-Clause
"""A broker gets the values that its clients watch, with any filter."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import msgspec

from pyaiot.broker.encoders import ARRAYS
from pyaiot.broker.subscriber import Subscriber
from pyaiot.broker.wanted_readings import SEEN_S
from pyaiot.cluster.broker import ClusteredBroker
from pyaiot.cluster.packets import CurrentValues, FrameHeader, decode_items, decode_packet
from pyaiot.messages import Join, NodeAppeared, NodeReset, Reading, Subscription, ToClient
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
        self.is_cut = False
        """Packets of the broker of the gateway are lost."""
        self.crossed: list[tuple[str, str]] = []
        """Readings that the broker of the gateway sent to the other one: node and resource."""
        for broker, peer in ((self.owner, self.other), (self.other, self.owner)):

            def send(_run: str, packet: bytes, peer: ClusteredBroker = peer) -> None:
                if self.is_cut and peer is self.other:
                    return
                loop.call_soon(peer.receive_packet, self.changed(packet))
                if peer is self.other:
                    self.crossed += readings_in(packet)

            broker.send_packet = send
        self.owner._deliver(self.owner.router.gateway_connected(1, acknowledges=True, ts=0.0))

    def changed(self, packet: bytes) -> bytes:
        """The packet as it arrives."""
        return packet

    async def send(self, *messages: Any) -> None:
        now = asyncio.get_running_loop().time()
        for message in messages:
            self.owner._deliver(self.owner.router.from_gateway(1, message, now=now, ts=now))
        await asyncio.sleep(1.0)

    async def edit(self, uid: str, edit: Edit) -> None:
        self.owner.people_edited(self.owner.router.registry.edited(uid, edit))
        await asyncio.sleep(1.0)


@asynccontextmanager
async def pair(kind: type[Pair] = Pair) -> AsyncIterator[Pair]:
    it = kind()
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


def readings_in(packet: bytes) -> list[tuple[str, str]]:
    header, body = decode_packet(packet)
    found: list[tuple[str, str]] = []
    for item in decode_items(body) if isinstance(header, FrameHeader) else []:
        if isinstance(item, Reading):
            found.append((item.uid, item.resource))
        elif isinstance(item, CurrentValues):
            found += [(item.uid, it.resource) for it in item.readings]
    return found


UIDS = [f"n{number}" for number in range(40)]


async def watch_part(
    it: Pair, *uids: str, named: tuple[str, ...] = ()
) -> tuple[Subscriber, FakeSocket]:
    """40 nodes at one broker, and a page at the other one that shows some."""
    await it.send(*(NodeAppeared(uid=uid) for uid in UIDS))
    await it.send(*of_all("t", "1"), *of_all("h", "50"), *of_all("name", "Node"))
    socket = FakeSocket()
    page = it.other.client_connected(socket, ARRAYS)
    it.other.from_client(page, Subscription(readings_of=uids, readings_named=named))
    await asyncio.sleep(1.0)
    it.other.from_client(page, Join(data="client"))
    await asyncio.sleep(1.0)
    it.crossed.clear()
    socket.writes.clear()
    return page, socket


def of_all(resource: str, data: str) -> list[Reading]:
    return [Reading(uid=uid, resource=resource, data=data) for uid in UIDS]


async def test_only_values_of_the_nodes_that_a_page_shows_cross_between_brokers() -> None:
    async with pair() as it:
        _, socket = await watch_part(it, "n1", "n2", named=("name",))
        for turn in range(5):
            await it.send(*of_all("t", str(turn)), *of_all("h", str(turn)))
        await it.send(Reading(uid="n9", resource="name", data="Lamp"))
        assert len(it.crossed) == 21  # of 401
        assert set(it.crossed) == {*product(("n1", "n2"), "th"), ("n9", "name")}
        assert values(socket)[-1] == ("n9", "Lamp")


async def test_a_page_gets_the_uids_of_nodes_of_other_brokers_that_sent_readings() -> None:
    async with pair() as it:
        _, socket = await watch_part(it, "n1")
        await it.send(*of_all("t", "2")[:30])
        await asyncio.sleep(2 * SEEN_S)
        seen = [message["uids"] for message in socket.messages if message["type"] == "seen"]
        assert {uid for uids in seen for uid in uids} == set(UIDS[:30])
        socket.writes.clear()
        await asyncio.sleep(4 * SEEN_S)
        assert socket.messages == []
        assert it.other.member.has_values(it.other.member.local.interest.number)


async def test_values_of_a_resource_that_a_page_sorts_by_are_sent_at_once() -> None:
    async with pair() as it:
        page, socket = await watch_part(it, "n1")
        await it.send(*of_all("t", "7"), *of_all("h", "8"))
        assert values(socket) == [("n1", "7"), ("n1", "8")]
        it.crossed.clear()
        request = Subscription(readings_of=("n1",), readings_named=("t",))
        it.other.from_client(page, request)
        await asyncio.sleep(1.0)
        assert sorted(it.crossed) == sorted((uid, "t") for uid in UIDS)
        assert sorted(values(socket)) == sorted((uid, "7") for uid in UIDS if uid != "n1")
        assert known(it.other, "n5") == known(it.owner, "n5")[:1]


async def test_a_value_that_ended_while_packets_were_lost_is_not_shown_any_more() -> None:
    async with pair() as it:
        _, socket = await watch_part(it, "n1", named=("name",))
        assert known(it.other, "n9") == ["Node"]
        it.is_cut = True
        await it.send(NodeReset(uid="n9"))
        it.is_cut = False
        await asyncio.sleep(5.0)
        assert known(it.other, "n9") == []
        shown: dict[str, str] = dict.fromkeys(UIDS, "Node")
        for message in socket.messages:
            if message["type"] == "reset":
                del shown[message["uid"]]
            elif message["type"] == "update" and message["endpoint"] == "name":
                shown[message["uid"]] = message["data"]
        assert shown.keys() == set(UIDS) - {"n9"}


async def test_a_client_that_gets_everything_gets_the_values_of_all_nodes() -> None:
    async with pair() as it:
        page, _ = await watch_part(it, "n1")
        it.other.from_client(page, Subscription())
        await asyncio.sleep(1.0)
        assert len(it.crossed) == 3 * len(UIDS)
        await it.send(*of_all("t", "3"))
        assert len(it.crossed) == 4 * len(UIDS)


async def test_everything_is_requested_from_a_broker_of_an_earlier_version() -> None:
    class WithEarlier(Pair):
        def changed(self, packet: bytes) -> bytes:
            return packet.replace(b',"parts":true', b"")

    async with pair(WithEarlier) as it:
        await watch_part(it, "n1")
        await it.send(*of_all("t", "2"))
        assert len(it.crossed) == len(UIDS)


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
