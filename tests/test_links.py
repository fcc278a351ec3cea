# SPDX-License-Identifier: BSD-3-Clause
"""A gateway and its broker over each kind of link, and over one that makes trouble."""

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
from tests.links import TS, Devices, MemoryRoad, Road, TroubledRoad, Watcher, WebSocketRoad

Open = Callable[[], AbstractAsyncContextManager[Road]]

COAP = {"protocol": "CoAP"}


@contextlib.asynccontextmanager
async def over_memory() -> AsyncIterator[Road]:
    async with MemoryRoad() as road:
        yield road


@contextlib.asynccontextmanager
async def over_a_websocket() -> AsyncIterator[Road]:
    async with (
        aiohttp.ClientSession() as session,
        WebSocketRoad(session) as road,
        road.listening(),
    ):
        yield road


@pytest.fixture(
    params=[
        pytest.param(over_memory, id="memory"),
        pytest.param(over_a_websocket, id="websocket", marks=pytest.mark.sockets),
    ]
)
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a road: in memory, on the clock that jumps, or over a WebSocket on a real one."""
    found: Open = request.param
    return found


# -- the same over both -------------------------------------------------------------------------


async def test_what_a_gateway_says_reaches_a_client_in_order(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        gateway = road.gateway
        gateway.heard("A", COAP)
        gateway.reading("A", "led", "0")
        gateway.reading("A", "temperature", "23.5°C")
        gateway.reset("A")
        gateway.reading("A", "led", "1")
        gateway.left("A", "silent")
        await road.watcher.until(lambda: isinstance(road.watcher.heard[-1], NodeLeft))
        told = [(type(item), getattr(item, "data", "")) for item in road.watcher.heard]
        assert told[-8:] == [
            *((NodeAppeared, ""), (Reading, "CoAP"), (Reading, "0"), (Reading, "23.5°C")),
            *((NodeReset, ""), (Reading, "CoAP"), (Reading, "1"), (NodeLeft, "")),
        ]
        (reading,) = [x for x in road.watcher.heard if getattr(x, "data", "") == "23.5°C"]
        assert isinstance(reading, Reading)
        assert (reading.number, reading.unit) == (23.5, "Cel")


async def test_nodes_that_were_there_before_the_link_are_announced(opened: Open) -> None:
    async with opened() as road:
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "led", "0")
        road.gateway.heard("B", COAP)
        await road.start()
        await road.settle()
        assert road.watcher.nodes == {"A": {**COAP, "led": "0"}, "B": COAP}


async def test_thousands_of_readings_arrive_in_order(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", {})
        for number in range(5000):
            road.gateway.reading("A", "count", str(number))
        await road.settle()
        counts = [int(x.data) for x in road.watcher.heard if isinstance(x, Reading)]
        assert counts == list(range(5000))


async def test_values_as_large_as_they_may_be_arrive_whole(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", {})
        values = {f"r{number}": chr(0x30 + number) * 60_000 for number in range(20)}
        for resource, value in values.items():
            road.gateway.reading("A", resource, value)
        await road.settle()
        assert road.watcher.nodes["A"] == values


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("confirmed", "2.04 Changed"),
        Outcome("refused", "4.05 Method Not Allowed"),
        Outcome("unreachable", "no route"),
        Outcome("refused", "ü" * 1000),
    ],
)
async def test_what_the_device_said_is_the_receipt(opened: Open, outcome: Outcome) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        await road.settle()
        road.devices.outcomes["A"] = outcome
        road.watcher.command("A", "Grüße")
        receipt = await road.watcher.receipt()
        assert (receipt.state, receipt.detail) == (outcome.state, outcome.detail[:256])
        assert road.devices.written == [("A", "led", "Grüße")]


async def test_device_that_does_not_answer_is_a_timeout_and_delays_nobody(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("SLOW", COAP)
        road.gateway.heard("QUICK", COAP)
        await road.settle()
        road.devices.delays_s["SLOW"] = 3600.0
        road.watcher.command("SLOW", number="slow", timeout_s=10 * road.second_s)
        road.watcher.command("QUICK", number="quick", timeout_s=10 * road.second_s)
        assert (await road.watcher.receipt("quick")).state == "confirmed"
        assert not road.watcher.receipts["slow"]
        assert (await road.watcher.receipt("slow")).state == "timeout"
        assert road.devices.written == [("QUICK", "led", "1")]


async def test_node_that_left_on_the_way_is_unknown(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        await road.settle()
        # Said in the same moment: the one is still on its way when the other begins.
        road.watcher.command("A")
        road.gateway.left("A", "left")
        assert (await road.watcher.receipt()).state == "unknown"
        assert road.devices.written == []


async def test_gateway_whose_link_is_lost_comes_back_with_all_values(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "led", "0")
        await road.settle()
        assert road.link is not None
        road.broker_is_up.clear()
        road.link.close("pulled out")
        await road.watcher.until(lambda: not road.watcher.nodes)
        (left,) = [x for x in road.watcher.heard if isinstance(x, NodeLeft) and x.uid == "A"]
        assert left.reason == "gateway lost"
        # What happens meanwhile is not lost, and what left meanwhile does not come back.
        road.gateway.reading("A", "led", "1")
        road.gateway.heard("B", COAP)
        road.gateway.heard("C", COAP)
        road.gateway.left("C", "left")
        road.broker_is_up.set()
        await road.watcher.until(lambda: "B" in road.watcher.nodes)
        await road.settle()
        assert road.watcher.nodes == {"A": {**COAP, "led": "1"}, "B": COAP}
        assert road.watcher.gateway_states() == ["connected", "lost", "connected"]


def counts(road: Road) -> list[int]:
    """The values of the resource `count` that a client heard, in order."""
    heard = [x for x in road.watcher.heard if isinstance(x, Reading) and x.resource == "count"]
    return [int(reading.data) for reading in heard]


async def test_every_reading_while_there_is_no_broker_comes_in_order_when_there_is_one(
    opened: Open,
) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "led", "0")
        await road.settle()
        assert road.link is not None
        road.broker_is_up.clear()
        road.link.close("pulled out")
        await road.watcher.until(lambda: not road.watcher.nodes)
        for number in range(30):
            road.gateway.reading("A", "count", str(number))
        road.gateway.reset("A")
        road.gateway.reading("A", "count", "30")
        road.broker_is_up.set()
        await road.watcher.until(lambda: "A" in road.watcher.nodes)
        await road.settle()
        assert counts(road) == list(range(31))
        assert road.watcher.nodes["A"] == {**COAP, "count": "30"}


async def test_what_a_broker_has_not_confirmed_comes_again_by_the_next_link_and_then_no_more() -> (
    None
):
    async with MemoryRoad() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "count", "0")
        await asyncio.sleep(2.0)
        road.gateway.reading("A", "count", "1")
        road.gateway.reading("A", "count", "2")
        await road.settle()
        assert road.link is not None
        road.link.close("the broker was killed")
        await road.watcher.until(lambda: not road.watcher.nodes)
        await road.watcher.until(lambda: "A" in road.watcher.nodes)
        await road.settle()
        # The value 0 was confirmed, and is not the latest one.
        assert counts(road) == [0, 1, 2, 1, 2]
        await asyncio.sleep(2.0)
        road.link.close("pulled out")
        await asyncio.sleep(2.0)
        await road.settle()
        # Only the state.
        assert counts(road) == [0, 1, 2, 1, 2, 2]


async def test_a_busy_gateway_has_its_readings_confirmed_all_the_time() -> None:
    async with MemoryRoad() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        for number in range(600):
            road.gateway.reading("A", "count", str(number))
            await asyncio.sleep(0.05)
        assert road.link is not None
        road.link.close("pulled out")
        await road.watcher.until(lambda: not road.watcher.nodes)
        await road.watcher.until(lambda: "A" in road.watcher.nodes)
        await road.settle()
        again = counts(road)[600:]
        assert again == list(range(600))[-len(again) :]
        # Two seconds and a half at the most: asked for every half second, held for one.
        assert 20 <= len(again) <= 52


async def test_readings_beyond_the_room_of_a_gateway_are_told_as_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gaps: list[tuple[str, ReadingsDropped]] = []
    async with MemoryRoad() as road:
        monkeypatch.setattr(road.gateway, "_unconfirmed", Unconfirmed(events_max=10))
        monkeypatch.setattr(road.broker, "_tell_gap", lambda *told: gaps.append(told))
        road.gateway.heard("A", {})
        for number in range(30):
            road.gateway.reading("A", "count", str(number))
        await road.start()
        await road.settle()
        assert counts(road) == list(range(20, 30))
        assert gaps == [("test", ReadingsDropped(ts=TS, until=TS, lost=20))]
        await asyncio.sleep(2.0)
        assert road.link is not None
        road.link.close("pulled out")
        await asyncio.sleep(2.0)
        assert len(gaps) == 1
        assert road.gateway.readings_dropped >= 20


async def test_a_gateway_that_asks_without_end_is_answered_once_a_second() -> None:
    async with MemoryRoad() as road:
        answered: list[ToGateway] = []
        gateway_end, broker_end = MemoryLink.pair()
        road.spawn(road.broker.serve_gateway(broker_end, acknowledges=True))

        async def hear() -> None:
            with contextlib.suppress(LinkLost):
                await gateway_end.run(answered.extend)

        road.spawn(hear())
        for number in range(1000):
            gateway_end.send(Checkpoint(number=number))
            await asyncio.sleep(0.01)
        await asyncio.sleep(3.0)
        assert len(answered) <= 12
        assert answered[-1] == Checkpoint(number=999)
        gateway_end.close("gone")
        await asyncio.sleep(3.0)


async def test_command_of_a_gateway_that_is_lost_is_unreachable_and_its_end_is_not_told(
    opened: Open,
) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        await road.settle()
        road.devices.delays_s["A"] = 2 * road.second_s
        road.watcher.command("A", timeout_s=20 * road.second_s)
        road.gateway.reading("A", "led", "?")
        await road.watcher.until(lambda: road.watcher.nodes["A"].get("led"))
        assert road.link is not None
        road.link.close("pulled out")
        assert (await road.watcher.receipt()).state == "unreachable"
        await road.watcher.until(lambda: "A" not in road.watcher.nodes)
        await road.watcher.until(lambda: "A" in road.watcher.nodes)
        # A second command is done after the first, whose end comes by the new link.
        road.watcher.command("A", number="second", timeout_s=20 * road.second_s)
        assert (await road.watcher.receipt("second")).state == "confirmed"
        assert len(road.devices.written) == 2
        assert road.watcher.receipts["c"] == 1


async def test_node_of_another_gateway_is_refused_and_stays_where_it_is(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "led", "0")
        await road.settle()
        rival = road.new_gateway("rival")
        rival.heard("A", {})
        rival.reading("A", "led", "666")
        rival.heard("B", {})
        road.spawn(rival.keep_linked(road.connect, Devices()))
        await road.watcher.until(lambda: "B" in road.watcher.nodes)
        rival.left("A", "left")
        rival.left("B", "left")
        await road.watcher.until(lambda: "B" not in road.watcher.nodes)
        assert road.watcher.nodes == {"A": {**COAP, "led": "0"}}
        assert not [x for x in road.watcher.heard if isinstance(x, Problem)]
        road.watcher.command("A")
        assert (await road.watcher.receipt()).state == "confirmed"
    assert "rival: the broker refused: the node A belongs to the gateway test" in caplog.text


async def test_node_that_roams_belongs_to_the_next_gateway_when_the_first_lets_go() -> None:
    async with MemoryRoad() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        road.gateway.reading("A", "led", "0")
        await road.settle()
        roamed_to = road.new_gateway("next")
        roamed_to.heard("A", {**COAP, "ip": "10.0.0.2"})
        roamed_to.reading("A", "led", "1")
        road.spawn(roamed_to.keep_linked(road.connect, Devices()))
        for _ in range(4):
            await asyncio.sleep(30.0)
            roamed_to.heard("A", {})
        assert road.watcher.nodes["A"] == {**COAP, "led": "0"}

        road.gateway.left("A", "silent")
        await asyncio.sleep(30.0)
        roamed_to.heard("A", {})
        await road.settle()
        assert road.watcher.nodes == {"A": {**COAP, "ip": "10.0.0.2", "led": "1"}}
        # From now on it is told of only when there is something to tell.
        heard = len(road.watcher.heard)
        await asyncio.sleep(30.0)
        roamed_to.heard("A", {})
        roamed_to.reading("A", "led", "0")
        await road.watcher.until(lambda: road.watcher.nodes["A"]["led"] == "0")
        assert len(road.watcher.heard) == heard + 1


async def test_gateway_that_connects_anew_replaces_its_old_link(opened: Open) -> None:
    async with opened() as road:
        await road.start()
        road.gateway.heard("A", COAP)
        await road.settle()
        # The old link is dead, and the broker has not noticed.
        old = road.link
        assert old is not None
        road.spawn(road.gateway.keep_linked(road.connect, road.devices))
        await road.watcher.until(
            lambda: road.watcher.gateway_states()[-2:] == ["lost", "connected"]
        )
        await road.watcher.until(lambda: "A" in road.watcher.nodes)
        states = [x for x in road.watcher.heard if isinstance(x, GatewayState)]
        assert [state.state for state in states] == ["connected", "lost", "connected"]


# -- over a link that makes trouble -------------------------------------------------------------

UIDS = [f"N{number}" for number in range(8)]
RESOURCES = ("led", "temperature", "imu")


class Life:
    """What nodes and clients do for some minutes, by chance."""

    def __init__(self, road: TroubledRoad) -> None:
        self.road = road
        self.rng = road.rng
        self.commands = 0

    async def minutes(self, count: float) -> None:
        until = self.road.loop.time() + 60.0 * count
        while self.road.loop.time() < until:
            await asyncio.sleep(self.rng.expovariate(5.0))
            action = self.rng.choices(
                (self.hear, self.read, self.reset, self.leave, self.command, self.road.cut),
                (10, 40, 3, 3, 20, 2),
            )[0]
            action()

    def hear(self) -> None:
        self.road.gateway.heard(self.rng.choice(UIDS), COAP)

    def read(self) -> None:
        uid = self.rng.choice(UIDS)
        if uid in self.road.gateway.nodes:
            value = str(self.rng.randrange(100))
            self.road.gateway.reading(uid, self.rng.choice(RESOURCES), value)

    def reset(self) -> None:
        self.road.gateway.reset(self.rng.choice(UIDS))

    def leave(self) -> None:
        self.road.gateway.left(self.rng.choice(UIDS), "left")

    def command(self) -> None:
        self.commands += 1
        uid = self.rng.choice(UIDS)
        self.road.devices.delays_s[uid] = self.rng.expovariate(1.0)
        timeout_s = self.rng.uniform(0.1, 6.0)
        self.road.watcher.command(uid, number=str(self.commands), timeout_s=timeout_s)


def values_of(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """What a gateway knows of its nodes."""
    known = {}
    for uid in UIDS:
        node = gateway.nodes.get(uid)
        if node is not None:
            readings = (*node.bookkeeping.values(), *node.readings.values())
            known[uid] = {reading.resource: reading.data for reading in readings}
    return known


@pytest.mark.parametrize("silence_limit_s", [None, 15.0], ids=["", "silence"])
@pytest.mark.parametrize("seed", range(20))
async def test_after_the_trouble_all_know_the_same_and_every_command_has_one_receipt(
    seed: int, silence_limit_s: float | None
) -> None:
    async with TroubledRoad(random.Random(seed)) as road:
        road.gateway = road.new_gateway("test", silence_limit_s=silence_limit_s)
        road.spawn(road.gateway.expire_silent_nodes(lambda _uid: None))
        await road.start()
        life = Life(road)
        await life.minutes(1.5)
        late = Watcher(road.broker)
        await life.minutes(1.5)

        road.whole = True
        # The longest backoff and the longest time until an end of a link notices, and some more.
        await asyncio.sleep(70.0)
        road.gateway.heard("N0", COAP)
        await road.settle()
        known = values_of(road.gateway)
        assert known
        assert road.watcher.nodes == late.nodes == known
        assert {
            node.uid: {reading.resource: reading.data for reading in node.readings.values()}
            for node in road.broker.router.nodes
        } == known

        numbers = map(str, range(1, life.commands + 1))
        assert road.watcher.receipts == dict.fromkeys(numbers, 1)
        states = {item.state for item in road.watcher.heard if isinstance(item, Receipt)}
        assert states == {"confirmed", "timeout", "unreachable", "unknown"}
        assert len(road.broker.router.commands) == 0


async def test_trouble_is_what_it_says() -> None:
    async with TroubledRoad(random.Random(1)) as road:
        await road.start()
        await Life(road).minutes(3)
        states = road.watcher.gateway_states()
        assert states.count("lost") >= 5
        heard = [x for x in road.watcher.heard if isinstance(x, Reading)]
        assert any(one == two for one, two in itertools.pairwise(heard))


async def test_more_commands_than_anybody_takes_are_answered_all_the_same() -> None:
    async with MemoryRoad() as road:
        await road.start()
        uids = [f"N{number}" for number in range(80)]
        for uid in uids:
            road.gateway.heard(uid, COAP)
            road.devices.delays_s[uid] = 3600.0
        await road.settle()
        watchers = [road.watcher, *(Watcher(road.broker) for _ in range(9))]
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
        receipts = [item for item in road.watcher.heard if isinstance(item, Receipt)]
        assert {item.state for item in receipts} == {"timeout", "unreachable", "forbidden"}
