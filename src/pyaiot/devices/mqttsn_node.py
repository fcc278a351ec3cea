# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated MQTT-SN node. Pure.

It behaves as RIOT's emcute: REGISTER before every PUBLISH. Datagrams and `now` go in; datagrams and
the time of the next timer come out. `mqttsn_node_runner` runs it on a socket.
"""

import logging
import math
import random
from typing import Final

from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.client import MqttSnClientProtocol
from pyaiot.protocols.mqttsn.client_events import (
    ClientConfig,
    ClientState,
    MqttSnAsleep,
    MqttSnClientEffect,
    MqttSnConnected,
    MqttSnLost,
    MqttSnMessage,
    MqttSnRefused,
    MqttSnRequestDone,
)
from pyaiot.protocols.mqttsn.packet import Packet, parse_packet

CLIENT_ID_LENGTH_MAX: Final = 23
RECONNECT_S: Final = 15.0
"""Seconds between two attempts to connect. After a lost connection the first is immediate."""
RETRIES_MAX: Final = 3
WAITING_MAX: Final = 64
"""Queued requests. At the limit the node reads no sensors, like a busy board."""
STAYS_AWAKE_S: Final = 0.5
"""A sleeping node stays awake for this long after its last activity."""
SLEEP_MARGIN: Final = 3
"""The sleep duration announced to the gateway, as a multiple of the real one."""

log = logging.getLogger(__name__)


class SimulatedMqttSnNode:
    """Call `boot` first. Call `handle_timer` when `get_timer` is due.

    After each call, send what `datagrams_to_send` returns. `now` is in seconds, on any monotonic
    clock.
    """

    def __init__(self, config: MqttSnNodeConfig, *, rng: random.Random) -> None:
        """Raises `OperatorError` for a uid that is not valid in a topic."""
        self.node = TopicNode(config, rng=rng)
        self._sleep_s = config.sleep_s
        self.client = MqttSnClientProtocol(
            ClientConfig(
                client_id=self.node.uid[:CLIENT_ID_LENGTH_MAX],
                # A sleeping node must keep its subscriptions.
                clean_session=not config.sleep_s,
                retry_s=config.retry_s,
                retries_max=RETRIES_MAX,
            )
        )
        self._outbox: list[bytes] = []
        self._subscribing: set[int] = set()
        self._connect_at = math.inf
        self._sleep_at = math.inf
        self._wake_at = math.inf
        self._fetching = False
        self._waking = False

    @property
    def uid(self) -> str:
        return self.node.uid

    def boot(self, *, now: float) -> None:
        self._connect_at = now
        self.handle_timer(now=now)

    def get_timer(self) -> float | None:
        """When to call `handle_timer`; None if the node waits for nothing."""
        timer = self.client.get_timer()
        due = math.inf if timer is None else timer
        match self.client.state:
            case ClientState.DISCONNECTED:
                due = min(due, self._connect_at)
            case ClientState.ASLEEP:
                due = min(due, self._wake_at, self._node_due)
            case ClientState.ACTIVE if len(self.client) < WAITING_MAX:
                due = min(due, self._sleep_at, self._node_due)
        return due if due < math.inf else None

    @property
    def _node_due(self) -> float:
        """When the node has something to publish."""
        if self.node.has_publications:
            return -math.inf
        timer = self.node.get_timer()
        return math.inf if timer is None else timer

    def receive_datagram(self, data: bytes, *, now: float) -> list[MqttSnClientEffect]:
        """Handle a datagram of the gateway. The events that it caused."""
        try:
            packet = parse_packet(data)
        except ProtocolError as error:
            log.debug("node %s dropped a datagram: %s", self.uid, error)
            return []
        events = self._apply(self.client.receive_packet(packet, now=now), now)
        self.handle_timer(now=now)
        return events

    def handle_timer(self, *, now: float) -> None:
        """Do what is due: connect, publish, retransmit, sleep or wake up."""
        client = self.client
        timer = client.get_timer()
        if timer is not None and now >= timer:
            self._apply(client.handle_timer(now=now), now)
        match client.state:
            case ClientState.DISCONNECTED if now >= self._connect_at:
                self._connect_at = now + RECONNECT_S
                self._apply(client.connect(now=now), now)
            case ClientState.ASLEEP if now >= min(self._wake_at, self._node_due):
                # PINGREQ first: a gateway that was restarted answers that it does not know us.
                self._fetching = True
                self._wake_at = math.inf
                self._apply(client.wake(now=now), now)
            case ClientState.ACTIVE:
                self._while_active(now)

    def datagrams_to_send(self) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def publish(self, topic: str, payload: bytes, *, now: float) -> int | None:
        """Queue a publication; None if WAITING_MAX are queued.

        Returns its number, as in `MqttSnRequestDone`.
        """
        if len(self.client) >= WAITING_MAX:
            return None
        number, effects = self.client.publish(topic, payload, now=now)
        self._apply(effects, now)
        return number

    def _while_active(self, now: float) -> None:
        if len(self.client) < WAITING_MAX:
            self.node.handle_timer(now=now)
            for topic, payload, _ in self.node.publications_to_send():
                # Like a board, it drops publications that exceed its queue.
                self.publish(topic, payload, now=now)
        if not self._sleep_s:
            return
        if len(self.client) or self._sleep_at == math.inf:
            self._sleep_at = now + STAYS_AWAKE_S
        elif now >= self._sleep_at:
            self._sleep_at = math.inf
            duration_s = math.ceil(self._sleep_s * SLEEP_MARGIN)
            self._apply(self.client.sleep(duration_s, now=now), now)

    def _apply(
        self, effects: "list[MqttSnClientEffect] | list[Packet]", now: float
    ) -> list[MqttSnClientEffect]:
        """Queue packets and handle events. The events."""
        events: list[MqttSnClientEffect] = []
        for effect in effects:
            if isinstance(effect, Packet):
                self._outbox.append(effect.to_bytes())
                continue
            events.append(effect)
            match effect:
                case MqttSnConnected():
                    self._on_connected(now)
                case MqttSnAsleep():
                    self._on_asleep(now)
                case MqttSnLost():
                    self._fetching = self._waking = False
                case MqttSnMessage(topic=topic, data=data):
                    self.node.receive_publication(topic, data, now=now)
                case MqttSnRequestDone(request=request):
                    self._subscribing.discard(request)
                case MqttSnRefused(return_code=code, request=request):
                    log.warning("the gateway refused node %s with code %d", self.uid, code)
                    if request is not None:
                        self._subscribing.discard(request)
        return events

    def _on_connected(self, now: float) -> None:
        self._connect_at = now
        if self._waking:
            self._waking = False
            return
        self.node.connection_made(now=now)
        if not self._subscribing:
            for topic in self.node.subscriptions:
                number, effects = self.client.subscribe(topic, now=now)
                self._subscribing.add(number)
                self._apply(effects, now)

    def _on_asleep(self, now: float) -> None:
        self._wake_at = now + self._sleep_s
        if self._fetching:
            self._fetching = False
            if now >= self._node_due:
                self._waking = True
                self._apply(self.client.connect(now=now), now)
