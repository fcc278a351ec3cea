# SPDX-License-Identifier: BSD-3-Clause
"""Attack 5: a node that answers nothing delays nobody; each command has its own deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from pyaiot.gateways.coap.discovery import DISCOVERIES_MAX
from pyaiot.gateways.command_runner import COMMANDS_PER_NODE_MAX
from pyaiot.protocols.coap.numbers import Code
from tests.attacks.running import PROMPT_S, System, running_system
from tests.coap_device import CoapDevice, coap_device
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


@contextlib.asynccontextmanager
async def silent_node(system: System, uid: str) -> AsyncIterator[CoapDevice]:
    """A node that announces itself, and then answers no request."""
    async with coap_device(system.coap.port) as device:
        device.holds_answers = True
        assert (await device.post("alive", f"alive:{uid}")).code == Code.CHANGED
        await system.client.shows(uid)
        yield device


async def test_command_to_a_silent_node_ends_at_its_own_deadline() -> None:
    async with running_system() as system, silent_node(system, "silent"):
        started_at = asyncio.get_running_loop().time()
        limits_s = {
            await system.client.command("silent", "led", "1", timeout_s=t): t
            for t in (0.9, 0.3, 0.6)
        }
        await system.serves()
        for limit_s in sorted(limits_s.values()):
            receipt = await system.client.until(type="receipt", state="timeout")
            assert limits_s[receipt["id"]] == limit_s
            elapsed_s = asyncio.get_running_loop().time() - started_at
            assert limit_s <= elapsed_s + 0.01
            assert elapsed_s < limit_s + PROMPT_S


async def test_commands_that_wait_for_a_silent_node_take_no_room_of_others() -> None:
    async with (
        running_system() as system,
        silent_node(system, "silent"),
        system.people.client() as impatient,
    ):
        for _ in range(COMMANDS_PER_NODE_MAX + 5):
            await impatient.command("silent", "led", "1", timeout_s=60.0)
        for _ in range(5):
            receipt = await impatient.until(type="receipt")
            assert receipt["state"] == "unreachable"
            assert "waiting for this node" in receipt["detail"]
        await system.serves()


async def test_silent_nodes_do_not_delay_the_discovery_of_a_new_one() -> None:
    async with running_system() as system, contextlib.AsyncExitStack() as opened:
        for number in range(DISCOVERIES_MAX + 6):
            await opened.enter_async_context(silent_node(system, f"silent-{number}"))
        new = await opened.enter_async_context(coap_device(system.coap.port))
        new.has({"led": "0"})
        await new.post("alive", "alive:new")
        async with time_limit(PROMPT_S):
            await system.client.shows("new", led="0")
        await system.serves()


async def test_nodes_of_one_host_that_leave_values_unanswered_do_not_delay_other_hosts() -> None:
    """They list resources, and acknowledge each read without an answer."""
    async with running_system() as system, contextlib.AsyncExitStack() as opened:
        for number in range(DISCOVERIES_MAX + 6):
            stalling = await opened.enter_async_context(
                coap_device(system.coap.port, host="127.0.7.1", at_coap_port=False)
            )
            stalling.has(dict.fromkeys("abcdefgh", "0"))
            for resource in "abcdefgh":
                stalling.replies[Code.GET, resource] = None
            await stalling.post("alive", f"alive:stalling-{number}")
            if number == 0:
                await stalling.requests_for(Code.GET, "a")
        new = await opened.enter_async_context(coap_device(system.coap.port))
        new.has({"led": "0"})
        await new.post("alive", "alive:new")
        async with time_limit(PROMPT_S):
            await system.client.shows("new", led="0")
        await system.serves()


async def test_command_reaches_a_node_that_answers_at_its_source_port() -> None:
    # Nobody listens at the CoAP port of its address, and no discovery has come so far yet.
    async with (
        running_system() as system,
        coap_device(system.coap.port, at_coap_port=False) as device,
    ):
        device.replies[Code.PUT, "led"] = None
        await device.post("alive", "alive:N")
        await system.client.shows("N")
        await system.client.command("N", "led", "1")
        await device.requests_for(Code.PUT, "led")
        await system.serves()
