# SPDX-License-Identifier: BSD-3-Clause
"""Three embedded MQTT brokers are one: devices connect to any, and each message is on three."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.gateways.mqtt.machines_probe import probe_machines
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.plugin import ProbeResult
from pyaiot.mqtt.client import MqttClient, MqttServer, ReceivedMessage
from pyaiot.mqtt.embedded import broker as embedded
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.machines import Machine, MqttCluster
from pyaiot.mqtt.embedded.nats_connection import NatsConnection
from pyaiot.mqtt.embedded.nats_settings import ENFORCER
from tests.authority import new_authority
from tests.gateways.mqtt_servers import nats_server
from tests.programs import free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

SECRET = "a secret of the machines"
LIMIT_S = 40.0


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


@asynccontextmanager
async def three(folder: Path, **more: str) -> AsyncIterator[list[EmbeddedBroker]]:
    """Three MQTT brokers on loopback, with a leader."""
    machines = tuple(Machine("127.0.0.1", free_port(socket.SOCK_STREAM)) for _ in range(3))
    async with AsyncExitStack() as stack:
        running = [
            stack.enter_async_context(
                EmbeddedBroker.running(
                    EmbeddedConfig(
                        folder / str(own.port),
                        port=0,
                        cluster=MqttCluster(machines, own, SECRET, **more),
                    ),
                    lambda user, password: (user, password) == ("D", "its password"),
                )
            )
            for own in machines
        ]
        brokers = await asyncio.gather(*running)
        await until_they_work(brokers)
        yield brokers


async def until_they_work(brokers: list[EmbeddedBroker]) -> None:
    async with time_limit(LIMIT_S):
        while any(it.problem for it in brokers):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)


@asynccontextmanager
async def receiving(server: MqttServer, topic: str) -> AsyncIterator[list[ReceivedMessage]]:
    """What a client of Pyaiot receives."""
    found: list[ReceivedMessage] = []
    connected = asyncio.Event()
    client = MqttClient(
        server,
        name="test",
        subscriptions=[topic],
        on_messages=found.extend,
        on_connect=connected.set,
    )
    task = asyncio.create_task(client.run())
    async with time_limit(LIMIT_S):
        await connected.wait()
    yield found
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def publish(
    port: int, topic: str, payload: str, *, user: str = "", password: str = "", retain: bool = False
) -> None:
    """Publish with QoS 1, and wait until it is acknowledged."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=user or "device")
    if user:
        client.username_pw_set(user, password)
    accepted = threading.Event()
    client.on_connect = lambda *_: accepted.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert accepted.wait(LIMIT_S)
        published = client.publish(topic, payload, qos=1, retain=retain)
        published.wait_for_publish(LIMIT_S)
        assert published.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def publish_as_d(port: int) -> None:
    publish(port, "node/D/t", "1", user="D", password="its password")


async def test_devices_connect_to_any_machine_and_messages_are_on_three(tmp_path: Path) -> None:
    async with three(tmp_path) as brokers:
        async with receiving(brokers[0].server, "node/+/+/share/+") as found:
            for broker in brokers:
                await asyncio.to_thread(publish, broker.port, "node/A/t", str(broker.port))
            async with time_limit(LIMIT_S):
                while len(found) < 3:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.02)
        assert [(topic, int(payload)) for topic, payload, _ in found] == [
            ("node/A/t/share/0", broker.port) for broker in brokers
        ]
        async with NatsConnection.open(
            brokers[1]._log.port, ENFORCER, brokers[1]._passwords.enforcer
        ) as store:
            discards: set[str] = set()
            async with time_limit(LIMIT_S):
                while discards != {"new"}:
                    await asyncio.sleep(0.1)
                    streams = (await store.request("$JS.API.STREAM.LIST"))["streams"]
                    discards = {it["config"]["discard"] for it in streams}
        assert {it["config"]["num_replicas"] for it in streams} == {3}


async def test_machines_connect_with_tls(tmp_path: Path) -> None:
    made = new_authority(tmp_path)
    files = {
        "certificate_file": str(made.certificate("server")),
        "key_file": str(made.key("server")),
        "ca_file": str(made.ca),
    }
    async with three(tmp_path, **files) as brokers:
        async with receiving(brokers[0].server, "node/+/+/share/+") as found:
            await asyncio.to_thread(publish, brokers[2].port, "node/A/t", "1")
            async with time_limit(LIMIT_S):
                while not found:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.02)
        machines = machines_of(tmp_path)
        results = await probed(tmp_path, machines, **files)
        assert [it.text for it in results] == [
            "3 machines, of which 1 may be lost",
            "answers",
            "answers",
        ]
        (tmp_path / "other").mkdir()
        other = new_authority(tmp_path / "other")
        files["ca_file"] = str(other.ca)
        for result in (await probed(tmp_path, machines, **files))[1:]:
            assert not result.ok
            assert result.text.startswith("TLS fails: ")


def machines_of(folder: Path) -> list[str]:
    return [f"127.0.0.1:{it.name}" for it in folder.iterdir() if it.is_dir()]


async def probed(folder: Path, machines: list[str], **files: str) -> list[ProbeResult]:
    """What the doctor finds at the first machine."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    section = MqttSection(
        cluster=",".join(machines),
        cluster_listen=machines[0],
        cluster_secret_file=str(secret),
        cluster_certificate_file=files.get("certificate_file", ""),
        cluster_certificate_key_file=files.get("key_file", ""),
        cluster_ca_file=files.get("ca_file", ""),
    )
    return [it async for it in probe_machines(section)]


async def test_a_device_logs_in_with_its_credential_at_each_machine(tmp_path: Path) -> None:
    async with three(tmp_path) as brokers:
        async with receiving(brokers[2].secured_server, "node/+/+/share/+") as found:
            for broker in brokers:
                await asyncio.to_thread(publish_as_d, broker.port)
            async with time_limit(LIMIT_S):
                while len(found) < 3:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.02)
        assert [broker.refused_logins for broker in brokers] == [0, 0, 0]


async def test_a_lost_machine_takes_no_retained_message_with_it(tmp_path: Path) -> None:
    async with three(tmp_path) as brokers:
        await asyncio.to_thread(publish, brokers[0].port, "node/A/t", "7", retain=True)
        os.kill(brokers[0].pid, signal.SIGKILL)
        async with (
            receiving(brokers[1].server, "node/A/t/share/0") as found,
            time_limit(LIMIT_S),
        ):
            while not found:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        assert found[0][1] == b"7"
        await until_they_work(brokers)


async def test_one_machine_alone_waits_for_the_others_and_is_not_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "HEALTH_FAILURES_MAX", 1)
    machines = tuple(Machine("127.0.0.1", free_port(socket.SOCK_STREAM)) for _ in range(3))
    config = EmbeddedConfig(tmp_path, port=0, cluster=MqttCluster(machines, machines[0], SECRET))
    async with EmbeddedBroker.running(config) as broker:
        assert broker.problem == "more than half of its machines are not connected"
        assert broker.starts == 1
