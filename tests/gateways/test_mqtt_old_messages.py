# SPDX-License-Identifier: BSD-3-Clause
"""Messages that an MQTT broker stored: they are old, and no sign of life."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.gateways.mqtt import retained as mqtt_retained
from pyaiot.gateways.mqtt import stored_nodes
from pyaiot.messages import NodeLeft, Reading
from pyaiot.mqtt import client as mqtt_client
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from tests.gateways.mqtt_servers import Server, nats_server, server
from tests.gateways.test_mqtt_gateway import KINDS, RECOVERY_LIMIT_S, World, at, device, world

pytestmark = pytest.mark.sockets


@pytest.fixture(params=KINDS)
def mqtt_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(str(request.param), tmp_path) as running:
        running.start()
        yield running


def received(here: Any, topic: str, payload: bytes, freshness: mqtt_client.Freshness) -> None:
    here.mqtt._on_message(here.mqtt._sides.open, topic, payload, freshness)


def publish(port: int, *publications: tuple[str, bytes], retain: bool = False) -> None:
    """As `mosquitto_pub -q 1` does it: connect, publish, leave."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in publications:
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def value(data: object) -> bytes:
    return json.dumps({"value": data}).encode()


def check(uid: str) -> tuple[str, bytes]:
    return "node/check", json.dumps({"id": uid}).encode()


RETAINED_OF_A_DEAD_NODE = (
    ("node/gone/temperature", value("20.0°C")),
    ("node/gone/resources", b'["temperature"]'),
    check("gone"),
)


def readings(here: World, uid: str, resource: str) -> list[Reading]:
    return [
        message
        for message in here.received
        if isinstance(message, Reading) and (message.uid, message.resource) == (uid, resource)
    ]


def left(here: World) -> list[str]:
    return [message.uid for message in here.received if isinstance(message, NodeLeft)]


async def is_live(here: World, port: int) -> None:
    """Wait for a device that connects now: what the MQTT broker stored arrived before it."""
    async with device(port, "live"):
        await here.until(lambda: here.value("live", "led"), RECOVERY_LIMIT_S)


async def test_retained_messages_are_no_sign_of_life(mqtt_server: Server) -> None:
    publish(mqtt_server.port, *RETAINED_OF_A_DEAD_NODE, retain=True)
    async with world(at(mqtt_server)) as here:
        await is_live(here, mqtt_server.port)
        assert here.uids() == ["live"]
        assert here.mqtt.refused == 0


async def test_retained_messages_are_no_sign_of_life_after_a_reconnection(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Published while the gateway is away.
    monkeypatch.setattr(mqtt_client, "RETRY_S", 4.0)
    async with world(at(mqtt_server)) as here:
        mqtt_server.kill()
        await here.until(lambda: not here.mqtt.connected)
        mqtt_server.start()
        publish(mqtt_server.port, *RETAINED_OF_A_DEAD_NODE, retain=True)
        await here.until(lambda: here.mqtt.connected, RECOVERY_LIMIT_S)
        await is_live(here, mqtt_server.port)
        assert here.uids() == ["live"]


async def test_retained_messages_are_no_sign_of_life_when_the_embedded_broker_was_killed(
    tmp_path: Path,
) -> None:
    nats_server()
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path / "mqtt", port=0)) as broker:
        publish(broker.port, *RETAINED_OF_A_DEAD_NODE, retain=True)
        async with world(broker.server) as here:
            connects = here.mqtt._sides.open.client.connects
            os.kill(broker.pid, signal.SIGKILL)
            await here.until(
                lambda: here.mqtt._sides.open.client.connects > connects, RECOVERY_LIMIT_S
            )
            await is_live(here, broker.port)
            assert here.uids() == ["live"]


async def test_a_retained_value_fills_a_node_that_is_alive_and_has_no_time(
    mqtt_server: Server,
) -> None:
    publish(mqtt_server.port, ("node/b/temperature", value("20.0°C")), retain=True)
    async with world(at(mqtt_server)) as here:
        publish(mqtt_server.port, check("b"))
        await here.until(lambda: here.value("b", "temperature"))
        (reading,) = readings(here, "b", "temperature")
        assert (reading.data, reading.number, reading.unit) == ("20.0°C", 20.0, "Cel")
        assert reading.retained
        assert reading.ts == 0


async def test_a_retained_value_that_comes_after_the_node_fills_it_too(
    mqtt_server: Server,
) -> None:
    async with world(at(mqtt_server)) as here:
        publish(mqtt_server.port, check("b"))
        await here.until(lambda: "b" in here.uids())
        received(here, "node/b/temperature", value("20.0°C"), mqtt_client.Freshness.RETAINED)
        await here.until(lambda: here.value("b", "temperature"))
        assert here.mqtt.gateway.nodes.get("b") is not None


async def test_a_retained_value_replaces_none_that_the_node_sent(mqtt_server: Server) -> None:
    publish(mqtt_server.port, ("node/b/temperature", value(20)), retain=True)
    async with world(at(mqtt_server)) as here:
        publish(mqtt_server.port, ("node/b/temperature", value(25)))
        await here.until(lambda: here.value("b", "temperature") == 25)
        connects = here.mqtt._sides.open.client.connects
        connection = here.mqtt._sides.open.client._connection
        assert connection is not None
        connection.ended.set()
        client = here.mqtt._sides.open.client
        await here.until(lambda: client.connects > connects, RECOVERY_LIMIT_S)
        await is_live(here, mqtt_server.port)
        assert [each.data for each in readings(here, "b", "temperature")] == [25]


async def test_a_retained_value_does_not_keep_a_silent_node_and_confirms_no_command() -> None:
    with_nobody = mqtt_client.MqttServer("127.0.0.1", 9)
    async with world(with_nobody, connected=False, silence_limit_s=0.5) as here:
        await here.until(lambda: here.mqtt.gateway.linked)
        live, retained = mqtt_client.Freshness.LIVE, mqtt_client.Freshness.RETAINED
        received(here, *check("b"), live)
        echoed: list[bool | str] = []
        here.mqtt.gateway._pending_reports.expect("b", "led", "1", echoed.append)
        received_at = here.mqtt.gateway.nodes.last_seen("b")
        await asyncio.sleep(0.1)
        received(here, "node/b/led", value("1"), retained)
        assert here.value("b", "led") == "1" or here.mqtt.gateway.nodes.get("b")
        assert here.mqtt.gateway.nodes.last_seen("b") == received_at
        assert echoed == []
        await here.until(lambda: left(here) == ["b"])


async def test_a_cleared_retained_message_is_no_sign_of_life(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here:
        publish(mqtt_server.port, ("node/gone/temperature", b""), retain=True)
        await is_live(here, mqtt_server.port)
        assert here.uids() == ["live"]


async def away(mqtt_server: Server, *publications: tuple[str, bytes]) -> Any:
    """A named gateway was there, and these were published while it was not."""
    named = msgspec.structs.replace(at(mqtt_server), client_id="gateway1")
    async with world(named):
        pass
    publish(mqtt_server.port, *publications)
    return named


async def test_a_check_that_was_stored_is_no_sign_of_life(mqtt_server: Server) -> None:
    named = await away(mqtt_server, check("gone"), ("node/gone/resources", b'["led"]'))
    async with world(named) as here:
        await is_live(here, mqtt_server.port)
        assert here.uids() == ["live"]


async def test_stored_values_are_handed_on_and_their_silent_node_leaves_at_once(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_nodes, "ANSWER_LIMIT_S", 0.3)
    many = [("node/gone/count", value(number)) for number in range(150)]
    named = await away(mqtt_server, check("gone"), *many)
    async with world(named) as here:
        await here.until(lambda: left(here) == ["gone"], RECOVERY_LIMIT_S)
        assert [each.data for each in readings(here, "gone", "count")] == list(range(150))
        # It comes back like any other.
        publish(mqtt_server.port, ("node/gone/count", value("again")))
        await here.until(lambda: here.value("gone", "count") == "again")
        assert here.uids() == ["gone", "gone"]


async def test_a_node_that_answers_stays_whatever_was_stored_of_it(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_nodes, "ANSWER_LIMIT_S", 1.0)
    named = await away(mqtt_server)
    async with device(mqtt_server.port, "a") as board:
        for number in range(5):
            message = board.client.publish("node/a/count", value(number), qos=1)
        message.wait_for_publish(5)
        async with world(named) as here:
            await here.until(lambda: here.value("a", "temperature"), RECOVERY_LIMIT_S)
            await asyncio.sleep(1.5)
            assert left(here) == []
            assert here.uids() == ["a"]
            assert (await here.command("a", "led", "1")).state == "confirmed"


async def test_a_flood_of_retained_ids_makes_no_nodes_and_holds_little() -> None:
    with_nobody = mqtt_client.MqttServer("127.0.0.1", 9)
    async with world(with_nobody, connected=False, nodes_max=1000) as here:
        retained = mqtt_client.Freshness.RETAINED
        for number in range(20_000):
            received(here, f"node/u{number}/x", value("y" * 1000), retained)
            received(here, "node/one/r" + str(number), value("y" * 1000), retained)
        held = here.mqtt.retained.held
        assert len(held) <= mqtt_retained.RETAINED_MAX
        assert held.size <= mqtt_retained.RETAINED_SIZE_MAX
        assert len(held.take("one")) <= mqtt_retained.RETAINED_PER_NODE_MAX
        assert len(here.mqtt.gateway.nodes) == 0
        assert here.mqtt._awaited == {}
