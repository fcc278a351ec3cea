# SPDX-License-Identifier: BSD-3-Clause
"""The general form of MQTT packets (section 2), and their parser for a byte stream."""

import enum
from collections.abc import Iterator
from typing import ClassVar, Final, Self

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError

REMAINING_LENGTH_MAX: Final = 268_435_455
"""The most bytes after the fixed header that the wire format allows (2.2.3)."""
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
    """2.2.2: the required flags of the fixed header. PUBLISH computes its own."""

    def __init_subclass__(cls) -> None:
        """Register a class that has a `TYPE`; the others are base classes."""
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
            raise ProtocolError(f"{packet.TYPE.name} is not {cls.TYPE.name}")
        return packet

    def to_bytes(self) -> bytes:
        """Raises `ValueError` if the packet cannot be encoded, which is a bug of the caller."""
        body = self._body()
        return bytes((self.TYPE << 4 | self._flags(),)) + remaining_length(len(body)) + body

    @classmethod
    def _from_wire(cls, flags: int, body: bytes) -> Self:
        if flags != cls.FLAGS:  # 2.2.2-2: the receiver must close the connection
            raise ProtocolError(f"{cls.TYPE.name} with invalid flags {flags:04b}")
        return cls._from_body(body)

    @classmethod
    def _from_body(cls, body: bytes) -> Self:
        """Parse the bytes after the fixed header. Here: none are allowed."""
        if body:
            raise ProtocolError(f"{cls.TYPE.name} has {len(body)} bytes too many")
        return cls()

    def _flags(self) -> int:
        return self.FLAGS

    def _body(self) -> bytes:
        return b""

    def __repr__(self) -> str:
        """For example `PUBACK packet_id=7`; safe for logs, without passwords."""
        words = [self.TYPE.name]
        for name, value in msgspec.structs.asdict(self).items():
            if name == "password" and value is not None:
                value = "…"  # noqa: PLW2901 - passwords are not logged
            text = repr(value) if isinstance(value, str | bytes) else str(value)
            shown = text if len(text) <= _LOGGED_VALUE else text[:_LOGGED_VALUE] + "…"
            words.append(f"{name}={shown}")
        return " ".join(words)


def parse_packet(first: int, body: bytes) -> Packet:
    """Parse the body of a packet whose first byte is `first`. Raises `ProtocolError`."""
    packet_class = _CLASSES.get(first >> 4)
    if packet_class is None:
        raise ProtocolError(f"packet type {first >> 4} is reserved")
    return packet_class._from_wire(first & 0x0F, body)


def read_head(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Start and end of the body of the packet at `at`; None if its fixed header is incomplete.

    Raises `ProtocolError` for a remaining length of more than four bytes (2.2.3).
    """
    length = 0
    for index in range(4):
        offset = at + 1 + index
        if offset >= len(data):
            return None
        byte = data[offset]
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return offset + 1, offset + 1 + length
    raise ProtocolError("a remaining length of more than four bytes")


def remaining_length(length: int) -> bytes:
    """Encode the remaining length (2.2.3). Raises `ValueError`."""
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
    """Parses a byte stream into packets. After an error it must not be used again."""

    def __init__(self, *, packet_bytes_max: int) -> None:
        self._packet_bytes_max = packet_bytes_max
        self._buffer = bytearray()
        self._needed = 0
        """Size of the incomplete packet at the start of the buffer; 0: not known."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a packet that is not complete yet."""
        return len(self._buffer)

    def receive_bytes(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete now. Exhaust the iterator before the next call.

        Raises `ProtocolError` after the valid packets before the error.
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
                    f"a packet of {end - start} bytes; the limit is {self._packet_bytes_max}"
                )
            if end > len(buffer):
                self._needed = end - start
                break
            yield parse_packet(buffer[start], bytes(buffer[body:end]))
            start = end
            self._needed = 0
        del buffer[:start]


def uint16(data: bytes, at: int) -> int:
    """Raises `ProtocolError` if the body is too short."""
    if len(data) < at + 2:
        raise ProtocolError("the packet ends within its fields")
    return data[at] << 8 | data[at + 1]


def two_bytes(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"{value} does not fit into two bytes")
    return value.to_bytes(2, "big")


def packet_id_at(data: bytes, at: int) -> int:
    """2.3.1. Raises `ProtocolError` for 0."""
    packet_id = uint16(data, at)
    if packet_id == 0:
        raise ProtocolError("a packet id of 0")
    return packet_id


def packet_id_bytes(packet_id: int) -> bytes:
    if packet_id == 0:
        raise ValueError("a packet id of 0")
    return two_bytes(packet_id)


def binary_at(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes after their length, and the offset of their end."""
    end = at + 2 + uint16(data, at)
    if end > len(data):
        raise ProtocolError("the packet ends within its fields")
    return data[at + 2 : end], end


def text_at(data: bytes, at: int) -> tuple[str, int]:
    """1.5.3: UTF-8 without surrogates and NUL, and the offset of its end."""
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
