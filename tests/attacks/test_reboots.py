# SPDX-License-Identifier: BSD-3-Clause
"""Attack 10: a board reboots and posts with the message IDs, tokens and port that it had before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from pyaiot.protocols.coap.deduplication import RESET_WINDOW_S
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.attacks.running import System, running_system
from tests.coap_device import CoapDevice, coap_device

pytestmark = pytest.mark.sockets


class Board:
    """A board without a random generator: each boot begins with the same message IDs."""

    def __init__(self, device: CoapDevice, mtype: MessageType) -> None:
        self.device = device
        self._mtype = mtype
        self._next = 0

    async def boot(self) -> None:
        self._next = 1
        await self.posts("alive", "reset:board")
        await self.posts("alive", "alive:board")

    def message(self, path: str, text: str) -> CoapMessage:
        self._next += 1
        options = build_options((OptionNumber.URI_PATH, path), (OptionNumber.CONTENT_FORMAT, 0))
        token = bytes([self._next, 0xAA])
        return CoapMessage(self._mtype, Code.POST, self._next, token, options, text.encode())

    async def posts(self, path: str, text: str) -> None:
        assert (await self.device.exchange(self.message(path, text))).code == Code.CHANGED


@contextlib.asynccontextmanager
async def board(system: System, mtype: MessageType) -> AsyncIterator[Board]:
    async with coap_device(system.coap.port) as device:
        # It answers no requests: what is shown is what it posted.
        device.offers(b"")
        yield Board(device, mtype)


def shown(system: System, resource: str) -> list[str]:
    return [
        message["data"]
        for message in system.client.received
        if (message.get("uid"), message.get("endpoint")) == ("board", resource)
    ]


async def let_pass(seconds: float) -> None:
    """The time that a board takes to boot."""
    await asyncio.sleep(seconds)


async def test_readings_after_a_reboot_count_although_their_message_ids_came_before() -> None:
    async with running_system() as system, board(system, MessageType.NON) as it:
        await it.boot()
        await it.posts("server", "led:0")
        await it.posts("server", "temperature:20")
        await it.posts("server", "led:1")
        await system.client.shows("board", led="1", temperature="20")
        await let_pass(RESET_WINDOW_S)
        await it.boot()
        # The very datagrams of the first boot, and one with the ID and token of another.
        await it.posts("server", "led:0")
        await system.client.shows("board", led="0")
        assert "temperature" not in system.client.nodes["board"]
        await it.posts("server", "temperature:21")
        await system.client.shows("board", temperature="21")
        await system.serves()
        assert shown(system, "led") == ["0", "1", "0"]


async def test_confirmable_readings_after_a_reboot_count_too() -> None:
    async with running_system() as system, board(system, MessageType.CON) as it:
        for _ in range(2):
            await it.boot()
            await it.posts("server", "led:0")
            await it.posts("server", "led:1")
        await system.client.shows("board", led="1")
        await system.serves()
        assert shown(system, "led") == ["0", "1", "0", "1"]


async def test_confirmable_reset_that_is_repeated_is_answered_and_keeps_the_values() -> None:
    """It may be another boot, too: what follows counts."""
    async with running_system() as system, board(system, MessageType.CON) as it:
        await it.boot()
        await it.posts("server", "led:0")
        await it.posts("server", "led:1")
        await system.client.shows("board", led="1")
        await it.boot()
        await system.serves()
        assert system.client.nodes["board"]["led"] == "1"
        assert not [
            m for m in system.client.received if m["type"] == "reset" and m["uid"] == "board"
        ]
        await it.posts("server", "led:0")
        await system.client.shows("board", led="0")


async def test_retransmissions_count_once_and_confirmable_ones_are_acknowledged() -> None:
    async with running_system() as system, board(system, MessageType.CON) as it:
        await it.boot()
        message = it.message("server", "count:1")
        answers = [await it.device.exchange(message) for _ in range(5)]
        assert {answer.to_bytes() for answer in answers} == {answers[0].to_bytes()}
        other = it.message("server", "count:2")
        it.device.send(other)
        # Late, after another one: still the same datagram.
        assert (await it.device.exchange(message)).code == Code.CHANGED
        await system.client.shows("board", count="2")
        await system.serves()
        assert shown(system, "count") == ["1", "2"]


async def test_datagram_that_the_network_doubles_counts_once() -> None:
    async with running_system() as system, board(system, MessageType.NON) as it:
        await it.boot()
        for text in ("count:1", "count:2", "count:3"):
            message = it.message("server", text)
            for _ in range(3):
                it.device.send(message)
        await it.posts("server", "last:1")
        await system.client.shows("board", last="1")
        await system.serves()
        assert shown(system, "count") == ["1", "2", "3"]


async def test_reset_that_the_network_doubles_is_one_boot() -> None:
    async with running_system() as system, board(system, MessageType.NON) as it:
        await it.boot()
        await it.posts("server", "led:0")
        await let_pass(RESET_WINDOW_S)
        message = CoapMessage(
            MessageType.NON,
            Code.POST,
            2,
            b"\x02\xaa",
            build_options((OptionNumber.URI_PATH, "alive"), (OptionNumber.CONTENT_FORMAT, 0)),
            b"reset:board",
        )
        await it.device.exchange(message)
        await it.posts("server", "led:1")
        it.device.send(message)
        await it.posts("server", "last:1")
        await system.client.shows("board", led="1", last="1")
        resets = [m for m in system.client.received if m["type"] == "reset" and m["uid"] == "board"]
        assert len(resets) == 1


async def test_reading_that_was_held_counts_once_when_its_repetition_comes_after_the_uid() -> None:
    # Attack 17: acknowledged 5.03 first, and 2.04 only when it counted.
    async with running_system() as system, board(system, MessageType.CON) as it:
        message = it.message("server", "count:1")
        assert (await it.device.exchange(message)).code == Code.SERVICE_UNAVAILABLE
        await it.posts("alive", "alive:board")
        assert (await it.device.exchange(message)).code == Code.CHANGED
        await it.posts("server", "last:1")
        await system.client.shows("board", count="1", last="1")
        assert shown(system, "count") == ["1"]
