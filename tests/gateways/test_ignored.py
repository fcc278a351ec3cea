# SPDX-License-Identifier: BSD-3-Clause
"""A gateway reports ignored messages to the broker, at a limited rate."""

import asyncio
from typing import Any

from pyaiot.gateways.gateway import Gateway, GatewayLink, Outcome
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.rejections import DESCRIBED_INTERVAL_S, IGNORED_INTERVAL_S, Rejections
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    IGNORED_TOPICS_MAX,
    REFUSAL_LENGTH_MAX,
    REFUSALS_MAX,
    TOPIC_LENGTH_MAX,
    Ignored,
)


class Nobody:
    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        raise AssertionError((uid, resource, payload, deadline))


async def test_ignored_messages_are_reported_at_intervals_and_to_each_broker() -> None:
    loop = asyncio.get_running_loop()
    nodes = LiveNodes(silence_limit_s=None, nodes_max=1)
    gateway = Gateway(name="mqtt", protocol="MQTT", nodes=nodes, loop=loop, unix_time=lambda: 1.8e9)
    gateway.rejections.ignore("before/link")
    received: list[Any] = []
    ends: list[Any] = []

    async def connect() -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        ends.append((broker_end, asyncio.ensure_future(broker_end.run(received.extend))))
        return gateway_end

    running = asyncio.ensure_future(gateway.keep_linked(connect, Nobody()))
    await asyncio.sleep(IGNORED_INTERVAL_S + 1)

    def reports() -> list[tuple[int, str]]:
        return [
            (message.count, message.topic) for message in received if isinstance(message, Ignored)
        ]

    assert reports() == [(1, "before/link")]
    for number in range(1000):
        gateway.rejections.ignore(f"home/{number}")
        await asyncio.sleep(0.01)
    await asyncio.sleep(IGNORED_INTERVAL_S)
    assert reports()[1] == (2, "home/0")
    assert reports()[-1] == (1001, "home/999")
    assert len(reports()) <= 5
    gateway.rejections.ignore("x\u202e\n" + "y" * 500)
    await asyncio.sleep(IGNORED_INTERVAL_S)
    assert reports()[-1][1].startswith("x\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}y")
    assert len(reports()[-1][1]) == TOPIC_LENGTH_MAX
    running.cancel()
    for _, task in ends:
        task.cancel()
    await gateway.end_commands()
    await asyncio.wait({running, *(task for _, task in ends)})


async def test_refused_clients_are_reported_beside_ignored_messages() -> None:
    reports: list[Ignored] = []
    rejections = Rejections(asyncio.get_running_loop(), lambda: 1.8e9, reports.append)
    rejections.ignore("home/x")
    rejections.refuse("device a b at 10.0.0.7 was refused: its client id has a space")
    for number in range(1000):
        rejections.refuse(f"device \n{number}" + "y" * 500)
    assert [(report.count, report.refused) for report in reports] == [(1, 0)]
    await asyncio.sleep(IGNORED_INTERVAL_S * 2)
    assert [(report.count, report.refused) for report in reports] == [(1, 0), (1, 1001)]
    assert (reports[-1].topic, len(reports[-1].refusal)) == ("home/x", REFUSAL_LENGTH_MAX)
    assert reports[-1].refusal.startswith("device \N{REPLACEMENT CHARACTER}999y")
    rejections.refuse("device c")
    rejections.close()
    assert reports[-1].refused == 1002


async def test_refused_messages_are_counted_and_the_last_different_ones_are_described() -> None:
    reports: list[Ignored] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    rejections = Rejections(loop, lambda: 1.8e9 + loop.time() - began, reports.append)
    for number in range(30):
        rejections.refuse_message("post from %s refused: %s", f"10.0.0.{number % 15}", "\nbad")
        await asyncio.sleep(DESCRIBED_INTERVAL_S)
    for _ in range(1000):  # a flood in one moment
        rejections.refuse_message("post from %s refused: %s", "flood", "bad")
    await asyncio.sleep(IGNORED_INTERVAL_S * 2)
    assert reports[-1].messages_refused == 1030
    assert len(reports[-1].refusals) == REFUSALS_MAX
    assert reports[-1].refusals[-2:] == (
        "post from 10.0.0.14 refused: \N{REPLACEMENT CHARACTER}bad",
        "post from flood refused: bad",
    )
    # Each with its own time, although they are reported together.
    assert len(reports[-1].refusal_times) == REFUSALS_MAX
    last, flood = (ts - 1.8e9 for ts in reports[-1].refusal_times[-2:])
    assert (round(last, 3), round(flood, 3)) == (2.9, 3.0)
    assert (reports[-1].count, reports[-1].refused) == (0, 0)
    rejections.close()


async def test_last_different_topics_are_reported() -> None:
    reports: list[Ignored] = []
    rejections = Rejections(asyncio.get_running_loop(), lambda: 1.8e9, reports.append)
    for number in range(20):
        rejections.ignore(f"home/{number}")
    rejections.ignore("home/15")
    await asyncio.sleep(IGNORED_INTERVAL_S * 2)
    topics = reports[-1].topics
    assert len(topics) == IGNORED_TOPICS_MAX
    assert topics[-2:] == ("home/19", "home/15")
    assert len(set(topics)) == len(topics)
    rejections.close()
