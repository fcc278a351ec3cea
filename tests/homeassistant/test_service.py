# SPDX-License-Identifier: BSD-3-Clause
"""The service between a broker of Pyaiot and real MQTT brokers."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyaiot.audit.entry import Principal
from pyaiot.broker.broker import Broker
from pyaiot.gateways.gateway import GatewayLink
from pyaiot.homeassistant import node_removals, service
from pyaiot.homeassistant.service import CLIENT, HomeAssistant, HomeAssistantSettings
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    Hello,
    NodeAppeared,
    NodeLeft,
    Reading,
    Receipt,
    ReceiptState,
    ToGateway,
)
from pyaiot.mqtt.client import MqttClient, MqttServer, ReceivedMessage
from pyaiot.registry.record import Edit
from pyaiot.registry.registry import Registry
from pyaiot.registry.service import RegistryService
from tests.gateways.mqtt_servers import Server, server
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

CONFIG = "homeassistant/device/pyaiot_A/config"
STATUS = "pyaiot/pyaiot"


@pytest.fixture(params=["mosquitto", "nats"])
def mqtt_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(str(request.param), tmp_path) as running:
        running.start()
        yield running


@pytest.fixture
def mosquitto_server(tmp_path: Path) -> Iterator[Server]:
    with server("mosquitto", tmp_path) as running:
        running.start()
        yield running


@dataclass
class Audit:
    """An audit log that keeps its entries."""

    entries: list[tuple[str, str, str]] = field(default_factory=list)

    def record(
        self, principal: Principal, action: str, result: str = "ok", **_more: object
    ) -> None:
        self.entries.append((principal.who, action, result))


@dataclass
class Scene:
    """A broker with the node A, Home Assistant out, and a client that subscribes to everything."""

    broker: Broker
    registry: RegistryService
    home: HomeAssistant
    gateway: GatewayLink
    audit: Audit
    port: int
    task: asyncio.Task[None] = field(init=False)
    """Of the service."""
    commands: list[Command] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)
    """The latest payload of each topic."""
    payloads: dict[str, list[bytes]] = field(default_factory=dict)
    """All payloads of each topic."""
    receipt: ReceiptState = "confirmed"
    watcher: MqttClient | None = None

    def commanded(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, Command):
                self.commands.append(message)
                self.gateway.send(Receipt(id=message.id, state=self.receipt))

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        assert self.watcher is not None
        assert self.watcher.publish(topic, payload, retain=retain)

    def metric(self, name: str, **labels: str) -> float:
        (found,) = (
            sample
            for sample in self.home.collect()
            if sample.metric.name == f"pyaiot_homeassistant_{name}"
            and sample.labels == tuple(labels.values())
        )
        assert isinstance(found.value, int | float)
        return found.value

    async def until(self, condition: Callable[[], bool], limit_s: float = 10.0) -> None:
        async with time_limit(limit_s):
            while not condition():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def scene(port: int, *, tags: tuple[str, ...] = ()) -> AsyncIterator[Scene]:
    registry, audit = Registry(), Audit()
    broker = Broker(
        flush_interval_s=0.02,
        timer=asyncio.get_running_loop(),
        unix_time=time.time,
        registry=registry,
        audit=audit,
    )
    here = MqttServer("127.0.0.1", port)
    settings = HomeAssistantSettings(
        server=here, system="pyaiot", discovery_prefix="homeassistant", tags=tags
    )
    home = HomeAssistant(broker, settings, is_registry_loaded=lambda: True)
    gateway, broker_end = MemoryLink.pair()
    edits = RegistryService(registry, broker, None, unix_time=time.time)
    async with edits.running(), asyncio.TaskGroup() as tasks:
        served = tasks.create_task(broker.serve_gateway(broker_end, acknowledges=True))
        gateway.send(Hello(name="test", protocol="CoAP"))
        gateway.send(NodeAppeared(uid="A"))
        gateway.send(Reading.received("A", "temperature", "23.5°C", time.time()))
        gateway.send(Reading.received("A", "led", "0", time.time()))
        it = Scene(broker, edits, home, gateway, audit, port)

        def received(messages: Sequence[ReceivedMessage]) -> None:
            for topic, payload, _ in messages:
                it.seen[topic] = payload
                it.payloads.setdefault(topic, []).append(payload)

        it.watcher = MqttClient(
            here,
            name="test",
            subscriptions=("#",),
            on_messages=received,
            on_connect=lambda: None,
            keeps_session=False,
        )
        watching = tasks.create_task(it.watcher.run())
        commanding = tasks.create_task(_run(gateway, it.commanded))
        await it.until(lambda: it.watcher is not None and it.watcher.connected)
        # It sees every message of the service.
        it.task = tasks.create_task(home.run())
        yield it
        for running in (it.task, watching, commanding, served):
            running.cancel()


async def _run(link: GatewayLink, received: Callable[[Sequence[ToGateway]], None]) -> None:
    await link.run(received)


async def test_a_node_appears_and_its_states_follow(mqtt_server: Server) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        cmps = json.loads(here.seen[CONFIG])["cmps"]
        assert sorted(cmps) == ["sensor.temperature", "switch.led"]
        await here.until(lambda: here.seen.get("pyaiot/pyaiot_A/temperature") == b"23.5")
        assert here.seen["pyaiot/pyaiot_A"] == here.seen[STATUS] == b"online"
        here.gateway.send(Reading.received("A", "temperature", "24°C", time.time()))
        await here.until(lambda: here.seen["pyaiot/pyaiot_A/temperature"] == b"24")
        here.gateway.send(NodeLeft(uid="A", reason="silent"))
        await here.until(lambda: here.seen["pyaiot/pyaiot_A"] == b"offline")
        assert (here.metric("connected"), here.metric("nodes")) == (1, 1)


async def test_a_command_is_carried_out_once_and_is_in_the_audit_log(mqtt_server: Server) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.publish("pyaiot/pyaiot_A/led/set", "ON")
        await here.until(lambda: here.metric("commands", receipt="confirmed") == 1)
        (command,) = here.commands
        assert (command.uid, command.resource, command.payload) == ("A", "led", "1")
        assert command.client == CLIENT
        assert here.audit.entries == [("homeassistant", "command", "confirmed")]
        # The state follows the reading, not the command.
        assert here.seen["pyaiot/pyaiot_A/led"] == b"OFF"
        here.gateway.send(Reading.received("A", "led", "1", time.time()))
        await here.until(lambda: here.seen["pyaiot/pyaiot_A/led"] == b"ON")


async def test_a_retained_command_is_not_carried_out(mqtt_server: Server) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.task.cancel()
        await here.until(lambda: here.seen[STATUS] == b"offline")
        here.publish("pyaiot/pyaiot_A/led/set", "ON", retain=True)
        settings = HomeAssistantSettings(
            server=MqttServer("127.0.0.1", mqtt_server.port),
            system="pyaiot",
            discovery_prefix="homeassistant",
        )
        here.home = HomeAssistant(here.broker, settings, is_registry_loaded=lambda: True)
        again = asyncio.ensure_future(here.home.run())
        try:
            await here.until(lambda: here.seen[STATUS] == b"online")
            here.publish("pyaiot/pyaiot_A/led/set", "OFF")
            await here.until(lambda: here.commands != [])
            assert [command.payload for command in here.commands] == ["0"]
        finally:
            again.cancel()
            await asyncio.wait({again})


async def test_a_command_that_no_entity_takes_is_counted(mosquitto_server: Server) -> None:
    async with scene(mosquitto_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.publish("pyaiot/pyaiot_A/temperature/set", "30")
        here.publish("pyaiot/other_A/led/set", "ON")
        await here.until(lambda: here.metric("commands_refused") == 2)
        here.receipt = "timeout"
        here.publish("pyaiot/pyaiot_A/led/set", "ON")
        await here.until(lambda: here.metric("commands", receipt="timeout") == 1)


async def test_more_commands_than_a_client_may_send_are_refused(mosquitto_server: Server) -> None:
    async with scene(mosquitto_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        for _ in range(100):
            here.publish("pyaiot/pyaiot_A/led/set", "ON")
        await here.until(
            lambda: len(here.commands) + here.metric("commands", receipt="forbidden") == 100
        )
        assert 40 <= len(here.commands) <= 50


async def test_the_broker_publishes_that_the_system_is_lost(mqtt_server: Server) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: here.seen.get(STATUS) == b"online")
        connection = here.home._mqtt._connection
        assert connection is not None
        connection._connection._transport.abort()
        await here.until(lambda: here.seen[STATUS] == b"offline")
        await here.until(lambda: here.seen[STATUS] == b"online")


async def test_after_the_end_everything_is_unavailable(mqtt_server: Server) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: here.seen.get(STATUS) == b"online")
        here.task.cancel()
        await here.until(lambda: here.seen[STATUS] == b"offline")
        assert CLIENT not in here.broker.fanout.clients


async def test_everything_is_published_again_at_an_mqtt_broker_that_lost_it(
    mqtt_server: Server,
) -> None:
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        mqtt_server.kill()
        for number in range(100):
            here.gateway.send(Reading.received("A", "temperature", f"{number}°C", time.time()))
        await here.until(lambda: CLIENT not in here.broker.fanout.clients)
        here.seen.clear()
        mqtt_server.start()
        await here.until(lambda: here.seen.get("pyaiot/pyaiot_A/temperature") == b"99", 20.0)
        assert here.seen[STATUS] == b"online"


async def test_the_birth_message_of_home_assistant_has_everything_published_again(
    mosquitto_server: Server,
) -> None:
    async with scene(mosquitto_server.port) as here:
        await here.until(lambda: "pyaiot/pyaiot_A/led" in here.seen)
        here.seen.clear()
        here.publish("homeassistant/status", "online")
        await here.until(lambda: {CONFIG, "pyaiot/pyaiot_A/led"} <= here.seen.keys())


async def test_a_forgotten_node_is_removed_at_once(mosquitto_server: Server) -> None:
    async with scene(mosquitto_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.gateway.send(NodeLeft(uid="A"))
        await here.until(lambda: here.seen["pyaiot/pyaiot_A"] == b"offline")
        await here.registry.forget("A", time.time())
        await here.until(lambda: here.seen[CONFIG] == b"")


async def test_what_an_earlier_run_left_is_removed(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_removals, "ORPHANS_AFTER_S", 2.0)
    left = "homeassistant/device/pyaiot_old/config"
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.publish(left, json.dumps({"o": {"name": "Pyaiot"}, "cmps": {}}), retain=True)
        await here.until(lambda: left in here.seen)
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: here.seen.get(left) == b"")
        assert here.seen[CONFIG] != b""


async def test_only_nodes_with_the_tag_are_shown(mosquitto_server: Server) -> None:
    async with scene(mosquitto_server.port, tags=("home",)) as here:
        here.gateway.send(NodeAppeared(uid="B"))
        here.gateway.send(Reading.received("B", "led", "1", time.time()))
        await here.until(lambda: here.broker.router.registry.get("B") is not None)
        await here.registry.edit("B", Edit(add_tags=("home",)))
        await here.until(lambda: "homeassistant/device/pyaiot_B/config" in here.seen)
        assert CONFIG not in here.seen
        here.publish("pyaiot/pyaiot_A/led/set", "ON")
        await here.until(lambda: here.metric("commands_refused") == 1)
        await here.registry.edit("B", Edit(remove_tags=("home",)))
        await here.until(lambda: here.seen["homeassistant/device/pyaiot_B/config"] == b"")


async def test_addresses_and_notes_are_not_published(mosquitto_server: Server) -> None:
    async with scene(mosquitto_server.port) as here:
        here.gateway.send(Reading.received("A", "ip", "192.0.2.7", time.time()))
        await here.registry.edit("A", Edit(notes="under the mat"))
        here.gateway.send(Reading.received("A", "voltage", "3.3 V", time.time()))
        await here.until(lambda: "pyaiot/pyaiot_A/voltage" in here.seen)
        published = b"".join(here.seen.values())
        assert b"192.0.2.7" not in published
        assert b"mat" not in published


async def test_it_joins_again_after_the_broker_closed_it(
    mosquitto_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REJOIN_S", 0.1)
    async with scene(mosquitto_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.seen.clear()
        here.broker.fanout.clients[CLIENT].close(1013, "too slow")
        await here.until(lambda: CONFIG in here.seen)


async def test_a_node_that_an_earlier_run_removed_is_removed_when_home_assistant_starts(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_removals, "REMOVE_AFTER_S", 0.2)
    removed = "pyaiot/pyaiot/removed/pyaiot_A"
    async with scene(mqtt_server.port) as here:
        await here.until(lambda: CONFIG in here.seen)
        here.gateway.send(NodeLeft(uid="A"))
        await here.until(lambda: here.seen.get("pyaiot/pyaiot_A") == b"offline")
        await here.registry.forget("A", time.time())
        await here.until(lambda: here.seen.get(removed, b"") != b"")
        config = here.seen[removed]
        other = removed.replace("_A", "_B")
        here.publish(other, config.decode().replace("pyaiot_A", "pyaiot_B"), retain=True)
        await here.until(lambda: other in here.seen)
    async with scene(mqtt_server.port) as here:
        # The node A is back: the earlier run removed it, this one has it.
        await here.until(lambda: here.seen.get(removed) == b"")
        await here.until(lambda: "pyaiot_B" in here.home._removals)
        here.publish("homeassistant/status", "online")
        of_b = CONFIG.replace("_A", "_B")
        await here.until(lambda: here.seen.get(of_b) == here.seen.get(other) == b"")
        assert here.payloads[of_b] == [here.payloads[other][0], b""]
        assert json.loads(here.seen[CONFIG])["cmps"]
