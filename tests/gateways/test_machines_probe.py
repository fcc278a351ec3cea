# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot doctor` finds of a cluster of embedded MQTT brokers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pyaiot.gateways.mqtt.machines_probe import probe_machines
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.plugin import ProbeResult
from tests.authority import new_authority
from tests.programs import free_port

pytestmark = pytest.mark.sockets


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("a secret of all machines\n")
    return file


async def found(machines: list[str], secret: Path, **more: Any) -> list[ProbeResult]:
    section = MqttSection(
        cluster=",".join(machines),
        cluster_listen=machines[0],
        cluster_secret_file=str(secret),
        **more,
    )
    return [it async for it in probe_machines(section)]


@asynccontextmanager
async def greeting(line: bytes) -> AsyncIterator[str]:
    """A server that sends a line first. `%` in it is its address."""
    address = ""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line.replace(b"%", address.encode()))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield address


async def test_a_broker_alone_has_no_machines_to_check() -> None:
    assert [it async for it in probe_machines(MqttSection())] == []


async def test_the_name_of_each_other_machine_is_compared(secret: Path) -> None:
    own, silent = (f"127.0.0.1:{free_port(socket.SOCK_STREAM)}" for _ in range(2))
    async with (
        greeting(b'INFO {"server_name":"pyaiot-%"}\r\n') as right,
        greeting(b'INFO {"server_name":"pyaiot-other"}\r\n') as wrong,
        greeting(b"220 mail\r\n") as foreign,
        greeting(b"INFO") as broken,
    ):
        machines = [own, right, wrong, foreign, broken, silent]
        results = await found(machines, secret)
    assert [(it.name, it.text) for it in results] == [
        ("settings", "6 machines, of which 2 may be lost: 5 would do as well"),
        (right, "answers"),
        (wrong, f"answers as 'pyaiot-other', not as pyaiot-{wrong}"),
        (foreign, "another server answers"),
        (broken, "not reachable: ends the connection"),
        (silent, "not reachable: Connection refused"),
    ]
    assert [it.ok for it in results] == [True, True, False, False, False, False]
    assert all(it.action for it in results if not it.ok)


async def test_settings_that_cannot_be_used_are_one_finding(secret: Path, tmp_path: Path) -> None:
    machines = [f"127.0.0.{it}" for it in (1, 2, 3)]
    made = new_authority(tmp_path)
    (tmp_path / "text.pem").write_text("no certificate")
    text = tmp_path / "text.pem"
    nowhere = Path("/nowhere")
    beyond = [f"10.0.0.{it}" for it in (1, 2, 3)]
    for listed, secret_file, certificate, reason in (
        (machines[:2], secret, None, "has 3 to 7 machines"),
        (beyond, secret, None, "connect with TLS"),
        (machines, nowhere, None, "/nowhere"),
        (machines, secret, nowhere, "/nowhere of mqtt.cluster cannot be read"),
        (machines, secret, text, "text.pem of mqtt.cluster cannot be used"),
    ):
        more = {"cluster_certificate_file": str(certificate), "cluster_ca_file": str(made.ca)}
        (only,) = await found(listed, secret_file, **(more if certificate else {}))
        assert (only.ok, only.name) == (False, "settings")
        assert reason in only.text
        assert not only.text.endswith(".")
