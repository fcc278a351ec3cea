# SPDX-License-Identifier: BSD-3-Clause
"""The connections of MQTT-SN clients to the MQTT broker: when they are opened again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pyaiot.gateways.mqttsn.connections import WILL_PAUSE_S, MqttConnections
from pyaiot.mqtt.server import MqttServer
from pyaiot.protocols.mqttsn.mqtt import MqttConnect, MqttDisconnect, Will

pytestmark = pytest.mark.sockets

CONNECT = MqttConnect("board", False, 60, Will("last", b"gone", 0, False))
CONNACK = bytes.fromhex("20020000")


@asynccontextmanager
async def connections() -> AsyncIterator[tuple[MqttConnections, asyncio.Queue[float]]]:
    """With an MQTT broker that accepts everybody, and the times at which it does."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Queue[float] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(loop.time())
        await reader.read(1024)
        writer.write(CONNACK)
        await reader.read()
        writer.close()

    broker = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    opened = MqttConnections(MqttServer("127.0.0.1", port), lambda _id, _event: None, prefix="")
    try:
        yield opened, accepted
    finally:
        opened.close(with_wills=False)
        broker.close()


async def test_broker_sees_the_end_of_a_connection_with_a_will_before_the_next_one() -> None:
    async with connections() as (opened, accepted):
        opened.perform("board", CONNECT)
        await accepted.get()
        ended_at = asyncio.get_running_loop().time()
        opened.perform("board", MqttDisconnect(with_will=True))
        opened.perform("board", CONNECT)
        # The clock of uvloop is rounded to milliseconds.
        assert await accepted.get() - ended_at >= WILL_PAUSE_S - 0.002
