# SPDX-License-Identifier: BSD-3-Clause
"""Rules that people set for nodes reach the gateway: bans and offline timeouts."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.gateways.gateway import SEEN_INTERVAL_S, Gateway, GatewayLink, Outcome
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.node_rules import BANNED_MAX, RulesOfNodes
from pyaiot.links import MemoryLink
from pyaiot.messages import NodeLeft
from pyaiot.registry.record import Edit
from pyaiot.registry.service import RegistryService
from pyaiot.transport.backoff import Backoff

COAP = {"protocol": "CoAP"}
TS = 1_700_000_000.0


def nodes() -> LiveNodes:
    return LiveNodes(silence_limit_s=100.0, nodes_max=10)


def test_longer_timeout_of_a_node_keeps_it_online() -> None:
    it = nodes()
    it.node_seen("slow", COAP, now=0.0, ts=TS)
    it.node_seen("usual", COAP, now=0.0, ts=TS)
    it.apply_rules("slow", banned=False, offline_after_s=1000.0)
    assert it.handle_timer(now=100.0, ts=TS) == [NodeLeft(uid="usual", ts=TS, reason="silent")]
    assert not it.is_offline("slow", now=999.0)
    assert it.handle_timer(now=999.0, ts=TS) == []
    assert it.handle_timer(now=1000.0, ts=TS) == [NodeLeft(uid="slow", ts=TS, reason="silent")]


def test_shorter_timeout_of_a_node_is_counted_from_its_last_sign_of_life() -> None:
    it = nodes()
    it.node_seen("quick", COAP, now=0.0, ts=TS)
    it.apply_rules("quick", banned=False, offline_after_s=10.0)
    assert it.get_timer() == 10.0
    it.node_seen("quick", COAP, now=8.0, ts=TS)
    assert it.handle_timer(now=10.0, ts=TS) == []
    assert it.get_timer() == 18.0
    assert it.handle_timer(now=18.0, ts=TS) == [NodeLeft(uid="quick", ts=TS, reason="silent")]
    assert it.get_timer() is None


def test_timeout_that_is_cleared_is_that_of_the_gateway_again() -> None:
    it = nodes()
    it.node_seen("A", COAP, now=0.0, ts=TS)
    it.apply_rules("A", banned=False, offline_after_s=10.0)
    it.apply_rules("A", banned=False, offline_after_s=0.0)
    assert it.handle_timer(now=50.0, ts=TS) == []
    assert it.handle_timer(now=100.0, ts=TS) == [NodeLeft(uid="A", ts=TS, reason="silent")]


def test_banned_node_is_refused_until_the_ban_is_lifted() -> None:
    it = nodes()
    it.apply_rules("A", banned=True, offline_after_s=0.0)
    with pytest.raises(Refused, match="banned"):
        it.node_seen("A", COAP, now=0.0, ts=TS)
    assert it.new_nodes_refused == 1
    it.apply_rules("A", banned=False, offline_after_s=0.0)
    assert it.node_seen("A", COAP, now=0.0, ts=TS)


def test_bans_have_a_limit() -> None:
    it = RulesOfNodes()
    for number in range(BANNED_MAX + 1):
        it.ban(f"n{number}")
    assert not it.is_banned("n0")
    assert it.is_banned("n1")
    assert it.is_banned(f"n{BANNED_MAX}")


def test_only_nodes_without_an_event_are_reported_as_seen() -> None:
    it = nodes()
    it.node_seen("A", COAP, now=0.0, ts=TS)
    assert it.take_seen_quietly() == set()
    it.node_seen("A", COAP, now=1.0, ts=TS)
    it.node_seen("B", COAP, now=1.0, ts=TS)
    assert it.take_seen_quietly() == {"A"}
    assert it.take_seen_quietly() == set()
    it.node_seen("A", COAP, now=2.0, ts=TS)
    it.left("A", "left", ts=TS)
    assert it.take_seen_quietly() == set()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["seen", "rule", "clear", "timer"]),
            st.sampled_from("AB"),
            st.floats(1.0, 300.0),
        ),
        max_size=40,
    )
)
def test_node_is_offline_when_its_timeout_is_over_and_not_before(
    steps: list[tuple[str, str, float]],
) -> None:
    it = nodes()
    now = 0.0
    last_seen: dict[str, float] = {}
    timeout: dict[str, float] = {}
    for step, uid, number in steps:
        now += number / 10
        match step:
            case "seen":
                it.node_seen(uid, COAP, now=now, ts=TS)
                last_seen[uid] = now
            case "rule" if uid in last_seen:
                it.apply_rules(uid, banned=False, offline_after_s=number)
                timeout[uid] = number
            case "clear":
                it.apply_rules(uid, banned=False, offline_after_s=0.0)
                timeout.pop(uid, None)
            case _:
                left = {event.uid for event in it.handle_timer(now=now, ts=TS)}
                for name in left:
                    assert now - last_seen.pop(name) >= timeout.pop(name, 100.0)
                for name, seen_at in last_seen.items():
                    # A timeout that was cleared is checked again within that of the gateway.
                    limit = timeout.get(name, 200.0)
                    assert now - seen_at < limit + 1e-6


@dataclass
class System:
    broker: Broker
    registry: RegistryService
    gateway: Gateway

    def state_of(self, uid: str) -> str:
        return self.registry.registry.records[uid].state


class NoDevices:
    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        raise AssertionError((uid, resource, payload, deadline))


@asynccontextmanager
async def linked() -> AsyncIterator[System]:
    """A gateway that is linked to a broker with a registry."""
    loop = asyncio.get_running_loop()
    broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: TS + loop.time())
    registry = RegistryService(broker.router.registry, broker, None, unix_time=lambda: TS)
    gateway = Gateway(
        name="test",
        protocol="CoAP",
        nodes=nodes(),
        loop=loop,
        unix_time=lambda: TS,
        backoff=Backoff(rng=random.Random(1)),
    )
    tasks: list[asyncio.Task[None]] = []

    async def connect() -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        tasks.append(loop.create_task(broker.serve_gateway(broker_end, acknowledges=True)))
        return gateway_end

    tasks.append(loop.create_task(gateway.keep_linked(connect, NoDevices())))
    tasks.append(loop.create_task(gateway.expire_offline_nodes(lambda _uid: None)))
    try:
        await asyncio.sleep(0.1)
        yield System(broker, registry, gateway)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_offline_timeout_that_people_set_holds_at_once_and_when_the_node_returns() -> None:
    async with linked() as system:
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(0.1)
        await system.registry.edit("A", Edit(offline_after_s=5.0))
        await asyncio.sleep(5.0)
        assert system.registry.registry.records["A"].reason == "silent"
        assert system.state_of("A") == "offline"
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(4.0)
        assert system.state_of("A") == "online"
        await asyncio.sleep(2.0)
        assert system.state_of("A") == "offline"


async def test_ban_removes_the_node_at_its_gateway_and_lifting_it_lets_it_return() -> None:
    async with linked() as system:
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(0.1)
        await system.registry.edit("A", Edit(admission="banned"))
        await asyncio.sleep(0.1)
        assert "A" not in system.gateway.nodes
        with pytest.raises(Refused, match="banned"):
            system.gateway.node_seen("A", COAP)
        await system.registry.edit("A", Edit(admission="accepted"))
        await asyncio.sleep(0.1)
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(0.1)
        assert system.registry.registry.records["A"].state == "online"


async def test_sign_of_life_without_a_reading_is_known_to_the_registry() -> None:
    async with linked() as system:
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(0.1)
        before = system.registry.registry.records["A"].last_seen
        await asyncio.sleep(20.0)
        system.gateway.node_seen("A", COAP)
        await asyncio.sleep(SEEN_INTERVAL_S + 0.2)
        record = system.registry.registry.records["A"]
        assert record.last_seen >= before + 20.0
