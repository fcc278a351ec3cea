# SPDX-License-Identifier: BSD-3-Clause
"""The packets of MQTT-SN 1.2 section 5.4, with `from_bytes` and `to_bytes`.

`parse_packet` picks the class. Pure: the caller interprets the packets.
"""

from typing import Final, Self

from pyaiot.protocols.mqttsn.numbers import (
    NO_MESSAGE_ID,
    NO_TOPIC_ID,
    PROTOCOL_ID,
    Flag,
    PacketType,
    ReturnCode,
    TopicIdType,
)
from pyaiot.protocols.mqttsn.packet import (
    QOS_OF_BITS,
    Forwarded,
    Packet,
    check_length,
    flags_of,
    parse_packet,
    qos_of,
    text,
    topic_id_type_of,
    two_bytes,
    uint16,
)

__all__ = ["Forwarded", "Packet", "parse_packet"]


class Advertise(Packet, frozen=True, gc=False):
    """5.4.1. `duration_s`: time until the next ADVERTISE."""

    TYPE = PacketType.ADVERTISE
    gateway_id: int
    duration_s: int

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 3, 3)
        return cls(body[0], uint16(body, 1))

    def _body(self) -> bytes:
        return bytes((self.gateway_id,)) + two_bytes(self.duration_s)


class SearchGw(Packet, frozen=True, gc=False):
    """5.4.2. `radius` 0: the whole network."""

    TYPE = PacketType.SEARCHGW
    radius: int = 0

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 1, 1)
        return cls(body[0])

    def _body(self) -> bytes:
        return bytes((self.radius,))


class GwInfo(Packet, frozen=True, gc=False):
    """5.4.3. A client that answers for a gateway adds the address of the gateway."""

    TYPE = PacketType.GWINFO
    gateway_id: int
    gateway_address: bytes = b""

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 1)
        return cls(body[0], body[1:])

    def _body(self) -> bytes:
        return bytes((self.gateway_id,)) + self.gateway_address


class Connect(Packet, frozen=True, gc=False):
    """5.4.4. `will`: the gateway requests topic and message of the will."""

    TYPE = PacketType.CONNECT
    client_id: str
    duration_s: int
    clean_session: bool = True
    will: bool = False
    protocol_id: int = PROTOCOL_ID

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 4)
        flags = body[0]
        return cls(
            text(body[4:]),
            uint16(body, 2),
            bool(flags & Flag.CLEAN_SESSION),
            bool(flags & Flag.WILL),
            body[1],
        )

    def _body(self) -> bytes:
        flags = self.clean_session * Flag.CLEAN_SESSION | self.will * Flag.WILL
        head = bytes((flags, self.protocol_id)) + two_bytes(self.duration_s)
        return head + self.client_id.encode()


class _Answer(Packet, frozen=True, gc=False):
    """A packet with a return code only."""

    return_code: int = ReturnCode.ACCEPTED

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 1, 1)
        return cls(body[0])

    def _body(self) -> bytes:
        return bytes((self.return_code,))


class ConnAck(_Answer, frozen=True, gc=False):
    """5.4.5."""

    TYPE = PacketType.CONNACK


class WillTopicReq(Packet, frozen=True, gc=False):
    """5.4.6."""

    TYPE = PacketType.WILLTOPICREQ


class _WillTopic(Packet, frozen=True, gc=False):
    topic: str = ""
    qos: int = 0
    retain: bool = False

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        if len(body) < 2:  # flags without a topic
            return cls()
        return cls(text(body[1:]), qos_of(body[0]), bool(body[0] & Flag.RETAIN))

    def _body(self) -> bytes:
        if not self.topic:
            return b""
        return bytes((flags_of(self.qos, self.retain),)) + self.topic.encode()


class WillTopic(_WillTopic, frozen=True, gc=False):
    """5.4.7. An empty topic, which is sent without flags, deletes the will."""

    TYPE = PacketType.WILLTOPIC


class WillMsgReq(Packet, frozen=True, gc=False):
    """5.4.8."""

    TYPE = PacketType.WILLMSGREQ


class _WillMsg(Packet, frozen=True, gc=False):
    message: bytes = b""

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        return cls(body)

    def _body(self) -> bytes:
        return self.message


class WillMsg(_WillMsg, frozen=True, gc=False):
    """5.4.9."""

    TYPE = PacketType.WILLMSG


class Register(Packet, frozen=True, gc=False):
    """5.4.10. A client sends topic id 0, a gateway the id that it assigned."""

    TYPE = PacketType.REGISTER
    topic: str
    message_id: int
    topic_id: int = NO_TOPIC_ID

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 4)
        return cls(text(body[4:]), uint16(body, 2), uint16(body, 0))

    def _body(self) -> bytes:
        return two_bytes(self.topic_id) + two_bytes(self.message_id) + self.topic.encode()


class _TopicAnswer(Packet, frozen=True, gc=False):
    """Topic id, message id and return code."""

    topic_id: int
    message_id: int
    return_code: int = ReturnCode.ACCEPTED

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 5, 5)
        return cls(uint16(body, 0), uint16(body, 2), body[4])

    def _body(self) -> bytes:
        ids = two_bytes(self.topic_id) + two_bytes(self.message_id)
        return ids + bytes((self.return_code,))


class RegAck(_TopicAnswer, frozen=True, gc=False):
    """5.4.11."""

    TYPE = PacketType.REGACK


# Integers: an operation on a flag calls Python.
_RETAIN: Final = int(Flag.RETAIN)
_DUP: Final = int(Flag.DUP)


class Publish(Packet, frozen=True, gc=False):
    """5.4.12. `topic_id` may hold the two bytes of a short topic name."""

    TYPE = PacketType.PUBLISH
    topic_id: int
    data: bytes
    qos: int = 0
    message_id: int = NO_MESSAGE_ID
    topic_id_type: TopicIdType = TopicIdType.NORMAL
    retain: bool = False
    dup: bool = False

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 5)
        flags = body[0]
        return cls(
            uint16(body, 1),
            body[5:],
            QOS_OF_BITS[flags >> 5 & 3],
            uint16(body, 3),
            topic_id_type_of(flags),
            flags & _RETAIN != 0,
            flags & _DUP != 0,
        )

    def _body(self) -> bytes:
        flags = flags_of(self.qos, self.retain, self.dup) | self.topic_id_type
        ids = two_bytes(self.topic_id) + two_bytes(self.message_id)
        return bytes((flags,)) + ids + self.data


class PubAck(_TopicAnswer, frozen=True, gc=False):
    """5.4.13. It also refuses a PUBLISH of any QoS."""

    TYPE = PacketType.PUBACK


class _MessageIdOnly(Packet, frozen=True, gc=False):
    message_id: int

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 2, 2)
        return cls(uint16(body, 0))

    def _body(self) -> bytes:
        return two_bytes(self.message_id)


class PubRec(_MessageIdOnly, frozen=True, gc=False):
    """5.4.14."""

    TYPE = PacketType.PUBREC


class PubRel(_MessageIdOnly, frozen=True, gc=False):
    """5.4.14."""

    TYPE = PacketType.PUBREL


class PubComp(_MessageIdOnly, frozen=True, gc=False):
    """5.4.14."""

    TYPE = PacketType.PUBCOMP


class _Filter(Packet, frozen=True, gc=False):
    """A topic filter or name as text, or a predefined topic id as a number."""

    topic: str | int
    message_id: int
    qos: int = 0
    topic_id_type: TopicIdType = TopicIdType.NORMAL
    dup: bool = False

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 3)
        flags, named = body[0], body[3:]
        kind = topic_id_type_of(flags)
        topic: str | int
        if kind is TopicIdType.NORMAL:
            topic = text(named)
        else:
            check_length(cls.TYPE, body, 5, 5)
            topic = uint16(named, 0) if kind is TopicIdType.PREDEFINED else text(named)
        return cls(topic, uint16(body, 1), qos_of(flags), kind, bool(flags & Flag.DUP))

    def _body(self) -> bytes:
        named = two_bytes(self.topic) if isinstance(self.topic, int) else self.topic.encode()
        if isinstance(self.topic, int) is not (self.topic_id_type is TopicIdType.PREDEFINED):
            raise ValueError(f"{self.topic!r} is not {self.topic_id_type.name}")
        if self.topic_id_type is TopicIdType.SHORT and len(named) != 2:
            raise ValueError(f"{self.topic!r} is not a short topic name")
        flags = flags_of(self.qos, dup=self.dup) | self.topic_id_type
        return bytes((flags,)) + two_bytes(self.message_id) + named


class Subscribe(_Filter, frozen=True, gc=False):
    """5.4.15."""

    TYPE = PacketType.SUBSCRIBE


class SubAck(Packet, frozen=True, gc=False):
    """5.4.16. `qos`: the granted one; `topic_id`: the one for PUBLISH, 0 if there is none."""

    TYPE = PacketType.SUBACK
    topic_id: int
    message_id: int
    return_code: int = ReturnCode.ACCEPTED
    qos: int = 0

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        check_length(cls.TYPE, body, 6, 6)
        return cls(uint16(body, 1), uint16(body, 3), body[5], qos_of(body[0]))

    def _body(self) -> bytes:
        ids = two_bytes(self.topic_id) + two_bytes(self.message_id)
        return bytes((flags_of(self.qos),)) + ids + bytes((self.return_code,))


class Unsubscribe(_Filter, frozen=True, gc=False):
    """5.4.17. `qos` and `dup` have no meaning here."""

    TYPE = PacketType.UNSUBSCRIBE


class UnsubAck(_MessageIdOnly, frozen=True, gc=False):
    """5.4.18."""

    TYPE = PacketType.UNSUBACK


class PingReq(Packet, frozen=True, gc=False):
    """5.4.19. With its client id, a sleeping client requests its kept messages."""

    TYPE = PacketType.PINGREQ
    client_id: str = ""

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        return cls(text(body))

    def _body(self) -> bytes:
        return self.client_id.encode()


class PingResp(Packet, frozen=True, gc=False):
    """5.4.20."""

    TYPE = PacketType.PINGRESP


class Disconnect(Packet, frozen=True, gc=False):
    """5.4.21. With a duration the client sleeps for at most that long."""

    TYPE = PacketType.DISCONNECT
    duration_s: int | None = None

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        if not body:
            return cls()
        check_length(cls.TYPE, body, 2, 2)
        return cls(uint16(body, 0))

    def _body(self) -> bytes:
        return b"" if self.duration_s is None else two_bytes(self.duration_s)


class WillTopicUpd(_WillTopic, frozen=True, gc=False):
    """5.4.22. An empty topic deletes the will."""

    TYPE = PacketType.WILLTOPICUPD


class WillMsgUpd(_WillMsg, frozen=True, gc=False):
    """5.4.23."""

    TYPE = PacketType.WILLMSGUPD


class WillTopicResp(_Answer, frozen=True, gc=False):
    """5.4.24."""

    TYPE = PacketType.WILLTOPICRESP


class WillMsgResp(_Answer, frozen=True, gc=False):
    """5.4.25."""

    TYPE = PacketType.WILLMSGRESP
