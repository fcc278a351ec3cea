# SPDX-License-Identifier: BSD-3-Clause
"""The database of a cluster is dumped while brokers run, and restored into an empty one."""

import asyncio
import re
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.coap_device import CoapDevice
from tests.end_to_end.test_cluster import Cluster, node_a, post, shows
from tests.history.postgres_server import programs as postgres_programs
from tests.history.postgres_server import running_server
from tests.programs import Programs

pytestmark = pytest.mark.sockets

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "three-machines.md"
USER: Final = "postgresql://pyaiot@db.example.org"


def command_of_page(program: str) -> list[str]:
    """The words of the command that the page has."""
    found = re.search(rf"^{program} .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return shlex.split(found[0])


def run_command(program: str, folder: Path, url: str) -> None:
    """Run a command of the page with this server instead of that of the page."""
    found = postgres_programs()
    assert found is not None
    bin_ = (found / "postgres").resolve().parent
    socket_folder = url.partition("?host=")[2]
    words = []
    for word in command_of_page(program):
        option, separator, value = word.rpartition("=")
        if value.startswith(USER):
            value = url.replace("/postgres?", value.removeprefix(USER) + "?")
            value = value.replace("/pyaiot?", "/postgres?")
        elif option == "--host":
            value = socket_folder
        words.append(option + separator + value)
    subprocess.run([bin_ / words[0], *words[1:]], cwd=folder, check=True, capture_output=True)


async def edit(url: str, label: str) -> int:
    async with (
        aiohttp.ClientSession() as web,
        web.patch(f"{url}/api/nodes/A", json={"label": label}) as answer,
    ):
        return answer.status


async def document(url: str, path: str) -> dict[str, object]:
    async with aiohttp.ClientSession() as web, web.get(f"{url}/api/{path}") as answer:
        found: dict[str, object] = await answer.json()
        return found


async def counted(cluster: Cluster, device: CoapDevice, values: range) -> None:
    for value in values:
        await post(device, f"count:{value}")
    await shows(cluster.url(1), str(values[-1]))


async def test_brokers_start_with_a_restored_database(programs: Programs, tmp_path: Path) -> None:
    with running_server() as server:
        cluster = Cluster(programs, store=server.url)
        restored = server.url.replace("/postgres?", "/restored?")
        settings = {"AIOT_CLUSTER_SERVERS": "nats://127.0.0.1", "AIOT_HISTORY_STORE": server.url}
        added = await asyncio.to_thread(programs.run, "token", "add", "script", **settings)
        assert (added.returncode, added.stderr) == (0, "")
        async with node_a(cluster) as device:
            await counted(cluster, device, range(5))
            assert await edit(cluster.url(0), "Boiler") == 200
            await asyncio.sleep(1.0)  # the recorders commit
            await asyncio.to_thread(run_command, "pg_dump", tmp_path, server.url)
            archive = tmp_path / "machine.tar.gz"
            saved = await asyncio.to_thread(
                programs.run,
                *("backup", "--no-history", "--key-file", programs.key_file(), archive),
                **settings,
            )
            assert saved.returncode == 0, saved.stderr
            assert "accounts and audit log: they are in PostgreSQL: pg_dump" in saved.stdout
            with tarfile.open(archive) as tar:
                assert not {"accounts", "audit"} & set(tar.getnames())
            assert await edit(cluster.url(0), "after the backup") == 200
            for broker in cluster.brokers:
                broker.close()
            for program in ("createdb", "pg_restore"):
                await asyncio.to_thread(run_command, program, tmp_path, server.url)
            cluster.use_store(restored)
            cluster.brokers = [cluster.start_broker(port) for port in cluster.ports]
            found = await document(cluster.url(1), "nodes/A")
            assert found["label"] == "Boiler"
            await counted(cluster, device, range(5, 8))
            await shows(cluster.url(0), "7")
            rows: list[dict[str, object]] = []
            while len(rows) < 8:
                answer = await document(cluster.url(0), "nodes/A/resources/count/history")
                rows = answer["readings"]  # type: ignore[assignment]
        tokens = await asyncio.to_thread(
            programs.run, "token", "list", **{**settings, "AIOT_HISTORY_STORE": restored}
        )
        assert "script" in tokens.stdout
