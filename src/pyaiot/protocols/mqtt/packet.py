# SPDX-License-Identifier: BSD-3-Clause
"""The general form of MQTT packets (section 2), and a stream cut into them."""

import enum
from collections.abc import Iterator
from typing import ClassVar, Final, Self

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError

REMAINING_LENGTH_MAX: Final = 268_435_455
"""Bytes after the fixed header (2.2.3). More has no form on the wire."""
PACKET_ID_MAX: Final = 0xFFFF
_LOGGED_VALUE: Final = 60
_CLASSES: "Final[dict[int, type[Packet]]]" = {}


class PacketType(enum.IntEnum):
    """2.2.1, table 2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Packet(msgspec.Struct, frozen=True, gc=False):
    """One packet. Packet ids are 1–65,535, `qos` is 0, 1 or 2."""

    TYPE: ClassVar[PacketType]
    FLAGS: ClassVar[int] = 0
    """2.2.2: what the flags of the fixed header must be. PUBLISH has some of its own."""

    def __init_subclass__(cls) -> None:
        """A class that names its type is the one of that type; the others are shapes."""
        if "TYPE" in cls.__dict__:
            _CLASSES[cls.TYPE] = cls

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The packet that fills `data`. Raises `NotEnoughBytes`, or else `ProtocolError`."""
        head = read_head(data, 0)
        if head is None or head[1] > len(data):
            raise NotEnoughBytes(f"the packet does not end within {len(data)} bytes")
        start, end = head
        if end < len(data):
            raise ProtocolError(f"{len(data) - end} bytes after the packet")
        packet = parse_packet(data[0], data[start:])
        if not isinstance(packet, cls):
            raise ProtocolError(f"a {packet.TYPE.name} is no {cls.TYPE.name}")
        return packet

    def to_bytes(self) -> bytes:
        """Raise `ValueError` for a packet that has no form on the wire: that is our mistake."""
        body = self._body()
        return bytes((self.TYPE << 4 | self._flags(),)) + remaining_length(len(body)) + body

    @classmethod
    def _from_wire(cls, flags: int, body: bytes) -> Self:
        if flags != cls.FLAGS:  # 2.2.2-2: the receiver must close the connection
            raise ProtocolError(f"{cls.TYPE.name} with the flags {flags:04b}")
        return cls._from_body(body)

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        """Read what follows the fixed header. Here: nothing may follow."""
        if body:
            raise ProtocolError(f"{cls.TYPE.name} has {len(body)} bytes where there are none")
        return cls()

    def _flags(self) -> int:
        return self.FLAGS

    def _body(self) -> bytes:
        return b""

    def __repr__(self) -> str:
        """For example `PUBACK packet_id=7`; safe in a log, and without passwords."""
        words = [self.TYPE.name]
        for name, value in msgspec.structs.asdict(self).items():
            if name == "password" and value is not None:
                value = "…"  # noqa: PLW2901 - it must not stand in a log
            text = repr(value) if isinstance(value, str | bytes) else str(value)
            shown = text if len(text) <= _LOGGED_VALUE else text[:_LOGGED_VALUE] + "…"
            words.append(f"{name}={shown}")
        return " ".join(words)


def parse_packet(first: int, body: bytes) -> Packet:
    """The packet with this first byte and this body. Raises `ProtocolError`."""
    packet_class = _CLASSES.get(first >> 4)
    if packet_class is None:
        raise ProtocolError(f"packet type {first >> 4} is reserved")
    return packet_class._from_wire(first & 0x0F, body)


def read_head(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` begins and ends; None if its head is not all there.

    Raises `ProtocolError` for a remaining length of more than four bytes (2.2.3).
    """
    length = 0
    for index in range(4):
        place = at + 1 + index
        if place >= len(data):
            return None
        byte = data[place]
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return place + 1, place + 1 + length
    raise ProtocolError("a remaining length of more than four bytes")


def remaining_length(length: int) -> bytes:
    """2.2.3. Raises `ValueError`."""
    if length < 0x80:
        return bytes((length,))
    if length > REMAINING_LENGTH_MAX:
        raise ValueError(f"a packet of {length} bytes")
    encoded = bytearray()
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


class PacketReader:
    """Cuts what a peer sends into packets. After an error it is of no more use."""

    def __init__(self, *, packet_bytes_max: int) -> None:
        self._packet_bytes_max = packet_bytes_max
        self._buffer = bytearray()
        self._needed = 0
        """Bytes without which nothing further can be read."""

    @property
    def waiting_bytes(self) -> int:
        """Of a packet that has not come to its end."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are complete now: take all of them before the next call.

        Raises `ProtocolError` after those that came before it.
        """
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._needed:
            return
        start = 0
        while (head := read_head(buffer, start)) is not None:
            body, end = head
            if end - start > self._packet_bytes_max:
                raise ProtocolError(
                    f"a packet of {end - start} bytes; {self._packet_bytes_max} are taken"
                )
            if end > len(buffer):
                self._needed = end - start
                break
            yield parse_packet(buffer[start], bytes(buffer[body:end]))
            start = end
            self._needed = 0
        del buffer[:start]


def uint16(data: bytes, at: int) -> int:
    """Raises `ProtocolError` where the body ends before it."""
    if len(data) < at + 2:
        raise ProtocolError("the packet ends within its fields")
    return data[at] << 8 | data[at + 1]


def two_bytes(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"{value} does not fit into two bytes")
    return value.to_bytes(2, "big")


def packet_id_at(data: bytes, at: int) -> int:
    """2.3.1: it is not 0."""
    packet_id = uint16(data, at)
    if packet_id == 0:
        raise ProtocolError("a packet id of 0")
    return packet_id


def packet_id_bytes(packet_id: int) -> bytes:
    if packet_id == 0:
        raise ValueError("a packet id of 0")
    return two_bytes(packet_id)


def binary_at(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes with their length before them, and where they end."""
    end = at + 2 + uint16(data, at)
    if end > len(data):
        raise ProtocolError("the packet ends within its fields")
    return data[at + 2 : end], end


def text_at(data: bytes, at: int) -> tuple[str, int]:
    """1.5.3: UTF-8 without surrogates and NUL, and where it ends."""
    encoded, end = binary_at(data, at)
    try:
        text = encoded.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("text is not UTF-8") from error  # 1.5.3-1
    if "\0" in text:
        raise ProtocolError("text with U+0000")  # 1.5.3-2
    return text, end


def binary_bytes(data: bytes) -> bytes:
    return two_bytes(len(data)) + data


def text_bytes(text: str) -> bytes:
    """Raises `ValueError` for surrogates, NUL, and more than 65,535 bytes."""
    if "\0" in text:
        raise ValueError("text with U+0000")
    return binary_bytes(text.encode())
