# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a gateway: assigns datagrams to the sessions of clients. Pure.

Datagrams with their addresses and events of MQTT connections go in; datagrams, actions of MQTT
connections and the time of the next timer come out. `now` is the loop's time in seconds. An address
is any hashable value; behind a forwarder (5.5) the node id is part of it.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from pyaiot.protocols.mqttsn.gateway_events import (
    Broadcast,
    ClientAddress,
    Output,
    PublishWithoutConnection,
    SavedClient,
    Send,
    ToMqtt,
)
from pyaiot.protocols.mqttsn.hosts import Host, Hosts
from pyaiot.protocols.mqttsn.mqtt import MqttEvent, MqttMessage
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
from pyaiot.protocols.mqttsn.states import CONNECTED_STATES, State
from pyaiot.protocols.mqttsn.topics import TopicIds, has_spaces, is_command

CLIENT_ID_CHARACTERS_MAX: Final = 64
"""Characters of a client id: printable, without `/`, `+` and `#`. A longer one is refused. 5.3.1
allows 23, but firmware in the field uses longer ones."""
LEFT_PEERS_MAX: Final = 256
"""Addresses of clients that left, remembered to answer a duplicate DISCONNECT. Beyond that, the
oldest is forgotten."""
STALE_TIMERS_MAX: Final = 64
"""Outdated timers in the heap, besides four per client. Beyond that, the heap is rebuilt."""

_FROM_CLIENTS: Final = (
    *(Publish, Register, RegAck, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe),
    *(PingReq, WillTopic, WillMsg, WillTopicUpd, WillMsgUpd),
)

A = TypeVar("A", bound=Hashable)


class _Client(Generic[A]):
    __slots__ = ("accounts", "changes", "host", "peer", "session", "timer_at")

    def __init__(self, session: Session, host: Hashable, accounts: tuple[Account, ...]) -> None:
        self.session = session
        self.host = host
        self.accounts = accounts
        """The accounts of its topics and of its messages."""
        self.changes = -1
        """`Session.changes` at the last call of `on_change`."""
        self.peer: ClientAddress[A] | None = None
        self.timer_at: float | None = None
        """The earliest timer of this client in the heap."""


class MqttSnGatewayProtocol(Generic[A]):
    """The clients of a gateway, with their addresses, sessions and timers."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        now: float,
        host_of: Callable[[A], Hashable] = lambda address: address,
        deadline_of: Callable[[str, bytes], float | None] = lambda _topic, _payload: None,
        on_change: Callable[[str], None] = lambda _client_id: None,
    ) -> None:
        """`host_of`: the host of an address, which has a share of the limits.

        `deadline_of`: the deadline of a command, by topic and payload; None: unknown. `on_change`
        gets the id of a client whenever the result of `save` changes.
        """
        self._config = config
        self._host_of = host_of
        self._deadline_of = deadline_of
        self._on_change = on_change
        self._hosts = Hosts(
            topic_bytes=config.topic_bytes_total_max, message_bytes=config.message_bytes_total_max
        )
        self._clients: dict[str, _Client[A]] = {}
        self._client_at: dict[ClientAddress[A], _Client[A]] = {}
        self._away: OrderedDict[str, None] = OrderedDict()
        self._left_peers: OrderedDict[ClientAddress[A], None] = OrderedDict()
        self._heap: list[tuple[float, str]] = []
        self._advertise_at = None if config.advertise_s is None else now
        self._topics = TopicIds(config.session.predefined, topics_max=0)
        self._dropped = 0
        """Messages dropped by sessions that were deleted."""

    @property
    def dropped(self) -> int:
        """Messages to and from clients that were dropped, in total."""
        return self._dropped + sum(client.session.dropped for client in self._clients.values())

    def __len__(self) -> int:
        """Clients that are connected, connecting or asleep."""
        return len(self._client_at)

    def session(self, client_id: str) -> Session | None:
        """The session of a client, also of an offline one; None if there is none."""
        client = self._clients.get(client_id)
        return None if client is None else client.session

    def is_client(self, peer: ClientAddress[A]) -> bool:
        """Whether a client at this address is connected, connecting or asleep."""
        return peer in self._client_at

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        first = self._heap[0][0] if self._heap else None
        if first is None or self._advertise_at is None:
            return self._advertise_at if first is None else first
        return min(first, self._advertise_at)

    def receive_datagram(self, datagram: bytes, address: A, *, now: float) -> list[Output[A]]:
        """Process a datagram. Raises `ProtocolError` for an invalid one: count it and continue."""
        packet = parse_packet(datagram)
        peer = ClientAddress(address)
        if isinstance(packet, Forwarded):
            peer = ClientAddress(address, packet.node_id)
            packet = packet.packet
        match packet:
            case SearchGw():
                # Deviation from 6.1: GWINFO is not broadcast but sent to the client that searches.
                # It is not longer than SEARCHGW.
                return [_send(peer, GwInfo(self._config.gateway_id))]
            case Publish(qos=-1):
                return self._publish_without_connection(packet)
            case Connect():
                return self._on_connect(packet, peer, now)
        client = self._client_at.get(peer)
        if client is None:
            return self._on_unknown_peer(packet, peer)
        if isinstance(packet, PingReq) and packet.client_id not in ("", client.session.client_id):
            return [_send(peer, Disconnect())]
        return self._perform(client, client.session.receive_packet(packet, now=now))

    def receive_mqtt_event(
        self, client_id: str, event: MqttEvent, *, now: float
    ) -> list[Output[A]]:
        """Process an event of the MQTT connection of a client."""
        client = self._clients.get(client_id)
        if client is None:
            return []
        return self._perform(client, client.session.receive_mqtt_event(event, now=now))

    def save(self, client_id: str) -> SavedClient[A] | None:
        """The client for the state file; None: it need not be saved."""
        client = self._clients.get(client_id)
        saved = None if client is None else client.session.save()
        return None if client is None or saved is None else SavedClient(client.peer, saved)

    def clients_with_messages(self) -> list[str]:
        """The ids of the clients for which messages wait."""
        return [client_id for client_id, it in self._clients.items() if len(it.session.delivery)]

    def restore(self, saved: SavedClient[A], *, now: float) -> list[Output[A]]:
        """Continue with a saved client. If there is no room, it is ignored."""
        peer, session = saved
        here = session.state in CONNECTED_STATES
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
            self._hosts.get_or_add(client.host).offline_sessions += 1
        else:
            self._arrive(client, peer)
        return self._perform(client, client.session.restore(session))

    def handle_timer(self, *, now: float) -> list[Output[A]]:
        """Call it at the time of `get_timer`; earlier calls do nothing."""
        outputs: list[Output[A]] = []
        if self._advertise_at is not None and now >= self._advertise_at:
            outputs.append(self._advertise(now))
        while self._heap and self._heap[0][0] <= now:
            at, client_id = heapq.heappop(self._heap)
            client = self._clients.get(client_id)
            if client is None or client.timer_at != at:
                continue  # replaced by an earlier timer
            client.timer_at = None
            outputs += self._perform(client, client.session.handle_timer(now=now))
        return outputs

    def _on_connect(self, packet: Connect, peer: ClientAddress[A], now: float) -> list[Output[A]]:
        if packet.protocol_id != PROTOCOL_ID or not _is_client_id(packet.client_id):
            return [_send(peer, ConnAck(ReturnCode.NOT_SUPPORTED))]
        outputs: list[Output[A]] = []
        before = self._client_at.get(peer)
        if before is not None and before.session.client_id != packet.client_id:
            # Another client uses this address: the client before is lost.
            outputs += self._perform(before, before.session.take_over())
        client = self._clients.get(packet.client_id)
        is_new_there = client is None or client.peer != peer
        if is_new_there and not self._has_room_at(peer, client):
            return [*outputs, _send(peer, ConnAck(ReturnCode.CONGESTION))]
        if client is not None and client.peer is not None and client.peer != peer:
            # MQTT 3.1.1 section 3.1.4: the new client replaces the one with the same id.
            outputs.append(_send(client.peer, Disconnect()))
            outputs += self._perform(client, client.session.change_address())
            self._leave(client, client.peer)
        if client is None:
            client = self._new_client(packet.client_id, peer.address, now)
        if client.peer is None:
            self._arrive(client, peer)
        return [*outputs, *self._perform(client, client.session.receive_packet(packet, now=now))]

    def _has_room_at(self, peer: ClientAddress[A], client: _Client[A] | None = None) -> bool:
        """Whether there is room for one more client; `client`: the same one at another address."""
        here = client is not None and client.peer is not None
        if len(self._client_at) - here >= self._config.clients_max:
            return False
        name = self._host_of(peer.address)
        host = self._hosts.get(name)
        if host is None:
            return True
        here = here and client is not None and client.host == name
        return host.clients - here < self._config.clients_per_host_max

    def _new_client(self, client_id: str, address: A | None, now: float) -> _Client[A]:
        """`address` None: unknown."""
        name = None if address is None else self._host_of(address)
        host = self._hosts.get_or_add(name)
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

    def _arrive(self, client: _Client[A], peer: ClientAddress[A]) -> None:
        client_id = client.session.client_id
        before = client.host
        if client_id in self._away:
            del self._away[client_id]
            self._hosts.get_or_add(before).offline_sessions -= 1
        client.host = self._host_of(peer.address)
        host = self._hosts.get_or_add(client.host)
        if client.host != before:
            topics, messages = client.accounts
            topics.move(host.topics)
            messages.move(host.messages)
            self._hosts.remove_if_empty(before)
        host.clients += 1
        client.peer = peer
        self._client_at[peer] = client
        self._left_peers.pop(peer, None)

    def _leave(self, client: _Client[A], peer: ClientAddress[A]) -> None:
        del self._client_at[peer]
        client.peer = None
        self._hosts.get_or_add(client.host).clients -= 1

    def _on_unknown_peer(self, packet: Packet, peer: ClientAddress[A]) -> list[Output[A]]:
        """Answer an unknown peer with DISCONNECT, so that it connects again (5.4.21).

        DISCONNECT itself is answered only to peers that were connected: two gateways must not
        answer each other for ever. Packets that only gateways send are not answered.
        """
        if isinstance(packet, Disconnect):
            return [_send(peer, Disconnect())] if peer in self._left_peers else []
        return [_send(peer, Disconnect())] if isinstance(packet, _FROM_CLIENTS) else []

    def _publish_without_connection(self, packet: Publish) -> list[Output[A]]:
        """6.8, 7.1: no connection, no registration, no answer."""
        if not self._config.publish_without_connection:
            return []
        if packet.topic_id_type is TopicIdType.NORMAL:
            return []
        topic = self._topics.name(packet.topic_id_type, packet.topic_id)
        if topic is not None and has_spaces(topic) and not self._config.session.spaces_in_topics:
            return []  # it would close the connection that all of them share
        return (
            [] if topic is None else [PublishWithoutConnection(topic, packet.data, packet.retain)]
        )

    def _advertise(self, now: float) -> Broadcast:
        interval_s = self._config.advertise_s or 0.0
        self._advertise_at = now + interval_s
        return Broadcast(Advertise(self._config.gateway_id, int(interval_s)).to_bytes())

    def _perform(self, client: _Client[A], effects: Iterable[Effect]) -> list[Output[A]]:
        """Address the effects of a session, and act on its new state."""
        outputs: list[Output[A]] = []
        for effect in effects:
            if not isinstance(effect, Packet):
                outputs.append(ToMqtt(client.session.client_id, effect))
            elif client.peer is not None:
                outputs.append(_send(client.peer, effect))
        session = client.session
        if session.state in CONNECTED_STATES or session.state is State.CONNECTING:
            timer_at = session.get_timer()
            if timer_at is not None and (client.timer_at is None or timer_at < client.timer_at):
                client.timer_at = timer_at
                self._schedule(timer_at, session.client_id)
        elif client.peer is not None:
            self._on_left(client, client.peer)
        if session.changes != client.changes:
            client.changes = session.changes
            self._on_change(session.client_id)
        return outputs

    def _schedule(self, at: float, client_id: str) -> None:
        """Add a timer. Replaced timers stay in the heap until there are too many."""
        heapq.heappush(self._heap, (at, client_id))
        if len(self._heap) > 4 * len(self._client_at) + STALE_TIMERS_MAX:
            self._heap = [
                (client.timer_at, client.session.client_id)
                for client in self._client_at.values()
                if client.timer_at is not None
            ]
            heapq.heapify(self._heap)

    def _on_left(self, client: _Client[A], peer: ClientAddress[A]) -> None:
        client_id = client.session.client_id
        client.timer_at = None
        self._leave(client, peer)
        self._left_peers[peer] = None
        while len(self._left_peers) > LEFT_PEERS_MAX:
            self._left_peers.popitem(last=False)
        host = self._hosts.get_or_add(client.host)
        if client.session.clean:
            self._forget(client_id)
            return
        self._away[client_id] = None
        host.offline_sessions += 1
        if len(self._away) > self._config.kept_max:
            self._delete_one_away()

    def _delete_one_away(self) -> None:
        """Delete the oldest session of the hosts over their share, else the oldest one."""
        share = max(1, HOST_SHARE * self._config.kept_max)
        over_share = (
            name for name in self._away if self._host_of_client(name).offline_sessions > share
        )
        oldest = next(over_share, next(iter(self._away)))
        self._host_of_client(oldest).offline_sessions -= 1
        del self._away[oldest]
        self._forget(oldest)

    def _host_of_client(self, client_id: str) -> Host:
        return self._hosts.get_or_add(self._clients[client_id].host)

    def _forget(self, client_id: str) -> None:
        client = self._clients.pop(client_id)
        self._dropped += client.session.dropped
        client.session.forget()
        self._hosts.remove_if_empty(client.host)
        self._on_change(client_id)


def _send(peer: ClientAddress[A], packet: Packet) -> Send[A]:
    if peer.node_id is not None:
        packet = Forwarded(packet, peer.node_id)
    return Send(peer.address, packet.to_bytes())


def _is_client_id(text: str) -> bool:
    """Whether it is valid. It becomes an MQTT client id and, in much firmware, a topic level."""
    return (
        0 < len(text) <= CLIENT_ID_CHARACTERS_MAX
        and text.isprintable()
        and not any(sign in text for sign in "/+#")
    )
