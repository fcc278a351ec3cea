# SPDX-License-Identifier: BSD-3-Clause
"""An observer of a broker receives all messages to all, and all commands with their receipts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.broker.commands import GATEWAY_GRACE_S
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.subscriber import Subscriber
from pyaiot.gateways.gateway import GatewayLink
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    GatewayState,
    Hello,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ReadingsDropped,
    Receipt,
    ToClient,
)

TS = 1_700_000_000.0
LED_ON = Command(id="mine", uid="A", resource="led", payload="1", timeout_s=5.0, client="forged")


@dataclass
class RecordingObserver:
    """An observer that records everything."""

    messages: list[ToClient] = field(default_factory=list)
    given: list[tuple[Command, float]] = field(default_factory=list)
    ended: list[tuple[Command, Receipt]] = field(default_factory=list)
    issuers: list[str] = field(default_factory=list)
    """The issuers of the commands in `given`, then of those in `ended`."""
    gaps: list[tuple[str, ReadingsDropped]] = field(default_factory=list)

    def readings_published(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.message_published(reading)

    def message_published(self, message: ToClient) -> None:
        self.messages.append(message)

    def command_sent(self, command: Command, ts: float, who: str) -> None:
        self.issuers.append(who)
        self.given.append((command, ts))

    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str) -> None:
        assert ts == TS
        self.issuers.append(who)
        self.ended.append((command, receipt))

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        self.gaps.append((gateway, gap))


class NullSink:
    """A sink that discards everything."""

    def write(self, data: bytes) -> None: ...

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None: ...


@dataclass
class Scene:
    """A broker with the node A behind one gateway, and its observer."""

    broker: Broker
    gateway: GatewayLink
    observer: RecordingObserver

    def client(self, *, may_command: bool = True) -> Subscriber:
        return self.broker.client_connected(NullSink(), may_command=may_command)

    async def settle(self) -> None:
        """Return when what the gateway sent has arrived."""
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    observer = RecordingObserver()
    broker = Broker(
        flush_interval_s=0.02,
        timer=asyncio.get_running_loop(),
        unix_time=lambda: TS,
        observer=observer,
    )
    gateway, broker_end = MemoryLink.pair()
    served = asyncio.ensure_future(broker.serve_gateway(broker_end, acknowledges=True))
    it = Scene(broker, gateway, observer)
    gateway.send(Hello(name="ours", protocol="CoAP"))
    gateway.send(NodeAppeared(uid="A", ts=TS))
    await it.settle()
    try:
        yield it
    finally:
        gateway.close("the test ends")
        await served


async def test_an_observer_receives_messages_without_any_client() -> None:
    async with scene() as it:
        it.gateway.send(Reading(uid="A", resource="led", data="0", ts=TS))
        it.gateway.send(NodeReset(uid="A", ts=TS))
        await it.settle()
    assert it.observer.messages == [
        GatewayState(name="ours", protocol="CoAP", state="connected", ts=TS),
        NodeAppeared(uid="A", ts=TS, gateway="ours"),
        Reading(uid="A", resource="led", data="0", ts=TS),
        NodeReset(uid="A", ts=TS),
        NodeLeft(uid="A", ts=TS, reason="gateway lost"),
        GatewayState(name="ours", protocol="CoAP", state="lost", ts=TS),
    ]


async def test_an_observer_receives_a_command_with_its_client_and_then_its_receipt() -> None:
    async with scene() as it:
        client = it.client()
        it.broker.from_client(client, LED_ON)
        ((given, ts),) = it.observer.given
        assert (given.uid, given.payload, given.client, ts) == ("A", "1", client.id, TS)
        assert it.observer.ended == []
        assert it.observer.issuers == ["local"]
        it.gateway.send(Receipt(id=given.id, state="refused", detail="4.05"))
        await it.settle()
        ((ended, receipt),) = it.observer.ended
        assert ended == given
        assert (receipt.id, receipt.state, receipt.detail) == ("mine", "refused", "4.05")


async def test_an_observer_receives_the_receipt_of_a_command_whose_client_left() -> None:
    async with scene() as it:
        client = it.client()
        it.broker.from_client(client, LED_ON)
        it.broker.client_left(client)
        await asyncio.sleep(LED_ON.timeout_s + GATEWAY_GRACE_S + 0.2)
        ((ended, receipt),) = it.observer.ended
        assert (ended.client, receipt.state) == (client.id, "timeout")


@pytest.mark.parametrize(
    ("uid", "may_command", "state"), [("B", True, "unknown"), ("A", False, "forbidden")]
)
async def test_an_observer_receives_only_the_receipt_of_a_command_that_was_not_sent(
    uid: str, may_command: bool, state: str
) -> None:
    async with scene() as it:
        client = it.client(may_command=may_command)
        it.broker.from_client(
            client, Command(id="mine", uid=uid, resource="led", payload="1", client="forged")
        )
        assert it.observer.given == []
        ((command, receipt),) = it.observer.ended
        assert (command.id, command.client) == ("", client.id)
        assert (receipt.id, receipt.state) == ("mine", state)


async def test_a_gateway_that_repeats_hello_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    loop = asyncio.get_running_loop()
    broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: 0.0)
    state = GatewayState(name="g", protocol="", version="", state="connected", ts=0.0)
    for _ in range(1_000):
        broker._deliver([ToAll(state)])
    assert 1 <= len(caplog.records) <= 6
