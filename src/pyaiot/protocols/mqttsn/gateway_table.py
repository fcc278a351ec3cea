# SPDX-License-Identifier: BSD-3-Clause
"""The clients of a gateway: which datagram belongs to whose session. Pure.

Datagrams with their addresses and events of the clients' MQTT connections go in; datagrams,
actions of MQTT connections and "wake me at" come out. `now` is the loop's time in seconds.
An address is anything that can be a key; behind a forwarder (5.5) the node's id belongs to it.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from pyaiot.protocols.mqttsn.hosts import Host, Hosts
from pyaiot.protocols.mqttsn.memory import SavedSession
from pyaiot.protocols.mqttsn.mqtt import MqttAction, MqttEvent, MqttMessage
from pyaiot.protocols.mqttsn.numbers import PROTOCOL_ID, ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import (
    Advertise,
    ConnAck,
    Connect,
    Disconnect,
    Forwarded,
    GwInfo,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    RegAck,
    Register,
    SearchGw,
    Subscribe,
    Unsubscribe,
    WillMsg,
    WillMsgUpd,
    WillTopic,
    WillTopicUpd,
    parse_packet,
)
from pyaiot.protocols.mqttsn.publications import Effect
from pyaiot.protocols.mqttsn.session import Session
from pyaiot.protocols.mqttsn.settings import HOST_SHARE, GatewayConfig
from pyaiot.protocols.mqttsn.shares import Account
from pyaiot.protocols.mqttsn.states import HERE, State
from pyaiot.protocols.mqttsn.topics import TopicIds, has_spaces, is_command

CLIENT_ID_CHARACTERS_MAX: Final = 64
"""5.3.1 says 23; firmware in the field has longer ones. Printable, without `/`, `+` and `#`."""
GONE_MAX: Final = 256
"""Addresses of clients that left, remembered to answer a repeated DISCONNECT."""
STALE_WAKES_MAX: Final = 64
"""Outdated times in the heap before it is built anew, besides four per client."""

_FROM_CLIENTS: Final = (
    *(Publish, Register, RegAck, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe),
    *(PingReq, WillTopic, WillMsg, WillTopicUpd, WillMsgUpd),
)

A = TypeVar("A", bound=Hashable)


class Peer(NamedTuple, Generic[A]):
    """Where a client is. `node_id` is None unless a forwarder stands at the address."""

    address: A
    node_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Send(Generic[A]):
    """Send the datagram to the address."""

    address: A
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send the datagram to everybody who may look for a gateway (6.1)."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class ToMqtt:
    """Let the MQTT connection of this client do it."""

    client_id: str
    action: MqttAction


@dataclass(frozen=True, slots=True)
class PublishForAnybody:
    """Publish with QoS 0 over a connection of the gateway's own: QoS -1 (6.8)."""

    topic: str
    payload: bytes
    retain: bool


Output = Send[A] | Broadcast | ToMqtt | PublishForAnybody


class Saved(NamedTuple, Generic[A]):
    """What of a client survives a restart: where it is, if it is not away, and its session."""

    peer: Peer[A] | None
    session: SavedSession


class _Client(Generic[A]):
    __slots__ = ("accounts", "changes", "host", "peer", "session", "wakes_at")

    def __init__(self, session: Session, host: Hashable, accounts: tuple[Account, ...]) -> None:
        self.session = session
        self.host = host
        self.accounts = accounts
        """Of its topics, and of its messages."""
        self.changes = -1
        """Those of the session that `changed` was told of."""
        self.peer: Peer[A] | None = None
        self.wakes_at: float | None = None
        """The earliest entry of this client in the heap."""


class GatewayTable(Generic[A]):
    """Address → session, session → address, and who wants to be woken when."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        now: float,
        host_of: Callable[[A], Hashable] = lambda address: address,
        deadline_of: Callable[[str, bytes], float | None] = lambda _topic, _payload: None,
        changed: Callable[[str], None] = lambda _client_id: None,
    ) -> None:
        """`host_of`: whose share of the places an address takes.

        `deadline_of`: when it is too late for a command (topic and payload), None: not known.
        `changed` is told the id of each client of which `save` tells something else now.
        """
        self._config = config
        self._host_of = host_of
        self._deadline_of = deadline_of
        self._changed = changed
        self._hosts = Hosts(
            topic_bytes=config.topic_bytes_total_max, message_bytes=config.message_bytes_total_max
        )
        self._clients: dict[str, _Client[A]] = {}
        self._client_at: dict[Peer[A], _Client[A]] = {}
        self._away: OrderedDict[str, None] = OrderedDict()
        self._gone: OrderedDict[Peer[A], None] = OrderedDict()
        self._heap: list[tuple[float, str]] = []
        self._advertise_at = None if config.advertise_s is None else now
        self._topics = TopicIds(config.session.predefined, topics_max=0)
        self._dropped = 0
        """By sessions that are forgotten."""

    @property
    def dropped(self) -> int:
        """Messages for and of clients that were dropped, ever."""
        return self._dropped + sum(client.session.dropped for client in self._clients.values())

    def __len__(self) -> int:
        """Clients that are connected, connecting or asleep."""
        return len(self._client_at)

    def session(self, client_id: str) -> Session | None:
        """The session of a client, also of one that is away and has one kept."""
        client = self._clients.get(client_id)
        return None if client is None else client.session

    def is_client(self, peer: Peer[A]) -> bool:
        """Whether a client that is connected, connecting or asleep is there."""
        return peer in self._client_at

    @property
    def wake_at(self) -> float | None:
        """When `timeout` wants to be called, or None."""
        first = self._heap[0][0] if self._heap else None
        if first is None or self._advertise_at is None:
            return self._advertise_at if first is None else first
        return min(first, self._advertise_at)

    def received(self, datagram: bytes, address: A, *, now: float) -> list[Output[A]]:
        """Raises `ProtocolError` for a datagram that is no packet: count it and go on."""
        packet = parse_packet(datagram)
        peer = Peer(address)
        if isinstance(packet, Forwarded):
            peer = Peer(address, packet.node_id)
            packet = packet.packet
        match packet:
            case SearchGw():
                # 6.1 has GWINFO broadcast; it goes to who asks, and is no longer than the question.
                return [_send(peer, GwInfo(self._config.gateway_id))]
            case Publish(qos=-1):
                return self._publish_for_anybody(packet)
            case Connect():
                return self._on_connect(packet, peer, now)
        client = self._client_at.get(peer)
        if client is None:
            return self._on_stranger(packet, peer)
        if isinstance(packet, PingReq) and packet.client_id not in ("", client.session.client_id):
            return [_send(peer, Disconnect())]
        return self._carry_out(client, client.session.received(packet, now=now))

    def mqtt(self, client_id: str, event: MqttEvent, *, now: float) -> list[Output[A]]:
        """An event of a client's MQTT connection."""
        client = self._clients.get(client_id)
        if client is None:
            return []
        return self._carry_out(client, client.session.mqtt(event, now=now))

    def save(self, client_id: str) -> Saved[A] | None:
        """What of a client a gateway that starts again must know; None: nothing."""
        client = self._clients.get(client_id)
        saved = None if client is None else client.session.save()
        return None if client is None or saved is None else Saved(client.peer, saved)

    def restore(self, saved: Saved[A], *, now: float) -> list[Output[A]]:
        """Go on with a client of which `save` told; without the client, if there is no room."""
        peer, session = saved
        here = session.state in HERE
        if session.client_id in self._clients or not _is_client_id(session.client_id):
            return []
        if here is (peer is None) or (not here and session.clean):
            return []
        if peer is not None and (peer in self._client_at or not self._has_room_at(peer)):
            return []
        if not here and len(self._away) >= self._config.kept_max:
            return []
        client = self._new_client(session.client_id, None if peer is None else peer.address, now)
        if peer is None:
            self._away[session.client_id] = None
            self._hosts.of(client.host).kept += 1
        else:
            self._arrive(client, peer)
        return self._carry_out(client, client.session.restore(session))

    def timeout(self, *, now: float) -> list[Output[A]]:
        """Call it when `wake_at` has come; earlier calls do nothing."""
        outputs: list[Output[A]] = []
        if self._advertise_at is not None and now >= self._advertise_at:
            outputs.append(self._advertise(now))
        while self._heap and self._heap[0][0] <= now:
            at, client_id = heapq.heappop(self._heap)
            client = self._clients.get(client_id)
            if client is None or client.wakes_at != at:
                continue  # it was asked for before something earlier was
            client.wakes_at = None
            outputs += self._carry_out(client, client.session.timeout(now=now))
        return outputs

    def _on_connect(self, packet: Connect, peer: Peer[A], now: float) -> list[Output[A]]:
        if packet.protocol_id != PROTOCOL_ID or not _is_client_id(packet.client_id):
            return [_send(peer, ConnAck(ReturnCode.NOT_SUPPORTED))]
        outputs: list[Output[A]] = []
        before = self._client_at.get(peer)
        if before is not None and before.session.client_id != packet.client_id:
            # Another client at this address: the one before is not there any more.
            outputs += self._carry_out(before, before.session.take_over())
        client = self._clients.get(packet.client_id)
        is_new_there = client is None or client.peer != peer
        if is_new_there and not self._has_room_at(peer, client):
            return [*outputs, _send(peer, ConnAck(ReturnCode.CONGESTION))]
        if client is not None and client.peer is not None and client.peer != peer:
            # MQTT 3.1.1 section 3.1.4: who connects takes the client id from who has it.
            outputs.append(_send(client.peer, Disconnect()))
            outputs += self._carry_out(client, client.session.moved())
            self._leave(client, client.peer)
        if client is None:
            client = self._new_client(packet.client_id, peer.address, now)
        if client.peer is None:
            self._arrive(client, peer)
        return [*outputs, *self._carry_out(client, client.session.received(packet, now=now))]

    def _has_room_at(self, peer: Peer[A], client: _Client[A] | None = None) -> bool:
        """Whether one more may be there; `client` may be here already, at another address."""
        here = client is not None and client.peer is not None
        if len(self._client_at) - here >= self._config.clients_max:
            return False
        name = self._host_of(peer.address)
        host = self._hosts.known(name)
        if host is None:
            return True
        here = here and client is not None and client.host == name
        return host.clients - here < self._config.clients_per_host_max

    def _new_client(self, client_id: str, address: A | None, now: float) -> _Client[A]:
        """`address` None: nobody knows from where."""
        name = None if address is None else self._host_of(address)
        host = self._hosts.of(name)
        topics, messages = Account(host.topics), Account(host.messages)
        session = Session(
            client_id,
            self._config.session,
            now=now,
            topics=topics,
            messages=messages,
            deadline_of=self._deadline,
        )
        client = self._clients[client_id] = _Client(session, name, (topics, messages))
        return client

    def _deadline(self, message: MqttMessage, now: float) -> float:
        deadline = self._deadline_of(message.topic, message.payload)
        if deadline is not None:
            return deadline
        limit_s = self._config.command_s_max
        if limit_s is None or message.qos or not is_command(message.topic):
            return math.inf
        return now + limit_s

    def _arrive(self, client: _Client[A], peer: Peer[A]) -> None:
        client_id = client.session.client_id
        before = client.host
        if client_id in self._away:
            del self._away[client_id]
            self._hosts.of(before).kept -= 1
        client.host = self._host_of(peer.address)
        host = self._hosts.of(client.host)
        if client.host != before:
            topics, messages = client.accounts
            topics.move(host.topics)
            messages.move(host.messages)
            self._hosts.tidy(before)
        host.clients += 1
        client.peer = peer
        self._client_at[peer] = client
        self._gone.pop(peer, None)

    def _leave(self, client: _Client[A], peer: Peer[A]) -> None:
        del self._client_at[peer]
        client.peer = None
        self._hosts.of(client.host).clients -= 1

    def _on_stranger(self, packet: Packet, peer: Peer[A]) -> list[Output[A]]:
        """5.4.21: who is not known is told so, and connects again.

        DISCONNECT itself is answered to those who were here: two gateways must not tell each
        other for ever. What only gateways send is not answered at all.
        """
        if isinstance(packet, Disconnect):
            return [_send(peer, Disconnect())] if peer in self._gone else []
        return [_send(peer, Disconnect())] if isinstance(packet, _FROM_CLIENTS) else []

    def _publish_for_anybody(self, packet: Publish) -> list[Output[A]]:
        """6.8, 7.1: no connection, no registration, no answer."""
        if not self._config.publish_without_connection:
            return []
        if packet.topic_id_type is TopicIdType.NORMAL:
            return []
        topic = self._topics.name(packet.topic_id_type, packet.topic_id)
        if topic is not None and has_spaces(topic) and not self._config.session.spaces_in_topics:
            return []  # the connection is that of all who publish so
        return [] if topic is None else [PublishForAnybody(topic, packet.data, packet.retain)]

    def _advertise(self, now: float) -> Broadcast:
        interval_s = self._config.advertise_s or 0.0
        self._advertise_at = now + interval_s
        return Broadcast(Advertise(self._config.gateway_id, int(interval_s)).to_bytes())

    def _carry_out(self, client: _Client[A], effects: Iterable[Effect]) -> list[Output[A]]:
        """Address what a session wants, and look at what became of it."""
        outputs: list[Output[A]] = []
        for effect in effects:
            if not isinstance(effect, Packet):
                outputs.append(ToMqtt(client.session.client_id, effect))
            elif client.peer is not None:
                outputs.append(_send(client.peer, effect))
        session = client.session
        if session.state in HERE or session.state is State.CONNECTING:
            wake_at = session.wake_at
            if wake_at is not None and (client.wakes_at is None or wake_at < client.wakes_at):
                client.wakes_at = wake_at
                self._wake(wake_at, session.client_id)
        elif client.peer is not None:
            self._left(client, client.peer)
        if session.changes != client.changes:
            client.changes = session.changes
            self._changed(session.client_id)
        return outputs

    def _wake(self, at: float, client_id: str) -> None:
        """Entries that something earlier replaced stay in the heap, but not without limit."""
        heapq.heappush(self._heap, (at, client_id))
        if len(self._heap) > 4 * len(self._client_at) + STALE_WAKES_MAX:
            self._heap = [
                (client.wakes_at, client.session.client_id)
                for client in self._client_at.values()
                if client.wakes_at is not None
            ]
            heapq.heapify(self._heap)

    def _left(self, client: _Client[A], peer: Peer[A]) -> None:
        client_id = client.session.client_id
        client.wakes_at = None
        self._leave(client, peer)
        self._gone[peer] = None
        while len(self._gone) > GONE_MAX:
            self._gone.popitem(last=False)
        host = self._hosts.of(client.host)
        if client.session.clean:
            self._forget(client_id)
            return
        self._away[client_id] = None
        host.kept += 1
        if len(self._away) > self._config.kept_max:
            self._forget_one_away()

    def _forget_one_away(self) -> None:
        """The oldest one of the hosts that have more than their share goes, else the oldest."""
        share = max(1, HOST_SHARE * self._config.kept_max)
        greedy = (each for each in self._away if self._host_of_client(each).kept > share)
        oldest = next(greedy, next(iter(self._away)))
        self._host_of_client(oldest).kept -= 1
        del self._away[oldest]
        self._forget(oldest)

    def _host_of_client(self, client_id: str) -> Host:
        return self._hosts.of(self._clients[client_id].host)

    def _forget(self, client_id: str) -> None:
        client = self._clients.pop(client_id)
        self._dropped += client.session.dropped
        client.session.forget()
        self._hosts.tidy(client.host)
        self._changed(client_id)


def _send(peer: Peer[A], packet: Packet) -> Send[A]:
    if peer.node_id is not None:
        packet = Forwarded(packet, peer.node_id)
    return Send(peer.address, packet.to_bytes())


def _is_client_id(text: str) -> bool:
    """A client id becomes an MQTT client id, and in many firmwares a level of topics."""
    return (
        0 < len(text) <= CLIENT_ID_CHARACTERS_MAX
        and text.isprintable()
        and not any(sign in text for sign in "/+#")
    )
