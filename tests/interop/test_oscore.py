# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE with a node of aiocoap in a separate process, and with its command line."""

import asyncio
import contextlib
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_runner import run_coap_node
from pyaiot.gateways.coap.oscore import numbers_file
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.device_watch import INTERVAL_S
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from tests.clients import Broker, Client
from tests.coap_device import own_address
from tests.programs import Programs, free_port
from tests.running import running_coap
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

NODE = Path(__file__).parent / "oscore_node.py"
SECRET = bytes(range(16))
LIMIT_S = 30.0


class ForeignNode:
    """A process with a node of aiocoap."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with time_limit(LIMIT_S):
            line = await self._process.stdout.readline()
        return line.decode().strip()

    async def do(self, *words: str) -> str:
        """Give it a command. Returns the next line that it prints."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        return await self.line()

    async def post(self, path: str, text: str) -> str:
        return await self.do("post", path, text)


@contextlib.asynccontextmanager
async def foreign_node(folder: Path, coap_port: int, host: str) -> AsyncIterator[ForeignNode]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(NODE), str(folder), f"127.0.0.1:{coap_port}", host),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        node = ForeignNode(process)
        assert await node.line() == "ready"
        yield node
        assert process.stdin is not None
        process.stdin.close()
        async with time_limit(LIMIT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """The credentials of one device, `lamp`."""
    store = DeviceStore(tmp_path / "devices.db")
    store.add(DeviceCredential("lamp", "oscore", SECRET, time.time()))
    store.close()
    return tmp_path / "devices.db"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The security context of the device, in the form of aiocoap."""
    folder = tmp_path / "context"
    folder.mkdir()
    settings = {
        "secret_hex": SECRET.hex(),
        "sender-id_hex": device_id("lamp").hex(),
        "recipient-id_hex": GATEWAY_ID.hex(),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


@contextlib.asynccontextmanager
async def connected(devices: Path) -> AsyncIterator[tuple[Client, int]]:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        yield client, running.coap_port


async def test_node_posts_is_read_observed_and_commanded(devices: Path, context: Path) -> None:
    host = own_address()
    async with connected(devices) as (client, port), foreign_node(context, port, host) as node:
        assert await node.post("alive", "alive:lamp") == "2.04"
        # Its server answers only protected requests.
        await client.shows("lamp", led="0", temperature="20°C", story="once " * 400, ip=host)
        assert await node.post("server", "humidity:40%") == "2.04"
        await client.shows("lamp", humidity="40%")
        assert await node.do("set", "21°C") == "set"
        await client.shows("lamp", temperature="21°C")
        for payload in ("1", "x" * 3000):
            receipt = await client.write("lamp", "led", payload)
            assert receipt["state"] == "confirmed"
            await client.shows("lamp", led=payload)
            assert await node.line() == f"PUT {len(payload)}"
        # A body in blocks.
        assert await node.post("server", "story:" + "z" * 5000) == "2.04"
        await client.shows("lamp", story="z" * 5000)


async def test_node_cannot_claim_another_uid_and_nobody_its_own(
    devices: Path, context: Path
) -> None:
    host = own_address()
    async with connected(devices) as (client, port), foreign_node(context, port, host) as node:
        assert await node.post("server", "led:1") == "2.04"  # without an `alive`
        await client.shows("lamp", ip=host)
        assert await node.post("alive", "alive:robot") == "4.03"
        assert await node.do("plain", "alive", "alive:lamp") == "4.03"
        assert await node.do("plain", "server", "temperature:99°C") == "5.03"
        assert await node.post("server", "temperature:22°C") == "2.04"
        await client.shows("lamp", temperature="22°C")
        assert "robot" not in client.nodes
        assert "99°C" not in {item.get("data") for item in client.received}


@pytest.mark.parametrize("orderly", [True, False])
async def test_node_is_back_after_the_end_of_the_gateway(
    devices: Path, context: Path, monkeypatch: pytest.MonkeyPatch, *, orderly: bool
) -> None:
    host = own_address()
    if not orderly:
        # What a gateway leaves that was killed: the node must prove that its next request is new.
        monkeypatch.setattr(numbers_file.NumbersFile, "save", lambda *_: None)
    for _ in range(2):
        async with connected(devices) as (client, port), foreign_node(context, port, host) as node:
            assert await node.post("alive", "alive:lamp") == "2.04"
            await client.shows("lamp", led="0")
            assert (await client.write("lamp", "led", "1"))["state"] == "confirmed"


async def test_removed_credential_ends_the_node_at_once(devices: Path, context: Path) -> None:
    host = own_address()
    async with connected(devices) as (client, port), foreign_node(context, port, host) as node:
        assert await node.post("alive", "alive:lamp") == "2.04"
        await client.shows("lamp", led="0")
        store = DeviceStore(devices)
        store.remove("lamp")
        store.close()
        await client.until(type="out", uid="lamp")
        # The refusal is not protected, and aiocoap does not believe it.
        assert await node.post("server", "led:1") == "NotAProtectedMessage"


async def test_what_is_printed_for_a_shell_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential is added while the gateway runs."""
    path = tmp_path / "devices.db"
    async with connected(path) as (client, port):
        config = Config(protocols=(CoapSection(port=port),))
        store = DeviceStore(path)
        added = add_device(store, config, "fan", "oscore", host="127.0.0.1", now=time.time())
        store.close()
        shell = next(it.text for it in added.snippets if it.board == "shell")
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        await asyncio.sleep(2 * INTERVAL_S)
        process = await asyncio.create_subprocess_exec(
            *("sh", "-e", "-c", shell), cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        await client.shows("fan", led="1")


async def test_killed_gateway_continues_with_the_same_node(
    devices: Path, context: Path, programs: Programs
) -> None:
    """The node keeps its replay window, and would refuse a sequence number of before."""
    host, port = own_address(), free_port(socket.SOCK_DGRAM)
    async with foreign_node(context, port, host) as node:
        for _ in range(3):
            gateway = programs.aiot(
                *("run", "--web-port", "0", "--ws-port", "0", "--mqtt-port", "0"),
                *("--mqttsn-port", "0", "--coap-port", str(port), "--history", "off"),
                AIOT_DEVICES_FILE=str(devices),
            )
            url = re.search(r"http://\S+/", gateway.startup_text())
            assert url is not None
            async with Broker(url[0]) as broker, broker.client() as client:
                assert await node.post("alive", "alive:lamp") == "2.04"
                await client.shows("lamp", led="0", temperature="20°C")
            gateway.kill()


async def test_simulated_node_is_read_commanded_and_survives_a_reboot(
    devices: Path, tmp_path: Path
) -> None:
    key_file = tmp_path / "lamp.key"
    key_file.write_text(SECRET.hex() + "\n")
    async with connected(devices) as (client, port):
        config = CoapNodeConfig(
            uid="lamp", led=True, gateway_port=port, oscore_file=str(key_file), confirmable=True
        )
        for _ in range(2):
            node = asyncio.create_task(run_coap_node(config))
            await client.shows("lamp", led="0")
            for value in ("1", "0"):
                receipt = await client.write("lamp", "led", value)
                assert receipt["state"] == "confirmed"
                await client.shows("lamp", led=value)
            node.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await node
