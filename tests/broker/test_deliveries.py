# SPDX-License-Identifier: BSD-3-Clause
"""Messages for all clients that are gathered without an object for each."""

import pytest

from pyaiot.backlog import cost
from pyaiot.broker.deliveries import GatheredMessages, ToAll
from pyaiot.messages import NodeAppeared, NodeForgotten, Reading, ToClient
from tests.broker.test_fanout import System

READINGS = [Reading(uid=f"N{number}", resource="t", data=f"{number}°C") for number in range(3)]
SEQUENCES = [3, 1, 2]
DELIVERIES = [
    ToAll(NodeAppeared(uid="N"), 7),
    ToAll(NodeForgotten(uid="N"), is_registry=True),
    *map(ToAll, READINGS, SEQUENCES),
    ToAll(NodeForgotten(uid="M"), is_registry=True),
]


def test_gathered_messages_are_the_deliveries_in_order() -> None:
    gathered = GatheredMessages(DELIVERIES[:2])
    assert (len(gathered), gathered.cost) == (2, 0)
    gathered.add_readings(READINGS, SEQUENCES)
    assert gathered.cost == sum(map(cost, READINGS))
    gathered.add(DELIVERIES[-1], 5)
    assert gathered.cost == sum(map(cost, READINGS)) + 5
    assert gathered.deliveries() == DELIVERIES
    everything: list[ToClient] = [it.message for it in DELIVERIES]
    assert gathered.messages_for(has_registry=True) == everything
    assert gathered.messages_for(has_registry=False) == [everything[0], *READINGS]


@pytest.mark.parametrize(
    "kinds",
    [
        ["known"] * 4,
        ["other", "known", "known", "new node"],
        ["known", "known", "new node", "known", "other", "new node", "other"],
    ],
)
async def test_readings_together_reach_a_client_in_order(kinds: list[str]) -> None:
    system = System()
    await system.send(Reading(uid="A", resource="known", data="0"))
    client, socket = system.client()
    readings = [
        Reading(uid=kind if kind == "new node" else "A", resource=kind, data=str(number))
        for number, kind in enumerate(kinds)
    ]
    await system.send(*readings)
    system.broker.fanout.flush()
    received = [item["data"] for item in socket.messages if item["type"] == "update"]
    assert received == [it.data for it in readings]
    gateway = system.broker.router.gateways[1]
    assert gateway.readings == 1 + len(readings)
    assert client.id in system.broker.fanout.clients
    await system.end()
