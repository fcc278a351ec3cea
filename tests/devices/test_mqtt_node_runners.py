# SPDX-License-Identifier: BSD-3-Clause
"""Simulated MQTT and MQTT-SN nodes on real sockets, with other MQTT brokers and a test gateway."""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.mqtt_node_runner import run_mqtt_node
from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig
from pyaiot.devices.mqttsn_node_runner import run_mqttsn_node
from pyaiot.errors import OperatorError
from pyaiot.mqtt.client import MqttServer
from pyaiot.protocols.mqttsn.packet import parse_packet
from pyaiot.protocols.mqttsn.packets import ConnAck, Connect, Subscribe
from tests.gateways.mqtt_servers import server
from tests.gateways.test_mqtt_gateway import world
from tests.programs import free_port

pytestmark = pytest.mark.sockets


@contextlib.asynccontextmanager
async def running(node: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(node)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_mqtt_node_is_discovered_and_commanded_and_survives_a_killed_broker(
    tmp_path: Path,
) -> None:
    with server("mosquitto", tmp_path) as mosquitto:
        mosquitto.start()
        config = MqttNodeConfig(uid="lamp", mqtt_port=mosquitto.port, led=True, name="Lamp")
        async with (
            world(MqttServer("127.0.0.1", mosquitto.port)) as here,
            running(run_mqtt_node(config, rng=random.Random(1))),
        ):
            await here.until(lambda: here.value("lamp", "name") == "Lamp")
            assert (await here.command("lamp", "led", "1")).state == "confirmed"
            mosquitto.kill()
            here.received.clear()
            mosquitto.start()
            await here.until(lambda: here.value("lamp", "led") == "1", 10.0)


async def test_mqtt_node_without_a_broker_logs_it_once_and_retries(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with server("mosquitto", tmp_path) as mosquitto:
        config = MqttNodeConfig(uid="lamp", mqtt_port=mosquitto.port)
        with caplog.at_level(logging.WARNING, logger="pyaiot"):
            async with running(run_mqtt_node(config)):
                while not caplog.records:  # noqa: ASYNC110 - the log has no event
                    await asyncio.sleep(0.01)
                mosquitto.start()
                async with world(MqttServer("127.0.0.1", mosquitto.port)) as here:
                    await here.until(lambda: here.value("lamp", "board") == "native", 10.0)
        warnings = [
            record.getMessage() for record in caplog.records if "lamp" in record.getMessage()
        ]
        assert len(warnings) == 1
        assert "not connected to its MQTT broker" in warnings[0]


async def test_refused_mqtt_node_ends_with_one_sentence(tmp_path: Path) -> None:
    with server("mosquitto", tmp_path, "allow_anonymous false") as mosquitto:
        mosquitto.start()
        config = MqttNodeConfig(mqtt_port=mosquitto.port)
        with pytest.raises(ExceptionGroup) as raised:
            await run_mqtt_node(config)
    assert raised.group_contains(OperatorError, match="refuses the node: ")


class Gateway(asyncio.DatagramProtocol):
    """Records packets and their senders."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.put_nowait((parse_packet(data), addr))


@contextlib.asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Gateway, int]]:
    transport, it = await asyncio.get_running_loop().create_datagram_endpoint(
        Gateway, local_addr=("127.0.0.1", 0)
    )
    try:
        yield it, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_mqttsn_node_uses_its_port_and_only_its_gateway() -> None:
    own = free_port(socket.SOCK_DGRAM)
    async with gateway() as (it, port), gateway() as (unknown_peer, _):
        config = MqttSnNodeConfig(uid="lamp", gateway_port=port, port=own, retry_s=0.2)
        async with running(run_mqttsn_node(config)):
            for _ in range(2):  # it was not answered
                packet, peer = await it.received.get()
                assert packet == Connect("lamp", 360)
                assert peer == ("127.0.0.1", own)
            unknown_peer.transport.sendto(ConnAck(0).to_bytes(), peer)
            assert await it.received.get() == (Connect("lamp", 360), peer)
            it.transport.sendto(b"\x99", peer)
            it.transport.sendto(ConnAck(0).to_bytes(), peer)
            packet, _ = await it.received.get()
            assert isinstance(packet, Subscribe)


async def test_mqttsn_node_reports_a_port_in_use() -> None:
    async with gateway() as (_, port):
        with pytest.raises(OperatorError, match=f"port {port}"):
            await run_mqttsn_node(MqttSnNodeConfig(port=port))
