# SPDX-License-Identifier: BSD-3-Clause
"""The packets of MQTT 3.1.1 section 3, with `from_bytes` and `to_bytes`."""

from typing import ClassVar, Final, Self

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.packet import (
    Packet,
    PacketType,
    binary_at,
    binary_bytes,
    packet_id_at,
    packet_id_bytes,
    text_at,
    text_bytes,
    two_bytes,
    uint16,
)

PROTOCOL_NAME: Final = "MQTT"
PROTOCOL_LEVEL: Final = 4  # 3.1.2.2
SUBSCRIPTION_FAILED: Final = 0x80  # 3.9.3


class Will(msgspec.Struct, frozen=True, gc=False):
    """The message that the broker publishes when the client is lost (3.1.2.5)."""

    topic: str
    message: bytes = b""
    qos: int = 0
    retain: bool = False


class Connect(Packet, frozen=True, gc=False):
    """3.1. `keep_alive_s` is 0 (off) to 65,535; an empty client id requires a clean session."""

    TYPE = PacketType.CONNECT
    client_id: str
    clean_session: bool = True
    keep_alive_s: int = 0
    will: Will | None = None
    user: str | None = None
    password: bytes | None = None

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        name, at = text_at(body, 0)
        if name != PROTOCOL_NAME or body[at : at + 1] != bytes((PROTOCOL_LEVEL,)):
            raise ProtocolError("not MQTT 3.1.1")
        if len(body) < at + 4:
            raise ProtocolError("the packet ends within its fields")
        flags = body[at + 1]
        qos = flags >> 3 & 3
        # 3.1.2: the reserved bit, QoS 3, will flags without a will, password without user
        if flags & 1 or qos == 3 or (not flags & 4 and flags & 0x38) or flags & 0xC0 == 0x40:
            raise ProtocolError(f"CONNECT with invalid flags {flags:08b}")
        keep_alive_s = uint16(body, at + 2)
        client_id, at = text_at(body, at + 4)
        will = user = password = None
        if flags & 4:
            topic, at = text_at(body, at)
            message, at = binary_at(body, at)
            will = Will(topic, message, qos, bool(flags & 0x20))
        if flags & 0x80:
            user, at = text_at(body, at)
        if flags & 0x40:
            password, at = binary_at(body, at)
        _check_end(cls.TYPE, body, at)
        return cls(client_id, bool(flags & 2), keep_alive_s, will, user, password)

    def _body(self) -> bytes:
        will = self.will
        if self.password is not None and self.user is None:  # 3.1.2-22
            raise ValueError("a password without a user")
        if not self.client_id and not self.clean_session:  # 3.1.3-7
            raise ValueError("an empty client id without a clean session")
        flags = self.clean_session << 1
        fields = [text_bytes(self.client_id)]
        if will is not None:
            flags |= 4 | will.qos << 3 | will.retain << 5
            fields += (text_bytes(will.topic), binary_bytes(will.message))
        if self.user is not None:
            flags |= 0x80
            fields.append(text_bytes(self.user))
        if self.password is not None:
            flags |= 0x40
            fields.append(binary_bytes(self.password))
        head = text_bytes(PROTOCOL_NAME) + bytes((PROTOCOL_LEVEL, flags))
        return head + two_bytes(self.keep_alive_s) + b"".join(fields)


class ConnAck(Packet, frozen=True, gc=False):
    """3.2. With a return code other than 0 the connection is refused (table 3.1)."""

    TYPE = PacketType.CONNACK
    session_present: bool = False
    return_code: int = 0

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        # 3.2.2.1: bits 7–1 are reserved; 3.2.2-4: a refusal has no session
        if len(body) != 2 or body[0] > 1 or (body[0] and body[1]):
            raise ProtocolError(f"invalid CONNACK {body.hex()}")
        return cls(bool(body[0]), body[1])

    def _body(self) -> bytes:
        return bytes((self.session_present, self.return_code))


class Publish(Packet, frozen=True, gc=False):
    """3.3. With QoS 0 `packet_id` is 0, which is not sent."""

    TYPE = PacketType.PUBLISH
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    dup: bool = False

    @classmethod
    def _from_wire(cls, flags: int, body: bytes) -> Self:
        qos = flags >> 1 & 3
        if qos == 3:  # 3.3.1-4
            raise ProtocolError("PUBLISH with QoS 3")
        if flags & 8 and not qos:  # 3.3.1-2
            raise ProtocolError("PUBLISH with DUP and QoS 0")
        topic, at = text_at(body, 0)
        if not topic or "+" in topic or "#" in topic:  # 3.3.2-2, 4.7.3-1
            raise ProtocolError("PUBLISH to an invalid topic")
        packet_id = 0
        if qos:
            packet_id = packet_id_at(body, at)
            at += 2
        return cls(topic, body[at:], qos, bool(flags & 1), packet_id, bool(flags & 8))

    def _flags(self) -> int:
        return self.dup << 3 | self.qos << 1 | self.retain

    def _body(self) -> bytes:
        topic = self.topic
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(f"{topic!r} is not a topic")
        if self.qos:
            return text_bytes(self.topic) + packet_id_bytes(self.packet_id) + self.payload
        return text_bytes(self.topic) + self.payload


class _Acknowledgement(Packet, frozen=True, gc=False):
    """A packet with a packet id only."""

    packet_id: int

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        if len(body) != 2:
            raise ProtocolError(f"{cls.TYPE.name} has {len(body)} bytes instead of 2")
        return cls(packet_id_at(body, 0))

    def _body(self) -> bytes:
        return packet_id_bytes(self.packet_id)


class PubAck(_Acknowledgement, frozen=True, gc=False):
    """3.4."""

    TYPE = PacketType.PUBACK


class PubRec(_Acknowledgement, frozen=True, gc=False):
    """3.5."""

    TYPE = PacketType.PUBREC


class PubRel(_Acknowledgement, frozen=True, gc=False):
    """3.6."""

    TYPE = PacketType.PUBREL
    FLAGS: ClassVar[int] = 0b0010  # 3.6.1-1


class PubComp(_Acknowledgement, frozen=True, gc=False):
    """3.7."""

    TYPE = PacketType.PUBCOMP


class Subscribe(Packet, frozen=True, gc=False):
    """3.8. Topic filters, each with the requested QoS."""

    TYPE = PacketType.SUBSCRIBE
    FLAGS: ClassVar[int] = 0b0010  # 3.8.1-1
    packet_id: int
    filters: tuple[tuple[str, int], ...]

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        packet_id, at = packet_id_at(body, 0), 2
        filters = []
        while at < len(body):
            topic_filter, at = text_at(body, at)
            if at >= len(body) or body[at] > 2:  # 3-8.3-4
                raise ProtocolError("SUBSCRIBE with an invalid QoS")
            filters.append((topic_filter, body[at]))
            at += 1
        if not filters:  # 3.8.3-3
            raise ProtocolError("SUBSCRIBE without a topic filter")
        return cls(packet_id, tuple(filters))

    def _body(self) -> bytes:
        filters = b"".join(text_bytes(text) + bytes((qos,)) for text, qos in self.filters)
        return packet_id_bytes(self.packet_id) + filters


class SubAck(Packet, frozen=True, gc=False):
    """3.9. The granted QoS of each filter, or `SUBSCRIPTION_FAILED`."""

    TYPE = PacketType.SUBACK
    packet_id: int
    return_codes: tuple[int, ...]

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        packet_id = packet_id_at(body, 0)
        codes = tuple(body[2:])
        if not codes or any(code not in (0, 1, 2, SUBSCRIPTION_FAILED) for code in codes):
            raise ProtocolError(f"SUBACK with invalid codes {body[2:].hex()}")  # 3.9.3-2
        return cls(packet_id, codes)

    def _body(self) -> bytes:
        return packet_id_bytes(self.packet_id) + bytes(self.return_codes)


class Unsubscribe(Packet, frozen=True, gc=False):
    """3.10."""

    TYPE = PacketType.UNSUBSCRIBE
    FLAGS: ClassVar[int] = 0b0010  # 3.10.1-1
    packet_id: int
    filters: tuple[str, ...]

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        packet_id, at = packet_id_at(body, 0), 2
        filters = []
        while at < len(body):
            topic_filter, at = text_at(body, at)
            filters.append(topic_filter)
        if not filters:  # 3.10.3-2
            raise ProtocolError("UNSUBSCRIBE without a topic filter")
        return cls(packet_id, tuple(filters))

    def _body(self) -> bytes:
        return packet_id_bytes(self.packet_id) + b"".join(map(text_bytes, self.filters))


class UnsubAck(_Acknowledgement, frozen=True, gc=False):
    """3.11."""

    TYPE = PacketType.UNSUBACK


class PingReq(Packet, frozen=True, gc=False):
    """3.12."""

    TYPE = PacketType.PINGREQ


class PingResp(Packet, frozen=True, gc=False):
    """3.13."""

    TYPE = PacketType.PINGRESP


class Disconnect(Packet, frozen=True, gc=False):
    """3.14. The broker discards the will."""

    TYPE = PacketType.DISCONNECT


def _check_end(kind: PacketType, body: bytes, at: int) -> None:
    if at != len(body):
        raise ProtocolError(f"{kind.name} has {len(body) - at} bytes too many")
