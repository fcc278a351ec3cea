# SPDX-License-Identifier: BSD-3-Clause
"""What one device may take of the embedded MQTT broker, and that the others go on."""

import asyncio
import contextlib
import itertools
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pyaiot.mqtt.embedded import broker as embedded
from pyaiot.mqtt.embedded import nats_settings, quota_enforcer, quotas
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.health import resident_bytes
from pyaiot.mqtt.embedded.nats_connection import NatsConnection
from pyaiot.mqtt.embedded.nats_process import GO_MEMORY_MAX
from pyaiot.mqtt.embedded.nats_settings import ENFORCER
from pyaiot.mqtt.embedded.quotas import StreamLimit
from tests.gateways.mqtt_servers import nats_server
from tests.gateways.test_mqtt_gateway import RECOVERY_LIMIT_S, world
from tests.mqtt.test_embedded_broker import mqtt_client, until
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

MEMORY_MAX = 400 * 1024 * 1024
"""Upper limit of the memory of nats-server, in bytes."""
LARGE = b"x" * 250_000
ROOM = 60 * 1024 * 1024


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


@pytest.fixture
def small_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a gigabyte and minutes takes a few megabytes and seconds."""
    monkeypatch.setattr(nats_settings, "STORE_MAX", ROOM)
    # The account of Home Assistant has separate room in that store.
    monkeypatch.setattr(nats_settings, "HOME_STORE_MAX", 1024 * 1024)
    part = 10 * 1024 * 1024
    smaller = {
        quotas.MESSAGES: StreamLimit(part, consumers_max=2000),
        quotas.RETAINED: StreamLimit(part, 1000),
        quotas.QOS2: StreamLimit(part, 500, 3600),
        quotas.SESSIONS: StreamLimit(part, 200),
        quotas.PUBREL: StreamLimit(part),
    }
    monkeypatch.setattr(quotas, "LIMITS", smaller)
    monkeypatch.setattr(quotas, "MESSAGES_BYTES_MAX", part)
    monkeypatch.setattr(quota_enforcer, "TURN_S", 0.2)


def memory(pid: int) -> int:
    text = (Path("/proc") / str(pid) / "status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


async def others_go_on(broker: EmbeddedBroker, here: Any, value: int) -> None:
    """A device that was not there before is acknowledged, and the gateway has its value."""
    async with mqtt_client(broker.port, f"other-{value}") as other:
        sent = other.publish("node/other/count", f'{{"value":{value}}}', qos=1)
        await until(sent.is_published)
    await here.until(lambda: here.value("other", "count") == value, RECOVERY_LIMIT_S)


async def state_of(broker: EmbeddedBroker, stream: str) -> dict[str, Any]:
    async with NatsConnection.open(
        broker._log.port, ENFORCER, broker._passwords.enforcer
    ) as connection:
        info = await connection.request(f"$JS.API.STREAM.INFO.{stream}")
    state: dict[str, Any] = info["state"]
    return state


class Raw:
    """A device that sends arbitrary bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, head: int, body: bytes) -> None:
        size, length = len(body), b""
        while True:
            size, part = divmod(size, 128)
            length += bytes([part | (128 if size else 0)])
            if not size:
                break
        await self.send_bytes(bytes([head]) + length + body)

    async def send_bytes(self, packets: bytes) -> None:
        # It may have been disconnected.
        if not self._writer.transport.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write(packets)
                await self._writer.drain()

    async def publishes(self, topic: str, packet_id: int, payload: bytes, *, qos: int) -> None:
        name = struct.pack(">H", len(topic)) + topic.encode()
        await self.send(0x30 | qos << 1, name + struct.pack(">H", packet_id) + payload)


@contextlib.asynccontextmanager
async def raw(port: int, client_id: str, *, clean: bool) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    device = Raw(reader, writer)
    name = struct.pack(">H", len(client_id)) + client_id.encode()
    await device.send(0x10, b"\0\4MQTT\4" + bytes([2 * clean]) + b"\0\x3c" + name)
    try:
        yield device
    finally:
        writer.close()


@pytest.mark.usefixtures("small_store")
async def test_device_that_retains_without_end_uses_only_its_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        async with raw(broker.port, "hostile", clean=True) as hostile:
            for number in range(ROOM // len(LARGE) + 50):
                topic = f"node/n{number % 20}/x{number}".encode()
                await hostile.send(0x31, struct.pack(">H", len(topic)) + topic + LARGE)
        await others_go_on(broker, here, 1)
        assert memory(broker.pid) < MEMORY_MAX
        os.kill(broker.pid, signal.SIGKILL)
        await until(lambda: broker.starts == 2)
        await here.until(lambda: here.mqtt.connected and broker.pid, RECOVERY_LIMIT_S)
        await asyncio.sleep(0.5)
        await here.until(lambda: here.mqtt.connected, RECOVERY_LIMIT_S)
        await others_go_on(broker, here, 2)
        assert broker.problem == ""
    assert "version of MQTT" not in caplog.text
    assert "was not retained: the store for retained messages is full" in caplog.text


@pytest.mark.usefixtures("small_store")
async def test_a_burst_of_retained_messages_removes_none_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker:
        async with mqtt_client(broker.port, "honest") as honest:
            sent = honest.publish("node/honest/x", '{"value":1}', qos=1, retain=True)
            await until(sent.is_published)
        # A check sees it before the burst.
        await asyncio.sleep(3 * quota_enforcer.TURN_S)
        async with raw(broker.port, "hostile", clean=True) as hostile:
            async with time_limit(20):
                for number in itertools.count():
                    topic = f"node/n{number % 200}/x".encode()
                    await hostile.send(0x31, struct.pack(">H", len(topic)) + topic + LARGE)
                    await asyncio.sleep(0.01)
                    if "hostile at 127.0.0.1 publishes more than its share" in caplog.text:
                        break
            await until(lambda: "filled within seconds" in caplog.text)
        while (await state_of(broker, quotas.RETAINED))["bytes"] > 5 * 1024 * 1024:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        async with NatsConnection.open(
            broker._log.port, ENFORCER, broker._passwords.enforcer
        ) as connection:
            info = await connection.request(
                f"$JS.API.STREAM.INFO.{quotas.RETAINED}", {"subjects_filter": ">"}
            )
        assert "$MQTT.rmsgs.node.honest.x" in info["state"]["subjects"]


async def test_a_retained_message_larger_than_any_description_is_delivered_and_not_retained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        async with raw(broker.port, "hostile", clean=True) as hostile:
            for number in range(10):
                topic = f"node/n{number}/x".encode()
                too_large = b"x" * quotas.RETAINED_MESSAGE_MAX
                await hostile.send(0x31, struct.pack(">H", len(topic)) + topic + too_large)
        await others_go_on(broker, here, 1)
        await until(lambda: "which was not retained: it is too large" in caplog.text)
        assert (await state_of(broker, quotas.RETAINED))["messages"] == 0


async def test_a_broker_that_uses_too_much_memory_is_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        before = broker.pid
        assert resident_bytes(before) > 1024 * 1024
        assert resident_bytes(0x7FFFFFFF) == 0
        monkeypatch.setattr(embedded, "go_memory", lambda: 1024)
        await until(lambda: broker.pid not in {0, before})
        monkeypatch.undo()
        await here.until(lambda: here.mqtt.connected, RECOVERY_LIMIT_S)
        await others_go_on(broker, here, 1)
    assert "MB of memory; it is restarted" in caplog.text


async def test_a_device_whose_qos_0_delays_the_others_is_disconnected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_enforcer, "TURN_S", 0.2)
    monkeypatch.setattr(quota_enforcer, "GATEWAY_PENDING_MAX", 256 * 1024)
    many = b"".join(b'\x30\x1a\x00\x0bnode/h/r%03d{"value":100}' % number for number in range(1000))
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        await here.until(lambda: here.mqtt.connected)
        connection = here.mqtt._sides.open.client._connection
        assert connection is not None
        # It falls behind. Else it would not in a test, which floods from the same thread.
        connection._connection._transport.pause_reading()
        async with raw(broker.port, "hostile", clean=True) as hostile, time_limit(30):
            while "hostile at 127.0.0.1 publishes more than the gateway can" not in caplog.text:
                await hostile.send_bytes(many)
                await asyncio.sleep(0.001)


@pytest.mark.usefixtures("small_store")
@pytest.mark.parametrize("count", [25, 100], ids=["of its share", "more than its share"])
async def test_one_device_that_releases_nothing_takes_no_room_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        async with raw(broker.port, "patient", clean=False) as patient:
            await patient.publishes("node/patient/x", 1, b'{"value":7}', qos=2)
            await patient.reader.readexactly(8)  # CONNACK, PUBREC
        for round_ in range(3):
            async with raw(broker.port, f"hostile{round_}", clean=False) as hostile:
                for number in range(1, count + 1):
                    await hostile.publishes("node/h/x", number, LARGE, qos=2)
        await others_go_on(broker, here, 1)
        await until(lambda: "QoS 2 that wait for PUBREL is more than half full" in caplog.text)
        async with time_limit(RECOVERY_LIMIT_S):
            while (await state_of(broker, quotas.QOS2))["bytes"] > quotas.QOS2_BYTES_MAX // 4:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # What others have not released yet is older, and still there.
        async with raw(broker.port, "patient", clean=False) as patient:
            await patient.send(0x62, struct.pack(">H", 1))
            await patient.reader.readexactly(8)  # CONNACK, PUBCOMP
        await here.until(lambda: here.value("patient", "x") == 7)
        # They have room for QoS 2 again.
        async with mqtt_client(broker.port, "honest") as honest:
            sent = honest.publish("node/honest/x", '{"value":1}', qos=2)
            await asyncio.to_thread(sent.wait_for_publish, 5)
            assert sent.is_published()
        await here.until(lambda: here.value("honest", "x") == 1)
        assert memory(broker.pid) < MEMORY_MAX


@pytest.mark.usefixtures("small_store")
async def test_sessions_of_devices_that_do_not_return_make_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker,
        world(broker.server) as here,
    ):
        let_in = 0
        for number in range(600):
            async with raw(broker.port, f"s{number}", clean=False) as device:
                answer = await device.reader.read(4)
                let_in += answer == b"\x20\x02\x00\x00"
                subscription = struct.pack(">HH", 1, 9) + b"gateway/a" + b"\x01"
                await device.send(0x82, subscription)
                await device.reader.read(5)
        assert let_in > 200
        await others_go_on(broker, here, 1)
        assert here.mqtt._sides.open.client.connects == 1
        async with time_limit(RECOVERY_LIMIT_S):
            while (await state_of(broker, quotas.SESSIONS))["messages"] > 100:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # Their subscriptions went with them: those of the gateway and the probe stay.
        assert (await state_of(broker, quotas.MESSAGES))["consumer_count"] < 110
        os.kill(broker.pid, signal.SIGKILL)
        await here.until(lambda: here.mqtt._sides.open.client.connects == 2, RECOVERY_LIMIT_S)
        await others_go_on(broker, here, 2)
    assert "sessions of offline devices were removed" in caplog.text


@pytest.mark.usefixtures("small_store")
async def test_a_device_that_publishes_too_much_is_disconnected_and_acknowledged_messages_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker:
        async with world(broker.server):
            pass  # the gateway is known there now, and away
        async with mqtt_client(broker.port, "honest") as honest:
            sent = honest.publish("node/honest/x", '{"value":"first"}', qos=1)
            await until(sent.is_published)
        async with raw(broker.port, "hostile", clean=True) as hostile:
            for number in range(1, 201):
                await hostile.publishes("node/h/x", number, LARGE, qos=1)
        state = await state_of(broker, quotas.MESSAGES)
        assert state["bytes"] <= 10 * 1024 * 1024
        async with time_limit(5):
            while not broker.problem:  # noqa: ASYNC110 - the enforcer looks by and by
                await asyncio.sleep(0.05)
        assert broker.problem
        async with world(broker.server) as here:
            await here.until(lambda: here.value("honest", "x") == "first")
            await others_go_on(broker, here, 1)
    assert "store for publications with QoS 1 and 2 is full" in caplog.text


@pytest.mark.usefixtures("small_store")
async def test_one_that_publishes_without_pause_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quotas, "TRIM_SHARE", 0.01)
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker:
        async with world(broker.server):
            pass
        async with raw(broker.port, "hostile", clean=True) as hostile:
            read = asyncio.ensure_future(hostile.reader.read())
            for number in range(1, 400):
                await hostile.publishes("node/h/x", number, b"x" * 2000, qos=1)
                await asyncio.sleep(0.01)
                if read.done():
                    break
            await asyncio.wait_for(read, 5)
    assert "hostile at 127.0.0.1 publishes more than the gateway can process" in caplog.text


async def test_connections_of_one_address_do_not_take_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quota_enforcer, "CONNECTIONS_MAX", 30)
    monkeypatch.setattr(quota_enforcer, "TURN_S", 0.2)
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, host="0.0.0.0", port=0)) as broker,
        world(broker.server) as here,
        contextlib.AsyncExitStack() as many,
    ):
        first = await many.enter_async_context(raw(broker.port, "first", clean=True))
        assert await first.reader.read(4)
        for number in range(60):
            await many.enter_async_context(raw(broker.port, f"c{number}", clean=True))
        async with time_limit(5):
            while "too many connections" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # The first one was connected before, and the gateway does not count.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.reader.read(1), 0.5)
        assert here.mqtt._sides.open.client.connects == 1


async def test_what_an_earlier_gateway_left_does_not_fill_the_store(tmp_path: Path) -> None:
    config = EmbeddedConfig(tmp_path, port=0)
    async with EmbeddedBroker.running(config) as broker, world(broker.server):
        pass
    (tmp_path / "client-ids").unlink()
    async with EmbeddedBroker.running(config) as broker, world(broker.server) as here:
        await others_go_on(broker, here, 1)
        async with time_limit(5):
            while (await state_of(broker, quotas.MESSAGES))["messages"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_its_memory_has_a_bound_of_its_own(tmp_path: Path) -> None:
    async with EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0)) as broker:
        environment = (Path("/proc") / str(broker.pid) / "environ").read_bytes().split(b"\0")
        (limit,) = [text for text in environment if text.startswith(b"GOMEMLIMIT=")]
        assert 0 < int(limit.partition(b"=")[2]) <= GO_MEMORY_MAX


def test_all_quotas_together_fit_into_the_store() -> None:
    assert sum(limit.bytes_max for limit in quotas.LIMITS.values()) < nats_settings.STORE_MAX


def test_a_stream_gets_its_limits_once_and_refuses_what_is_over() -> None:
    config = {"name": quotas.MESSAGES, "discard": "old", "retention": "interest", "max_bytes": -1}
    wanted = quotas.limited(config)
    assert wanted is not None
    assert wanted["discard"] == "new"
    assert wanted["retention"] == "interest"
    assert wanted["max_bytes"] == quotas.MESSAGES_BYTES_MAX
    assert quotas.limited(wanted) is None
    assert quotas.limited({"name": "somebody's"}) is None


def test_first_levels_of_foreign_devices_have_a_share_and_nodes_one_of_their_own() -> None:
    subjects = {f"$MQTT.rmsgs.homie.d{number}.x": 1 for number in range(4)}
    subjects |= {f"$MQTT.rmsgs.node.n{number}.x": 1 for number in range(9)}
    filters = quotas.over_their_share(subjects, "$MQTT.rmsgs.", 3, "node")
    assert filters == ["$MQTT.rmsgs.homie.>"]


def test_owners_over_their_share_are_found_by_level() -> None:
    subjects = {"$MQTT.qos2.in.a.1": 1, "$MQTT.qos2.in.a.2": 1, "$MQTT.qos2.in.b.1": 1}
    assert quotas.over_their_share(subjects, "$MQTT.qos2.in.", 1) == ["$MQTT.qos2.in.a.>"]
    assert quotas.over_their_share(subjects, "$MQTT.qos2.in.", 2) == []


def test_owner_that_is_called_as_a_wildcard_does_not_remove_the_messages_of_others() -> None:
    """MQTT allows `*` and `>` in topics; as a filter of NATS they match every node."""
    subjects = {f"$MQTT.rmsgs.node.{owner}.{n}": 1 for owner in ("*", ">", "a") for n in range(2)}
    assert quotas.over_their_share(subjects, "$MQTT.rmsgs.node.", 1) == ["$MQTT.rmsgs.node.a.>"]


def test_sessions_are_called_as_nats_server_calls_them() -> None:
    assert quotas.session_hash("gw") == "RMLnaEVd"


def test_only_sessions_of_devices_that_are_away_are_removable() -> None:
    assert quotas.removable_sessions(["a", "b", "c"], ["b"], ["c"]) == ["a"]


def test_subscriptions_of_other_gateways_are_forgotten_and_those_of_devices_are_not() -> None:
    consumers = [
        {"name": "ours_1", "config": {"filter_subject": "$MQTT.msgs.node.*.*"}},
        {"name": "other_1", "config": {"filter_subject": "$MQTT.msgs.node.*.*"}},
        {"name": "device_1", "config": {"filter_subject": "$MQTT.msgs.gateway.>"}},
    ]
    assert quotas.forgotten_gateways(consumers, ["ours"]) == ["other_1"]


def test_burst_is_what_filled_a_stream_since_it_was_quiet() -> None:
    burst = quotas.Burst()

    def observe(share: float, last: int, now: float) -> range | None:
        used = int(share * quotas.RETAINED_BYTES_MAX)
        state = {"bytes": used, "messages": 0, "consumer_count": 0, "last_seq": last}
        return burst.observe(quotas.RETAINED, state, now)

    assert observe(0.1, 10, 0.0) is None
    assert observe(0.3, 20, 2.0) is None
    assert observe(0.45, 30, 4.0) is None
    assert observe(0.9, 40, 6.0) == range(21, 41)
    assert observe(0.3, 40, 8.0) is None
    # What fills slowly is not of one device.
    assert observe(0.49, 50, 8.0 + quotas.BURST_S) is None
    assert observe(0.6, 60, 10.0 + quotas.BURST_S) is None
