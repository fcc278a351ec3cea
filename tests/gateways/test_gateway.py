# SPDX-License-Identifier: BSD-3-Clause
"""A gateway and its broker: announcing, silence, reconnecting, commands with a deadline."""

import asyncio
import logging
import random

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.broker.connected_gateway import WINDOW_S
from pyaiot.broker.deliveries import ToOneGateway
from pyaiot.errors import LinkLost
from pyaiot.gateways.command_runner import COMMANDS_MAX, COMMANDS_PER_NODE_MAX
from pyaiot.gateways.gateway import (
    Gateway,
    GatewayLink,
    Outcome,
)
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.links import MemoryLink
from pyaiot.messages import Command, NodeLeft, Receipt
from pyaiot.transport.backoff import STEADY_LINK_S, Backoff
from tests.conftest import JumpingClockLoop

COAP = {"protocol": "CoAP"}
TS = 1_700_000_000.0


class FakeDevices:
    """Devices that answer as the test wants, after `answer_after_s`."""

    def __init__(self) -> None:
        self.answer_after_s: dict[str, float] = {}
        self.written: list[tuple[str, str, str]] = []
        self.acknowledge = True
        self.gives_up_after_s: float | None = None

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        del deadline
        async with asyncio.timeout(self.gives_up_after_s):
            await asyncio.sleep(self.answer_after_s.get(uid, 0.01))
        self.written.append((uid, resource, payload))
        return Outcome("confirmed", "2.04") if self.acknowledge else Outcome("sent")


class Road:
    """A gateway and a broker, joined by links that the test can cut."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: TS)
        self.gateway = Gateway(
            name="test",
            protocol="CoAP",
            nodes=LiveNodes(silence_limit_s=120.0, nodes_max=100),
            loop=loop,
            unix_time=lambda: TS,
            backoff=Backoff(rng=random.Random(1), steady_s=STEADY_LINK_S),
        )
        self.devices = FakeDevices()
        self.broker_is_up = True
        self.attempts_at: list[float] = []
        self.receipts: list[Receipt] = []
        self.link: GatewayLink | None = None
        self.lost: list[str] = []
        self._serving: list[asyncio.Task[None]] = []
        self._tasks = [
            loop.create_task(self.gateway.keep_linked(self.connect, self.devices)),
            loop.create_task(self.gateway.expire_offline_nodes(self.lost.append)),
        ]

    async def connect(self) -> GatewayLink:
        self.attempts_at.append(self.loop.time())
        if not self.broker_is_up:
            raise LinkLost("connection refused")
        gateway_end, broker_end = MemoryLink.pair()
        self.link = gateway_end
        self._serving.append(
            self.loop.create_task(self.broker.serve_gateway(broker_end, acknowledges=True))
        )
        return gateway_end

    async def command(self, uid: str, timeout_s: float = 5.0, number: str = "1") -> None:
        """Send a command as the broker does, around its own table."""
        command = Command(
            id=number, uid=uid, resource="led", payload="1", timeout_s=timeout_s, client="c"
        )
        link = next(iter(self.broker._links.values()))
        link.send(command)
        await asyncio.sleep(0)

    def listen_for_receipts(self) -> None:
        finish = self.broker.router.commands.finish
        commands = self.broker.router.commands

        def listening(receipt: Receipt, gateway: int, now: float) -> object:
            self.receipts.append(receipt)
            return finish(receipt, gateway, now)

        commands.finish = listening  # type: ignore[method-assign, assignment]

    def shown(self) -> dict[str, dict[str, object]]:
        return {
            node.uid: {name: reading.data for name, reading in node.readings.items()}
            for node in self.broker.router.nodes
        }

    async def end(self) -> None:
        for task in (*self._tasks, *self._serving):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._serving, return_exceptions=True)
        await self.gateway.end_commands()


async def test_the_broker_knows_what_a_node_sends() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    road.gateway.reading("A", "t", "1")
    await asyncio.sleep(0.1)
    assert road.shown() == {"A": {"protocol": "CoAP", "t": "1"}}
    await road.end()


async def test_silent_node_is_lost_after_two_minutes_and_the_broker_knows() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    await asyncio.sleep(60)
    road.gateway.node_seen("B", COAP)
    await asyncio.sleep(61)
    assert road.shown() == {"B": {"protocol": "CoAP"}}
    await asyncio.sleep(60)
    assert road.shown() == {}
    assert road.lost == ["A", "B"]
    await road.end()


async def test_pause_of_the_process_is_no_silence_of_nodes() -> None:
    """As SIGSTOP, or a virtual machine that is moved: what nodes sent meanwhile is read later."""
    road = Road()
    await asyncio.sleep(0.1)
    for uid in ("A", "B"):
        road.gateway.node_seen(uid, COAP)
    await asyncio.sleep(60)
    assert isinstance(road.loop, JumpingClockLoop)
    road.loop.pause(300)
    # All timers that are due run before anything is received.
    await asyncio.sleep(0.1)
    assert sorted(road.shown()) == ["A", "B"]
    road.gateway.node_seen("A", COAP)
    # The timeout of B is extended by the length of the pause, at most by the timeout itself.
    await asyncio.sleep(60)
    road.gateway.node_seen("A", COAP)
    await asyncio.sleep(59)
    assert road.lost == []
    await asyncio.sleep(2)
    assert road.lost == ["B"]
    await road.end()


async def test_nodes_seen_without_a_broker_are_announced_when_it_is_linked() -> None:
    road = Road()
    road.broker_is_up = False
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    road.gateway.reading("A", "t", "1")
    await asyncio.sleep(60)
    road.gateway.reading("A", "t", "2")
    road.broker_is_up = True
    await asyncio.sleep(31)
    assert road.shown() == {"A": {"protocol": "CoAP", "t": "2"}}
    await road.end()


async def test_everything_is_announced_again_after_the_link_was_lost() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    road.gateway.reading("A", "t", "1")
    await asyncio.sleep(0.1)
    assert road.link is not None
    road.link.close("cut by the test")
    await asyncio.sleep(0.01)
    assert road.shown() == {}
    await asyncio.sleep(2)
    assert road.shown() == {"A": {"protocol": "CoAP", "t": "1"}}
    await road.end()


async def test_gateway_tries_for_ever_at_most_every_half_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    road = Road()
    road.broker_is_up = False
    await asyncio.sleep(86_400)
    waits = [
        later - earlier
        for earlier, later in zip(road.attempts_at, road.attempts_at[1:], strict=False)
    ]
    assert waits[0] <= 0.5
    assert all(15.0 <= wait <= 30.0 for wait in waits[10:])
    assert len(set(waits[10:])) > 100
    assert len(caplog.records) == 1
    await road.end()


async def test_link_that_held_makes_the_next_attempt_soon() -> None:
    road = Road()
    road.broker_is_up = False
    await asyncio.sleep(300)
    road.broker_is_up = True
    await asyncio.sleep(60)
    assert road.link is not None
    cut_at = road.loop.time()
    road.link.close("cut by the test")
    await asyncio.sleep(1)
    assert road.attempts_at[-1] - cut_at <= 0.5
    await road.end()


async def test_brokers_that_end_one_after_another_do_not_make_the_pauses_longer() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    for _ in range(20):
        await asyncio.sleep(3)
        assert road.link is not None
        cut_at = road.loop.time()
        road.link.close("cut by the test")
        await asyncio.sleep(1)
        assert road.attempts_at[-1] - cut_at <= 0.5
    await road.end()


async def test_silent_node_delays_no_other_and_ends_in_a_timeout() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.gateway.node_seen("silent", COAP)
    road.gateway.node_seen("quick", COAP)
    road.devices.answer_after_s["silent"] = 1e6
    await road.command("silent", number="1")
    await road.command("quick", number="2")
    await asyncio.sleep(0.1)
    assert [(item.id, item.state) for item in road.receipts] == [("2", "confirmed")]
    await asyncio.sleep(5)
    assert [(item.id, item.state) for item in road.receipts[1:]] == [("1", "timeout")]
    assert road.devices.written == [("quick", "led", "1")]
    await road.end()


async def test_command_that_arrives_after_its_deadline_is_not_written() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.gateway.node_seen("quick", COAP)
    await asyncio.sleep(0.1)
    (delivery,) = road.broker.router.from_client(
        "c", Command(uid="quick", resource="led", payload="1", timeout_s=2.0), now=road.loop.time()
    )
    assert isinstance(delivery, ToOneGateway)
    assert isinstance(delivery.message, Command)
    link = next(iter(road.broker._links.values()))
    await asyncio.sleep(2.5)  # on the way
    link.send(delivery.message)
    await asyncio.sleep(0.1)
    assert [(item.state, item.detail) for item in road.receipts] == [
        ("timeout", "it arrived after its deadline and was not sent")
    ]
    assert road.devices.written == []
    await road.end()


async def test_gateway_without_events_sends_its_clock() -> None:
    road = Road()
    await asyncio.sleep(3600)
    (clock,) = [gateway.clock for gateway in road.broker.router.gateways.values()]
    assert clock._began_at > road.loop.time() - 2 * WINDOW_S
    assert clock.time_at(0.0) == pytest.approx(0.0)
    await road.end()


async def test_timeout_states_the_actual_wait() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.gateway.node_seen("silent", COAP)
    road.devices.answer_after_s["silent"] = 1e6
    await road.command("silent", timeout_s=2.0, number="1")
    await asyncio.sleep(3)
    road.devices.gives_up_after_s = 1.25
    await road.command("silent", timeout_s=5.0, number="2")
    await asyncio.sleep(6)
    assert [(item.state, item.detail) for item in road.receipts] == [
        ("timeout", "no answer in 2 s"),
        ("timeout", "no answer in 1.25 s"),
    ]
    await road.end()


async def test_command_to_a_node_that_just_left_is_unknown() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    await road.command("gone")
    await asyncio.sleep(0.1)
    assert [item.state for item in road.receipts] == ["unknown"]
    await road.end()


async def test_commands_that_wait_are_bounded() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    for number in range(COMMANDS_MAX + 1):
        uid = f"silent {number // COMMANDS_PER_NODE_MAX}"
        road.gateway.node_seen(uid, COAP)
        road.devices.answer_after_s[uid] = 1e6
        await road.command(uid, timeout_s=60.0, number=str(number))
    await asyncio.sleep(1)
    assert [(item.id, item.state) for item in road.receipts] == [(str(COMMANDS_MAX), "unreachable")]
    await road.end()


async def test_silent_node_does_not_take_the_room_of_the_commands_of_others() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.gateway.node_seen("silent", COAP)
    road.gateway.node_seen("quick", COAP)
    road.devices.answer_after_s["silent"] = 1e6
    for number in range(COMMANDS_PER_NODE_MAX + 1):
        await road.command("silent", timeout_s=60.0, number=str(number))
    await road.command("quick", number="other")
    await asyncio.sleep(1)
    assert [(item.id, item.state) for item in road.receipts] == [
        (str(COMMANDS_PER_NODE_MAX), "unreachable"),
        ("other", "confirmed"),
    ]
    await asyncio.sleep(60)
    await road.command("silent", timeout_s=1.0, number="again")
    await asyncio.sleep(2)
    assert (road.receipts[-1].id, road.receipts[-1].state) == ("again", "timeout")
    await road.end()


async def test_node_that_left_is_reported_with_the_reason() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    assert road.gateway.nodes.left("A", "left", ts=TS) == [NodeLeft(uid="A", ts=TS, reason="left")]
    assert road.gateway.nodes.left("A", "left", ts=TS) == []
    await road.end()


async def road_without_acknowledgements() -> Road:
    """A node `A` was sent a command that it does not acknowledge."""
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.devices.acknowledge = False
    road.gateway.node_seen("A", COAP)
    await road.command("A", timeout_s=5.0)
    await asyncio.sleep(1)
    assert road.devices.written == [("A", "led", "1")]
    assert road.receipts == []
    return road


async def test_command_without_acknowledgement_is_confirmed_when_the_node_reports_the_value() -> (
    None
):
    road = await road_without_acknowledgements()
    road.gateway.reading("A", "led", "0")
    road.gateway.reading("A", "led", 1)
    await asyncio.sleep(0.1)
    assert [item.state for item in road.receipts] == ["confirmed"]
    assert 990 < road.receipts[0].elapsed_ms < 1010
    await road.end()


async def test_command_that_the_node_refuses_later_ends_as_refused_with_the_reason() -> None:
    road = await road_without_acknowledgements()
    road.gateway.command_refused("A", "led", "0", "another command")
    road.gateway.command_refused("A", "led", "1", "too hot")
    await asyncio.sleep(0.1)
    assert [(it.state, it.detail) for it in road.receipts] == [("refused", "too hot")]
    await road.end()


async def test_report_may_come_before_the_write_has_returned() -> None:
    road = Road()
    await asyncio.sleep(0.1)
    road.listen_for_receipts()
    road.devices.acknowledge = False
    road.devices.answer_after_s["A"] = 1.0
    road.gateway.node_seen("A", COAP)
    await road.command("A")
    await asyncio.sleep(0.5)
    road.gateway.reading("A", "led", "1")
    await asyncio.sleep(1)
    assert [item.state for item in road.receipts] == ["confirmed"]
    await road.end()


async def test_command_without_acknowledgement_or_report_ends_in_sent_at_its_deadline() -> None:
    road = await road_without_acknowledgements()
    await asyncio.sleep(3.9)
    assert road.receipts == []
    await asyncio.sleep(0.2)
    assert [item.state for item in road.receipts] == ["sent"]
    assert len(road.gateway._pending_reports) == 0
    await road.end()


async def test_node_that_leaves_before_its_report_is_unreachable() -> None:
    road = await road_without_acknowledgements()
    road.gateway.left("A", "left")
    await asyncio.sleep(0.1)
    assert [item.state for item in road.receipts] == ["unreachable"]
    await road.end()


async def test_node_that_falls_silent_before_its_report_is_unreachable() -> None:
    road = await road_without_acknowledgements()
    await asyncio.sleep(100)
    await road.command("A", timeout_s=60.0, number="2")
    await asyncio.sleep(30)
    assert [(item.id, item.state) for item in road.receipts] == [
        ("1", "sent"),
        ("2", "unreachable"),
    ]
    await road.end()
