# SPDX-License-Identifier: BSD-3-Clause
"""The machine of a client of an MQTT broker (MQTT 3.1.1 section 4). Pure.

Wishes and bytes of the broker go in; events, bytes for the broker and "wake me at" come out. `now`
is the loop's time in seconds. It lives through many connections, one after the other: after each
`opened`, nothing of the one before is told.

What is not acknowledged when a connection ends is not sent again by itself, which 4.4 asks for
where the session is kept: whoever published it is told of the end and knows best. Its packet id is
not used again while the broker may know it.
"""

from collections.abc import Iterator
from typing import Final

from pyaiot.errors import LinkLost, ProtocolError, PyaiotError
from pyaiot.protocols.mqtt.events import (
    MqttConnected,
    MqttEvent,
    MqttMessage,
    MqttPublished,
    MqttSubscribed,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqtt.packet import PACKET_ID_MAX, Packet, PacketReader, PacketType
from pyaiot.protocols.mqtt.packets import (
    SUBSCRIPTION_FAILED,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

PACKET_BYTES_MAX: Final = 256 * 1024
"""Bytes of a packet of the broker. With more, the connection ends."""
IN_FLIGHT_MAX: Final = 1000
"""Wishes that the broker has not answered. One more is refused."""
ANSWER_LIMIT_S: Final = 20.0
"""A broker that owes an answer for so long has lost us."""
PING_SHARE: Final = 0.75
"""The part of the keep-alive after which PINGREQ goes out, if nothing went or came."""
_SERVER_UNAVAILABLE: Final = 3
_REASONS: Final = {  # 3.2.2.3, table 3.1
    1: "it speaks another version of MQTT",
    2: "it refuses the client id",
    _SERVER_UNAVAILABLE: "it is not available",
    4: "it refuses user or password",
    5: "it does not let us in",
}
_OF_CONNECTION: Final = 0
"""In place of a packet id, which is never 0: for CONNECT and PINGREQ."""


class ConnectionRefused(PyaiotError):
    """The broker's CONNACK says no. `for_ever`: to ask again, unchanged, is no use."""

    def __init__(self, return_code: int) -> None:
        super().__init__(_REASONS.get(return_code, f"it refuses us with code {return_code}"))
        self.return_code = return_code
        self.for_ever = return_code != _SERVER_UNAVAILABLE


class MqttClientProtocol:
    """One client id."""

    def __init__(self) -> None:
        self.connected = False
        """CONNACK came, and the connection has not ended."""
        self._connect = Connect("")
        self._reader = PacketReader(packet_bytes_max=PACKET_BYTES_MAX)
        self._out: list[bytes] = []
        self._awaited: dict[int, tuple[PacketType, int, float]] = {}
        """Packet id → the answer that is due, the token, and since when; the oldest first."""
        self._packet_id = 0
        self._left_open: set[int] = set()
        """Publications of QoS 2 that earlier connections did not bring to their end."""
        self._held: set[int] = set()
        """4.3.3: messages of QoS 2 that were told and wait for PUBREL."""
        self._sent_at = 0.0
        self._heard_at = 0.0
        self.waiting_bytes = 0
        """Of what `take` will give."""

    @property
    def wake_at(self) -> float | None:
        """When `timeout` wants to be called, or None."""
        ping_at = self._ping_at
        if not self._awaited:
            return ping_at
        due_at = next(iter(self._awaited.values()))[2] + ANSWER_LIMIT_S
        return due_at if ping_at is None or due_at < ping_at else ping_at

    @property
    def _ping_at(self) -> float | None:
        """3.1.2.10: when nothing went, or nothing came, for a while."""
        keep_alive_s = self._connect.keep_alive_s
        if not keep_alive_s or _OF_CONNECTION in self._awaited:
            return None
        return min(self._sent_at, self._heard_at) + PING_SHARE * keep_alive_s

    def opened(self, connect: Connect, *, now: float) -> None:
        """There is a new connection to the broker: say CONNECT."""
        self.ended()
        if connect.clean_session or connect.client_id != self._connect.client_id:
            self._forget()  # 3.1.2-6
        self._connect = connect
        self._reader = PacketReader(packet_bytes_max=PACKET_BYTES_MAX)
        self._heard_at = now
        self._await(_OF_CONNECTION, PacketType.CONNACK, 0, now)
        self._send(connect, now)

    def ended(self) -> None:
        """The connection ended, or is to end. What waits for an answer gets none."""
        self.connected = False
        self._left_open.update(
            packet_id
            for packet_id, (answer, _, _) in self._awaited.items()
            if answer in (PacketType.PUBREC, PacketType.PUBCOMP)
        )
        self._awaited.clear()
        self._out.clear()
        self.waiting_bytes = 0

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        self.waiting_bytes = 0
        return data

    def publish(
        self, token: int, topic: str, payload: bytes, *, qos: int, retain: bool, now: float
    ) -> bool:
        """`MqttPublished` comes for QoS 1 and 2. False: not connected, or too many in flight.

        Raises `ValueError` for what is no topic: that is our mistake.
        """
        if not self.connected:
            return False
        packet_id = 0
        if qos:
            if len(self._awaited) >= IN_FLIGHT_MAX:
                return False
            packet_id = self._next_packet_id()
        packet = Publish(topic, payload, qos, retain, packet_id)
        self._send(packet, now)
        if qos:
            answer = PacketType.PUBACK if qos == 1 else PacketType.PUBREC
            self._await(packet_id, answer, token, now)
        return True

    def subscribe(self, token: int, topic_filter: str, *, qos: int, now: float) -> bool:
        """`MqttSubscribed` comes. False as with `publish`."""
        if not self.connected or len(self._awaited) >= IN_FLIGHT_MAX:
            return False
        packet_id = self._next_packet_id()
        self._send(Subscribe(packet_id, ((topic_filter, qos),)), now)
        self._await(packet_id, PacketType.SUBACK, token, now)
        return True

    def unsubscribe(self, token: int, topic_filter: str, *, now: float) -> bool:
        """`MqttUnsubscribed` comes. False as with `publish`."""
        if not self.connected or len(self._awaited) >= IN_FLIGHT_MAX:
            return False
        packet_id = self._next_packet_id()
        self._send(Unsubscribe(packet_id, (topic_filter,)), now)
        self._await(packet_id, PacketType.UNSUBACK, token, now)
        return True

    def disconnect(self, *, now: float) -> None:
        """3.14: say goodbye, so that the will is not published. End the connection then."""
        if self.connected:
            self.connected = False
            self._send(Disconnect(), now)

    def timeout(self, *, now: float) -> None:
        """Call it when `wake_at` has come. Raises `LinkLost`: end the connection."""
        if self._awaited:
            answer, _, since = next(iter(self._awaited.values()))
            if now - since >= ANSWER_LIMIT_S:
                raise LinkLost(f"no {answer.name} for {ANSWER_LIMIT_S:.0f} s")
        ping_at = self._ping_at
        if self.connected and ping_at is not None and now >= ping_at:
            self._await(_OF_CONNECTION, PacketType.PINGRESP, 0, now)
            self._send(PingReq(), now)

    def received(self, data: bytes, *, now: float) -> Iterator[MqttEvent]:
        """Bytes of the broker: take all the events before anything else is received.

        Raises, after the events before it, `ProtocolError` (4.8) or `ConnectionRefused`: end the
        connection.
        """
        self._heard_at = now
        for packet in self._reader.feed(data):
            event = self._on_packet(packet, now)
            if event is not None:
                yield event

    def _on_packet(self, packet: Packet, now: float) -> MqttEvent | None:
        if isinstance(packet, ConnAck):
            return self._on_connack(packet, now)
        if not self.connected and _OF_CONNECTION in self._awaited:
            raise ProtocolError(f"{packet.TYPE.name} before CONNACK")  # 3.2.0-1
        match packet:
            case Publish():
                return self._on_publish(packet, now)
            case PubAck() | PubComp():
                token = self._answered(packet.packet_id, packet.TYPE)
                self._left_open.discard(packet.packet_id)
                return None if token is None else MqttPublished(token)
            case PubRec():
                self._on_pubrec(packet, now)
            case PubRel():
                self._held.discard(packet.packet_id)
                self._send(PubComp(packet.packet_id), now)
            case SubAck():
                return self._on_suback(packet)
            case UnsubAck():
                token = self._answered(packet.packet_id, packet.TYPE)
                return None if token is None else MqttUnsubscribed(token)
            case PingResp():
                self._answered(_OF_CONNECTION, packet.TYPE)
            case _:
                raise ProtocolError(f"{packet.TYPE.name} is for brokers")
        return None

    def _on_connack(self, packet: ConnAck, now: float) -> MqttConnected:
        if self._answered(_OF_CONNECTION, PacketType.CONNACK) is None:
            raise ProtocolError("CONNACK that nobody asked for")
        if packet.return_code:
            raise ConnectionRefused(packet.return_code)
        if packet.session_present and self._connect.clean_session:
            raise ProtocolError("a session where none was asked for")  # 3.2.2-1
        if not packet.session_present:
            self._forget()
        self.connected = True
        for packet_id in self._left_open:  # its publication is told again, if at all, as another
            self._send(PubRel(packet_id), now)
        return MqttConnected(packet.session_present)

    def _on_publish(self, packet: Publish, now: float) -> MqttMessage | None:
        if packet.qos == 1:
            self._send(PubAck(packet.packet_id), now)
        elif packet.qos == 2:
            self._send(PubRec(packet.packet_id), now)
            if packet.packet_id in self._held:
                return None
            self._held.add(packet.packet_id)
        return MqttMessage(packet.topic, packet.payload, packet.qos, packet.retain)

    def _on_pubrec(self, packet: PubRec, now: float) -> None:
        """4.3.3: also one that is not known any more is released, so that the broker forgets it."""
        token = self._answered(packet.packet_id, PacketType.PUBREC)
        if token is not None:
            self._await(packet.packet_id, PacketType.PUBCOMP, token, now)
        self._send(PubRel(packet.packet_id), now)

    def _on_suback(self, packet: SubAck) -> MqttSubscribed | None:
        token = self._answered(packet.packet_id, PacketType.SUBACK)
        if token is None:
            return None
        if len(packet.return_codes) != 1:  # 3.8.4-5: one for each filter
            raise ProtocolError(f"SUBACK with {len(packet.return_codes)} codes for one filter")
        (code,) = packet.return_codes
        return MqttSubscribed(token, None if code == SUBSCRIPTION_FAILED else code)

    def _answered(self, packet_id: int, answer: PacketType) -> int | None:
        """The token of what this answers, or None: nobody waits for it."""
        awaited = self._awaited.get(packet_id)
        if awaited is None or awaited[0] is not answer:
            return None
        del self._awaited[packet_id]
        return awaited[1]

    def _await(self, packet_id: int, answer: PacketType, token: int, now: float) -> None:
        self._awaited[packet_id] = (answer, token, now)

    def _send(self, packet: Packet, now: float) -> None:
        data = packet.to_bytes()
        self._out.append(data)
        self.waiting_bytes += len(data)
        self._sent_at = now

    def _next_packet_id(self) -> int:
        """2.3.1: one that is not in use. There are more than can be in flight."""
        while True:
            self._packet_id = self._packet_id % PACKET_ID_MAX + 1
            if self._packet_id not in self._awaited and self._packet_id not in self._left_open:
                return self._packet_id

    def _forget(self) -> None:
        """A new session begins."""
        self._left_open.clear()
        self._held.clear()
