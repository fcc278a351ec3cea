# SPDX-License-Identifier: BSD-3-Clause
"""Attacks on MQTT devices with a user name and password, at the embedded MQTT broker."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config, DevicesSection, RegistrySection
from pyaiot.gateways.mqtt.metrics import MQTT_LOGINS_REFUSED
from pyaiot.gateways.mqtt.service import open_gateway
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import SharedMqttBroker, open_mqtt_broker
from pyaiot.links import MemoryLink
from pyaiot.messages import FromGateway, Reading
from tests.gateways.mqtt_servers import nats_server
from tests.gateways.test_mqtt_gateway import RECOVERY_LIMIT_S, World
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


class SecuredWorld(World):
    """An embedded MQTT broker, its gateway, and the store of the gateway's machine."""

    broker: SharedMqttBroker
    store: DeviceStore
    config: Config

    async def add(self, uid: str) -> str:
        """Give a device a credential, and wait for the gateway. Returns its secret."""
        added = add_device(self.store, self.config, uid, "mqtt", host="127.0.0.1", now=1.0)
        secured = self.mqtt._sides.all[1].client
        await self.until(lambda: secured.connected and self.knows(uid), 5)
        return added.secret

    def knows(self, uid: str) -> bool:
        return self.mqtt.gateway.devices.is_secured(uid)

    def has_values(self, uid: str) -> list[object]:
        """All values of the node that were reported."""
        return [it.data for it in self.received if isinstance(it, Reading) and it.uid == uid]


@contextlib.asynccontextmanager
async def secured_world(folder: Path, **registry: Any) -> AsyncIterator[SecuredWorld]:
    config = Config(
        devices=DevicesSection(file=str(folder / "devices.db")),
        registry=RegistrySection(**registry),
        protocols=(MqttSection(port=0, folder=str(folder / "mqtt")),),
    )
    received: list[FromGateway] = []
    gateway_end, broker_end = MemoryLink.pair()

    async def connect() -> Any:
        return gateway_end

    async with open_mqtt_broker(config, None) as broker:
        opened = await open_gateway(config, broker)
        mqtt = opened.run.__self__  # type: ignore[attr-defined]
        tasks = [
            asyncio.ensure_future(opened.run(connect)),
            asyncio.ensure_future(broker_end.run(received.extend)),
        ]
        here = SecuredWorld(mqtt, broker_end, received)
        here.broker, here.store = broker, DeviceStore(Path(config.devices.file))
        here.config = config
        try:
            await here.until(lambda: mqtt.connected, RECOVERY_LIMIT_S)
            yield here
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            here.store.close()


@dataclass
class Client:
    """A client of paho with what it received."""

    paho: paho.Client
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    granted: list[int] = field(default_factory=list)
    disconnects: int = 0
    refusal: str = ""

    @property
    def topics(self) -> set[str]:
        return {topic for topic, _ in self.messages}

    def reports(self, topic: str, value: object, *, qos: int = 1, retain: bool = False) -> None:
        self.paho.publish(topic, json.dumps({"value": value}), qos=qos, retain=retain)


@contextlib.asynccontextmanager
async def client(
    here: SecuredWorld,
    user: str,
    password: str,
    *,
    client_id: str = "",
    connected: bool = True,
    will: str = "",
) -> AsyncIterator[Client]:
    made = Client(
        paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or user, protocol=paho.MQTTv311
        )
    )
    if user:
        made.paho.username_pw_set(user, password)
    if will:
        made.paho.will_set(will, '{"value":"forged"}')

    def count(*_: Any) -> None:
        made.disconnects += 1

    def refused(*arguments: Any) -> None:
        if arguments[3].is_failure:
            made.refusal = str(arguments[3])

    made.paho.on_message = lambda _c, _d, it: made.messages.append((it.topic, bytes(it.payload)))
    made.paho.on_subscribe = lambda *args: made.granted.extend(code.value for code in args[3])
    made.paho.on_disconnect = count
    made.paho.on_connect = refused
    made.paho.connect("127.0.0.1", here.broker.server.port)
    made.paho.loop_start()
    try:
        if connected:
            await here.until(made.paho.is_connected, 5)
        yield made
    finally:
        made.paho.disconnect()
        made.paho.loop_stop()


async def is_refused(here: SecuredWorld, it: Client) -> None:
    await here.until(lambda: it.refusal, 5)


async def test_each_device_uses_its_own_topics_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured_world(tmp_path) as here:
        lamp, desk = await here.add("lamp"), await here.add("desk")
        async with client(here, "desk", desk) as honest, client(here, "lamp", lamp) as hostile:
            honest.paho.subscribe("gateway/desk/#", 1)
            honest.reports("node/desk/led", "0")
            await here.until(lambda: here.value("desk", "led") == "0", 5)

            hostile.reports("node/desk/led", "forged")
            await here.until(lambda: "was dropped" in caplog.text, 5)
            filters = (
                "#",
                "node/#",
                "node/desk/#",
                "gateway/#",
                "gateway/desk/#",
                "gateway/+/led/set",
            )
            for topic_filter in (*filters, "$SYS/#", "$MQTT/#", "$JS/API/#", "+/desk/led"):
                hostile.paho.subscribe(topic_filter, 1)
            hostile.paho.subscribe("gateway/lamp/#", 1)
            await here.until(lambda: len(hostile.granted) == 11, 5)
            assert hostile.granted == [0x80] * 10 + [1]
            for retain in (False, True):
                for qos in (0, 1, 2):
                    hostile.reports("node/desk/led", "forged", qos=qos, retain=retain)
            hostile.paho.publish("node/check", '{"id":"desk"}', qos=1)
            hostile.paho.publish("gateway/desk/led/set", "1", qos=1)
            hostile.paho.publish("gateway/check", "", qos=1)
            hostile.paho.publish("$SYS/REQ/USER/AUTH", "x", qos=1)
            async with client(
                here, "lamp", lamp, client_id="lamp/2", will="node/desk/led"
            ) as other:
                # Without DISCONNECT, so that the will is published.
                sock = other.paho.socket()
                assert sock is not None
                other.paho._sock_close()
            hostile.reports("node/lamp/led", "on")
            await here.until(lambda: here.value("lamp", "led") == "on", 5)

            receipt = await here.command("desk", "led", "1", 0.3)
            assert receipt.state == "sent"
            await here.until(lambda: ("gateway/desk/led/set", b"1") in honest.messages, 5)
            assert honest.disconnects == 0
            assert not {topic for topic in hostile.topics if not topic.startswith("gateway/lamp/")}
            assert "forged" not in here.has_values("desk")
        await here.until(lambda: "lamp" in caplog.text, 5)
    assert "device lamp at 127.0.0.1 published node/desk/led, which was dropped" in caplog.text
    assert "device lamp at 127.0.0.1 was refused the subscription" in caplog.text
    assert lamp not in caplog.text
    assert desk not in caplog.text


async def test_nobody_takes_the_session_of_a_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured_world(tmp_path) as here:
        lamp, desk = await here.add("lamp"), await here.add("desk")
        own_id = here.broker.server.client_id
        async with client(here, "desk", desk) as honest:
            honest.paho.subscribe("gateway/desk/#", 1)
            await here.until(lambda: honest.granted, 5)
            attempts = (
                ("lamp", lamp, "desk"),
                ("lamp", lamp, "desk/2"),
                ("lamp", desk, "lamp"),
                ("desk", lamp, "desk"),
                ("pyaiot/gateway", "", "desk"),
                ("pyaiot/secured-gateway", "gateway", own_id),
                ("pyaiot/anonymous", "", "desk"),
            )
            for user, password, client_id in attempts:
                async with client(
                    here, user, password, client_id=client_id, connected=False
                ) as hostile:
                    await is_refused(here, hostile)
            # Without a credential, the same client id is another session.
            async with client(here, "", "", client_id="desk"):
                honest.reports("node/desk/led", "1")
                await here.until(lambda: here.value("desk", "led") == "1", 5)
            assert honest.disconnects == 0
            assert here.broker.secured is not None
            assert here.broker.secured.refused() >= len(attempts)  # paho tries again
            metric = [it.value for it in here.mqtt.collect() if it.metric is MQTT_LOGINS_REFUSED]
            assert metric == [here.broker.secured.refused()]
    assert "device desk at 127.0.0.1 was refused: the client id of the device lamp" in caplog.text


async def test_clients_without_a_credential_see_nothing_of_devices_with_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured_world(tmp_path) as here:
        desk = await here.add("desk")
        async with (
            client(here, "", "", client_id="anyone") as hostile,
            client(here, "desk", desk) as honest,
        ):
            hostile.paho.subscribe("gateway/#", 1)
            hostile.paho.publish("node/check", '{"id":"desk"}', qos=1)
            for qos in (0, 1, 2):
                hostile.reports("node/desk/led", "forged", qos=qos, retain=True)
            hostile.reports("node/other/led", "own")
            await here.until(lambda: here.value("other", "led") == "own", 5)
            honest.paho.subscribe("gateway/desk/#", 1)
            honest.reports("node/desk/led", "0")
            await here.until(lambda: here.value("desk", "led") == "0", 5)
            await here.command("desk", "led", "1", 0.3)
            await here.until(lambda: ("gateway/desk/led/set", b"1") in honest.messages, 5)
            assert not {topic for topic in hostile.topics if "desk" in topic}
            assert "forged" not in here.has_values("desk")
    assert "the node desk has a credential, and this claim has none" in caplog.text


async def test_a_credential_is_added_and_removed_without_a_restart(tmp_path: Path) -> None:
    async with secured_world(tmp_path) as here:
        desk = await here.add("desk")
        async with (
            client(here, "", "", client_id="anyone") as other,
            client(here, "desk", desk) as honest,
        ):
            other.reports("node/lamp/led", "unsecured")
            await here.until(lambda: here.value("lamp", "led") == "unsecured", 5)
            starts = here.broker.starts and here.broker.starts()
            lamp = await here.add("lamp")
            # The device that had the uid so far has lost it, without its own doing.
            await here.until(lambda: "lamp" not in here.mqtt.gateway.nodes, 2)
            async with client(here, "lamp", lamp) as added:
                added.reports("node/lamp/led", "secured")
                await here.until(lambda: here.value("lamp", "led") == "secured", 5)
                watch = Stopwatch()
                assert here.store.remove("lamp") == 1
                await here.until(lambda: added.disconnects, 5)
                assert watch.elapsed_s < 1.0
                await here.until(lambda: added.refusal, 5)
                await here.until(lambda: "lamp" not in here.mqtt.gateway.nodes, 2)
            other.reports("node/lamp/led", "free")
            await here.until(lambda: here.value("lamp", "led") == "free", 5)
            honest.reports("node/desk/led", "0")
            await here.until(lambda: here.value("desk", "led") == "0", 5)
            assert (other.disconnects, honest.disconnects) == (0, 0)
            assert here.broker.starts
            assert here.broker.starts() == starts


async def test_a_device_that_only_answers_checks_proves_it(tmp_path: Path) -> None:
    async with secured_world(tmp_path) as here:
        lamp = await here.add("lamp")
        async with client(here, "lamp", lamp) as quiet:

            def answer(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
                if message.payload == b"resources":
                    quiet.paho.publish("node/lamp/resources", '["led"]')
                else:
                    quiet.reports("node/lamp/led", "0")

            quiet.paho.on_message = answer
            quiet.paho.subscribe("gateway/lamp/discover", 0)
            await here.until(lambda: quiet.granted, 5)
            await here.until(lambda: here.mqtt.connected, 5)
            quiet.paho.publish("node/check", '{"id":"lamp"}')
            await here.until(lambda: here.value("lamp", "led") == "0", 5)


@pytest.mark.parametrize("admission", ["approve", "known"])
async def test_where_nodes_are_admitted_one_by_one_devices_need_a_password(
    tmp_path: Path, admission: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured_world(tmp_path, admission=admission) as here:
        lamp = await here.add("lamp")
        async with client(here, "", "", client_id="anyone", connected=False) as refused:
            await here.until(lambda: refused.refusal, 5)
        async with client(here, "lamp", lamp) as device:
            device.reports("node/lamp/led", "0")
            await here.until(lambda: here.value("lamp", "led") == "0", 5)
    assert "device anyone at 127.0.0.1 was refused: it sends no user name" in caplog.text


async def test_what_was_acknowledged_before_there_were_passwords_arrives(tmp_path: Path) -> None:
    async with secured_world(tmp_path) as here:
        stores = tmp_path / "mqtt" / "jetstream" / "jetstream"
        await here.until((stores / "OPEN").is_dir, 5)
    (stores / "OPEN").rename(stores / "$G")
    async with secured_world(tmp_path):
        assert (stores / "OPEN").is_dir()
        assert not (stores / "$G").exists()
