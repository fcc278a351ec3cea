# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT connection against brokers of others, and against a peer that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from pyaiot.errors import LinkLost
from pyaiot.mqtt import connection as mqtt_connection
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import WRITE_BUFFER_MAX, MqttConnection, ReconnectingMqttClient
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.events import (
    MqttConnected,
    MqttEvent,
    MqttLost,
    MqttMessage,
    MqttPublished,
    MqttRefused,
    MqttSubscribed,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqtt.packets import Connect, Will
from tests.gateways.mqtt_servers import Server, server
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(request.param, tmp_path) as running:
        running.start()
        yield running


class EventRecorder:
    """The events of a client, and the next one when it comes."""

    def __init__(self) -> None:
        self.events: list[MqttEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: MqttEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def has(self, *events: MqttEvent) -> None:
        async with time_limit(10):
            while not all(event in self.events for event in events):
                self._more.clear()
                await self._more.wait()


def at(port: int, **more: object) -> MqttServer:
    return MqttServer("127.0.0.1", port, **more)  # type: ignore[arg-type]


async def opened(
    port: int, recorder: EventRecorder, connect: Connect, client: MqttClientProtocol | None = None
) -> MqttConnection:
    connection = MqttConnection(at(port), client or MqttClientProtocol(), connect, recorder)
    await connection.open()
    return connection


async def test_everything_goes_there_and_comes_back(broker: Server) -> None:
    recorder = EventRecorder()
    connection = await opened(broker.port, recorder, Connect("there", keep_alive_s=60))
    for token, qos in ((1, 0), (2, 1), (3, 2)):
        assert connection.subscribe(token, f"node/{qos}/+", qos=qos)
    await recorder.has(MqttSubscribed(1, 0), MqttSubscribed(2, 1), MqttSubscribed(3, 2))
    for qos in (0, 1, 2):
        assert connection.publish(10 + qos, f"node/{qos}/x", b"%d" % qos, qos=qos)
    await recorder.has(
        MqttPublished(11),
        MqttPublished(12),
        MqttMessage("node/0/x", b"0", 0),
        MqttMessage("node/1/x", b"1", 1),
        MqttMessage("node/2/x", b"2", 2),
    )
    assert connection.unsubscribe(20, "node/1/+")
    await recorder.has(MqttUnsubscribed(20))
    connection.close()
    assert not connection.publish(30, "node/1/x", b"", qos=1)
    assert recorder.events[0] == MqttConnected()
    assert MqttLost() not in recorder.events
    assert sum(isinstance(event, MqttMessage) for event in recorder.events) == 3


async def test_a_kept_session_has_its_subscriptions_and_its_messages(broker: Server) -> None:
    connect = Connect("kept", clean_session=False, keep_alive_s=60)
    client, recorder = MqttClientProtocol(), EventRecorder()
    connection = await opened(broker.port, recorder, connect, client)
    connection.subscribe(1, "node/kept", qos=1)
    await recorder.has(MqttSubscribed(1, 1))
    connection.close()
    other = EventRecorder()
    sender = await opened(broker.port, other, Connect("sender"))
    sender.publish(1, "node/kept", b"meanwhile", qos=1)
    await other.has(MqttPublished(1))
    sender.close()
    again = EventRecorder()
    connection = await opened(broker.port, again, connect, client)
    await again.has(MqttConnected(session_present=True), MqttMessage("node/kept", b"meanwhile", 1))
    connection.close()


@pytest.mark.parametrize("with_will", [False, True])
async def test_the_will_is_published_unless_the_client_disconnects(
    broker: Server, with_will: bool
) -> None:
    seen = EventRecorder()
    watcher = await opened(broker.port, seen, Connect("watcher"))
    watcher.subscribe(1, "last/#", qos=1)
    await seen.has(MqttSubscribed(1, 1))
    will = Will("last/words", b"gone")
    connection = await opened(broker.port, EventRecorder(), Connect("mortal", will=will))
    # What was published just before the end is still sent.
    connection.publish(2, "last/but", b"not least", qos=0)
    connection.close(with_will=with_will)
    await seen.has(MqttMessage("last/but", b"not least"))
    watcher.publish(2, "last/marker", b"", qos=1)
    if with_will:
        await seen.has(MqttMessage("last/words", b"gone"))
    else:
        await seen.has(MqttMessage("last/marker", b"", 1))
        assert MqttMessage("last/words", b"gone") not in seen.events
    watcher.close()


async def test_a_broker_that_is_killed_is_found_again(broker: Server) -> None:
    recorder = EventRecorder()
    kept = ReconnectingMqttClient(at(broker.port), Connect("back", keep_alive_s=60), recorder)
    running = asyncio.create_task(kept.run())
    await recorder.has(MqttConnected())
    broker.kill()
    await recorder.has(MqttLost())
    assert kept.connection is None
    recorder.events.clear()
    await asyncio.to_thread(broker.start)
    await recorder.has(MqttConnected())
    assert kept.connection is not None
    assert kept.connection.publish(5, "t", b"", qos=1)
    await recorder.has(MqttPublished(5))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kept.connection is None


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with server(
        "nats", tmp_path, 'authorization { users = [ { user: "a", password: "right" } ] }'
    ) as running:
        running.start()
        wrong = at(running.port, user="a", password=lambda: "wrong")
        recorder = EventRecorder()
        with pytest.raises(ConnectionRefused):
            await MqttConnection(wrong, MqttClientProtocol(), Connect("x"), recorder).open()
        assert not recorder.events
        await ReconnectingMqttClient(wrong, Connect("x"), recorder).run()
        assert recorder.events == [MqttRefused()]
        right = at(running.port, user="a", password=lambda: "right")
        connection = MqttConnection(right, MqttClientProtocol(), Connect("x"), recorder)
        await connection.open()
        connection.close()


async def test_pauses_grow_at_a_broker_that_accepts_and_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt_connection, "PAUSE_FIRST_S", 0.02)
    monkeypatch.setattr(mqtt_connection, "PAUSE_MAX_S", 10.0)
    reports: list[str] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x20\x02\x00\x00")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    recorder = EventRecorder()
    kept = ReconnectingMqttClient(at(port), Connect("x"), recorder, on_status=reports.append)
    running = asyncio.create_task(kept.run())
    await asyncio.sleep(1.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    listening.close()
    await listening.wait_closed()
    # 0.02 + 0.04 + … of pauses, at least half of each, are more than a second after seven of them.
    assert 3 <= recorder.events.count(MqttLost()) <= 7
    assert set(reports) == {"", "the connection ended"}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_runs_on_both_loops(broker: Server, loop: str) -> None:
    async def there_and_gone() -> None:
        recorder = EventRecorder()
        connection = await opened(broker.port, recorder, Connect("x"))
        assert connection.publish(1, "t", b"", qos=1)
        await recorder.has(MqttPublished(1))
        broker.kill()
        await recorder.has(MqttLost())

    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(there_and_gone())


# -- a peer that is not a broker ------------------------------------------------------------------


@asynccontextmanager
async def peer(answer: bytes) -> AsyncIterator[int]:
    """Sends bytes to each new connection, and reads nothing."""
    writers = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _reader._transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)
        writer.write(answer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.transport.abort()
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"", b"\x30\x03\x00\x01t"])
async def test_a_peer_that_is_no_broker_is_left(answer: bytes) -> None:
    async with peer(answer) as port:
        recorder = EventRecorder()
        with pytest.raises(LinkLost):
            await MqttConnection(at(port), MqttClientProtocol(), Connect("x"), recorder).open(
                limit_s=0.2
            )
        assert not recorder.events


async def test_a_closed_port_is_a_lost_link() -> None:
    async with peer(b"") as port:
        pass
    with pytest.raises(LinkLost):
        await MqttConnection(at(port), MqttClientProtocol(), Connect("x"), EventRecorder()).open()


async def test_writing_to_a_broker_that_reads_nothing_ends() -> None:
    async with peer(b"\x20\x02\x00\x00") as port:
        connection = await opened(port, EventRecorder(), Connect("x"))
        payload = bytes(10_000)
        taken = 0
        while connection.publish(0, "t", payload, qos=0):
            taken += 1
            if taken % 10 == 0:
                await asyncio.sleep(0)
            assert taken < 10_000, "the kernel cannot have buffered that much"
        assert connection._transport is not None
        waiting = connection._transport.get_write_buffer_size() + connection._client.waiting_bytes
        assert waiting <= 2 * (WRITE_BUFFER_MAX + 110_000)
        connection.close()


async def test_the_loss_is_the_last_event_and_comes_once() -> None:
    async with peer(b"\x20\x02\x00\x00") as port:
        recorder = EventRecorder()
        connection = await opened(port, recorder, Connect("x"))
    await recorder.has(MqttLost())
    assert recorder.events == [MqttConnected(), MqttLost()]
    assert not connection.publish(0, "t", b"", qos=0)
