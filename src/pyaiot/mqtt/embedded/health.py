# SPDX-License-Identifier: BSD-3-Clause
"""Health checks of an MQTT broker: a round trip with QoS 1, and the memory of its process."""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Final

from pyaiot.errors import LinkLost, Refused
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import ReconnectingMqttClient
from pyaiot.mqtt.embedded.nats_connection import NatsConnection
from pyaiot.mqtt.embedded.nats_settings import SYSTEM
from pyaiot.protocols.mqtt.events import (
    MqttConnected,
    MqttEvent,
    MqttMessage,
    MqttPublished,
    MqttSubscribed,
)
from pyaiot.protocols.mqtt.packets import Connect

KEEP_ALIVE_S: Final = 60
"""MQTT keep-alive of the client that checks the health of the embedded MQTT broker."""
_SUBSCRIBE: Final = 1
_PUBLISH: Final = 2


class HealthProbe:
    """A client that publishes to itself."""

    def __init__(self, server: MqttServer, client_id: str, topic: str) -> None:
        # The session is kept: a new one would need space in a store that may be full.
        connect = Connect(client_id, clean_session=False, keep_alive_s=KEEP_ALIVE_S)
        self._topic = topic
        self._client = ReconnectingMqttClient(server, connect, self._on_event)
        self._subscribed = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._arrived = asyncio.Event()
        self._payload = b""

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await self._client.run()
            # A permanent refusal may end when the broker is repaired.
            await asyncio.sleep(1.0)

    async def problem(self, limit_s: float) -> str:
        """Make a round trip. Returns what failed, for people; "" if nothing did."""
        self._payload = secrets.token_hex(8).encode()
        self._acknowledged.clear()
        self._arrived.clear()
        failure = "it accepts no connection"
        try:
            async with asyncio.timeout(limit_s):
                await self._subscribed.wait()
                failure = "it does not acknowledge"
                connection = self._client.connection
                if connection is None or not connection.publish(
                    _PUBLISH, self._topic, self._payload, qos=1
                ):
                    return "the connection ended"
                await self._acknowledged.wait()
                failure = "it does not deliver"
                await self._arrived.wait()
        except TimeoutError:
            return f"{failure} ({self._client.problem})" if self._client.problem else failure
        return ""

    def _on_event(self, event: MqttEvent) -> None:
        match event:
            case MqttConnected():
                connection = self._client.connection
                if connection is not None:
                    connection.subscribe(_SUBSCRIBE, self._topic, qos=1)
            case MqttSubscribed(qos=1):
                self._subscribed.set()
            case MqttPublished(token=token) if token == _PUBLISH:
                self._acknowledged.set()
            case MqttMessage(payload=payload) if payload == self._payload:
                self._arrived.set()
            case _:
                if self._client.connection is None:
                    self._subscribed.clear()


async def has_no_leader(port: int, system_password: str) -> bool:
    """Whether a nats-server of a cluster answers, and knows no server that leads their stores."""
    try:
        async with NatsConnection.open(port, SYSTEM, system_password) as system:
            found = await system.request_of_server("JSZ")
    except (LinkLost, Refused):
        return False
    cluster = found["data"].get("meta_cluster") or {}
    return not cluster.get("leader")


def resident_bytes(pid: int) -> int:
    """The resident memory of a process in bytes (Linux); 0 where the system does not report it."""
    try:
        pages = int((Path("/proc") / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
