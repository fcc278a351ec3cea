# SPDX-License-Identifier: BSD-3-Clause
"""What foreign devices may do at the embedded MQTT broker, and what they may not."""

import asyncio
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.foreign_topics import foreign_permissions
from tests.gateways.mqtt_servers import nats_server
from tests.mqtt.test_device_logins import is_password
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


class Client:
    """An anonymous client, and what it received."""

    def __init__(self, port: int, name: str, user: str = "", password: str = "") -> None:
        self.received: list[tuple[str, bytes]] = []
        self.granted: list[bool] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv311)
        if user:
            self.client.username_pw_set(user, password)
        self.client.on_message = lambda _c, _d, it: self.received.append(
            (it.topic, bytes(it.payload))
        )
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self.granted.extend(
            not code.is_failure for code in codes
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    async def subscribe(self, topic: str) -> bool:
        count = len(self.granted)
        self.client.subscribe(topic)
        async with time_limit(5):
            while len(self.granted) == count:  # noqa: ASYNC110 - another thread
                await asyncio.sleep(0.01)
        return self.granted[-1]

    def publish(self, topic: str, payload: str = "x") -> None:
        self.client.publish(topic, payload, qos=1).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


COMMANDS = (
    *("cmnd/plug/POWER", "zigbee2mqtt/lamp/set", "zigbee2mqtt/a/b/set", "lamp/relay/1/command"),
    *("shellies/x/relay/0/command", "shellies/command", "shellyplus1-1/rpc", "x/cmd"),
    *("homie/k/n/p/set", "homie/5/k/n/p/set", "spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/d"),
    *("gateway/n/led/set", "gateway/check", "zigbee2mqtt/bridge/request/device/remove"),
)
STATES = (
    *("tele/plug/STATE", "stat/plug/RESULT", "zigbee2mqtt/lamp", "shellies/x/relay/0"),
    *("shellyplus1-1/events/rpc", "pyaiot/shelly/x/rpc", "homie/5/k/n/p", "spBv1.0/g/NBIRTH/e"),
    *("homeassistant/sensor/x/config", "any/thing/else", "node/n/led"),
)


async def test_device_publishes_states_and_no_commands(tmp_path: Path) -> None:
    config = EmbeddedConfig(tmp_path / "mqtt", port=0, foreign=True)
    async with EmbeddedBroker.running(config, is_password) as broker:
        server = broker.server
        assert server.password is not None
        gateway = Client(broker.port, server.client_id + "x", server.user, server.password())
        assert await gateway.subscribe("#")
        device = Client(broker.port, "device")
        for topic in (*COMMANDS, *STATES):
            device.publish(topic)
        device.publish("end")
        async with time_limit(5):
            while ("end", b"x") not in gateway.received:  # noqa: ASYNC110 - another thread
                await asyncio.sleep(0.01)
        topics = [topic for topic, payload in gateway.received if payload == b"x"]
        assert topics == [*STATES, "end"]
        device.close()
        gateway.close()


async def test_device_subscribes_to_commands_and_to_no_states(tmp_path: Path) -> None:
    config = EmbeddedConfig(tmp_path / "mqtt", port=0, foreign=True)
    async with EmbeddedBroker.running(config, is_password) as broker:
        device = Client(broker.port, "device")
        for topic in COMMANDS:
            assert await device.subscribe(topic), topic
        assert await device.subscribe("cmnd/plug/#")
        assert await device.subscribe("zigbee2mqtt/#")
        assert await device.subscribe("homie/5/k/+/+/set")
        assert await device.subscribe("homeassistant/status")
        for topic in ("#", "+/+", "tele/#", "node/#", "homie/#", "$SYS/#", "any/thing/else"):
            assert not await device.subscribe(topic), topic
        device.close()


@pytest.mark.parametrize(
    "topic",
    [
        "$JS/API/STREAM/DELETE/$MQTT_msgs",
        "$MQTT/sub/x",
        "$SYS/REQ/SERVER/PING",
        "_INBOX/x",
        "pyaiot/health",
    ],
)
async def test_device_does_not_reach_nats_server_itself(tmp_path: Path, topic: str) -> None:
    config = EmbeddedConfig(tmp_path / "mqtt", port=0, foreign=True)
    async with EmbeddedBroker.running(config, is_password) as broker:
        ignored: list[str] = []
        broker.on_ignored(ignored.append)
        device = Client(broker.port, "device")
        device.publish(topic, "{}")
        async with time_limit(5):
            while topic not in ignored:  # noqa: ASYNC110 - the log of another process
                await asyncio.sleep(0.01)
        device.close()
        assert broker.starts == 1


async def test_without_foreign_devices_only_nodes_publish(tmp_path: Path) -> None:
    config = EmbeddedConfig(tmp_path / "mqtt", port=0)
    async with EmbeddedBroker.running(config, is_password) as broker:
        ignored: list[str] = []
        broker.on_ignored(ignored.append)
        device = Client(broker.port, "device")
        device.publish("tele/plug/STATE")
        async with time_limit(5):
            while not ignored:  # noqa: ASYNC110 - the log of another process
                await asyncio.sleep(0.01)
        device.close()


def test_permissions_deny_what_they_let_devices_read() -> None:
    allowed, _, readable = foreign_permissions().partition(" subscribe: ")
    for subject in ("cmnd.>", "*.*.set", "*.rpc", "gateway.>"):
        assert f'"{subject}"' in allowed
        assert f'"{subject}"' in readable
