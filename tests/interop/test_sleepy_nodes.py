# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that sleep: a command waits for their next message, and not longer than its deadline."""

import asyncio
import contextlib

import pytest

from pyaiot.gateways.coap import sleeping_nodes
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import Reply
from tests.running import Scene, scene

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def asleep_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node sleeps at once after a message, so that no test waits for it."""
    monkeypatch.setattr(sleeping_nodes, "AWAKE_S", 0.05)


def sleeping(*uids: str) -> contextlib.AbstractAsyncContextManager[Scene]:
    return scene(coap=CoapSection(port=0, sleepy=uids))


async def known(it: Scene) -> None:
    """The node is known with its led, and asleep."""
    it.device.has({"led": "0"})
    it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
    await it.device.post("alive", "alive:A")
    await it.client.shows("A", led="0")
    await asyncio.sleep(0.1)


def written(it: Scene) -> int:
    return len([item for item in it.device.requests if item.code == Code.PUT])


@pytest.mark.parametrize("sleepy", [("A",), ("*",), ("B", "A")])
@pytest.mark.parametrize(("path", "text"), [("alive", "alive:A"), ("server", "temperature:1")])
async def test_command_waits_until_the_node_sends(
    sleepy: tuple[str, ...], path: str, text: str
) -> None:
    async with sleeping(*sleepy) as it:
        await known(it)
        command = await it.client.command("A", "led", "1", timeout_s=20.0)
        await asyncio.sleep(0.1)
        assert written(it) == 0
        await it.device.post(path, text)
        receipt = await it.client.until(type="receipt", id=command)
        assert receipt["state"] == "confirmed"
        assert written(it) == 1


async def test_command_whose_deadline_comes_first_is_never_sent() -> None:
    async with sleeping("A") as it:
        await known(it)
        command = await it.client.command("A", "led", "1", timeout_s=0.2)
        receipt = await it.client.until(type="receipt", id=command)
        assert receipt["state"] == "timeout"
        await it.device.post("alive", "alive:A")
        await it.device.post("server", "last:1")
        await it.client.shows("A", last="1")
        assert written(it) == 0


async def test_commands_that_wait_are_done_one_after_the_other_in_their_order() -> None:
    async with sleeping("A") as it:
        await known(it)
        for payload in ("1", "0", "1"):
            await it.client.command("A", "led", payload, timeout_s=20.0)
        await it.device.post("alive", "alive:A")
        for _ in range(3):
            assert (await it.client.until(type="receipt"))["state"] == "confirmed"
        payloads = [item.payload for item in it.device.requests if item.code == Code.PUT]
        assert payloads == [b"1", b"0", b"1"]


async def test_node_that_does_not_sleep_gets_commands_at_once() -> None:
    async with sleeping("B") as it:
        await known(it)
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"
