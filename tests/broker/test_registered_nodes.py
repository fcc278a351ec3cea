# SPDX-License-Identifier: BSD-3-Clause
"""What clients, gateways and nodes notice of the registry: waiting, accepted, banned, forgotten."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.broker.deliveries import ToAll, ToOneGateway
from pyaiot.broker.encoders import ARRAYS, EVENTS, LEGACY, Encoder
from pyaiot.broker.router import Router
from pyaiot.broker.snapshot import CHUNK_MESSAGES
from pyaiot.broker.subscriber import Subscriber
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromGateway,
    Hello,
    Join,
    NodeAppeared,
    NodeForgotten,
    NodeLeft,
    NodeReset,
    NodeRules,
    NodesSeen,
    Problem,
    Reading,
    RegisteredNode,
    Subscription,
)
from pyaiot.registry.record import Edit, NodeRecord
from pyaiot.registry.registry import Registry
from tests.broker.test_fanout import FakeSocket

TS = 1_700_000_000.0
JOIN = Join(data="client", registry=True)


class System:
    """A broker with one gateway that accepts rules."""

    def __init__(self, registry: Registry | None = None, *, accepts_rules: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self.registry = Registry() if registry is None else registry
        self.broker = Broker(
            flush_interval_s=0.02, timer=loop, unix_time=lambda: TS, registry=self.registry
        )
        self.gateway, broker_end = MemoryLink.pair()
        self.received: list[Any] = []
        self._tasks = [
            loop.create_task(self.broker.serve_gateway(broker_end, acknowledges=True)),
            loop.create_task(self.gateway.run(self.received.extend)),
        ]
        self.gateway.send(Hello(name="g", protocol="CoAP", accepts_rules=accepts_rules))

    def client(
        self, encoder: Encoder = ARRAYS, join: Join | None = JOIN, *, stalled: bool = False
    ) -> tuple[Subscriber, FakeSocket]:
        socket = FakeSocket(stalled=stalled)
        client = self.broker.client_connected(socket, encoder)
        if join is not None:
            self.broker.from_client(client, join)
        return client, socket

    async def send(self, *messages: FromGateway) -> None:
        for message in messages:
            self.gateway.send(message)
        await asyncio.sleep(1.0)

    async def edit(self, uid: str, edit: Edit) -> NodeRecord:
        record = self.broker.people_edited(self.registry.edited(uid, edit))
        await asyncio.sleep(1.0)
        return record

    async def end(self) -> None:
        self.gateway.close("the test ends")
        await asyncio.gather(*self._tasks, return_exceptions=True)


def kinds(socket: FakeSocket) -> list[str]:
    """Type of each message about a node, and of `node` its state."""
    return [
        f"node {it['state']}" if it["type"] == "node" else it["type"]
        for it in socket.messages
        if it["type"] not in ("hello", "gateway", "joined")
    ]


def reading(data: str, uid: str = "n") -> Reading:
    return Reading(uid=uid, resource="t", data=data, ts=TS)


def approving() -> Registry:
    return Registry(admission="approve")


# -- admission ------------------------------------------------------------------------------------


async def test_newcomer_that_waits_is_seen_by_nobody_but_clients_of_the_registry() -> None:
    system = System(approving())
    (_, plain), (_, legacy), (_, registry) = (
        system.client(join=Join(data="client")),
        system.client(LEGACY, Join(data="client")),
        system.client(),
    )
    await system.send(NodeAppeared(uid="n"), reading("1"), NodeReset(uid="n"), reading("2"))
    await system.send(NodeLeft(uid="n"))
    assert kinds(plain) == kinds(legacy) == []
    assert kinds(registry) == ["node waiting", "forgotten"]
    assert len(system.registry) == 0
    await system.end()


async def test_accepted_newcomer_appears_with_its_readings() -> None:
    system = System(approving())
    (_, plain), (_, registry) = system.client(join=Join(data="client")), system.client()
    await system.send(NodeAppeared(uid="n"), reading("1"))
    await system.edit("n", Edit(admission="accepted"))
    await system.send(reading("2"))
    assert kinds(plain) == ["new", "update", "update"]
    assert kinds(registry) == ["node waiting", "node online", "new", "update", "update"]
    assert [it["data"] for it in plain.messages if it["type"] == "update"] == ["1", "2"]
    await system.end()


async def test_client_that_joins_sees_who_waits_with_values() -> None:
    system = System(approving())
    await system.send(NodeAppeared(uid="n"), reading("1"))
    (_, plain), (_, registry) = system.client(join=Join(data="client")), system.client()
    assert kinds(plain) == []
    (node,) = [it for it in registry.messages if it["type"] == "node"]
    assert (node["state"], node["values"][0]["data"]) == ("waiting", "1")
    (joined,) = [it for it in registry.messages if it["type"] == "joined"]
    assert joined["nodes"] == 0
    await system.end()


async def test_ban_removes_a_node_and_refuses_it_until_it_is_lifted() -> None:
    system = System()
    (_, plain), (_, registry) = system.client(join=Join(data="client")), system.client()
    await system.send(NodeAppeared(uid="n"), reading("1"))
    await system.edit("n", Edit(admission="banned"))
    await system.send(reading("2"), NodeAppeared(uid="n"))
    assert kinds(plain) == ["new", "update", "out"]
    assert kinds(registry)[-2:] == ["out", "node banned"]
    banned = [it for it in system.received if isinstance(it, NodeRules)]
    # At once, and as the answer to each message of the node.
    assert banned == [NodeRules(uid="n", banned=True)] * 3
    await system.edit("n", Edit(admission="accepted"))
    assert system.received[-1] == NodeRules(uid="n")
    await system.send(reading("3"))
    assert kinds(plain) == ["new", "update", "out", "new", "update"]
    await system.end()


async def test_gateway_that_knows_no_rules_gets_a_problem_instead() -> None:
    system = System(accepts_rules=False)
    await system.send(NodeAppeared(uid="n"))
    await system.edit("n", Edit(admission="banned", offline_after_s=60.0))
    await system.send(reading("1"))
    assert [it for it in system.received if isinstance(it, NodeRules)] == []
    (problem,) = [it for it in system.received if isinstance(it, Problem)]
    assert (problem.uid, "banned" in problem.detail) == ("n", True)
    await system.end()


async def test_newcomer_that_is_banned_was_never_announced() -> None:
    system = System(approving())
    (_, plain), (_, registry) = system.client(join=Join(data="client")), system.client()
    await system.send(NodeAppeared(uid="n"), reading("1"))
    await system.edit("n", Edit(admission="banned"))
    assert kinds(plain) == []
    assert kinds(registry) == ["node waiting", "node banned"]
    await system.end()


async def test_edited_newcomer_waits_on_after_it_left() -> None:
    system = System(approving())
    _, registry = system.client()
    await system.send(NodeAppeared(uid="n"), reading("1"))
    await system.edit("n", Edit(label="Who?"))
    await system.send(NodeLeft(uid="n"), NodeAppeared(uid="n"))
    assert kinds(registry) == ["node waiting"] * 4
    await system.edit("n", Edit(admission="accepted"))
    assert kinds(registry)[4:] == ["node online", "new"]
    await system.end()


@pytest.mark.parametrize("rule", ["open", "approve"])
async def test_commands_of_nodes_that_are_not_online_end_at_once(rule: Any) -> None:
    system = System(Registry(admission=rule))
    client, socket = system.client()
    await system.send(NodeAppeared(uid="n"))
    if rule == "open":
        await system.send(NodeLeft(uid="n"))
    system.broker.from_client(client, Command(id="c", uid="n", resource="led", payload="1"))
    (receipt,) = [it for it in socket.messages if it["type"] == "receipt"]
    assert receipt["state"] == ("unreachable" if rule == "open" else "forbidden")
    await system.end()


# -- rules ----------------------------------------------------------------------------------------


async def test_offline_timeout_of_a_node_is_sent_to_its_gateway() -> None:
    system = System()
    await system.send(NodeAppeared(uid="n"))
    await system.edit("n", Edit(offline_after_s=3600.0))
    await system.send(NodeLeft(uid="n"), NodeAppeared(uid="n"))
    assert [it for it in system.received if isinstance(it, NodeRules)] == [
        NodeRules(uid="n", offline_after_s=3600.0)
    ] * 2
    await system.end()


async def test_sign_of_life_is_noted_and_not_announced() -> None:
    now = TS
    router = Router()
    router.gateway_connected(1, acknowledges=True, ts=now)
    router.from_gateway(1, Hello(name="g", protocol="CoAP"), now=0.0, ts=now)
    router.from_gateway(1, NodeAppeared(uid="n"), now=0.0, ts=now)
    seen = NodesSeen(uids=("n", "unknown"))
    assert router.from_gateway(1, seen, now=1.0, ts=now + 60) == ()
    assert router.registry.records["n"].last_seen == now + 60


# -- a node that roams between two gateways -------------------------------------------------------


def test_roaming_node_is_one_record_with_its_last_gateway() -> None:
    router = Router()
    for gateway, name in ((1, "ours"), (2, "theirs")):
        router.gateway_connected(gateway, acknowledges=True, ts=TS)
        hello = Hello(name=name, protocol="CoAP", instance=name)
        router.from_gateway(gateway, hello, now=0.0, ts=TS)
    router.from_gateway(1, NodeAppeared(uid="n"), now=0.0, ts=TS)
    router.edited(router.registry.edited("n", Edit(label="Rover")), TS)
    record = router.registry.records["n"]
    for turn in range(10):
        owner, other = (1, 2) if turn % 2 == 0 else (2, 1)
        (refusal,) = router.from_gateway(other, reading("x"), now=0.0, ts=TS)
        assert isinstance(refusal, ToOneGateway)
        assert isinstance(refusal.message, Problem)
        assert refusal.message.owner == record.gateway
        router.from_gateway(owner, NodeLeft(uid="n", reason="silent"), now=0.0, ts=TS)
        assert record.state == "offline"
        router.from_gateway(other, reading(str(turn)), now=0.0, ts=TS + turn)
        assert (record.state, record.gateway) == ("online", ("ours", "theirs")[other - 1])
    assert list(router.registry.records.values()) == [record]
    assert (record.annotations.label, record.last_seen) == ("Rover", TS + 9)
    router.gateway_lost(1, now=0.0, ts=TS)
    router.gateway_lost(2, now=0.0, ts=TS)
    assert (record.state, record.reason) == ("offline", "gateway lost")


# -- clients --------------------------------------------------------------------------------------


async def test_clients_without_the_registry_see_what_they_saw_before() -> None:
    """Compared with a broker whose registry holds nothing else."""

    async def transcript(registry: Registry, encoder: Encoder) -> list[dict[str, Any]]:
        system = System(registry)
        _, early = system.client(encoder, Join(data="client"))
        system.client()
        await system.send(NodeAppeared(uid="n"), reading("1"), NodeReset(uid="n"), reading("2"))
        _, late = system.client(encoder, Join(data="client"))
        await system.send(NodeLeft(uid="n", reason="silent"))
        await system.end()
        # The id of the client, which is random, is in the legacy form.
        return [
            {key: value for key, value in it.items() if key != "dst"}
            for it in early.messages + late.messages
        ]

    for encoder in (LEGACY, ARRAYS):
        full = Registry()
        full.load(NodeRecord(uid=f"old{n}", values=b"[]") for n in range(500))
        full.load([NodeRecord(uid="n", revision=3, boots=2, first_seen=1.0)])
        assert await transcript(full, encoder) == await transcript(Registry(), encoder)


async def test_events_have_no_messages_of_the_registry() -> None:
    system = System()
    socket = FakeSocket()
    reader = system.broker.reader_connected(socket, EVENTS, Subscription())
    system.broker.from_client(reader, JOIN)
    await system.send(NodeAppeared(uid="n"))
    await system.edit("n", Edit(label="Lamp"))
    await system.send(NodeLeft(uid="n"))
    assert b"".join(socket.writes).count(b"Lamp") == 0
    await system.end()


async def test_node_comes_before_its_new_and_offline_ones_are_listed() -> None:
    system = System()
    system.registry.load([NodeRecord(uid="off", last_seen=TS - 5, revision=1)])
    await system.send(NodeAppeared(uid="on"), reading("1", "on"))
    _, socket = system.client()
    assert kinds(socket) == ["node online", "new", "update", "node offline"]
    assert socket.messages[-1] == {"type": "joined", "nodes": 1, "ts": TS}
    await system.end()


async def test_subscription_limits_the_nodes_of_the_registry() -> None:
    system = System()
    system.registry.load([NodeRecord(uid=uid, revision=1) for uid in "abc"])
    client, socket = system.client(join=None)
    system.broker.from_client(client, Subscription(uids=("b",)))
    system.broker.from_client(client, JOIN)
    await system.edit("a", Edit(label="A"))
    await system.edit("b", Edit(label="B"))
    labels = [(it["uid"], it.get("label")) for it in socket.messages if it["type"] == "node"]
    assert labels == [("b", None), ("b", "B")]
    await system.end()


async def test_evicted_node_is_announced_as_forgotten() -> None:
    system = System(Registry(offline_max=1))
    _, socket = system.client()
    await system.send(NodeAppeared(uid="a"), NodeAppeared(uid="b"))
    await system.send(NodeLeft(uid="a"), NodeLeft(uid="b"))
    assert kinds(socket)[-3:] == ["out", "node offline", "forgotten"]
    assert [it["uid"] for it in socket.messages if it["type"] == "forgotten"] == ["a"]
    await system.end()


async def test_forgotten_and_restored_nodes_are_announced() -> None:
    system = System()
    await system.send(NodeAppeared(uid="n"), reading("1"), NodeLeft(uid="n"))
    (_, plain), (_, socket) = system.client(join=Join(data="client")), system.client()
    system.broker.people_forgot("n", 0.0)
    await asyncio.sleep(1.0)
    restored = system.broker.people_restored(system.registry.forgotten("n", 1.0))
    await asyncio.sleep(1.0)
    assert restored is system.registry.records["n"]
    assert kinds(socket) == ["node offline", "forgotten", "node offline"]
    assert socket.messages[-1]["values"][0]["data"] == "1"
    assert kinds(plain) == []
    await system.end()


Change = Callable[[System], Coroutine[Any, Any, object]]


async def _appears(system: System) -> None:
    await system.send(NodeAppeared(uid="off7"), reading("5", "off7"))


async def _leaves(system: System) -> None:
    await system.send(NodeLeft(uid="on3"))


async def _edited(system: System) -> None:
    await system.edit("off8", Edit(label="Lamp"))


async def _banned(system: System) -> None:
    await system.edit("on4", Edit(admission="banned"))


async def _accepted(system: System) -> None:
    await system.edit("wait", Edit(admission="accepted"))


async def _forgotten(system: System) -> None:
    system.broker.people_forgot("off9", 0.0)
    await asyncio.sleep(1.0)


async def _restored(system: System) -> None:
    system.broker.people_forgot("off10", 0.0)
    await asyncio.sleep(1.0)
    system.broker.people_restored(system.registry.forgotten("off10", 1.0))
    await asyncio.sleep(1.0)


@pytest.mark.parametrize(
    "change", [_appears, _leaves, _edited, _banned, _accepted, _forgotten, _restored]
)
@pytest.mark.parametrize("with_registry", [True, False])
async def test_changes_during_a_join_leave_no_gap(change: Change, with_registry: bool) -> None:
    registry = Registry()
    system = System(registry)
    offline = [NodeRecord(uid=f"off{n}", revision=1) for n in range(CHUNK_MESSAGES)]
    registry.load(offline)
    online = [f"on{n}" for n in range(CHUNK_MESSAGES)]
    await system.send(*(NodeAppeared(uid=uid) for uid in online[:-10]))
    registry.set_admission("approve", {})
    await system.send(NodeAppeared(uid="wait"), reading("1", "wait"))
    registry.set_admission("open", {})
    await system.send(*(NodeAppeared(uid=uid) for uid in online[-10:]))
    await system.send(*(reading("1", uid) for uid in online))
    join = Join(data="client", registry=with_registry)
    _, socket = system.client(join=join, stalled=True)
    assert not any(it["type"] == "joined" for it in socket.messages)
    await change(system)
    socket.read_all()
    await asyncio.sleep(1.0)
    # What the client knows is what the broker knows, and each node appeared once.
    assert seen_online(socket) == {
        node.uid: sorted(it.data for it in node.readings.values())
        for node in system.broker.router.nodes
        if not node.is_waiting
    }
    appeared = [it["uid"] for it in socket.messages if it["type"] == "new"]
    assert len(appeared) == len(set(appeared))
    expected = {uid: it.state for uid, it in registry.records.items()} if with_registry else {}
    assert seen_records(socket) == expected
    (joined,) = [it for it in socket.messages if it["type"] == "joined"]
    nodes = system.broker.router.nodes
    assert abs(joined["nodes"] - (len(nodes) - nodes.waiting)) <= 1
    await system.end()


def seen_online(socket: FakeSocket) -> dict[str, list[str]]:
    found: dict[str, dict[str, str]] = {}
    for it in socket.messages:
        match it["type"]:
            case "new":
                found[it["uid"]] = {}
            case "update":
                found[it["uid"]][it["endpoint"]] = it["data"]
            case "out":
                found.pop(it["uid"], None)
    return {uid: sorted(values.values()) for uid, values in found.items()}


def seen_records(socket: FakeSocket) -> dict[str, str]:
    found: dict[str, str] = {}
    for it in socket.messages:
        if it["type"] == "node":
            found[it["uid"]] = it["state"]
        elif it["type"] == "forgotten":
            found.pop(it["uid"], None)
    return found


# -- a registry that is read late -----------------------------------------------------------------


async def test_registry_that_is_read_late_counts_at_once() -> None:
    system = System(approving())
    (_, plain), (_, socket) = system.client(join=Join(data="client")), system.client()
    await system.send(*(NodeAppeared(uid=uid) for uid in ("known", "banned", "new")))
    await system.send(reading("1", "known"))
    system.broker.registry_loaded(
        [
            NodeRecord(uid="known", revision=1),
            NodeRecord(uid="banned", admission="banned", revision=1),
            NodeRecord(uid="off", revision=1),
        ]
    )
    await asyncio.sleep(1.0)
    assert kinds(plain) == ["new", "update"]
    assert seen_records(socket) == {
        "known": "online",
        "banned": "banned",
        "new": "waiting",
        "off": "offline",
    }
    assert seen_online(socket) == {"known": ["1"]}
    assert [it.uid for it in system.broker.router.nodes if not it.is_waiting] == ["known"]
    await system.end()


# -- hostile values -------------------------------------------------------------------------------


def test_message_of_a_node_fits_into_a_frame() -> None:
    router = Router(approving())
    router.gateway_connected(1, acknowledges=True, ts=TS)
    for number in range(256):
        large = Reading(uid="n", resource=f"r{number}", data="x" * 64_000, ts=TS)
        router.from_gateway(1, large, now=0.0, ts=TS)
    router.from_gateway(1, reading("1"), now=0.0, ts=TS)
    message = router.view.message(router.registry.records["n"])
    assert [value.data for value in message.values] == ["1"]
    deliveries = router.edited(router.registry.edited("n", Edit(admission="accepted")), TS)
    assert sum(isinstance(it, ToAll) for it in deliveries) == 259
    (left, registered) = router.from_gateway(1, NodeLeft(uid="n"), now=0.0, ts=TS)
    assert isinstance(registered, ToAll)
    assert isinstance(registered.message, RegisteredNode)
    assert [value.data for value in registered.message.values] == ["1"]
    assert isinstance(left, ToAll)
    (forgotten,) = router.forget("n", 0.0)
    assert isinstance(forgotten, ToAll)
    assert forgotten.message == NodeForgotten(uid="n")
