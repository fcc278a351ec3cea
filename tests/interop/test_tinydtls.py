# SPDX-License-Identifier: BSD-3-Clause
"""tinydtls, the DTLS of RIOT: its client posts to our gateway and gets commands in its session."""

import asyncio
import contextlib
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from scripts import tinydtls
from tests.clients import Broker
from tests.running import running_coap
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

KEY = b"0123456789abcdef"
DEVICE = Path(__file__).with_name("tinydtls") / "device.py"
LIMIT_S = 15.0


def packages() -> Path:
    """The folder of the package. Skips the test where it was not built."""
    found = tinydtls.built()
    if found is None:
        pytest.skip("tinydtls is not installed (python scripts/tinydtls.py builds it)")
    return found


class Device:
    """The program, and its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with time_limit(LIMIT_S):
            return (await self._process.stdout.readline()).decode().strip()

    async def until(self, text: str) -> str:
        """The next line that begins with this text."""
        while not (line := await self.line()).startswith(text):
            assert line, "it has ended"
        return line

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def post(self, path: str, text: str) -> int:
        """The code of the answer to a confirmable post."""
        self._number += 1
        head = struct.pack("!BBH", 0x40, 2, self._number)
        option = bytes((0xB0 | len(path),)) + path.encode()
        self.write((head + option + b"\x10\xff" + text.encode()).hex())
        acknowledged = struct.pack("!H", self._number)
        while True:
            received = bytes.fromhex((await self.until("received")).split()[1])
            if received[0] & 0x30 == 0x20 and received[2:4] == acknowledged:
                return received[1]


@contextlib.asynccontextmanager
async def device(port: int, uid: str = "lamp", key: bytes = KEY) -> AsyncIterator[Device]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, DEVICE, str(port), uid, key.hex()),
        env={"PYTHONPATH": str(packages())},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Device(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    path = tmp_path / "devices.db"
    store = DeviceStore(path)
    store.add(DeviceCredential("lamp", "dtls-psk", KEY, 1.0))
    store.close()
    return path


async def test_client_of_riot_posts_and_gets_commands_in_its_session(devices: Path) -> None:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        device(running.coaps_port) as board,
    ):
        await board.until("connected")
        assert await board.post("alive", "alive:lamp") == 0x44
        assert await board.post("server", "temperature:21.5°C") == 0x44
        await client.shows("lamp", temperature="21.5°C")
        assert await board.post("alive", "alive:robot") == 0x83
        writing = asyncio.ensure_future(client.write("lamp", "led", "1"))
        while b"\xb3led\x10\xff1" not in bytes.fromhex((await board.until("received")).split()[1]):
            continue
        assert (await writing)["state"] == "confirmed"
        assert "robot" not in client.nodes


async def test_client_of_riot_that_reboots_has_a_new_session(devices: Path) -> None:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        device(running.coaps_port) as board,
    ):
        await board.until("connected")
        assert await board.post("server", "temperature:1") == 0x44
        await client.shows("lamp", temperature="1")
        board.write("reboot")
        await board.until("connected")
        assert await board.post("server", "temperature:2") == 0x44
        await client.shows("lamp", temperature="2")


async def test_client_of_riot_with_a_wrong_key_gets_no_session(devices: Path) -> None:
    async with (
        running_coap(devices=devices) as running,
        device(running.coaps_port, key=b"another key 0123") as board,
    ):
        assert (await board.line()).startswith("alert")
