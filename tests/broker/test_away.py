# SPDX-License-Identifier: BSD-3-Clause
"""Links that end because the broker itself did not run are not the fault of their gateways."""

import asyncio
from collections.abc import Sequence

from pyaiot.broker.away import NOTICED_LIMIT_S, RETURN_LIMIT_S
from pyaiot.broker.deliveries import ToOneClient, ToOneGateway
from pyaiot.messages import (
    Command,
    GatewayState,
    NodeAppeared,
    NodeLeft,
    Reading,
    ReadingsDropped,
    Receipt,
    ToClient,
)
from tests.conftest import JumpingClockLoop
from tests.gateways.test_gateway import COAP, Road


class Published:
    """What the broker published to all clients."""

    def __init__(self) -> None:
        self.messages: list[ToClient] = []

    def readings_published(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self.message_published(reading)

    def message_published(self, message: ToClient) -> None:
        self.messages.append(message)

    def command_sent(self, command: Command, ts: float, who: str) -> None: ...
    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str) -> None: ...
    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None: ...


async def pause_the_broker(road: Road, seconds: float) -> Published:
    """Its gateways have closed their links meanwhile. Returns what it publishes from now on."""
    await asyncio.sleep(0.1)
    road.gateway.node_seen("A", COAP)
    road.gateway.reading("A", "t", "1")
    await asyncio.sleep(7)
    published = Published()
    road.broker.observers.add(published)
    assert isinstance(road.loop, JumpingClockLoop)
    road.loop.pause(seconds)
    assert road.link is not None
    road.link.close("no pong")
    return published


async def test_pause_of_the_broker_is_no_absence_of_gateways() -> None:
    road = Road()
    published = await pause_the_broker(road, 60)
    await asyncio.sleep(0.01)
    assert road.shown() == {"A": {"protocol": "CoAP", "t": "1"}}
    command = Command(id="1", uid="A", resource="led", payload="1", client="c")
    router = road.broker.router
    (refused,) = router.from_client("c", command, now=road.loop.time())
    assert isinstance(refused, ToOneClient)
    assert refused.message == Receipt(id="1", state="unreachable", detail="the gateway is lost")
    await asyncio.sleep(RETURN_LIMIT_S + 10)
    assert road.shown() == {"A": {"protocol": "CoAP", "t": "1"}}
    (sent,) = router.from_client("c", command, now=road.loop.time())
    assert isinstance(sent, ToOneGateway)
    states = [it.state for it in published.messages if isinstance(it, GatewayState)]
    assert states == ["connected"]
    assert not [it for it in published.messages if isinstance(it, NodeAppeared | NodeLeft)]
    assert router.gateways.protocols(router.nodes.count_of) == {"CoAP": (1, 1)}
    await road.end()


async def test_a_gateway_that_does_not_return_after_a_pause_of_the_broker_is_lost() -> None:
    road = Road()
    published = await pause_the_broker(road, 60)
    road.broker_is_up = False
    await asyncio.sleep(RETURN_LIMIT_S - 1)
    assert list(road.shown()) == ["A"]
    await asyncio.sleep(2)
    assert road.shown() == {}
    (left,) = (it for it in published.messages if isinstance(it, NodeLeft))
    assert left.reason == "gateway lost"
    await road.end()


async def test_links_that_end_some_time_after_a_pause_of_the_broker_are_lost_at_once() -> None:
    road = Road()
    await pause_the_broker(road, 60)
    await asyncio.sleep(NOTICED_LIMIT_S + 3)
    assert list(road.shown()) == ["A"]
    assert road.link is not None
    road.link.close("cut by the test")
    await asyncio.sleep(0.01)
    assert road.shown() == {}
    await road.end()
