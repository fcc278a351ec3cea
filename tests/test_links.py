# SPDX-License-Identifier: BSD-3-Clause
"""A gateway and its broker over each kind of link, and over an unreliable one."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from pyaiot.errors import LinkLost
from pyaiot.gateways.gateway import Gateway, Outcome
from pyaiot.gateways.unconfirmed import Unconfirmed
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Checkpoint,
    GatewayState,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    ReadingsDropped,
    Receipt,
    ToGateway,
)
from tests.links import (
    TS,
    Devices,
    MemorySystem,
    System,
    UnreliableSystem,
    Watcher,
    WebSocketSystem,
)

Open = Callable[[], AbstractAsyncContextManager[System]]

COAP = {"protocol": "CoAP"}


@contextlib.asynccontextmanager
async def over_memory() -> AsyncIterator[System]:
    async with MemorySystem() as system:
        yield system


@contextlib.asynccontextmanager
async def over_a_websocket() -> AsyncIterator[System]:
    async with (
        aiohttp.ClientSession() as session,
        WebSocketSystem(session) as system,
        system.listening(),
    ):
        yield system


@pytest.fixture(
    params=[
        pytest.param(over_memory, id="memory"),
        pytest.param(over_a_websocket, id="websocket", marks=pytest.mark.sockets),
    ]
)
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a system: in memory, on the simulated clock, or over a WebSocket, on a real clock."""
    found: Open = request.param
    return found


# -- the same over both -------------------------------------------------------------------------


async def test_messages_of_a_gateway_reach_a_client_in_order(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        gateway = system.gateway
        gateway.node_seen("A", COAP)
        gateway.reading("A", "led", "0")
        gateway.reading("A", "temperature", "23.5°C")
        gateway.reset("A")
        gateway.reading("A", "led", "1")
        gateway.left("A", "silent")
        await system.watcher.until(lambda: isinstance(system.watcher.received[-1], NodeLeft))
        received = [(type(item), getattr(item, "data", "")) for item in system.watcher.received]
        assert received[-8:] == [
            *((NodeAppeared, ""), (Reading, "CoAP"), (Reading, "0"), (Reading, "23.5°C")),
            *((NodeReset, ""), (Reading, "CoAP"), (Reading, "1"), (NodeLeft, "")),
        ]
        (reading,) = [x for x in system.watcher.received if getattr(x, "data", "") == "23.5°C"]
        assert isinstance(reading, Reading)
        assert (reading.number, reading.unit) == (23.5, "Cel")


async def test_nodes_from_before_the_link_are_announced(opened: Open) -> None:
    async with opened() as system:
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "led", "0")
        system.gateway.node_seen("B", COAP)
        await system.start()
        await system.settle()
        assert system.watcher.nodes == {"A": {**COAP, "led": "0"}, "B": COAP}


async def test_thousands_of_readings_arrive_in_order(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", {})
        for number in range(5000):
            system.gateway.reading("A", "count", str(number))
        await system.settle()
        counts = [int(x.data) for x in system.watcher.received if isinstance(x, Reading)]
        assert counts == list(range(5000))


async def test_values_of_the_largest_size_arrive_complete(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", {})
        values = {f"r{number}": chr(0x30 + number) * 60_000 for number in range(20)}
        for resource, value in values.items():
            system.gateway.reading("A", resource, value)
        await system.settle()
        assert system.watcher.nodes["A"] == values


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("confirmed", "2.04 Changed"),
        Outcome("refused", "4.05 Method Not Allowed"),
        Outcome("unreachable", "no route"),
        Outcome("refused", "ü" * 1000),
    ],
)
async def test_answer_of_the_device_is_the_receipt(opened: Open, outcome: Outcome) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        await system.settle()
        system.devices.outcomes["A"] = outcome
        system.watcher.command("A", "Grüße")
        receipt = await system.watcher.receipt()
        assert (receipt.state, receipt.detail) == (outcome.state, outcome.detail[:256])
        assert system.devices.written == [("A", "led", "Grüße")]


async def test_device_that_does_not_answer_is_a_timeout_and_delays_no_other(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("SLOW", COAP)
        system.gateway.node_seen("QUICK", COAP)
        await system.settle()
        system.devices.delays_s["SLOW"] = 3600.0
        system.watcher.command("SLOW", number="slow", timeout_s=10 * system.second_s)
        system.watcher.command("QUICK", number="quick", timeout_s=10 * system.second_s)
        assert (await system.watcher.receipt("quick")).state == "confirmed"
        assert not system.watcher.receipts["slow"]
        assert (await system.watcher.receipt("slow")).state == "timeout"
        assert system.devices.written == [("QUICK", "led", "1")]


async def test_node_that_left_on_the_way_is_unknown(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        await system.settle()
        # Sent at the same time: the one is still in flight when the other begins.
        system.watcher.command("A")
        system.gateway.left("A", "left")
        assert (await system.watcher.receipt()).state == "unknown"
        assert system.devices.written == []


async def test_gateway_whose_link_is_lost_comes_back_with_all_values(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "led", "0")
        await system.settle()
        assert system.link is not None
        system.broker_is_up.clear()
        system.link.close("pulled out")
        await system.watcher.until(lambda: not system.watcher.nodes)
        (left,) = [x for x in system.watcher.received if isinstance(x, NodeLeft) and x.uid == "A"]
        assert left.reason == "gateway lost"
        # What happens meanwhile is not lost, and what left meanwhile does not come back.
        system.gateway.reading("A", "led", "1")
        system.gateway.node_seen("B", COAP)
        system.gateway.node_seen("C", COAP)
        system.gateway.left("C", "left")
        system.broker_is_up.set()
        await system.watcher.until(lambda: "B" in system.watcher.nodes)
        await system.settle()
        assert system.watcher.nodes == {"A": {**COAP, "led": "1"}, "B": COAP}
        assert system.watcher.gateway_states() == ["connected", "lost", "connected"]


def counts(system: System) -> list[int]:
    """The values of the resource `count` that a client received, in order."""
    readings = [
        x for x in system.watcher.received if isinstance(x, Reading) and x.resource == "count"
    ]
    return [int(reading.data) for reading in readings]


async def test_readings_from_an_outage_of_the_broker_arrive_in_order_afterwards(
    opened: Open,
) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "led", "0")
        await system.settle()
        assert system.link is not None
        system.broker_is_up.clear()
        system.link.close("pulled out")
        await system.watcher.until(lambda: not system.watcher.nodes)
        for number in range(30):
            system.gateway.reading("A", "count", str(number))
        system.gateway.reset("A")
        system.gateway.reading("A", "count", "30")
        system.broker_is_up.set()
        await system.watcher.until(lambda: "A" in system.watcher.nodes)
        await system.settle()
        assert counts(system) == list(range(31))
        assert system.watcher.nodes["A"] == {**COAP, "count": "30"}


async def test_unconfirmed_readings_are_sent_once_more_on_the_next_link() -> None:
    async with MemorySystem() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "count", "0")
        await asyncio.sleep(2.0)
        system.gateway.reading("A", "count", "1")
        system.gateway.reading("A", "count", "2")
        await system.settle()
        assert system.link is not None
        system.link.close("the broker was killed")
        await system.watcher.until(lambda: not system.watcher.nodes)
        await system.watcher.until(lambda: "A" in system.watcher.nodes)
        await system.settle()
        # The value 0 was confirmed, and is not the latest one.
        assert counts(system) == [0, 1, 2, 1, 2]
        await asyncio.sleep(2.0)
        system.link.close("pulled out")
        await asyncio.sleep(2.0)
        await system.settle()
        # Only the state.
        assert counts(system) == [0, 1, 2, 1, 2, 2]


async def test_a_busy_gateway_has_its_readings_confirmed_all_the_time() -> None:
    async with MemorySystem() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        for number in range(600):
            system.gateway.reading("A", "count", str(number))
            await asyncio.sleep(0.05)
        assert system.link is not None
        system.link.close("pulled out")
        await system.watcher.until(lambda: not system.watcher.nodes)
        await system.watcher.until(lambda: "A" in system.watcher.nodes)
        await system.settle()
        again = counts(system)[600:]
        assert again == list(range(600))[-len(again) :]
        # Two seconds and a half at the most: asked for every half second, held for one.
        assert 20 <= len(again) <= 52


async def test_readings_beyond_the_queue_of_a_gateway_are_reported_as_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gaps: list[tuple[str, ReadingsDropped]] = []
    async with MemorySystem() as system:
        monkeypatch.setattr(system.gateway, "_unconfirmed", Unconfirmed(events_max=10))
        monkeypatch.setattr(system.broker, "_report_gap", lambda *gap: gaps.append(gap))
        system.gateway.node_seen("A", {})
        for number in range(30):
            system.gateway.reading("A", "count", str(number))
        await system.start()
        await system.settle()
        assert counts(system) == list(range(20, 30))
        assert gaps == [("test", ReadingsDropped(ts=TS, until=TS, lost=20))]
        await asyncio.sleep(2.0)
        assert system.link is not None
        system.link.close("pulled out")
        await asyncio.sleep(2.0)
        assert len(gaps) == 1
        assert system.gateway.readings_dropped >= 20


async def test_a_gateway_that_floods_checkpoints_is_answered_once_a_second() -> None:
    async with MemorySystem() as system:
        answered: list[ToGateway] = []
        gateway_end, broker_end = MemoryLink.pair()
        system.spawn(system.broker.serve_gateway(broker_end, acknowledges=True))

        async def receive() -> None:
            with contextlib.suppress(LinkLost):
                await gateway_end.run(answered.extend)

        system.spawn(receive())
        for number in range(1000):
            gateway_end.send(Checkpoint(number=number))
            await asyncio.sleep(0.01)
        await asyncio.sleep(3.0)
        assert len(answered) <= 12
        assert answered[-1] == Checkpoint(number=999)
        gateway_end.close("gone")
        await asyncio.sleep(3.0)


async def test_command_of_a_lost_gateway_is_unreachable_and_gets_no_second_receipt(
    opened: Open,
) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        await system.settle()
        system.devices.delays_s["A"] = 2 * system.second_s
        system.watcher.command("A", timeout_s=20 * system.second_s)
        system.gateway.reading("A", "led", "?")
        await system.watcher.until(lambda: system.watcher.nodes["A"].get("led"))
        assert system.link is not None
        system.link.close("pulled out")
        assert (await system.watcher.receipt()).state == "unreachable"
        await system.watcher.until(lambda: "A" not in system.watcher.nodes)
        await system.watcher.until(lambda: "A" in system.watcher.nodes)
        # A second command is done after the first, whose end comes by the new link.
        system.watcher.command("A", number="second", timeout_s=20 * system.second_s)
        assert (await system.watcher.receipt("second")).state == "confirmed"
        assert len(system.devices.written) == 2
        assert system.watcher.receipts["c"] == 1


async def test_node_of_another_gateway_is_refused_and_stays_where_it_is(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "led", "0")
        await system.settle()
        rival = system.new_gateway("rival")
        rival.node_seen("A", {})
        rival.reading("A", "led", "666")
        rival.node_seen("B", {})
        system.spawn(rival.keep_linked(system.connect, Devices()))
        await system.watcher.until(lambda: "B" in system.watcher.nodes)
        rival.left("A", "left")
        rival.left("B", "left")
        await system.watcher.until(lambda: "B" not in system.watcher.nodes)
        assert system.watcher.nodes == {"A": {**COAP, "led": "0"}}
        assert not [x for x in system.watcher.received if isinstance(x, Problem)]
        system.watcher.command("A")
        assert (await system.watcher.receipt()).state == "confirmed"
    assert "rival: the broker refused: the node A belongs to the gateway test" in caplog.text


async def test_node_that_roams_belongs_to_the_next_gateway_when_the_first_releases_it() -> None:
    async with MemorySystem() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        system.gateway.reading("A", "led", "0")
        await system.settle()
        roamed_to = system.new_gateway("next")
        roamed_to.node_seen("A", {**COAP, "ip": "10.0.0.2"})
        roamed_to.reading("A", "led", "1")
        system.spawn(roamed_to.keep_linked(system.connect, Devices()))
        for _ in range(4):
            await asyncio.sleep(30.0)
            roamed_to.node_seen("A", {})
        assert system.watcher.nodes["A"] == {**COAP, "led": "0"}

        system.gateway.left("A", "silent")
        await asyncio.sleep(30.0)
        roamed_to.node_seen("A", {})
        await system.settle()
        assert system.watcher.nodes == {"A": {**COAP, "ip": "10.0.0.2", "led": "1"}}
        # From now on only changes are sent.
        count = len(system.watcher.received)
        await asyncio.sleep(30.0)
        roamed_to.node_seen("A", {})
        roamed_to.reading("A", "led", "0")
        await system.watcher.until(lambda: system.watcher.nodes["A"]["led"] == "0")
        assert len(system.watcher.received) == count + 1


async def test_gateway_that_reconnects_replaces_its_old_link(opened: Open) -> None:
    async with opened() as system:
        await system.start()
        system.gateway.node_seen("A", COAP)
        await system.settle()
        # The old link is dead, and the broker has not noticed.
        old = system.link
        assert old is not None
        system.spawn(system.gateway.keep_linked(system.connect, system.devices))
        await system.watcher.until(
            lambda: system.watcher.gateway_states()[-2:] == ["lost", "connected"]
        )
        await system.watcher.until(lambda: "A" in system.watcher.nodes)
        states = [x for x in system.watcher.received if isinstance(x, GatewayState)]
        assert [state.state for state in states] == ["connected", "lost", "connected"]


# -- over an unreliable link --------------------------------------------------------------------

UIDS = [f"N{number}" for number in range(8)]
RESOURCES = ("led", "temperature", "imu")


class Life:
    """Random actions of nodes and clients for some minutes."""

    def __init__(self, system: UnreliableSystem) -> None:
        self.system = system
        self.rng = system.rng
        self.commands = 0

    async def minutes(self, count: float) -> None:
        until = self.system.loop.time() + 60.0 * count
        while self.system.loop.time() < until:
            await asyncio.sleep(self.rng.expovariate(5.0))
            action = self.rng.choices(
                (self.alive, self.read, self.reset, self.leave, self.command, self.system.cut),
                (10, 40, 3, 3, 20, 2),
            )[0]
            action()

    def alive(self) -> None:
        self.system.gateway.node_seen(self.rng.choice(UIDS), COAP)

    def read(self) -> None:
        uid = self.rng.choice(UIDS)
        if uid in self.system.gateway.nodes:
            value = str(self.rng.randrange(100))
            self.system.gateway.reading(uid, self.rng.choice(RESOURCES), value)

    def reset(self) -> None:
        self.system.gateway.reset(self.rng.choice(UIDS))

    def leave(self) -> None:
        self.system.gateway.left(self.rng.choice(UIDS), "left")

    def command(self) -> None:
        self.commands += 1
        uid = self.rng.choice(UIDS)
        self.system.devices.delays_s[uid] = self.rng.expovariate(1.0)
        timeout_s = self.rng.uniform(0.1, 6.0)
        self.system.watcher.command(uid, number=str(self.commands), timeout_s=timeout_s)


def values_of(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """The state of the nodes of a gateway."""
    known = {}
    for uid in UIDS:
        node = gateway.nodes.get(uid)
        if node is not None:
            readings = (*node.bookkeeping.values(), *node.readings.values())
            known[uid] = {reading.resource: reading.data for reading in readings}
    return known


@pytest.mark.parametrize("silence_limit_s", [None, 15.0], ids=["", "silence"])
@pytest.mark.parametrize("seed", range(20))
async def test_after_link_failures_all_states_agree_and_every_command_has_one_receipt(
    seed: int, silence_limit_s: float | None
) -> None:
    async with UnreliableSystem(random.Random(seed)) as system:
        system.gateway = system.new_gateway("test", silence_limit_s=silence_limit_s)
        system.spawn(system.gateway.expire_offline_nodes(lambda _uid: None))
        await system.start()
        life = Life(system)
        await life.minutes(1.5)
        late = Watcher(system.broker)
        await life.minutes(1.5)

        system.is_reliable = True
        # The longest backoff and the longest time until an end of a link notices, and some more.
        await asyncio.sleep(70.0)
        system.gateway.node_seen("N0", COAP)
        await system.settle()
        known = values_of(system.gateway)
        assert known
        assert system.watcher.nodes == late.nodes == known
        assert {
            node.uid: {reading.resource: reading.data for reading in node.readings.values()}
            for node in system.broker.router.nodes
        } == known

        numbers = map(str, range(1, life.commands + 1))
        assert system.watcher.receipts == dict.fromkeys(numbers, 1)
        states = {item.state for item in system.watcher.received if isinstance(item, Receipt)}
        assert states == {"confirmed", "timeout", "unreachable", "unknown"}
        assert len(system.broker.router.commands) == 0


async def test_troubled_links_are_lost_and_duplicate_messages() -> None:
    async with UnreliableSystem(random.Random(1)) as system:
        await system.start()
        await Life(system).minutes(3)
        states = system.watcher.gateway_states()
        assert states.count("lost") >= 5
        readings = [x for x in system.watcher.received if isinstance(x, Reading)]
        assert any(one == two for one, two in itertools.pairwise(readings))


async def test_commands_beyond_all_limits_are_answered() -> None:
    async with MemorySystem() as system:
        await system.start()
        uids = [f"N{number}" for number in range(80)]
        for uid in uids:
            system.gateway.node_seen(uid, COAP)
            system.devices.delays_s[uid] = 3600.0
        await system.settle()
        watchers = [system.watcher, *(Watcher(system.broker) for _ in range(9))]
        numbers = [str(number) for number in range(250)]
        rng = random.Random(1)
        for number in numbers:
            await asyncio.sleep(0.03)
            for watcher in watchers:
                watcher.command(rng.choice(uids), number=number, timeout_s=60.0)
        for watcher in watchers:
            for number in numbers:
                await watcher.receipt(number)
            assert watcher.receipts == dict.fromkeys(numbers, 1)
        receipts = [item for item in system.watcher.received if isinstance(item, Receipt)]
        assert {item.state for item in receipts} == {"timeout", "unreachable", "forbidden"}
