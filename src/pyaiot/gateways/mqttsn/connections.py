# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT connections of the clients: the contract of `protocols/mqttsn/mqtt`, carried out."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import Reconnecting
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
"""Connections to the MQTT broker that are being made at once. Others wait."""

WILL_PAUSE_S: Final = 0.25
"""Between the end of a connection whose will is published, and another one under its client id. The
broker must see the end first: nats-server publishes no will of a connection that is replaced."""

log = logging.getLogger(__name__)


class Connections:
    """One for each client that wants to be connected."""

    def __init__(
        self, server: MqttServer, told: Callable[[str, MqttEvent], None], *, prefix: str
    ) -> None:
        """`told` gets client id and event, never while `do` runs. It must not raise."""
        self._server = server
        self._told = told
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._attempts = asyncio.Semaphore(ATTEMPTS_MAX)
        self._of: dict[str, _Connection] = {}
        self._ended_at: dict[str, float] = {}
        """Connections that ended with their will within `WILL_PAUSE_S`, the oldest first."""
        self._in_trouble = False
        self.connects = 0
        """Times that the MQTT broker let a client in."""
        self.failures = 0
        """Connections that were lost, or could not be had."""

    def __len__(self) -> int:
        return len(self._of)

    def do(self, client_id: str, action: MqttAction) -> None:
        """Carry it out, or tell that it was not."""
        if isinstance(action, MqttConnect):
            self._connect(client_id, action)
            return
        connection = self._of.get(client_id)
        if connection is None:
            return  # it was refused in this turn, which is on its way to be told
        if isinstance(action, MqttDisconnect):
            del self._of[client_id]
            connection.end(with_will=action.with_will)
            if action.with_will:
                self._remember_end(client_id)
            return
        if not connection.do(action):
            self._loop.call_soon(connection.told, _refusal(action))

    def close(self) -> None:
        """End all; the wills are published, as if we had been killed."""
        for connection in self._of.values():
            connection.end(with_will=True)
        self._of.clear()

    def _connect(self, client_id: str, action: MqttConnect) -> None:
        before = self._of.pop(client_id, None)
        if before is not None:
            before.end(with_will=False)
        connect = Connect(
            self._prefix + mqtt_client_id(client_id),
            action.clean_session,
            action.keep_alive_s,
            action.will,
        )
        told = partial(self._told, client_id)
        pause_s = self._ended_at.pop(client_id, -WILL_PAUSE_S) + WILL_PAUSE_S - self._loop.time()
        self._of[client_id] = _Connection(
            self._server, connect, told, self._attempts, self._report, pause_s=pause_s
        )

    def _remember_end(self, client_id: str) -> None:
        now = self._loop.time()
        self._ended_at.pop(client_id, None)
        self._ended_at[client_id] = now
        while next(iter(self._ended_at.values())) + WILL_PAUSE_S < now:
            del self._ended_at[next(iter(self._ended_at))]

    def _report(self, problem: str) -> None:
        """Said once when the MQTT broker is lost, and once when it is back, for all clients."""
        if problem:
            self.failures += 1
        else:
            self.connects += 1
        if problem and not self._in_trouble:
            log.warning("MQTT-SN: no MQTT broker: %s; trying again", problem)
        elif not problem and self._in_trouble:
            log.warning("MQTT-SN: connected to the MQTT broker again")
        self._in_trouble = problem != ""


class _Connection:
    """From MqttConnect to MqttDisconnect, or to the next MqttConnect."""

    def __init__(
        self,
        server: MqttServer,
        connect: Connect,
        told: Callable[[MqttEvent], None],
        attempts: asyncio.Semaphore,
        reports: Callable[[str], None],
        *,
        pause_s: float,
    ) -> None:
        """`pause_s`: it begins so much later; at once, if that is negative."""
        self._told: Callable[[MqttEvent], None] | None = told
        self._kept = Reconnecting(server, connect, self.told, attempts=attempts, reports=reports)
        self._running = asyncio.get_running_loop().create_task(
            self._run(pause_s), name=f"MQTT connection of {connect.client_id}"
        )

    async def _run(self, pause_s: float) -> None:
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        await self._kept.run()

    def told(self, event: MqttEvent) -> None:
        if self._told is not None:
            self._told(event)

    def do(self, action: MqttPublish | MqttSubscribe | MqttUnsubscribe) -> bool:
        connection = self._kept.connection
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
        self._told = None
        self._kept.close(with_will=with_will)
        self._running.cancel()


def _refusal(action: MqttPublish | MqttSubscribe | MqttUnsubscribe) -> MqttEvent:
    """What is told of a wish that the broker does not take now."""
    match action:
        case MqttPublish():
            return MqttPublished(action.token, accepted=False)
        case MqttSubscribe():
            return MqttSubscribed(action.token, None)
        case MqttUnsubscribe():
            return MqttUnsubscribed(action.token)
