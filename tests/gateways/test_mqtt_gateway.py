# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT gateway at brokers of others, with a foreign device."""

import asyncio
import contextlib
import gc
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.errors import OperatorError
from pyaiot.gateways.gateway import Gateway, GatewayLink
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.mqtt import sides as mqtt_sides
from pyaiot.gateways.mqtt.gateway import MqttGateway
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import named_mqtt_broker
from pyaiot.links import MemoryLink
from pyaiot.messages import Command, FromGateway, NodeAppeared, NodeLeft, Reading, Receipt
from pyaiot.mqtt import client as mqtt_client
from pyaiot.mqtt import gmqtt_connection
from pyaiot.mqtt.client import MqttServer
from tests.authority import Authority, new_authority
from tests.gateways.mqtt_servers import Server, server
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

RECOVERY_LIMIT_S = 10.0
KINDS = ("nats", "mosquitto")


@dataclass
class World:
    """A gateway, and the messages that its broker received."""

    mqtt: MqttGateway
    link: MemoryLink[FromGateway, Any]
    received: list[FromGateway]

    async def until(self, good: Callable[[], object], limit_s: float = 5.0) -> None:
        async with time_limit(limit_s):
            while not good():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.005)

    def value(self, uid: str, resource: str) -> object:
        """The latest reading, or None."""
        return next(
            (
                message.data
                for message in reversed(self.received)
                if isinstance(message, Reading)
                and (message.uid, message.resource) == (uid, resource)
            ),
            None,
        )

    def uids(self) -> list[str]:
        return [message.uid for message in self.received if isinstance(message, NodeAppeared)]

    def receipt(self, command: str) -> Receipt | None:
        return next(
            (
                message
                for message in self.received
                if isinstance(message, Receipt) and message.id == command
            ),
            None,
        )

    async def command(self, uid: str, resource: str, payload: str, timeout_s: float = 5) -> Receipt:
        name = f"c{len(self.received)}"
        self.link.send(
            Command(id=name, uid=uid, resource=resource, payload=payload, timeout_s=timeout_s)
        )
        await self.until(lambda: self.receipt(name))
        receipt = self.receipt(name)
        assert receipt is not None
        return receipt


@contextlib.asynccontextmanager
async def world(at: MqttServer, *, connected: bool = True, **limits: Any) -> AsyncIterator[World]:
    nodes = LiveNodes(
        silence_limit_s=limits.get("silence_limit_s", 120.0),
        nodes_max=limits.get("nodes_max", 100),
        new_nodes_per_s=limits.get("new_nodes_per_s", 500.0),
    )
    loop = asyncio.get_running_loop()
    unix_time = limits.get("unix_time", time.time)
    gateway = Gateway(name="mqtt", protocol="MQTT", nodes=nodes, loop=loop, unix_time=unix_time)
    gateway_end, broker_end = MemoryLink.pair()
    received: list[FromGateway] = []

    async def connect() -> GatewayLink:
        await asyncio.sleep(limits.get("link_after_s", 0.0))
        return gateway_end

    mqtt = MqttGateway(gateway, at)
    tasks = [
        asyncio.ensure_future(mqtt.run(connect)),
        asyncio.ensure_future(broker_end.run(received.extend)),
    ]
    here = World(mqtt, broker_end, received)
    try:
        if connected:
            await here.until(lambda: mqtt.connected and gateway.linked, RECOVERY_LIMIT_S)
        yield here
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Device:
    """A device of paho that behaves as deployed ones do. Its thread is paho's own."""

    def __init__(self, port: int, uid: str, values: dict[str, object], **options: Any) -> None:
        self.uid = uid
        self.values = values
        self.requested: list[str] = []
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"device-{uid}",
            protocol=options.get("protocol", paho.MQTTv311),
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._connected
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port, keepalive=10)
        self.client.loop_start()

    def _connected(self, *_: Any) -> None:
        self.client.subscribe([("gateway/check", 0), (f"gateway/{self.uid}/#", 0)])
        self.send("check", {"id": self.uid})

    def _message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.requested.append(message.topic)
        words = message.topic.split("/")
        match words[1:]:
            case ["check"]:
                self.send("check", {"id": self.uid})
            case [_, "discover"]:
                if message.payload == b"resources":
                    self.send(f"{self.uid}/resources", list(self.values))
                else:
                    for resource in self.values:
                        self.send_value(resource)
            case [_, resource, "set"]:
                if resource in self.values:
                    self.values[resource] = message.payload.decode()
                    self.send_value(resource)

    def send_value(self, resource: str) -> None:
        self.send(f"{self.uid}/{resource}", {"value": self.values[resource]})

    def send(self, topic: str, value: object) -> None:
        self.client.publish(f"node/{topic}", json.dumps(value), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.asynccontextmanager
async def device(port: int, uid: str, **options: Any) -> AsyncIterator[Device]:
    made = Device(port, uid, {"led": "0", "temperature": "23.5°C"}, **options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mqtt_server(kind: str, tmp_path: Path) -> Any:
    # For a gateway that waits for a processor, mosquitto would keep only 1,000 messages.
    more = ["max_queued_messages 0"] if kind == "mosquitto" else []
    with server(kind, tmp_path, *more) as running:
        running.start()
        yield running


def at(running: Server) -> MqttServer:
    return MqttServer("127.0.0.1", running.port)


async def test_a_foreign_device_appears_with_its_values_and_is_commanded(
    mqtt_server: Server,
) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "fipy-1") as board:
        await here.until(lambda: here.value("fipy-1", "temperature"))
        assert here.value("fipy-1", "protocol") == "MQTT"
        assert here.value("fipy-1", "id") == "fipy-1"
        receipt = await here.command("fipy-1", "led", "1")
        assert receipt.state == "confirmed", receipt
        assert here.value("fipy-1", "led") == "1"
        assert board.requested[-1] == "gateway/fipy-1/led/set"
        assert await here.mqtt.answers()
        silent = await here.command("fipy-1", "nothing", "1", timeout_s=0.2)
        assert silent.state == "sent", silent
        assert here.uids() == ["fipy-1"]


async def test_commands_are_not_held_back_by_the_system(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "a"):
        await here.until(lambda: here.value("a", "led"))
        connection = here.mqtt._sides.open.client._connection
        assert connection is not None
        plain = connection._connection._transport.get_extra_info("socket")
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_value_before_any_check_is_kept(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "b") as board:
        await here.until(lambda: here.value("b", "led"))
        # A node that never announces itself, but publishes on its topic.
        board.send("quiet/humidity", {"value": "40.82%"})
        await here.until(lambda: here.value("quiet", "humidity") == "40.82%")


async def test_hostile_ids_reach_no_topic_and_affect_no_other(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "good") as board:
        await here.until(lambda: here.value("good", "led"))
        connection = here.mqtt._sides.open.client._connection
        hostile = ["#", "+", "a/b", "../x", "", "a b", "x\0y", "x\n", "x" * 65, "x" * 5000]
        hostile += ["alive", "all"]
        for uid in hostile:
            board.send("check", {"id": uid})
        checks: list[object] = [7, None, [], {"id": -7}, {"id": None}, {}]
        for payload in checks:
            board.send("check", payload)
        wrong: list[object] = [{"value": "x" * 70_000}, "x" * 70_000]
        for payload in wrong:
            board.send("good/text", payload)
        board.send("good/protocol", {"value": "forged"})
        board.send("good/resources", ["a/b"])
        board.client.publish("node/good/text", b"\xff\xfe")
        board.client.publish("node/good/text", b'{"value":' + b"[" * 3000)
        board.client.publish("gateway/check", b"")
        board.values["led"] = "last"
        board.send_value("led")
        await here.until(lambda: here.value("good", "led") == "last")
        assert here.mqtt.refused >= len(hostile) + len(checks) + len(wrong) + 4
        assert here.mqtt._sides.open.client._connection is connection
        assert set(here.uids()) == {"good"}
        assert here.value("good", "protocol") == "MQTT"
        assert here.value("good", "text") is None
        for resource in ("a/b", "#", "a b", "+"):
            receipt = await here.command("good", resource, "1")
            assert receipt.state == "refused", receipt
        assert (await here.command("good", "led", "1")).state == "confirmed"


async def test_too_many_readings_of_a_node_are_dropped_and_counted(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "a") as board:
        await here.until(lambda: here.value("a", "led"))
        for number in range(300):
            board.send("a/text", {"value": number})
        await here.until(lambda: here.mqtt.refused >= 150)
        assert here.mqtt.connected


async def test_a_broker_that_restarts_is_found_again_with_subscriptions_and_values(
    mqtt_server: Server,
) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "a") as board:
        await here.until(lambda: here.value("a", "led"))
        mqtt_server.kill()
        await here.until(lambda: not here.mqtt.connected)
        assert not await here.mqtt.answers()
        assert (await here.command("a", "led", "1")).state == "unreachable"
        board.values["temperature"] = "7.0°C"
        started_at = time.monotonic()
        mqtt_server.start()
        await here.until(lambda: here.value("a", "temperature") == "7.0°C", RECOVERY_LIMIT_S)
        assert time.monotonic() - started_at < RECOVERY_LIMIT_S
        assert (await here.command("a", "led", "1")).state == "confirmed"
        assert here.uids() == ["a"]


async def test_a_broker_that_stops_answering_is_given_up_and_found_again(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gmqtt_connection, "KEEP_ALIVE_S", 1)
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "a") as board:
        await here.until(lambda: here.value("a", "led"))
        mqtt_server.stop_answering()
        try:
            assert here.mqtt.connected  # nothing on the wire shows it
            await here.until(lambda: not here.mqtt.connected)
        finally:
            mqtt_server.go_on()
        board.values["led"] = "after"
        await here.until(lambda: here.value("a", "led") == "after", RECOVERY_LIMIT_S)


async def test_a_broker_that_starts_later_is_found(kind: str, tmp_path: Path) -> None:
    with server(kind, tmp_path) as later:
        async with world(at(later), connected=False) as here:
            assert not await here.mqtt.answers()
            later.start()
            await here.until(lambda: here.mqtt.connected, RECOVERY_LIMIT_S)
            assert await here.mqtt.answers()


@contextlib.asynccontextmanager
async def stub(*, closes: bool) -> AsyncIterator[tuple[int, list[int]]]:
    """A broker that answers nothing: its port, and the protocol level of each CONNECT."""
    levels: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(9))[8])
        if not closes:
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], levels
    finally:
        listener.close()
        await asyncio.sleep(0)


async def test_a_broker_that_closes_instead_of_answering_is_tried_with_both_versions() -> None:
    async with (
        stub(closes=True) as (port, levels),
        world(MqttServer("127.0.0.1", port), connected=False) as here,
    ):
        await here.until(lambda: levels == [5, 4])
        assert not here.mqtt.connected


@contextlib.asynccontextmanager
async def old_broker() -> AsyncIterator[tuple[int, list[int]]]:
    """A broker of MQTT 3.1.1 as RSMB is one: its port, and the level of each CONNECT.

    It refuses other versions as section 3.1.2.2 requires, with a CONNACK of its version, and gives
    back to its only client what that publishes.
    """
    levels: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                kind, size = await reader.readexactly(2)
                while size >= 128:  # of two bytes at most here
                    size = size - 128 + 128 * (await reader.readexactly(1))[0]
                body = await reader.readexactly(size)
                match kind >> 4:
                    case 1:
                        levels.append(body[6])
                        good = body[6] == 4
                        writer.write(b"\x20\x02\x00" + (b"\x00" if good else b"\x01"))
                        if not good:
                            break
                    case 8:
                        filters = body.count(b"/")
                        writer.write(bytes([0x90, 2 + 3, *body[:2], *(3 * [0])]))
                        assert filters >= 3
                    case 3:
                        writer.write(bytes([kind, size]) + body)
                    case 12:
                        writer.write(b"\xd0\x00")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], levels
    finally:
        listener.close()
        await asyncio.sleep(0)


async def test_a_broker_that_refuses_mqtt_5_in_the_old_way_gets_3_1_1() -> None:
    async with (
        old_broker() as (port, levels),
        world(MqttServer("127.0.0.1", port)) as here,
    ):
        assert levels == [5, 4]
        assert await here.mqtt.answers()


async def test_a_cancelled_attempt_leaves_no_unretrieved_exception() -> None:
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for steps in range(20):
            client = mqtt_client.MqttClient(
                MqttServer(*nobody.getsockname()),
                name="test",
                subscriptions=(),
                on_messages=lambda _messages: None,
                on_connect=lambda: None,
            )
            running = asyncio.create_task(client.run())
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait({running})
            gc.collect()  # a task reports an exception that was not retrieved when it is deleted
    assert failures == []


async def test_a_broker_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "CONNECT_LIMIT_S", 0.1)
    monkeypatch.setattr(mqtt_client, "RETRY_S", 0.1)
    async with (
        stub(closes=False) as (port, levels),
        world(MqttServer("127.0.0.1", port), connected=False) as here,
    ):
        await here.until(lambda: len(levels) >= 2)
        assert not here.mqtt.connected


async def test_a_silent_node_is_lost(mqtt_server: Server) -> None:
    async with (
        world(at(mqtt_server), silence_limit_s=0.3) as here,
        device(mqtt_server.port, "a"),
    ):
        await here.until(lambda: any(isinstance(message, NodeLeft) for message in here.received))
        assert here.mqtt._awaited == {}


async def test_more_nodes_than_the_limit_are_refused(mqtt_server: Server) -> None:
    async with world(at(mqtt_server), nodes_max=1) as here, device(mqtt_server.port, "a") as board:
        await here.until(lambda: here.value("a", "led"))
        board.send("check", {"id": "second"})
        await here.until(lambda: here.mqtt.refused == 1)
        assert here.uids() == ["a"]
        assert set(here.mqtt._awaited) == {"a"}


async def test_new_nodes_of_one_connection_have_a_rate_and_known_ones_are_served(
    mqtt_server: Server,
) -> None:
    async with (
        world(at(mqtt_server), nodes_max=10_000, new_nodes_per_s=20.0) as here,
        device(mqtt_server.port, "a") as board,
    ):
        await here.until(lambda: here.value("a", "led"))
        for number in range(2000):
            board.send("check", {"id": f"invented-{number}"})
        board.values["led"] = "after"
        board.send_value("led")
        await here.until(lambda: here.value("a", "led") == "after")
        assert 200 <= len(here.mqtt.gateway.nodes) < 400
        assert here.mqtt.gateway.nodes.new_nodes_refused > 1500
        assert here.mqtt.refused > 1500


@pytest.mark.parametrize("link_after_s", [0.0, 0.3], ids=["linked at once", "linked later"])
async def test_what_was_acknowledged_while_a_named_gateway_was_away_comes_when_it_is_back(
    mqtt_server: Server, link_after_s: float
) -> None:
    server = msgspec.structs.replace(at(mqtt_server), client_id="gateway1")
    async with world(server) as before, device(mqtt_server.port, "a"):
        await before.until(lambda: before.value("a", "led"))
    async with device(mqtt_server.port, "b") as board:
        for number in range(50):
            message = board.client.publish("node/b/count", json.dumps({"value": number}), qos=1)
        await before.until(message.is_published)
    # The node is offline and cannot answer a request.
    async with world(server, link_after_s=link_after_s) as here:
        await here.until(lambda: here.value("b", "count") == 49)
        counts = [
            message.data
            for message in here.received
            if isinstance(message, Reading) and message.data in range(50)
        ]
        assert counts == list(range(50))


async def test_without_a_link_the_gateway_connects_after_a_while(
    mqtt_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_sides, "FIRST_LINK_LIMIT_S", 0.2)
    async with world(at(mqtt_server), connected=False, link_after_s=60.0) as here:
        await here.until(lambda: here.mqtt.connected)
        assert not here.mqtt.gateway.linked


async def test_an_error_in_a_callback_is_not_swallowed(mqtt_server: Server) -> None:
    def received(messages: Sequence[mqtt_client.ReceivedMessage]) -> None:
        raise ZeroDivisionError(messages[0][0])

    loop = asyncio.get_running_loop()
    connected = asyncio.Event()
    client = mqtt_client.MqttClient(
        at(mqtt_server),
        name="mqtt",
        subscriptions=("node/+/+",),
        on_messages=received,
        on_connect=connected.set,
    )
    running = loop.create_task(client.run())
    await connected.wait()
    client.publish("node/a/led", b"1")
    with pytest.raises(ZeroDivisionError, match="node/a/led"):
        await running


async def test_a_node_whose_value_is_refused_is_online(mqtt_server: Server) -> None:
    async with (
        world(at(mqtt_server), silence_limit_s=1.0) as here,
        device(mqtt_server.port, "a") as board,
    ):
        await here.until(lambda: here.value("a", "led"))
        # No word else: each of these is the gateway's own name, or no value at all.
        for _ in range(8):
            board.send("a/protocol", {"value": "forged"})
            board.client.publish("node/a/led", b'{"value"')
            await asyncio.sleep(0.2)
        assert not any(isinstance(message, NodeLeft) for message in here.received)


async def test_two_gateways_share_no_client_id(mqtt_server: Server) -> None:
    async with (
        world(at(mqtt_server)) as one,
        world(at(mqtt_server)) as other,
        device(mqtt_server.port, "a"),
    ):
        await one.until(lambda: one.value("a", "led"))
        await other.until(lambda: other.value("a", "led"))
        assert one.mqtt._sides.open.client.client_id != other.mqtt._sides.open.client.client_id
        assert await one.mqtt.answers()
        assert await other.mqtt.answers()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """mosquitto's file with the user `us`, whose password is `right`."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed (apt install mosquitto)")
    path = tmp_path / "users"
    subprocess.run([program, "-b", "-c", path, "us", "right"], check=True)
    return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return new_authority(tmp_path)


async def test_user_and_password_are_read_at_each_attempt(
    users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_client, "RETRY_S", 0.1)
    answers: Iterator[str | OperatorError] = iter(
        ["wrong", OperatorError("The password file cannot be read.")]
    )

    def password() -> str:
        answer = next(answers, "right")
        if isinstance(answer, OperatorError):
            raise answer
        return answer

    more = ("allow_anonymous false", f"password_file {users}", "user root")
    with server("mosquitto", tmp_path, *more) as locked:
        locked.start()
        async with world(msgspec.structs.replace(at(locked), user="us", password=password)) as here:
            assert await here.mqtt.answers()
            assert list(answers) == []


def is_logged(caplog: pytest.LogCaptureFixture, pattern: str) -> Callable[[], object]:
    return lambda: re.search(pattern, caplog.text)


async def test_tls_with_a_client_certificate(
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt_client, "RETRY_S", 0.1)
    more = [
        *(f"cafile {authority.ca}", f"certfile {authority.certificate('server')}"),
        *(f"keyfile {authority.key('server')}", "require_certificate true", "user root"),
    ]
    with server("mosquitto", tmp_path, *more) as locked:
        locked.start()
        section = MqttSection(host="127.0.0.1", port=locked.port, tls=True)
        shown = msgspec.structs.replace(
            section,
            ca_file=str(authority.ca),
            certificate_file=str(authority.certificate("client")),
            certificate_key_file=str(authority.key("client")),
        )
        async with world(named_mqtt_broker(shown).server) as here:
            assert await here.mqtt.answers()
        # Without a client certificate, the server refuses; without its authority, the client does.
        nobody = msgspec.structs.replace(section, ca_file=str(authority.ca))
        for wrong, message in ((nobody, "TLS|closes"), (section, "CERTIFICATE_VERIFY_FAILED")):
            caplog.clear()
            async with world(named_mqtt_broker(wrong).server, connected=False) as here:
                await here.until(
                    is_logged(caplog, f"no connection to the MQTT broker: .*({message})")
                )
                assert not here.mqtt.connected


async def test_a_round_trip_has_qos_1_and_is_shared(tmp_path: Path) -> None:
    with server("mosquitto", tmp_path, "log_type all") as running:
        running.start()
        async with world(at(running)) as here:
            answers = await asyncio.gather(*(here.mqtt.answers() for _ in range(50)))
            assert answers == [True] * 50
        echoes = re.findall(
            r"Received PUBLISH \S+ \S+ \(d0, q(\d), .*'gateway/\w+/echo'", running.log
        )
        assert echoes == ["1"]


async def test_no_topic_contains_a_random_client_id(tmp_path: Path) -> None:
    with server("mosquitto", tmp_path, "log_type all") as running:
        running.start()
        async with world(at(running)) as here:
            assert await here.mqtt.answers()
            client_id = here.mqtt._sides.open.client.client_id
        assert client_id in running.log
        assert f"gateway/{client_id}/" not in running.log


async def test_values_in_one_object_and_plain_text_are_readings(mqtt_server: Server) -> None:
    async with world(at(mqtt_server)) as here, device(mqtt_server.port, "live") as board:
        board.client.publish(
            "node/b/sensor", b'{"temperature":21.5,"ip":"10.0.0.1","id":"forged","humidity":"40%"}'
        )
        board.client.publish("node/b/state", b"on\0")
        board.client.publish("node/b/serial", b"9007199254740993")
        await here.until(lambda: here.value("b", "serial"))
        assert here.value("b", "temperature") == 21.5
        assert here.value("b", "humidity") == "40%"
        assert here.value("b", "state") == "on"
        assert here.value("b", "serial") == "9007199254740993"
        assert here.value("b", "sensor") is None
        assert here.value("b", "ip") == "10.0.0.1"
        assert here.value("b", "id") == "b"  # the name, not the value sent
        assert here.mqtt.refused == 1
