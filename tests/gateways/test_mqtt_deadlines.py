# SPDX-License-Identifier: BSD-3-Clause
"""Commands over MQTT and their deadlines, with a client that has no broker."""

import asyncio

import pytest
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.mqtt.gateway import MqttGateway
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.gmqtt_connection import GmqttConnection


class FakeClient(GmqttConnection):
    """What is published with which properties, and how many bytes wait."""

    is_open = True
    waiting_bytes = 0

    def __init__(self, version: int) -> None:
        super().__init__(
            "test", version, lambda *_publication: None, named=False, keeps_session=True
        )
        self.published: list[tuple[bytes, dict[str, int]]] = []

    def publish(self, _topic: str, payload: bytes, *, qos: int, **properties: int) -> None:
        assert qos == 0
        self.published.append((payload, properties))


def gateway_of(client: FakeClient) -> MqttGateway:
    loop = asyncio.get_running_loop()
    nodes = LiveNodes(silence_limit_s=None, nodes_max=10)
    base = Gateway(name="m", protocol="MQTT", nodes=nodes, loop=loop, unix_time=lambda: 0.0)
    gateway = MqttGateway(base, MqttServer("127.0.0.1", 1))
    gateway._sides.open.client._connection = client
    return gateway


async def write(gateway: MqttGateway, payload: str, timeout_s: float) -> str:
    deadline = asyncio.get_running_loop().time() + timeout_s
    async with asyncio.timeout_at(deadline):
        return (await gateway.write("n", "led", payload, deadline)).state


async def test_command_that_would_wait_behind_other_bytes_past_its_deadline_is_never_sent() -> None:
    client = FakeClient(MQTTv50)
    gateway = gateway_of(client)
    client.waiting_bytes = 10
    with pytest.raises(TimeoutError):
        await write(gateway, "late", 1.0)
    client.waiting_bytes = 0
    await asyncio.sleep(60)
    assert client.published == []


async def test_commands_that_waited_go_out_in_their_order() -> None:
    client = FakeClient(MQTTv50)
    gateway = gateway_of(client)
    client.waiting_bytes = 10
    writes = [asyncio.create_task(write(gateway, str(number), 5.0)) for number in range(5)]
    asyncio.get_running_loop().call_later(1.0, setattr, client, "waiting_bytes", 0)
    assert [await item for item in writes] == ["sent"] * 5
    assert [payload for payload, _ in client.published] == [b"0", b"1", b"2", b"3", b"4"]


async def test_broker_of_mqtt_5_gets_the_expiry_of_a_command() -> None:
    client = FakeClient(MQTTv50)
    gateway = gateway_of(client)
    await write(gateway, "1", 5.9)
    await write(gateway, "2", 0.5)
    assert [properties for _, properties in client.published] == [
        {"message_expiry_interval": 5},
        {"message_expiry_interval": 1},
    ]


async def test_broker_of_mqtt_3_1_1_knows_no_expiry() -> None:
    client = FakeClient(MQTTv311)
    await write(gateway_of(client), "1", 5.0)
    assert client.published == [(b"1", {})]
