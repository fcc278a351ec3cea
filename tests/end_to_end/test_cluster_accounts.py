# SPDX-License-Identifier: BSD-3-Clause
"""Two brokers on separate machines and one database: people, tokens and the audit log."""

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.history.postgres_server import Server, running_server
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


def environment(server: Server, nats_port: int, folder: Path) -> dict[str, str]:
    """Of one machine, whose files the others do not have."""
    return {
        "AIOT_CLUSTER_SERVERS": f"nats://127.0.0.1:{nats_port}",
        "AIOT_CLUSTER_DATABASE": server.url,
        "AIOT_HISTORY_STORE": "off",
        "AIOT_REGISTRY_STORE": "off",
        "XDG_DATA_HOME": str(folder),
    }


async def status(web: aiohttp.ClientSession, url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with web.get(f"{url}/api/nodes", headers=headers) as answer:
        return answer.status


async def test_access_of_one_broker_is_that_of_all_and_ends_at_all(
    server: Server, programs: Programs, tmp_path: Path
) -> None:
    nats_port = free_port(socket.SOCK_STREAM)
    nats = Path(sys.executable).with_name("nats-server")
    programs.start(nats, "-a", "127.0.0.1", "-p", str(nats_port))
    machines = [environment(server, nats_port, tmp_path / name) for name in ("a", "b")]
    key_file = programs.key_file()
    brokers = [
        programs.aiot("broker", "--port", "0", "--behind-proxy", "--key-file", key_file, **machine)
        for machine in machines
    ]
    texts = [broker.startup_text() for broker in brokers]
    urls = [re.findall(r"Broker: (http://\S+?)/? ", text)[0] for text in texts]
    made = await asyncio.to_thread(
        programs.run, "token", "add", "script", "--role", "admin", **machines[0]
    )
    assert (made.returncode, made.stderr) == (0, "")
    token = made.stdout.strip()
    async with aiohttp.ClientSession() as web:
        for url in urls:
            assert await status(web, url, token) == 200, url
        headers = {"Authorization": f"Bearer {token}"}
        async with web.ws_connect(
            f"{urls[1]}/ws", headers=headers, protocols=["pyaiot.v2"]
        ) as client:
            await client.send_json([{"type": "new", "data": "client"}])
            removed = await asyncio.to_thread(
                programs.run, "token", "remove", "script", **machines[0]
            )
            assert (removed.returncode, removed.stderr) == (0, "")
            async with time_limit(LIMIT_S):
                async for _ in client:
                    pass
            assert client.close_code is not None
        for url in urls:
            assert await status(web, url, token) == 401
        entries = await audit_of(web, urls[1], programs, machines[1])
    assert {"token-add", "token-remove", "invite"} <= {entry["action"] for entry in entries}


async def audit_of(
    web: aiohttp.ClientSession, url: str, programs: Programs, machine: dict[str, str]
) -> list[dict[str, Any]]:
    made = await asyncio.to_thread(
        programs.run, "token", "add", "auditor", "--role", "admin", **machine
    )
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    async with web.get(f"{url}/api/audit", headers=headers) as answer:
        entries: list[dict[str, Any]] = (await answer.json())["entries"]
        return entries
