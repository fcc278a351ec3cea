# SPDX-License-Identifier: BSD-3-Clause
"""A simulated MQTT-SN node that behaves as RIOT's emcute does: REGISTER before every PUBLISH.

Pure, without its socket: datagrams and `now` go in; datagrams and the next wake-up come out.
"""

import logging
import math
import random
from typing import Annotated, Final

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.client import MqttSnClientProtocol
from pyaiot.protocols.mqttsn.client_events import (
    ClientConfig,
    ClientState,
    Connected,
    Effect,
    FellAsleep,
    Lost,
    Received,
    Refused,
    RequestDone,
)
from pyaiot.protocols.mqttsn.packet import Packet, parse_packet
from pyaiot.transport.backoff import Backoff

CLIENT_ID_LENGTH_MAX: Final = 23
RECONNECT_S: Final = 15.0
"""Between two attempts to connect. The first one after a connection was lost comes at once."""
RETRIES_MAX: Final = 3
WAITING_MAX: Final = 64
"""Publications that wait for their turn. Then the node reads no sensor, as a busy board."""
STAYS_AWAKE_S: Final = 0.5
"""A node that sleeps stays awake so long after the last thing it did."""
SLEEP_MARGIN: Final = 3
"""The gateway keeps its messages for so many times as long as it sleeps."""

log = logging.getLogger(__name__)


class MqttSnNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """What a simulated MQTT-SN node is and has, and where its gateway is."""

    gateway_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Gateway: IPv4 address, IPv6 address (`fe80::1%eth0` with its interface), "
            "or host name (IPv4 first, where it has both).",
        ),
    ] = "127.0.0.1"
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the gateway.")] = (
        1885
    )
    host: Annotated[
        str,
        Meta(
            description="Own address to speak from; empty: loopback for a gateway on loopback, "
            "else every address of this machine."
        ),
    ] = ""
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Own UDP port, 1883 on boards; 0: any free port."),
    ] = 0
    retry_s: Annotated[
        float,
        Meta(ge=0.1, le=3600.0, description="Seconds after which an unanswered packet is repeated"),
    ] = 15.0
    sleep_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=20_000.0,
            description="Sleep so many seconds at a time, and fetch what the gateway kept in "
            "between; 0: stay awake.",
        ),
    ] = 0.0


class SimulatedMqttSnNode:
    """Call `boot` first. Send what `datagrams_to_send` gives, and call it again at `next_wake`.

    `now` is in seconds, on any clock that never goes back.
    """

    def __init__(self, config: MqttSnNodeConfig, *, rng: random.Random) -> None:
        """Raises `OperatorError` for a uid that cannot stand in a topic."""
        self.node = TopicNode(config, rng=rng)
        self._sleep_s = config.sleep_s
        self.client = MqttSnClientProtocol(
            ClientConfig(
                client_id=self.node.uid[:CLIENT_ID_LENGTH_MAX],
                # Who sleeps must find its subscriptions again.
                clean_session=not config.sleep_s,
                retry_s=config.retry_s,
                retries_max=RETRIES_MAX,
            )
        )
        self._outbox: list[bytes] = []
        self._subscribing: set[int] = set()
        self._connect_at = math.inf
        self._backoff = Backoff(first_s=RECONNECT_S, limit_s=RECONNECT_S, jitter=0.0)
        self._sleep_at = math.inf
        self._wake_at = math.inf
        self._fetching = False
        self._waking = False

    @property
    def uid(self) -> str:
        return self.node.uid

    def boot(self, *, now: float) -> None:
        self._connect_at = now

    @property
    def next_wake(self) -> float:
        """When `datagrams_to_send` has something to do again, if nothing is received before."""
        client = self.client
        due = client.wake_at if client.wake_at is not None else math.inf
        match client.state:
            case ClientState.DISCONNECTED:
                return min(due, self._connect_at)
            case ClientState.ASLEEP:
                return min(due, self._wake_at, self.node.next_wake)
            case ClientState.ACTIVE if len(client) < WAITING_MAX:
                return min(due, self._sleep_at, self.node.next_wake)
        return due

    def receive_datagram(self, data: bytes, *, now: float) -> list[Effect]:
        """What the client made of it, for who wants to know."""
        try:
            packet = parse_packet(data)
        except ProtocolError as error:
            log.debug("node %s drops a datagram: %s", self.uid, error)
            return []
        return self._take(self.client.received(packet, now=now), now)

    def datagrams_to_send(self, *, now: float) -> list[bytes]:
        client = self.client
        if client.wake_at is not None and now >= client.wake_at:
            self._take(client.timeout(now=now), now)
        match client.state:
            case ClientState.DISCONNECTED if now >= self._connect_at:
                self._connect_at = now + self._backoff.failed(now=now)
                self._take(client.connect(now=now), now)
            case ClientState.ASLEEP if now >= min(self._wake_at, self.node.next_wake):
                # Asked first, a gateway that was started again says that it does not know us.
                self._fetching = True
                self._wake_at = math.inf
                self._take(client.wake(now=now), now)
            case ClientState.ACTIVE:
                self._while_active(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def publish(self, topic: str, payload: bytes, *, now: float) -> int | None:
        """The number of the wish, which `RequestDone` ends; None if too many wait already."""
        if len(self.client) >= WAITING_MAX:
            return None
        number, effects = self.client.publish(topic, payload, now=now)
        self._take(effects, now)
        return number

    def _while_active(self, now: float) -> None:
        if len(self.client) < WAITING_MAX:
            for topic, payload in self.node.to_send(now=now):
                # What a board has no room for, it does not say.
                self.publish(topic, payload, now=now)
        if not self._sleep_s:
            return
        if len(self.client) or self._sleep_at == math.inf:
            self._sleep_at = now + STAYS_AWAKE_S
        elif now >= self._sleep_at:
            self._sleep_at = math.inf
            duration_s = math.ceil(self._sleep_s * SLEEP_MARGIN)
            self._take(self.client.sleep(duration_s, now=now), now)

    def _take(self, effects: "list[Effect] | list[Packet]", now: float) -> list[Effect]:
        """Packets to the outbox; what happened is acted upon and returned."""
        events: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Packet):
                self._outbox.append(effect.to_bytes())
                continue
            events.append(effect)
            match effect:
                case Connected():
                    self._on_connected(now)
                case FellAsleep():
                    self._on_asleep(now)
                case Lost():
                    self._fetching = self._waking = False
                case Received(topic=topic, data=data):
                    self.node.receive(topic, data, now=now)
                case RequestDone(wish=wish):
                    self._subscribing.discard(wish)
                case Refused(return_code=code, wish=wish):
                    log.warning("node %s was refused with code %d", self.uid, code)
                    if wish is not None:
                        self._subscribing.discard(wish)
        return events

    def _on_connected(self, now: float) -> None:
        self._connect_at = now
        if self._waking:
            self._waking = False
            return
        self.node.connected(now=now)
        if not self._subscribing:
            for topic in self.node.subscriptions:
                number, effects = self.client.subscribe(topic, now=now)
                self._subscribing.add(number)
                self._take(effects, now)

    def _on_asleep(self, now: float) -> None:
        self._wake_at = now + self._sleep_s
        if self._fetching:
            self._fetching = False
            if now >= self.node.next_wake:
                self._waking = True
                self._take(self.client.connect(now=now), now)
