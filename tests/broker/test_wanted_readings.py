# SPDX-License-Identifier: BSD-3-Clause
"""Subscribers to a part of the readings: what they get, and what they learn of the other nodes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from pyaiot import messages
from pyaiot.accounts.scopes import Scope
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.encoders import ARRAYS
from pyaiot.broker.subscriber import Subscriber
from pyaiot.broker.wanted_readings import SEEN_S, SEEN_UIDS_MAX, ReadingIndex
from pyaiot.errors import ProtocolError
from pyaiot.messages import Join, NodeAppeared, NodeLeft, Reading, Subscription
from pyaiot.messages.limits import READINGS_OF_MAX
from tests.broker.test_fanout import FLUSH_INTERVAL_S, FakeSocket, System

UIDS = [f"n{number:04}" for number in range(2500)]


def of(name: str, data: str, uids: Sequence[str] = UIDS) -> list[Reading]:
    return [Reading(uid=uid, resource=name, data=data, ts=2.0) for uid in uids]


@asynccontextmanager
async def fleet(uids: Sequence[str] = UIDS) -> AsyncIterator[System]:
    system = System()
    await system.send(*of("t", "1", uids))
    yield system
    await system.end()


def joined(system: System, scope: Scope | None = None) -> tuple[Subscriber, FakeSocket]:
    socket = FakeSocket()
    more: dict[str, Any] = {} if scope is None else {"scope": scope}
    client = system.broker.client_connected(socket, ARRAYS, **more)
    system.broker.from_client(client, Join(data="client"))
    return client, socket


async def subscribe(
    system: System, client: Subscriber, socket: FakeSocket, *uids: str, named: Sequence[str] = ()
) -> None:
    await asyncio.sleep(FLUSH_INTERVAL_S)
    socket.writes.clear()
    request = Subscription(readings_of=uids, readings_named=tuple(named) or None)
    system.broker.from_client(client, request)


def values(socket: FakeSocket) -> list[tuple[str, str, str]]:
    return [
        (item["uid"], item["endpoint"], item["data"])
        for item in socket.messages
        if item["type"] == "update"
    ]


async def test_only_wanted_readings_are_sent_and_everything_else_of_all_nodes() -> None:
    async with fleet() as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001", "n0007", named=["name"])
        assert values(socket) == []  # the answer to `new` had them
        await system.send(*of("t", "2"), *of("name", "Lamp", ["n2000"]))
        await system.send(NodeLeft(uid="n1000", ts=3.0), *of("t", "1", ["newcomer"]))
        await asyncio.sleep(FLUSH_INTERVAL_S)
        assert values(socket) == [
            ("n0001", "t", "2"),
            ("n0007", "t", "2"),
            ("n2000", "name", "Lamp"),
        ]
        others = [item for item in socket.messages if item["type"] != "update"]
        assert [(item["type"], item["uid"]) for item in others] == [
            ("out", "n1000"),
            ("new", "newcomer"),
        ]


async def test_messages_are_as_few_as_the_nodes_that_are_shown() -> None:
    """10,000 readings of 2,500 nodes, of which a client shows 50."""
    async with fleet() as system:
        client, socket = joined(system)
        _, of_all = joined(system)
        await subscribe(system, client, socket, *UIDS[:50])
        of_all.writes.clear()
        for turn in range(4):
            await system.send(*of("t", str(turn)))
        await asyncio.sleep(SEEN_S)
        count = Counter(item["type"] for item in socket.messages)
        assert count == {"update": 200, "seen": 3}
        assert Counter(item["type"] for item in of_all.messages) == {"update": 10_000}


async def test_nodes_that_sent_readings_are_named_every_few_seconds() -> None:
    async with fleet() as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001")
        await system.send(*of("t", "2"))
        await asyncio.sleep(SEEN_S)
        seen = [item for item in socket.messages if item["type"] == "seen"]
        assert [len(item["uids"]) for item in seen] == [SEEN_UIDS_MAX, SEEN_UIDS_MAX, 500]
        assert [uid for item in seen for uid in item["uids"]] == UIDS
        assert {item["ts"] for item in seen} == {1_700_000_000.0}
        socket.writes.clear()
        await asyncio.sleep(SEEN_S * 2)
        assert socket.messages == []  # nothing was received


async def test_latest_readings_of_nodes_that_become_wanted_are_sent_at_once() -> None:
    async with fleet() as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001")
        await system.send(*of("t", "2"), *of("h", "50", ["n0003"]))
        await subscribe(system, client, socket, "n0001", "n0003", "n0005", "unknown")
        assert sorted(values(socket)) == [
            ("n0003", "h", "50"),
            ("n0003", "t", "2"),
            ("n0005", "t", "2"),
        ]


async def test_latest_readings_wait_for_a_socket_that_is_full() -> None:
    async with fleet() as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001")
        await system.send(*of("t", "2"))
        await asyncio.sleep(FLUSH_INTERVAL_S)
        socket.stalled, socket.waiting = True, 1 << 20
        await subscribe(system, client, socket, "n0003")
        await system.send(*of("t", "3", ["n0003"]))
        await asyncio.sleep(SEEN_S)
        assert socket.messages == []  # and no `seen` either
        socket.read_all()
        await asyncio.sleep(1.0)
        assert values(socket)[-1] == ("n0003", "t", "3")


async def test_subscription_to_everything_ends_the_choice() -> None:
    async with fleet(UIDS[:3]) as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001")
        system.broker.from_client(client, Subscription())
        await system.send(*of("t", "2", UIDS[:3]))
        await asyncio.sleep(SEEN_S)
        assert [uid for uid, _, _ in values(socket)] == UIDS[:3]
        assert "seen" not in {item["type"] for item in socket.messages}


async def test_client_is_named_only_nodes_of_its_scope() -> None:
    async with fleet(UIDS[:3]) as system:
        client, socket = joined(system, Scope(tags=("lamps",)))
        await subscribe(system, client, socket, "n0001", named=["t"])
        await system.send(*of("t", "2", UIDS[:3]))
        await asyncio.sleep(SEEN_S)
        assert socket.messages == []


async def test_a_client_that_left_costs_nothing_more() -> None:
    async with fleet(UIDS[:3]) as system:
        client, socket = joined(system)
        await subscribe(system, client, socket, "n0001")
        system.broker.client_left(client)
        await system.send(*of("t", "2", UIDS[:3]))
        await asyncio.sleep(SEEN_S)
        assert socket.messages == []


def test_subscription_to_too_many_nodes_is_refused() -> None:
    wanted = [f"n{number}" for number in range(READINGS_OF_MAX + 1)]
    frame = msgspec.json.encode([{"type": "subscribe", "readings_of": wanted}])
    with pytest.raises(ProtocolError):
        messages.decode_from_client(frame)
    frame = msgspec.json.encode([{"type": "subscribe", "readings_of": wanted[1:]}])
    assert messages.decode_from_client(frame) == [Subscription(readings_of=tuple(wanted[1:]))]


@pytest.mark.parametrize("wanted", [{"b"}, {"b", "c", "x", "y", "z"}, {"x"}, set()])
def test_readings_of_some_nodes_are_found_in_their_order(wanted: set[str]) -> None:
    appeared = ToAll(NodeAppeared(uid="q"))
    readings = [ToAll(it) for name in ("t", "h") for it in of(name, "1", ("c", "a", "b"))]
    deliveries = [readings[0], appeared, *readings[1:]]
    found = ReadingIndex(deliveries).of_nodes(wanted)
    assert found == [it for it in deliveries if it is appeared or it.message.uid in wanted]  # type: ignore[union-attr]
