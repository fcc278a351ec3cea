# SPDX-License-Identifier: BSD-3-Clause
"""Attack 13: the clock of the machine jumps, and no node is lost."""

import asyncio
import time

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.gateways.gateway import Gateway, GatewayLink, Outcome
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.links import MemoryLink
from tests.attacks.running import running_system

HOUR_S = 3600.0


class Calendar:
    """A clock for people, which somebody sets."""

    def __init__(self) -> None:
        # A token that is minted meanwhile is stamped by the real one.
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Devices:
    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        del uid, resource, payload, deadline
        return Outcome("confirmed")


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, 30 * 365 * 24 * HOUR_S])
async def test_silence_is_measured_by_another_clock(jump_s: float) -> None:
    loop = asyncio.get_running_loop()
    calendar = Calendar()
    broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=calendar)
    gateway = Gateway(
        name="coap",
        protocol="CoAP",
        nodes=LiveNodes(silence_limit_s=120.0, nodes_max=10),
        loop=loop,
        unix_time=calendar,
    )
    serving: list[asyncio.Task[None]] = []

    async def connect() -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        work = broker.serve_gateway(broker_end, acknowledges=True)
        serving.append(loop.create_task(work))
        return gateway_end

    tasks = [
        loop.create_task(gateway.keep_linked(connect, Devices())),
        loop.create_task(gateway.expire_offline_nodes(lambda _: None)),
    ]
    gateway.node_seen("N", {"protocol": "CoAP"})
    await asyncio.sleep(60)
    calendar.now += jump_s
    await asyncio.sleep(59)
    assert broker.router.nodes.get("N") is not None
    assert len(serving) == 1
    # A silent node is still offline after two minutes.
    await asyncio.sleep(2)
    assert broker.router.nodes.get("N") is None
    for task in (*tasks, *serving):
        task.cancel()
    await asyncio.gather(*tasks, *serving, return_exceptions=True)


@pytest.mark.sockets
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_clients_are_served_after_the_clock_jumped(jump_s: float) -> None:
    calendar = Calendar()
    async with running_system(calendar) as system:
        await system.serves()
        calendar.now += jump_s
        await system.serves()
        stamps = [message["ts"] for message in system.client.received if "ts" in message]
        assert stamps[-1] == calendar.now
        assert not [message for message in system.client.received if message["type"] == "out"]
