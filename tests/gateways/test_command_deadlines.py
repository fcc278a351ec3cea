# SPDX-License-Identifier: BSD-3-Clause
"""Until when commands over an MQTT broker may be delivered."""

import asyncio

import pytest

from pyaiot.gateways.command_deadlines import COMMANDS_MAX, REMEMBERED_S, CommandDeadlines
from tests.clients import Broker
from tests.gateways.mqttsn_device import Device
from tests.running import running_everything

LED = "gateway/a/led/set"


def test_the_deadline_of_a_command_is_found_by_its_payload() -> None:
    deadlines = CommandDeadlines()
    deadlines.add(LED, b"1", 10.0, now=9.0)
    assert deadlines.find(LED, b"1") == 10.0
    assert deadlines.find(LED, b"0") is None
    deadlines.add(LED, b"1", 20.0, now=15.0)
    assert deadlines.find(LED, b"1") == 20.0


def test_deadlines_are_forgotten_a_while_after_they_are_over() -> None:
    deadlines = CommandDeadlines()
    deadlines.add(LED, b"1", 10.0, now=9.0)
    deadlines.add(LED, b"2", 100.0, now=9.9 + REMEMBERED_S)
    assert deadlines.find(LED, b"1") == 10.0
    deadlines.add(LED, b"3", 100.0, now=10.0 + REMEMBERED_S)
    assert deadlines.find(LED, b"1") is None


def test_number_of_remembered_entries_is_limited() -> None:
    deadlines = CommandDeadlines()
    for number in range(COMMANDS_MAX + 10):
        deadlines.add(LED, b"%d" % number, 10.0, now=9.0)
    assert len(deadlines) == COMMANDS_MAX
    assert deadlines.find(LED, b"%d" % (COMMANDS_MAX + 9)) == 10.0


@pytest.mark.sockets
async def test_a_command_that_timed_out_is_not_delivered_when_its_node_wakes_up() -> None:
    """All the way: client, broker, MQTT gateway, MQTT broker, MQTT-SN gateway, node."""
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        with Device(running.mqttsn_port) as board:
            await board.connects(b"sleeper")
            suback = await board.exchange("LL 12 20 0001", b"gateway/sleeper/led/set")
            assert suback == "0813200001000100"
            topic_id = await board.registers(b"node/sleeper/led", 2)
            await board.publishes(topic_id, b'{"value": 0}', 3)
            await client.shows("sleeper", led=0)
            assert await board.exchange("04 18 003c") == "0218"
            late = await client.command("sleeper", "led", "1", timeout_s=0.5)
            receipt = await client.until(type="receipt", id=late)
            assert receipt["state"] == "sent"  # and no report came
            await client.command("sleeper", "led", "2", timeout_s=30.0)
            await asyncio.sleep(0.5)
            board.send("LL 16", b"sleeper")
            assert (await board.receive()).hex()[-2:] == b"2".hex()
            assert (await board.receive()).hex() == "0217"
