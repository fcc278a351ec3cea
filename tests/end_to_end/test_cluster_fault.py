# SPDX-License-Identifier: BSD-3-Clause
"""Three brokers with a nats-server each, and PostgreSQL: one is killed while nodes post.

A short form of `benchmarks/faults`, which has more faults, more nodes and separate machines.
"""

import asyncio
import re
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import CoapDevice, coap_device
from tests.end_to_end.test_cluster import watching
from tests.history.postgres_server import Server, running_server
from tests.programs import Program, Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

NODES: Final = 20
POSTS_BEFORE: Final = 5
POSTS_AFTER: Final = 10
FAILOVER_MAX_S: Final = 5.0
LIMIT_S: Final = 60.0


class Machines:
    """Three brokers, each with its own nats-server, and a gateway that knows all."""

    def __init__(self, programs: Programs, database: str) -> None:
        self._programs = programs
        self._database = database
        self._keys = ("--key-file", str(programs.key_file()))
        self._clients = [free_port(socket.SOCK_STREAM) for _ in range(3)]
        self._routes = [free_port(socket.SOCK_STREAM) for _ in range(3)]
        self.ports = [free_port(socket.SOCK_STREAM) for _ in range(3)]
        for number in range(3):
            self._start_nats(number)
        self.brokers = [self.start_broker(number) for number in range(3)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        gateway = programs.aiot(
            "coap-gateway", "--coap-port", "0", *self._keys, "--broker-host", hosts
        )
        found = re.search(r"UDP port (\d+)", gateway.startup_text())
        assert found is not None
        self.coap_port = int(found[1])

    def _start_nats(self, number: int) -> None:
        """As docs/how-to/three-machines.md has it."""
        routes = ", ".join(
            f'"nats://127.0.0.1:{port}"' for port in self._routes if port != self._routes[number]
        )
        file = self._programs.home / f"nats-{number}.conf"
        file.write_text(
            f"listen: 127.0.0.1:{self._clients[number]}\n"
            f"cluster {{\n  name: pyaiot\n  listen: 127.0.0.1:{self._routes[number]}\n"
            f'  routes: [{routes}]\n  ping_interval: "1s"\n  ping_max: 2\n}}\n'
        )
        self._programs.start(Path(sys.executable).with_name("nats-server"), "-c", file)

    def start_broker(self, number: int) -> Program:
        order = self._clients[number:] + self._clients[:number]
        broker = self._programs.aiot(
            *("broker", "--port", str(self.ports[number]), *self._keys),
            *("--history", self._database, "--registry", self._database),
            *("--cluster", ",".join(f"nats://127.0.0.1:{port}" for port in order)),
            *("--cluster-broker", f"broker {number}"),
        )
        broker.startup_text()
        return broker

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    async def until_online(self, others: int) -> None:
        """Until the last broker has all nodes of the others."""
        async with aiohttp.ClientSession() as web, time_limit(LIMIT_S):
            states: list[str] = []
            while states != ["online"] * others:
                await asyncio.sleep(0.05)
                async with web.get(f"{self.url(2)}/api/cluster") as answer:
                    states = [it["state"] for it in (await answer.json())["peers"]]


async def acknowledged(device: CoapDevice, uid: str, value: int) -> bool:
    answer = await device.post("server", f"count:{value}")
    if answer.code != Code.CHANGED:
        await device.post("alive", f"alive:{uid}")
        return False
    return True


async def rows(server: Server) -> Counter[tuple[str, int]]:
    database = await asyncpg.connect(server.url)
    try:
        found = await database.fetch(
            "SELECT uid, number FROM pyaiot.reading JOIN pyaiot.series ON series = id"
            " WHERE resource = 'count'"
        )
    finally:
        await database.close()
    return Counter((row["uid"], int(row["number"])) for row in found)


async def test_a_killed_broker_costs_no_acknowledged_reading_and_no_node(
    programs: Programs,
) -> None:
    with running_server() as server:
        machines = Machines(programs, server.url)
        await machines.until_online(2)
        uids = [f"n{number}" for number in range(NODES)]
        wanted: set[tuple[str, int]] = set()
        async with AsyncExitStack() as stack, time_limit(LIMIT_S):
            devices = {
                uid: await stack.enter_async_context(coap_device(machines.coap_port))
                for uid in uids
            }

            async def post(value: int) -> None:
                async def post_one(uid: str) -> None:
                    if await acknowledged(devices[uid], uid, value):
                        wanted.add((uid, value))

                await asyncio.gather(*(post_one(uid) for uid in uids))

            for uid, device in devices.items():
                await device.post("alive", f"alive:{uid}")
            for value in range(POSTS_BEFORE):
                await post(value)
            async with watching(machines.url(2)) as messages:
                machines.brokers[0].send(signal.SIGKILL)
                killed_at = time.monotonic()
                served_s = 0.0
                for value in range(POSTS_BEFORE, POSTS_BEFORE + POSTS_AFTER):
                    await post(value)
                    text = str(value)
                    while not served_s and not any(it.get("data") == text for it in messages):
                        assert time.monotonic() - killed_at < FAILOVER_MAX_S
                        await asyncio.sleep(0.02)
                    served_s = served_s or time.monotonic() - killed_at
            assert served_s < FAILOVER_MAX_S
            assert not [it for it in messages if it["type"] == "out"]
            last = {(uid, POSTS_BEFORE + POSTS_AFTER - 1) for uid in uids}
            assert wanted >= last
            found = await rows(server)
            while not wanted <= found.keys():
                await asyncio.sleep(0.1)
                found = await rows(server)
        assert not [key for key, count in found.items() if count > 1]
        machines.brokers[0] = machines.start_broker(0)
        await machines.until_online(2)
