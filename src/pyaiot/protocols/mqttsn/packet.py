# SPDX-License-Identifier: BSD-3-Clause
"""The general form of MQTT-SN packets (5.2), and their common fields (5.3)."""

from typing import ClassVar, Final, Self

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.mqttsn.numbers import PACKET_BYTES_MAX, Flag, PacketType, TopicIdType

_LOGGED_VALUE: Final = 60
QOS_OF_BITS: Final = (0, 1, 2, -1)  # 5.3.4: 0b11 is QoS level -1
_TOPIC_ID_TYPES: Final = tuple(TopicIdType)
NOT_UTF8: Final = "\0"
"""Stands for text that is not UTF-8. No client id, topic or filter may contain it."""
_CLASSES: "Final[dict[int, type[Packet]]]" = {}


class Packet(msgspec.Struct, frozen=True, gc=False):
    """One packet, which fills one datagram.

    Durations are seconds, 0–65535; ids 0–65535; `qos` is 0, 1 or 2, and -1 in PUBLISH only.
    """

    TYPE: ClassVar[PacketType]

    def __init_subclass__(cls) -> None:
        """Register a class that has a `TYPE`; the others are base classes."""
        if "TYPE" in cls.__dict__:
            _CLASSES[cls.TYPE] = cls

    @classmethod
    def from_bytes(cls, datagram: bytes) -> Self:
        """Parse a packet of this class. Raises as `parse_packet`, and for another class."""
        packet = parse_packet(datagram)
        if not isinstance(packet, cls):
            raise ProtocolError(f"{packet.TYPE.name} is not {cls.TYPE.name}")
        return packet

    def to_bytes(self) -> bytes:
        """Raises `ValueError` if the packet cannot be encoded, which is a bug of the caller."""
        body = self._body()
        length = len(body) + 2
        if length <= 0xFF:
            return bytes((length, self.TYPE)) + body
        length += 2  # 5.2.1: the first byte is 0x01, the next two are the length
        if length > PACKET_BYTES_MAX:
            raise ValueError(f"a packet of {length} bytes")
        return b"\x01" + two_bytes(length) + bytes((self.TYPE,)) + body

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        """Parse the bytes after the type. Here: none are allowed."""
        check_length(cls.TYPE, body, 0, 0)
        return cls()

    def _body(self) -> bytes:
        return b""

    def __repr__(self) -> str:
        """For example `PUBACK topic_id=1 message_id=7 return_code=0`; safe for logs."""
        words = [self.TYPE.name]
        for name, value in msgspec.structs.asdict(self).items():
            text = repr(value) if isinstance(value, str | bytes | Packet) else str(value)
            shown = text if len(text) <= _LOGGED_VALUE else text[:_LOGGED_VALUE] + "…"
            words.append(f"{name}={shown}")
        return " ".join(words)


class Forwarded(Packet, frozen=True, gc=False):
    """5.5. A packet that a forwarder relays for the node `node_id` of its wireless network."""

    TYPE = PacketType.FORWARDED
    packet: Packet
    node_id: bytes
    radius: int = 0

    def to_bytes(self) -> bytes:
        length = 3 + len(self.node_id)  # 5.5: up to the end of the node id
        if length > 0xFF or isinstance(self.packet, Forwarded):
            raise ValueError("nested forwarded packets, or a node id that is too long")
        return bytes((length, self.TYPE, self.radius & 3)) + self.node_id + self.packet.to_bytes()


def parse_packet(datagram: bytes) -> Packet:
    """Parse the packet that fills the datagram.

    Raises `NotEnoughBytes` if the datagram ends inside the packet, else `ProtocolError`.
    """
    return _parse(datagram, forwarded=False)


def _parse(datagram: bytes, *, forwarded: bool) -> Packet:
    size = len(datagram)
    if size < 2:
        raise NotEnoughBytes(f"{size} bytes; a packet has at least 2")
    length, start = datagram[0], 1
    if length == 1:  # 5.2.1
        if size < 4:
            raise NotEnoughBytes(f"{size} bytes; a packet with a long length has at least 4")
        length, start = uint16(datagram, 1), 3
    if length <= start:
        raise ProtocolError(f"a length of {length} leaves no room for a type")
    if length > size:
        raise NotEnoughBytes(f"{size} bytes of a packet of {length}")
    number = datagram[start]
    if number == PacketType.FORWARDED:
        if forwarded or start != 1 or length < 3:  # 5.5: its length is one byte
            raise ProtocolError("invalid header of a forwarded packet")
        packet = _parse(datagram[length:], forwarded=True)
        return Forwarded(packet, datagram[3:length], datagram[2] & 3)
    packet_class = _CLASSES.get(number)
    if packet_class is None:
        raise ProtocolError(f"packet type 0x{number:02x} is reserved")
    if length < size:
        raise ProtocolError(f"{size - length} bytes after the packet")
    return packet_class._from_body(datagram[start + 1 :])


def check_length(kind: PacketType, body: bytes, least: int, most: int | None = None) -> None:
    if len(body) < least:
        raise NotEnoughBytes(f"{kind.name} ends after {len(body)} of {least} bytes")
    if most is not None and len(body) > most:
        raise ProtocolError(f"{kind.name} has {len(body)} bytes; the limit is {most}")


def uint16(data: bytes, index: int) -> int:
    return data[index] << 8 | data[index + 1]


def two_bytes(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"{value} does not fit into two bytes")
    return value.to_bytes(2, "big")


def text(data: bytes) -> str:
    """`NOT_UTF8` for text that is not UTF-8: the packet is refused with its own answer."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return NOT_UTF8


def qos_of(flags: int) -> int:
    """The QoS of a packet other than PUBLISH. Raises `ProtocolError` for -1."""
    qos = QOS_OF_BITS[flags >> 5 & 3]
    if qos < 0:
        raise ProtocolError("QoS -1 is valid for PUBLISH only")
    return qos


def topic_id_type_of(flags: int) -> TopicIdType:
    if flags & 3 == 3:
        raise ProtocolError("topic id type 3 is reserved")
    return _TOPIC_ID_TYPES[flags & 3]


def flags_of(qos: int, retain: bool = False, dup: bool = False) -> int:
    return (qos & 3) << 5 | retain * Flag.RETAIN | dup * Flag.DUP
