# SPDX-License-Identifier: BSD-3-Clause
"""Publications on topics of no node are counted and reported."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.config import Config
from pyaiot.gateways.mqtt import observer as mqtt_observer
from pyaiot.gateways.mqtt.observer import TopicObserver
from pyaiot.gateways.mqtt.plugin import PLUGIN as MQTT
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import open_mqtt_broker
from pyaiot.messages import Ignored
from pyaiot.mqtt import client
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.log import topic_of_subject
from tests.gateways.mqtt_servers import Server, nats_server, server
from tests.gateways.test_mqtt_gateway import KINDS, World, at, device, world
from tests.gateways.test_mqtt_old_messages import publish
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


@pytest.fixture(params=KINDS)
def mqtt_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(str(request.param), tmp_path) as running:
        running.start()
        yield running


def ignored_reports(here: World) -> list[tuple[int, str]]:
    return [
        (message.count, message.topic) for message in here.received if isinstance(message, Ignored)
    ]


async def test_a_topic_of_the_wrong_depth_is_counted_and_reported(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here:
        publish(mqtt_server.port, ("node/a", b"1"))
        await here.until(lambda: ignored_reports(here) == [(1, "node/a")])
        publish(mqtt_server.port, ("node/a/b/c", b"1"), ("node/a/b/c/d/e", b"2"))
        await here.until(lambda: here.mqtt.gateway.rejections.ignored == 3)
        assert here.mqtt.refused == 0
        assert here.uids() == []


@asynccontextmanager
async def observing(at_server: client.MqttServer) -> AsyncIterator[list[str]]:
    topics: list[str] = []
    task = asyncio.ensure_future(
        TopicObserver(at_server, name="test", on_ignored=topics.append).run()
    )
    try:
        yield topics
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(topics: list[str], last: str, port: int) -> None:
    """Publish until it is counted: the start of the observer cannot be observed."""
    async with time_limit(10):
        while last not in topics:
            publish(port, (last, b"1"))
            await asyncio.sleep(0.05)


async def test_what_is_published_outside_of_nodes_is_observed(mqtt_server: Server) -> None:
    publish(mqtt_server.port, ("home/retained", b"1"), retain=True)
    async with observing(at(mqtt_server)) as topics:
        await until(topics, "home/first", mqtt_server.port)
        topics.clear()
        publish(
            mqtt_server.port,
            *(("node/a/led", b"1"), ("gateway/a/led/set", b"1"), ("node/check", b"x")),
            *(("home/kitchen/temperature", b"21.5"), ("last", b"")),
        )
        await until(topics, "last", mqtt_server.port)
        assert topics[:2] == ["home/kitchen/temperature", "last"]


async def test_an_observer_makes_a_pause_where_much_is_published(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_observer, "OBSERVED_BURST", 20.0)
    monkeypatch.setattr(mqtt_observer, "OBSERVED_PER_S_MAX", 1.0)
    monkeypatch.setattr(mqtt_observer, "PAUSE_FIRST_S", 0.5)
    async with observing(at(mqtt_server)) as topics:
        await until(topics, "first", mqtt_server.port)
        publish(mqtt_server.port, *[(f"many/{number}", b"1") for number in range(100)])
        await asyncio.sleep(0.2)
        assert len(topics) <= 20
        await until(topics, "after", mqtt_server.port)


async def test_a_broker_that_shows_no_other_topics_does_not_disturb_the_gateway(
    tmp_path: Path,
) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite node/#\ntopic readwrite gateway/#\n")
    with server("mosquitto", tmp_path, f"acl_file {rules}", "user root") as closed:
        closed.start()
        async with observing(at(closed)) as topics, world(at(closed)) as here:
            async with device(closed.port, "a"):
                await here.until(lambda: here.value("a", "led"))
            assert topics == []
            assert here.mqtt._sides.open.client.connects == 1


async def test_the_embedded_broker_reports_what_it_refuses(tmp_path: Path) -> None:
    nats_server()
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path / "mqtt", port=0)) as broker:
        topics: list[str] = []
        broker.on_ignored(topics.append)
        publish(broker.port, ("home/kitchen.old/temperature", b"1"), ("single", b"1"))
        async with time_limit(5):
            while len(topics) < 2:  # noqa: ASYNC110 - the log of another process
                await asyncio.sleep(0.01)
        assert topics == ["home/kitchen.old/temperature", "single"]


async def test_the_gateway_counts_what_the_embedded_broker_refuses(tmp_path: Path) -> None:
    nats_server()
    config = Config(protocols=(MqttSection(port=0, dialects=()),))
    async with open_mqtt_broker(config, tmp_path / "mqtt") as broker:
        gateway = (await MQTT.open(config, broker)).gateway
        assert gateway is not None
        publish(broker.server.port, ("home/x", b"1"))
        async with time_limit(5):
            while not gateway.rejections.ignored:  # noqa: ASYNC110 - the log of another process
                await asyncio.sleep(0.01)
        await gateway.end_commands()


@pytest.mark.parametrize("client_id", ["my board", "a.b", "a*b", "a>b"])
async def test_the_gateway_reports_a_client_id_that_the_embedded_broker_refuses(
    tmp_path: Path, client_id: str
) -> None:
    nats_server()
    config = Config(protocols=(MqttSection(port=0),))
    async with open_mqtt_broker(config, tmp_path / "mqtt") as broker:
        gateway = (await MQTT.open(config, broker)).gateway
        assert gateway is not None
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.connect("127.0.0.1", broker.server.port)
        client.loop_start()
        async with time_limit(5):
            while gateway.rejections.report is None:  # noqa: ASYNC110 - the log of another process
                await asyncio.sleep(0.01)
        client.loop_stop()
        report = gateway.rejections.report
        assert report.refused
        assert f"device {client_id} at 127.0.0.1 was refused: its client id has" in report.refusal
        assert broker.secured is not None
        assert broker.secured.refused()
        await gateway.end_commands()


@pytest.mark.parametrize(
    ("subject", "topic"),
    [("home.x.t", "home/x/t"), ("a//b.c", "a.b/c"), ("single", "single"), ("/.a", "//a")],
)
def test_a_subject_of_nats_is_a_topic(subject: str, topic: str) -> None:
    assert topic_of_subject(subject) == topic
