# SPDX-License-Identifier: BSD-3-Clause
"""Gateway and broker in separate processes: what was acknowledged survives a killed broker, and
a command that was delayed between them is not sent after its deadline."""

import asyncio
import re
import signal
import socket
import sqlite3

import aiohttp
import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import CoapDevice, Reply, coap_device
from tests.programs import Program, Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

POSTS = 30


class Separate:
    """A broker that can be killed and started, and a gateway that stays."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._keys = ("--key-file", str(programs.key_file()))
        self._port = str(free_port(socket.SOCK_STREAM))
        self.url = f"http://127.0.0.1:{self._port}/"
        self.broker = self.start_broker()
        self.gateway = programs.aiot(
            *("coap-gateway", "--coap-port", "0", "--broker-port", self._port, *self._keys)
        )
        found = re.search(r"UDP port (\d+)", self.gateway.startup_text())
        assert found is not None
        self.coap_port = int(found[1])
        self.history = programs.home / ".local" / "share" / "pyaiot" / "history.db"

    def start_broker(self) -> Program:
        self.broker = self._programs.aiot("broker", "--port", self._port, *self._keys)
        self.broker.startup_text()
        return self.broker

    async def shows(self, value: str) -> None:
        """The broker knows this value of the node."""
        async with aiohttp.ClientSession() as web, time_limit(40.0):
            while True:
                async with web.get(f"{self.url}api/nodes/A/resources/count") as answer:
                    if answer.status == 200 and (await answer.json())["data"] == value:
                        return
                await asyncio.sleep(0.05)

    async def keeps(self, count: int) -> None:
        """The history has this number of values: a value is shown before it is committed."""
        async with time_limit(10.0):
            while len(self.kept()) < count:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)

    def kept(self) -> list[int]:
        """What is in the history."""
        db = sqlite3.connect(f"file:{self.history}?mode=ro", uri=True)
        try:
            query = (
                "SELECT value FROM reading JOIN series ON series.id = series"
                " WHERE resource = 'count' ORDER BY at"
            )
            return [int(value) for (value,) in db.execute(query)]
        finally:
            db.close()


async def post(device: CoapDevice, number: int) -> None:
    answer = await device.post("server", f"count:{number}")
    assert answer.code == Code.CHANGED


async def test_readings_acknowledged_while_the_broker_is_away_are_in_the_history(
    programs: Programs,
) -> None:
    separate = await asyncio.to_thread(Separate, programs)
    async with coap_device(separate.coap_port) as device:
        device.has({})
        await device.post("alive", "alive:A")
        await post(device, 0)
        await separate.shows("0")
        separate.broker.kill()
        for number in range(1, POSTS + 1):
            await post(device, number)
        await asyncio.to_thread(separate.start_broker)
        await separate.shows(str(POSTS))
        await separate.keeps(POSTS + 1)
        assert separate.kept() == list(range(POSTS + 1))


async def test_readings_acknowledged_in_the_moment_of_the_kill_are_in_the_history(
    programs: Programs,
) -> None:
    separate = await asyncio.to_thread(Separate, programs)
    async with coap_device(separate.coap_port) as device:
        device.has({})
        await device.post("alive", "alive:A")
        await post(device, 0)
        await separate.shows("0")
        for number in range(1, POSTS + 1):
            await post(device, number)
            if number == POSTS // 2:
                separate.broker.kill()
        await asyncio.to_thread(separate.start_broker)
        await separate.shows(str(POSTS))
        await separate.keeps(POSTS + 1)
        assert separate.kept() == list(range(POSTS + 1))


async def write(separate: Separate, payload: str, timeout_s: float) -> int:
    """Write the LED over HTTP. Returns the status."""
    url = f"{separate.url}api/nodes/A/resources/led?timeout={timeout_s}"
    async with aiohttp.ClientSession() as web, web.put(url, data=payload) as answer:
        return answer.status


async def test_command_that_reaches_the_gateway_after_its_deadline_is_not_sent(
    programs: Programs,
) -> None:
    separate = await asyncio.to_thread(Separate, programs)
    async with coap_device(separate.coap_port) as device:
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await device.post("alive", "alive:A")
        await post(device, 0)
        await separate.shows("0")
        separate.gateway.send(signal.SIGSTOP)
        assert await write(separate, "late", timeout_s=1) == 504
        separate.gateway.send(signal.SIGCONT)
        assert await write(separate, "in time", timeout_s=5) == 200
        written = [item.payload for item in device.requests if item.code == Code.PUT]
        assert written == [b"in time"]
