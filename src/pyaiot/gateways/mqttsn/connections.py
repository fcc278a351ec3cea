# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT connections of the clients. Implements the interface of `protocols/mqttsn/mqtt`."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import ReconnectingMqttClient
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.mqtt import (
    MqttAction,
    MqttConnect,
    MqttDisconnect,
    MqttEvent,
    MqttPublish,
    MqttPublished,
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
    MqttUnsubscribed,
    mqtt_client_id,
)

ATTEMPTS_MAX: Final = 64
"""Connections to the MQTT broker that are opened at the same time. Others wait."""

WILL_PAUSE_S: Final = 0.25
"""Pause after a connection that ended with its will, before the next one with its client id. The
broker must see the end first: nats-server publishes no will of a connection that is replaced."""

log = logging.getLogger(__name__)


class MqttConnections:
    """One MQTT connection for each client that is connected or connecting."""

    def __init__(
        self, server: MqttServer, on_event: Callable[[str, MqttEvent], None], *, prefix: str
    ) -> None:
        """`on_event` is called with the client id and the event, never during a call of `perform`.
        It must not raise."""
        self._server = server
        self._on_event = on_event
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._attempts = asyncio.Semaphore(ATTEMPTS_MAX)
        self._by_client_id: dict[str, _Connection] = {}
        self._ended_at: dict[str, float] = {}
        """When connections ended with their will, within the last `WILL_PAUSE_S`; oldest first."""
        self._broker_lost = False
        self.connects = 0
        """Connections that the MQTT broker accepted."""
        self.failures = 0
        """Connections that were lost or failed to open."""

    def __len__(self) -> int:
        return len(self._by_client_id)

    def perform(self, client_id: str, action: MqttAction) -> None:
        """Perform the action. One that the connection does not accept is reported as refused."""
        if isinstance(action, MqttConnect):
            self._connect(client_id, action)
            return
        connection = self._by_client_id.get(client_id)
        if connection is None:
            return  # it ended in this turn of the loop, and its event will follow
        if isinstance(action, MqttDisconnect):
            del self._by_client_id[client_id]
            connection.end(with_will=action.with_will)
            if action.with_will:
                self._remember_end(client_id)
            return
        if not connection.perform(action):
            self._loop.call_soon(connection.on_event, _refusal(action))

    def close(self, *, with_wills: bool) -> None:
        """End all connections. `with_wills`: as if the process had been killed."""
        for connection in self._by_client_id.values():
            connection.end(with_will=with_wills)
        self._by_client_id.clear()

    def _connect(self, client_id: str, action: MqttConnect) -> None:
        before = self._by_client_id.pop(client_id, None)
        if before is not None:
            before.end(with_will=False)
        connect = Connect(
            self._prefix + mqtt_client_id(client_id),
            action.clean_session,
            action.keep_alive_s,
            action.will,
        )
        on_event = partial(self._on_event, client_id)
        pause_s = self._ended_at.pop(client_id, -WILL_PAUSE_S) + WILL_PAUSE_S - self._loop.time()
        self._by_client_id[client_id] = _Connection(
            self._server, connect, on_event, self._attempts, self._report, pause_s=pause_s
        )

    def _remember_end(self, client_id: str) -> None:
        now = self._loop.time()
        self._ended_at.pop(client_id, None)
        self._ended_at[client_id] = now
        while next(iter(self._ended_at.values())) + WILL_PAUSE_S < now:
            del self._ended_at[next(iter(self._ended_at))]

    def _report(self, problem: str) -> None:
        """Log once for all clients when the MQTT broker is lost, and once when it is back."""
        if problem:
            self.failures += 1
        else:
            self.connects += 1
        if problem and not self._broker_lost:
            log.warning("MQTT-SN: no connection to the MQTT broker: %s; trying again", problem)
        elif not problem and self._broker_lost:
            log.warning("MQTT-SN: connected to the MQTT broker again")
        self._broker_lost = problem != ""


class _Connection:
    """From `MqttConnect` to `MqttDisconnect`, or to the next `MqttConnect`."""

    def __init__(
        self,
        server: MqttServer,
        connect: Connect,
        on_event: Callable[[MqttEvent], None],
        attempts: asyncio.Semaphore,
        on_status: Callable[[str], None],
        *,
        pause_s: float,
    ) -> None:
        """`pause_s`: seconds before the first attempt to connect; negative: none."""
        self._on_event: Callable[[MqttEvent], None] | None = on_event
        self._client = ReconnectingMqttClient(
            server, connect, self.on_event, attempts=attempts, on_status=on_status
        )
        self._task = asyncio.get_running_loop().create_task(
            self._run(pause_s), name=f"MQTT connection of {connect.client_id}"
        )

    async def _run(self, pause_s: float) -> None:
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        await self._client.run()

    def on_event(self, event: MqttEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def perform(self, action: MqttPublish | MqttSubscribe | MqttUnsubscribe) -> bool:
        connection = self._client.connection
        if connection is None:
            return False
        match action:
            case MqttPublish(token, topic, payload, qos, retain):
                return connection.publish(token, topic, payload, qos=qos, retain=retain)
            case MqttSubscribe(token, topic_filter, qos):
                return connection.subscribe(token, topic_filter, qos=qos)
            case MqttUnsubscribe(token, topic_filter):
                return connection.unsubscribe(token, topic_filter)

    def end(self, *, with_will: bool) -> None:
        self._on_event = None
        self._client.close(with_will=with_will)
        self._task.cancel()


def _refusal(action: MqttPublish | MqttSubscribe | MqttUnsubscribe) -> MqttEvent:
    """The event for an action that the connection does not accept."""
    match action:
        case MqttPublish():
            return MqttPublished(action.token, accepted=False)
        case MqttSubscribe():
            return MqttSubscribed(action.token, None)
        case MqttUnsubscribe():
            return MqttUnsubscribed(action.token)
