# SPDX-License-Identifier: BSD-3-Clause
"""Brokers, nats-server and gateways as processes: any client sees and commands every node."""

import asyncio
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.cluster.member import PEER_TIMEOUT_S
from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import CoapDevice, Reply, coap_device
from tests.programs import Program, Programs, free_port

pytestmark = [pytest.mark.sockets]

LIMIT_S = 30.0


class Cluster:
    """Brokers at one nats-server, and a gateway that knows all of them."""

    def __init__(self, programs: Programs, brokers: int = 2, store: str = "off") -> None:
        """`store`: where history and registry are."""
        self._programs = programs
        self._store = store
        self._keys = ("--key-file", str(programs.key_file()))
        self.nats_port = free_port(socket.SOCK_STREAM)
        self.nats = self._start_nats()
        self.ports = [free_port(socket.SOCK_STREAM) for _ in range(brokers)]
        self.brokers = [self.start_broker(port) for port in self.ports]
        self.gateway = programs.aiot(
            *("coap-gateway", "--coap-port", "0", *self._keys, "--broker-host"),
            ",".join(f"127.0.0.1:{port}" for port in self.ports),
        )
        found = re.search(r"UDP port (\d+)", self.gateway.startup_text())
        assert found is not None
        self.coap_port = int(found[1])

    def _start_nats(self) -> Program:
        program = Path(sys.executable).with_name("nats-server")
        return self._programs.start(program, "-a", "127.0.0.1", "-p", str(self.nats_port))

    def use_store(self, store: str) -> None:
        """Of brokers that are started from now on."""
        self._store = store

    def start_broker(self, port: int) -> Program:
        broker = self._programs.aiot(
            *("broker", "--port", str(port), *self._keys, "--history", self._store),
            *("--registry", self._store, "--cluster", f"nats://127.0.0.1:{self.nats_port}"),
            *("--cluster-broker", f"broker at {port}"),
        )
        broker.startup_text()
        return broker

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[list[dict[str, Any]]]:
    """What a client of this broker gets after `join`, and later."""
    messages: list[dict[str, Any]] = []
    async with (
        aiohttp.ClientSession() as web,
        web.ws_connect(f"{url}/ws", protocols=["pyaiot.v2"]) as client,
        asyncio.TaskGroup() as tasks,
    ):
        await client.send_json([{"type": "new", "data": "client"}])

        joined = asyncio.Event()

        async def read() -> None:
            async for frame in client:
                messages.extend(frame.json())
                if any(message["type"] == "joined" for message in messages):
                    joined.set()

        reading = tasks.create_task(read())
        async with asyncio.timeout(LIMIT_S):
            await joined.wait()
        yield messages
        reading.cancel()


async def value_at(web: aiohttp.ClientSession, url: str) -> object:
    async with web.get(f"{url}/api/nodes/A/resources/count") as answer:
        return (await answer.json())["data"] if answer.status == 200 else None


async def shows(url: str, value: str) -> float:
    """Wait until a broker has this value. Returns the seconds."""
    began = time.monotonic()
    async with aiohttp.ClientSession() as web, asyncio.timeout(LIMIT_S):
        while True:
            if await value_at(web, url) == value:
                break
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def command(url: str, payload: str) -> int:
    """Write the LED over HTTP. Returns the status: 200 if the device confirmed it."""
    led = f"{url}/api/nodes/A/resources/led?timeout=3"
    async with aiohttp.ClientSession() as web, web.put(led, data=payload) as answer:
        return answer.status


async def post(device: CoapDevice, text: str) -> None:
    assert (await device.post("server", text)).code == Code.CHANGED


@asynccontextmanager
async def node_a(cluster: Cluster) -> AsyncIterator[CoapDevice]:
    async with coap_device(cluster.coap_port) as device:
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = Reply(Code.CHANGED)
        await device.post("alive", "alive:A")
        yield device


@pytest.fixture
def cluster(programs: Programs) -> Cluster:
    return Cluster(programs)


async def test_every_broker_shows_and_commands_every_node(cluster: Cluster) -> None:
    async with node_a(cluster) as device:
        await post(device, "count:1")
        for number in (0, 1):
            await shows(cluster.url(number), "1")
            assert await command(cluster.url(number), "1") == 200
        async with watching(cluster.url(1)) as messages:
            await post(device, "count:2")
            await shows(cluster.url(1), "2")
        kinds = [message["type"] for message in messages]
        assert kinds.index("new") < kinds.index("joined") < len(kinds) - 1
        values = [it["data"] for it in messages if it.get("endpoint") == "count"]
        assert values == ["1", "2"]


async def other_broker(url: str, state: str) -> dict[str, Any]:
    """Wait until the only other broker is in this state. Returns what is known of it."""
    async with aiohttp.ClientSession() as web, asyncio.timeout(LIMIT_S):
        while True:
            async with web.get(f"{url}/api/cluster") as answer:
                peers: list[dict[str, Any]] = (await answer.json())["peers"]
            if [it["state"] for it in peers] == [state]:
                return peers[0]
            await asyncio.sleep(0.02)


async def test_a_broker_that_is_stopped_reports_it_to_the_others(cluster: Cluster) -> None:
    await other_broker(cluster.url(1), "online")
    cluster.brokers[0].send(signal.SIGTERM)
    found = await other_broker(cluster.url(1), "lost")
    assert found["silent_s"] < PEER_TIMEOUT_S / 2


async def test_the_command_and_the_doctor_list_the_brokers(
    cluster: Cluster, programs: Programs
) -> None:
    second = f"broker at {cluster.ports[1]}"
    await other_broker(cluster.url(0), "online")
    port = str(cluster.ports[0])
    listed = await asyncio.to_thread(programs.run, "cluster", "--broker-port", port)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert second in listed.stdout
    assert cluster.url(1) in listed.stdout
    checked = await asyncio.to_thread(
        programs.run, "doctor", "--no-trip", "--json", "--broker-port", port
    )
    assert f"packets from {second}" in checked.stdout


async def test_a_gateway_whose_broker_is_killed_keeps_its_nodes(cluster: Cluster) -> None:
    async with node_a(cluster) as device:
        await post(device, "count:1")
        await shows(cluster.url(1), "1")
        async with watching(cluster.url(1)) as messages:
            cluster.brokers[0].send(signal.SIGKILL)
            await post(device, "count:2")
            assert await shows(cluster.url(1), "2") < 5.0
            await asyncio.sleep(6.0)  # the grace of the dead broker is over
        kinds = [message["type"] for message in messages if message.get("uid") == "A"]
        assert kinds.count("new") == 1
        assert "out" not in kinds
