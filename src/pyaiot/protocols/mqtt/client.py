# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a client of an MQTT broker (MQTT 3.1.1 section 4). Pure.

Requests and bytes from the broker go in; events, bytes for the broker and the time of the next
timer come out. `now` is the loop's time in seconds. One object serves many connections, one after
the other: after `connection_opened` there are no events of the previous connection.

Deviation from 4.4: messages that are unacknowledged when a connection ends are not sent again, even
if the session is kept. The caller is notified of the end and decides. Their packet ids are not
reused while the broker may know them.
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
"""Largest packet from the broker, in bytes. A larger one ends the connection."""
IN_FLIGHT_MAX: Final = 1000
"""Requests that the broker has not answered. Further ones are refused."""
ANSWER_LIMIT_S: Final = 20.0
"""How long the broker may take to answer a request. Then the connection is lost."""
PING_SHARE: Final = 0.75
"""PINGREQ is sent after this part of the keep-alive without a packet in one of the directions."""
_SERVER_UNAVAILABLE: Final = 3
_REASONS: Final = {  # 3.2.2.3, table 3.1
    1: "it does not accept this version of MQTT",
    2: "it rejects the client id",
    _SERVER_UNAVAILABLE: "it is not available",
    4: "it rejects the user name or password",
    5: "it rejects the client as not authorised",
}
_OF_CONNECTION: Final = 0
"""Key for CONNECT and PINGREQ, which have no packet id."""


class ConnectionRefused(PyaiotError):
    """The broker refused CONNECT. `permanent`: it would refuse the same CONNECT again."""

    def __init__(self, return_code: int) -> None:
        super().__init__(
            _REASONS.get(return_code, f"it refuses the connection with code {return_code}")
        )
        self.return_code = return_code
        self.permanent = return_code != _SERVER_UNAVAILABLE


class MqttClientProtocol:
    """One client."""

    def __init__(self) -> None:
        self.connected = False
        """CONNACK was received, and the connection has not ended."""
        self._connect = Connect("")
        self._reader = PacketReader(packet_bytes_max=PACKET_BYTES_MAX)
        self._out: list[bytes] = []
        self._awaited: dict[int, tuple[PacketType, int, float]] = {}
        """Packet id → the expected answer, the token, and when it was sent; oldest first."""
        self._packet_id = 0
        self._unfinished: set[int] = set()
        """Packet ids of publications with QoS 2 that earlier connections left unfinished."""
        self._unreleased: set[int] = set()
        """4.3.3: packet ids of received messages with QoS 2 that wait for PUBREL."""
        self._sent_at = 0.0
        self._received_at = 0.0
        self.waiting_bytes = 0
        """Bytes that `bytes_to_send` will return."""

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        ping_at = self._ping_at
        if not self._awaited:
            return ping_at
        due_at = next(iter(self._awaited.values()))[2] + ANSWER_LIMIT_S
        return due_at if ping_at is None or due_at < ping_at else ping_at

    @property
    def _ping_at(self) -> float | None:
        """When PINGREQ is due (3.1.2.10), or None."""
        keep_alive_s = self._connect.keep_alive_s
        if not keep_alive_s or _OF_CONNECTION in self._awaited:
            return None
        return min(self._sent_at, self._received_at) + PING_SHARE * keep_alive_s

    def connection_opened(self, connect: Connect, *, now: float) -> None:
        """A connection to the broker was opened: send CONNECT."""
        self.connection_closed()
        if connect.clean_session or connect.client_id != self._connect.client_id:
            self._forget()  # 3.1.2-6
        self._connect = connect
        self._reader = PacketReader(packet_bytes_max=PACKET_BYTES_MAX)
        self._received_at = now
        self._expect(_OF_CONNECTION, PacketType.CONNACK, 0, now)
        self._send(connect, now)

    def connection_closed(self) -> None:
        """The connection ended or is about to. Pending requests get no event."""
        self.connected = False
        self._unfinished.update(
            packet_id
            for packet_id, (answer, _, _) in self._awaited.items()
            if answer in (PacketType.PUBREC, PacketType.PUBCOMP)
        )
        self._awaited.clear()
        self._out.clear()
        self.waiting_bytes = 0

    def bytes_to_send(self) -> bytes:
        """The bytes to send now."""
        data = b"".join(self._out)
        self._out.clear()
        self.waiting_bytes = 0
        return data

    def publish(
        self, token: int, topic: str, payload: bytes, *, qos: int, retain: bool, now: float
    ) -> bool:
        """Send a publication; with QoS 1 and 2 `MqttPublished` follows.

        Returns False if not connected, or if `IN_FLIGHT_MAX` requests are unanswered. Raises
        `ValueError` for an invalid topic, which is a bug of the caller.
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
            self._expect(packet_id, answer, token, now)
        return True

    def subscribe(self, token: int, topic_filter: str, *, qos: int, now: float) -> bool:
        """Subscribe; `MqttSubscribed` follows. Returns False as `publish` does."""
        if not self.connected or len(self._awaited) >= IN_FLIGHT_MAX:
            return False
        packet_id = self._next_packet_id()
        self._send(Subscribe(packet_id, ((topic_filter, qos),)), now)
        self._expect(packet_id, PacketType.SUBACK, token, now)
        return True

    def unsubscribe(self, token: int, topic_filter: str, *, now: float) -> bool:
        """Unsubscribe; `MqttUnsubscribed` follows. Returns False as `publish` does."""
        if not self.connected or len(self._awaited) >= IN_FLIGHT_MAX:
            return False
        packet_id = self._next_packet_id()
        self._send(Unsubscribe(packet_id, (topic_filter,)), now)
        self._expect(packet_id, PacketType.UNSUBACK, token, now)
        return True

    def disconnect(self, *, now: float) -> None:
        """Send DISCONNECT, so that the will is not published (3.14). Then close the connection."""
        if self.connected:
            self.connected = False
            self._send(Disconnect(), now)

    def handle_timer(self, *, now: float) -> None:
        """Call it at the time of `get_timer`. Raises `LinkLost`: close the connection."""
        if self._awaited:
            answer, _, since = next(iter(self._awaited.values()))
            if now - since >= ANSWER_LIMIT_S:
                raise LinkLost(f"no {answer.name} for {ANSWER_LIMIT_S:.0f} s")
        ping_at = self._ping_at
        if self.connected and ping_at is not None and now >= ping_at:
            self._expect(_OF_CONNECTION, PacketType.PINGRESP, 0, now)
            self._send(PingReq(), now)

    def receive_bytes(self, data: bytes, *, now: float) -> Iterator[MqttEvent]:
        """Yield the events in bytes from the broker. Exhaust the iterator before the next call.

        Raises `ProtocolError` (4.8) or `ConnectionRefused` after the events before the error: close
        the connection.
        """
        self._received_at = now
        for packet in self._reader.receive_bytes(data):
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
                token = self._take_answered(packet.packet_id, packet.TYPE)
                self._unfinished.discard(packet.packet_id)
                return None if token is None else MqttPublished(token)
            case PubRec():
                self._on_pubrec(packet, now)
            case PubRel():
                self._unreleased.discard(packet.packet_id)
                self._send(PubComp(packet.packet_id), now)
            case SubAck():
                return self._on_suback(packet)
            case UnsubAck():
                token = self._take_answered(packet.packet_id, packet.TYPE)
                return None if token is None else MqttUnsubscribed(token)
            case PingResp():
                self._take_answered(_OF_CONNECTION, packet.TYPE)
            case _:
                raise ProtocolError(f"a broker does not send {packet.TYPE.name}")
        return None

    def _on_connack(self, packet: ConnAck, now: float) -> MqttConnected:
        if self._take_answered(_OF_CONNECTION, PacketType.CONNACK) is None:
            raise ProtocolError("unexpected CONNACK")
        if packet.return_code:
            raise ConnectionRefused(packet.return_code)
        if packet.session_present and self._connect.clean_session:
            raise ProtocolError(
                "CONNACK with a session after CONNECT with a clean session"
            )  # 3.2.2-1
        if not packet.session_present:
            self._forget()
        self.connected = True
        for packet_id in self._unfinished:  # release them, so that the broker forgets them
            self._send(PubRel(packet_id), now)
        return MqttConnected(packet.session_present)

    def _on_publish(self, packet: Publish, now: float) -> MqttMessage | None:
        if packet.qos == 1:
            self._send(PubAck(packet.packet_id), now)
        elif packet.qos == 2:
            self._send(PubRec(packet.packet_id), now)
            if packet.packet_id in self._unreleased:
                return None
            self._unreleased.add(packet.packet_id)
        return MqttMessage(packet.topic, packet.payload, packet.qos, packet.retain)

    def _on_pubrec(self, packet: PubRec, now: float) -> None:
        """4.3.3. An unknown packet id is released too, so that the broker forgets it."""
        token = self._take_answered(packet.packet_id, PacketType.PUBREC)
        if token is not None:
            self._expect(packet.packet_id, PacketType.PUBCOMP, token, now)
        self._send(PubRel(packet.packet_id), now)

    def _on_suback(self, packet: SubAck) -> MqttSubscribed | None:
        token = self._take_answered(packet.packet_id, PacketType.SUBACK)
        if token is None:
            return None
        if len(packet.return_codes) != 1:  # 3.8.4-5: one for each filter
            raise ProtocolError(
                f"SUBACK with {len(packet.return_codes)} codes for one topic filter"
            )
        (code,) = packet.return_codes
        return MqttSubscribed(token, None if code == SUBSCRIPTION_FAILED else code)

    def _take_answered(self, packet_id: int, answer: PacketType) -> int | None:
        """The token of the request that this answers; None if there is none."""
        awaited = self._awaited.get(packet_id)
        if awaited is None or awaited[0] is not answer:
            return None
        del self._awaited[packet_id]
        return awaited[1]

    def _expect(self, packet_id: int, answer: PacketType, token: int, now: float) -> None:
        self._awaited[packet_id] = (answer, token, now)

    def _send(self, packet: Packet, now: float) -> None:
        data = packet.to_bytes()
        self._out.append(data)
        self.waiting_bytes += len(data)
        self._sent_at = now

    def _next_packet_id(self) -> int:
        """An id that is not in use (2.3.1). There are more ids than can be in flight."""
        while True:
            self._packet_id = self._packet_id % PACKET_ID_MAX + 1
            if self._packet_id not in self._awaited and self._packet_id not in self._unfinished:
                return self._packet_id

    def _forget(self) -> None:
        """Discard the state of the session."""
        self._unfinished.clear()
        self._unreleased.clear()
