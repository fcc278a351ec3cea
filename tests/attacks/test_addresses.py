# SPDX-License-Identifier: BSD-3-Clause
"""Attack 12: two uids at one address, one uid at two addresses, another address after a reboot."""

import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.attacks.running import PROMPT_S, running_system
from tests.coap_device import coap_device
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


async def test_two_uids_at_one_address_are_two_nodes_and_the_last_alive_gets_the_readings() -> None:
    async with running_system() as system, coap_device(system.coap.port) as board:
        for uid, value in (("first", "1"), ("second", "2"), ("first", "3")):
            assert (await board.post("alive", f"alive:{uid}")).code == Code.CHANGED
            assert (await board.post("server", f"count:{value}")).code == Code.CHANGED
            await system.client.shows(uid, count=value)
        assert system.client.nodes["second"]["count"] == "2"
        assert system.client.nodes["first"]["ip"] == system.client.nodes["second"]["ip"]
        await system.serves()


async def test_uid_at_two_addresses_stays_where_it_answers() -> None:
    async with (
        running_system() as system,
        coap_device(system.coap.port) as owner,
        coap_device(system.coap.port) as other,
    ):
        owner.has({"led": "0"})
        other.has({"led": "stolen"})
        await owner.post("alive", "alive:N")
        await system.client.shows("N", led="0")
        assert (await other.post("alive", "reset:N")).code == Code.SERVICE_UNAVAILABLE
        async with time_limit(PROMPT_S):
            while (await other.post("alive", "alive:N")).code != Code.FORBIDDEN:
                pass
        assert (await owner.post("server", "count:1")).code == Code.CHANGED
        await system.client.shows("N", count="1")
        assert system.client.nodes["N"]["ip"] == owner.host
        assert all(message.get("data") != "stolen" for message in system.client.received)
        await system.serves()


async def test_node_that_rebooted_at_another_address_moves_there() -> None:
    async with running_system() as system, coap_device(system.coap.port) as after:
        async with coap_device(system.coap.port) as before:
            before.has({"led": "0"})
            await before.post("alive", "alive:N")
            await system.client.shows("N", led="0")
        after.has({"led": "1"})
        assert (await after.post("alive", "reset:N")).code == Code.SERVICE_UNAVAILABLE
        async with time_limit(PROMPT_S):
            await system.client.shows("N", led="1", ip=after.host)
        assert (await after.post("server", "count:1")).code == Code.CHANGED
        await system.client.shows("N", count="1")
        await system.serves()
        assert not [m for m in system.client.received if m["type"] == "out"]


async def test_node_that_rebooted_at_another_port_of_its_machine_moves_at_once() -> None:
    async with running_system() as system, coap_device(system.coap.port) as board:
        board.has({"led": "0"})
        await board.post("alive", "alive:N")
        await system.client.shows("N", led="0")
        answer = await board.post("alive", "reset:N", from_server=True)
        assert answer.code == Code.CHANGED
        answer = await board.post("server", "count:1", from_server=True)
        assert answer.code == Code.CHANGED
        await system.client.shows("N", count="1")
        await system.serves()
