# SPDX-License-Identifier: BSD-3-Clause
"""The gateway's connection to an MQTT broker: what it costs the rest of the process, and what it
processes."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from gmqtt.mqtt.constants import MQTTv311

from pyaiot.mqtt.gmqtt_connection import (
    READ_BYTES_MAX,
    READ_TURN_S,
    Freshness,
    GmqttConnection,
    ReceivedMessage,
)
from pyaiot.mqtt.recent_messages import EARLY_S, RecentMessages
from pyaiot.mqtt.server import MqttServer
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

MESSAGES = 20_000
TURN_MAX = int(READ_TURN_S / 5e-6)
"""Messages of a turn, if each takes 5 microseconds or more."""
PUBLISH = b"\x30\x1a\x00\x0bnode/a/ledx" + b'{"value":100}'


async def test_a_flood_is_processed_in_turns_of_the_event_loop() -> None:
    assert len(PUBLISH) == 2 + PUBLISH[1]

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x00" + PUBLISH * MESSAGES)
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
        writer.close()

    loop = asyncio.get_running_loop()
    turn = 0
    messages_in: Counter[int] = Counter()
    all_are_here = asyncio.Event()

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if not all_are_here.is_set():
            loop.call_soon(next_turn)

    def receive(messages: Sequence[ReceivedMessage]) -> None:
        messages_in[turn] += len(messages)
        time.sleep(len(messages) * 5e-6)
        if messages_in.total() == MESSAGES:
            all_are_here.set()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = GmqttConnection("c", MQTTv311, receive, named=False, keeps_session=False)
    next_turn()
    try:
        await connection.open(MqttServer("127.0.0.1", port), ["node/#"])
        async with time_limit(20):
            await all_are_here.wait()
    finally:
        await connection.close()
        server.close()
    # A turn ends with the bytes in which its time ends; the socket may be read once more in it.
    chunk = READ_BYTES_MAX // len(PUBLISH) + 1
    assert max(messages_in.values()) <= TURN_MAX + 2 * chunk


def publish(packet_id: int, payload: bytes, *, is_again: bool = False) -> bytes:
    body = b"\x00\x0bnode/a/led" + b"x" + bytes([0, packet_id]) + payload
    return bytes([0x3A if is_again else 0x32, len(body)]) + body


def acknowledgement(packet_id: int) -> bytes:
    return b"\x40\x02" + bytes([0, packet_id])


async def test_what_is_delivered_again_although_it_was_acknowledged_counts_once() -> None:
    acknowledged = bytearray()
    all_are_acknowledged = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x01")
        for packet in (
            publish(1, b"1"),
            publish(2, b"1", is_again=True),
            publish(3, b"1", is_again=True),
            publish(4, b"2", is_again=True),
            publish(5, b"1"),
        ):
            writer.write(packet)
            acknowledged.extend(await reader.read(4))
        all_are_acknowledged.set()
        await reader.read(1000)
        writer.close()

    got: list[ReceivedMessage] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = GmqttConnection(
        *("c", MQTTv311, got.extend),
        named=True,
        keeps_session=True,
        recent=RecentMessages(EARLY_S),
    )
    try:
        await connection.open(MqttServer("127.0.0.1", port), ["node/#"])
        async with time_limit(20):
            await all_are_acknowledged.wait()
    finally:
        await connection.close()
        server.close()
    topic = "node/a/ledx"
    assert got == [
        (topic, b"1", Freshness.LIVE),
        (topic, b"2", Freshness.STORED),
        (topic, b"1", Freshness.LIVE),
    ]
    assert acknowledged == b"".join(map(acknowledgement, range(1, 6)))
