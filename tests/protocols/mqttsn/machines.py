# SPDX-License-Identifier: BSD-3-Clause
"""Tools for tests of the MQTT-SN state machines: a minimal broker, and an unreliable link."""

import heapq
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from pyaiot.protocols.mqttsn.client import MqttSnClientProtocol
from pyaiot.protocols.mqttsn.client_events import (
    ClientState,
    MqttSnEvent,
    MqttSnLost,
    MqttSnRefused,
)
from pyaiot.protocols.mqttsn.gateway import MqttSnGatewayProtocol
from pyaiot.protocols.mqttsn.gateway_events import Send, ToMqtt
from pyaiot.protocols.mqttsn.mqtt import (
    MqttAction,
    MqttConnect,
    MqttConnected,
    MqttDisconnect,
    MqttEvent,
    MqttMessage,
    MqttPublish,
    MqttPublished,
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
    MqttUnsubscribed,
    Will,
)
from pyaiot.protocols.mqttsn.packets import Packet, parse_packet
from pyaiot.protocols.mqttsn.settings import GatewayConfig
from pyaiot.protocols.mqttsn.topics import matches


class Broker:
    """An MQTT broker without a network: actions in, events out, in order."""

    def __init__(self) -> None:
        self.published: list[MqttPublish | Will] = []
        self.sessions: dict[str, dict[str, int]] = {}
        self.connected: dict[str, MqttConnect] = {}
        self.kept: dict[str, list[MqttMessage]] = {}

    def act(self, client_id: str, action: MqttAction) -> list[tuple[str, MqttEvent]]:
        match action:
            case MqttConnect():
                return self._connect(client_id, action)
            case MqttDisconnect(with_will=with_will):
                connect = self.connected.pop(client_id, None)
                if connect is not None and connect.clean_session:
                    self.sessions.pop(client_id, None)
                will = connect.will if connect is not None and with_will else None
                return [] if will is None else self._route(will, will.topic, will.message, will.qos)
            case MqttPublish():
                assert client_id in self.connected
                routed = self._route(action, action.topic, action.payload, action.qos)
                return [
                    *([(client_id, MqttPublished(action.token))] if action.token else []),
                    *routed,
                ]
            case MqttSubscribe(token=token, topic_filter=topic_filter, qos=qos):
                self.sessions[client_id][topic_filter] = qos
                return [(client_id, MqttSubscribed(token, qos))]
            case MqttUnsubscribe(token=token, topic_filter=topic_filter):
                self.sessions[client_id].pop(topic_filter, None)
                return [(client_id, MqttUnsubscribed(token))]

    def publish(self, topic: str, payload: bytes, qos: int) -> list[tuple[str, MqttEvent]]:
        """Publish a message of another client."""
        return self._route(None, topic, payload, qos)

    def _connect(self, client_id: str, action: MqttConnect) -> list[tuple[str, MqttEvent]]:
        present = client_id in self.sessions and not action.clean_session
        if not present:
            self.sessions[client_id] = {}
            self.kept.pop(client_id, None)
        self.connected[client_id] = action
        kept = self.kept.pop(client_id, [])
        return [
            (client_id, MqttConnected(session_present=present)),
            *((client_id, message) for message in kept),
        ]

    def _route(
        self, what: MqttPublish | Will | None, topic: str, payload: bytes, qos: int
    ) -> list[tuple[str, MqttEvent]]:
        if what is not None:
            self.published.append(what)
        events: list[tuple[str, MqttEvent]] = []
        for client_id, filters in self.sessions.items():
            granted = [limit for each, limit in filters.items() if matches(each, topic)]
            if granted:
                message = MqttMessage(topic, payload, min(qos, max(granted)))
                if client_id in self.connected:
                    events.append((client_id, message))
                elif message.qos:
                    self.kept.setdefault(client_id, []).append(message)
        return events


class World:
    """A gateway, a broker and clients, over links that lose, duplicate, delay and reorder."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        seed: int = 0,
        loss: float = 0.0,
        doubling: float = 0.0,
        delay_s: float = 0.0,
    ) -> None:
        self.now = 1000.0
        self.chance = random.Random(seed)
        self.loss, self.doubling, self.delay_s = loss, doubling, delay_s
        self.broker = Broker()
        self.config = config
        self.table: MqttSnGatewayProtocol[str] = MqttSnGatewayProtocol(config, now=self.now)
        self.clients: dict[str, MqttSnClientProtocol] = {}
        self.events: dict[str, list[MqttSnEvent]] = {}
        self.datagrams = 0
        self.reconnects = 0
        self.reconnect = True
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(self, client: MqttSnClientProtocol) -> None:
        name = client.config.client_id
        self.clients[name] = client
        self.events[name] = []

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), do))

    def do(self, name: str, effects: list[Any]) -> None:
        """Perform the effects that methods of a client returned."""
        client = self.clients[name]
        for effect in effects:
            if isinstance(effect, Packet):
                self._transmit(effect.to_bytes(), name, self._to_gateway)
                continue
            self.events[name].append(effect)
            failed = isinstance(effect, MqttSnLost) or (
                isinstance(effect, MqttSnRefused) and not effect.request
            )
            if failed and self.reconnect:
                self.reconnects += 1
                self.at(self.now + 5.0, partial(self._connect_again, client))

    def gateway(self, outputs: list[Any]) -> None:
        for output in outputs:
            match output:
                case Send(address=address, datagram=datagram):
                    self._transmit(datagram, address, self._to_client)
                case ToMqtt(client_id=client_id, action=action):
                    self.mqtt(self.broker.act(client_id, action))

    def mqtt(self, events: list[tuple[str, MqttEvent]]) -> None:
        """Let the broker answer after a short delay, in order."""
        for client_id, event in events:
            self.at(self.now + 0.001, partial(self._deliver, client_id, event))

    def _deliver(self, client_id: str, event: MqttEvent) -> None:
        self.gateway(self.table.receive_mqtt_event(client_id, event, now=self.now))

    def restart_gateway(self) -> None:
        """Restart the gateway without its state."""
        self.table = MqttSnGatewayProtocol(self.config, now=self.now)
        for client_id in list(self.broker.connected):
            self.mqtt(self.broker.act(client_id, MqttDisconnect(with_will=True)))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            times = [self._queue[0][0]] if self._queue else []
            timers = [client.get_timer() for client in self.clients.values()]
            timers.append(self.table.get_timer())
            times += [at for at in timers if at is not None]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            self.gateway(self.table.handle_timer(now=self.now))
            for name, client in self.clients.items():
                self.do(name, client.handle_timer(now=self.now))
        self.now = end

    def _connect_again(self, client: MqttSnClientProtocol) -> None:
        if client.state is ClientState.DISCONNECTED:
            self.do(client.config.client_id, [*client.connect(now=self.now)])

    def _transmit(self, datagram: bytes, name: str, arrive: Callable[[bytes, str], None]) -> None:
        copies = 1 + (self.chance.random() < self.doubling)
        for _ in range(copies):
            self.datagrams += 1
            if self.chance.random() >= self.loss:
                later = self.chance.random() * self.delay_s
                self.at(self.now + 0.001 + later, partial(arrive, datagram, name))

    def _to_gateway(self, datagram: bytes, name: str) -> None:
        self.gateway(self.table.receive_datagram(datagram, name, now=self.now))

    def _to_client(self, datagram: bytes, name: str) -> None:
        client = self.clients[name]
        self.do(name, client.receive_packet(parse_packet(datagram), now=self.now))
