# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP message of RFC 7252 section 3: bytes to a value, and a value to bytes.

Pure: no socket, clock or event loop. The caller interprets the messages.
"""

from typing import Final, Self
from urllib.parse import quote

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.coap.numbers import (
    OPTION_NUMBER_MAX,
    PAYLOAD_MARKER,
    TOKEN_BYTES_MAX,
    VERSION,
    MessageType,
    OptionNumber,
    code_text,
    option_text,
)

_LOGGED_PAYLOAD_BYTES: Final = 40
_LOGGED_CHARACTERS: Final = 240

_MESSAGE_TYPES: Final = tuple(MessageType)
_URI_PATH: Final = int(OptionNumber.URI_PATH)
_BLOCK_OPTIONS: Final = {int(OptionNumber.BLOCK1): 1, int(OptionNumber.BLOCK2): 2}
_UINT_OPTIONS: Final = frozenset((6, 7, 12, 14, 17, 28, 60))


class CoapMessage(msgspec.Struct, frozen=True, gc=False):
    """The message in one datagram.

    `code` is any number of 0–255, an option number any of 0–65535, known here or not; `options` are
    in ascending order of their numbers (`build_options` makes such a tuple).
    """

    mtype: MessageType
    code: int
    message_id: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = b""

    @classmethod
    def from_bytes(cls, datagram: bytes) -> Self:
        """Read the message that fills the datagram.

        Raises `NotEnoughBytes` when the datagram ends inside a field, else `ProtocolError`, for
        every "message format error" of RFC 7252. `rejection` returns the response.
        """
        end = len(datagram)
        if end < 4:
            raise NotEnoughBytes(f"the header has 4 bytes, the datagram {end}")
        first = datagram[0]
        if first >> 6 != VERSION:
            raise ProtocolError(f"version is {first >> 6}, not {VERSION}")
        index = 4 + (first & 0x0F)
        if index > 4 + TOKEN_BYTES_MAX:
            raise ProtocolError(f"token length {first & 0x0F} is reserved")
        code = datagram[1]
        if code == 0 and (end > 4 or index > 4):  # RFC 7252 section 4.1
            raise ProtocolError("an empty message has more than a header")
        if index > end:
            raise NotEnoughBytes(f"the token has {index - 4} bytes, only {end - 4} follow")
        token = datagram[4:index]
        options, payload = _options_and_payload(datagram, index)
        message_id = datagram[2] << 8 | datagram[3]
        return cls(_MESSAGE_TYPES[first >> 4 & 0x03], code, message_id, token, options, payload)

    def to_bytes(self) -> bytes:
        """Raises `ValueError` for a message that cannot be encoded, which is a programming
        error."""
        token_length = len(self.token)
        if token_length > TOKEN_BYTES_MAX:
            raise ValueError(f"a token of {token_length} bytes")
        message_id = self.message_id
        datagram = bytearray(
            (
                VERSION << 6 | self.mtype << 4 | token_length,
                self.code,
                message_id >> 8,
                message_id & 0xFF,
            )
        )
        datagram += self.token
        previous = 0
        for number, value in self.options:
            delta = number - previous
            length = len(value)
            if 0 <= delta < 13 and length < 13:
                datagram.append(delta << 4 | length)
            else:
                datagram += _option_head(number, delta, length)
            datagram += value
            previous = number
        if self.payload:
            datagram.append(PAYLOAD_MARKER)
            datagram += self.payload
        return bytes(datagram)

    def option(self, number: int) -> bytes | None:
        """The first value of the option, or None where the message has no such option."""
        for candidate, value in self.options:
            if candidate == number:
                return value
        return None

    @property
    def uri_path(self) -> tuple[str, ...]:
        """The segments of Uri-Path; an empty last one is kept (`/rd/` is not `/rd`).

        Raises `ProtocolError` for a segment that is not UTF-8 (RFC 7252 section 3.2).
        """
        return self._texts(OptionNumber.URI_PATH)

    @property
    def uri_query(self) -> tuple[str, ...]:
        """The arguments of Uri-Query, such as `lt=60`; raises as `uri_path` does."""
        return self._texts(OptionNumber.URI_QUERY)

    def _texts(self, number: int) -> tuple[str, ...]:
        try:
            return tuple([value.decode() for found, value in self.options if found == number])
        except UnicodeDecodeError as error:
            raise ProtocolError(f"option {number} is not UTF-8") from error

    def __repr__(self) -> str:
        """For example `CON GET /led mid=0x1234 token=ab12`; safe in a log for any message."""
        words = [self.mtype.name, code_text(self.code)]
        path = "".join(
            "/" + quote(value, safe="") for number, value in self.options if number == _URI_PATH
        )
        if path:
            words.append(path)
        words.append(f"mid=0x{self.message_id:04x}")
        if self.token:
            words.append(f"token={self.token.hex()}")
        words += [_option_text(*option) for option in self.options if option[0] != _URI_PATH]
        if self.payload:
            shown = repr(self.payload[:_LOGGED_PAYLOAD_BYTES])[1:]
            rest = len(self.payload) - _LOGGED_PAYLOAD_BYTES
            words.append(shown + (f"+{rest} bytes" if rest > 0 else ""))
        text = " ".join(words)
        return text if len(text) <= _LOGGED_CHARACTERS else text[:_LOGGED_CHARACTERS] + "…"


class Block(msgspec.Struct, frozen=True, gc=False):
    """The value of a Block1 or Block2 option (RFC 7959 section 2.2): number, more, size."""

    num: int
    more: bool
    szx: int

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Raises `ProtocolError` for more than 3 bytes or the reserved size exponent 7."""
        if len(value) > 3:
            raise ProtocolError(f"a block option has at most 3 bytes, not {len(value)}")
        number = decode_uint(value)
        if number & 0x07 == 7:
            raise ProtocolError("block size exponent 7 is reserved")
        return cls(number >> 4, bool(number & 0x08), number & 0x07)

    def to_bytes(self) -> bytes:
        if not 0 <= self.num < 1 << 20 or not 0 <= self.szx <= 6:
            raise ValueError(f"no such block: {self}")
        return encode_uint(self.num << 4 | self.more << 3 | self.szx)

    @property
    def size(self) -> int:
        """Bytes of a full block: 16 to 1024."""
        return 16 << self.szx

    @property
    def offset(self) -> int:
        """Where this block starts in the whole body, in bytes."""
        return self.num * self.size

    def __str__(self) -> str:
        return f"{self.num}/{self.more:d}/{self.size}"  # as RFC 7959 section 3 writes it


def build_options(*options: tuple[int, bytes | str | int]) -> tuple[tuple[int, bytes], ...]:
    """Options in the order of a message. Text becomes UTF-8, a number the shortest uint.

    Options of one number (the segments of a path) keep their order.
    """
    encoded: list[tuple[int, bytes]] = []
    for number, value in options:
        if isinstance(value, str):
            value = value.encode()  # noqa: PLW2901 - the same value, in the form of the wire
        elif isinstance(value, int):
            value = encode_uint(value)  # noqa: PLW2901
        encoded.append((int(number), value))
    return tuple(sorted(encoded, key=lambda option: option[0]))


def encode_uint(value: int) -> bytes:
    """RFC 7252 section 3.2: without leading zeros, so 0 has zero bytes."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_uint(value: bytes) -> int:
    """RFC 7252 section 3.2: leading zeros are allowed when reading."""
    return int.from_bytes(value, "big")


def rejection(datagram: bytes) -> bytes | None:
    """The RST for a malformed Confirmable message (RFC 7252 section 4.2), or None.

    Other versions and message types are silently ignored (sections 3 and 4.3).
    """
    if len(datagram) < 4 or datagram[0] >> 4 != VERSION << 2 | MessageType.CON:
        return None
    return bytes((VERSION << 6 | MessageType.RST << 4, 0)) + datagram[2:4]


def _options_and_payload(
    datagram: bytes, index: int
) -> tuple[tuple[tuple[int, bytes], ...], bytes]:
    """Read what follows the token (RFC 7252 section 3.1)."""
    end = len(datagram)
    options: list[tuple[int, bytes]] = []
    number = 0
    while index < end:
        head = datagram[index]
        index += 1
        if head == PAYLOAD_MARKER:
            if index == end:
                raise NotEnoughBytes("no payload after the payload marker")
            return tuple(options), datagram[index:]
        delta = head >> 4
        length = head & 0x0F
        if delta > 12:
            delta, index = _extended(datagram, index, delta)
        if length > 12:
            length, index = _extended(datagram, index, length)
        number += delta
        if number > OPTION_NUMBER_MAX:
            raise ProtocolError(f"option number {number} is over {OPTION_NUMBER_MAX}")
        stop = index + length
        if stop > end:
            raise NotEnoughBytes(f"option {number} has {length} bytes, only {end - index} follow")
        options.append((number, datagram[index:stop]))
        index = stop
    return tuple(options), b""


def _extended(datagram: bytes, index: int, nibble: int) -> tuple[int, int]:
    """Read the one or two bytes that nibble 13 or 14 announces (RFC 7252 section 3.1)."""
    if nibble == 15:
        raise ProtocolError("option nibble 15 is reserved")
    stop = index + nibble - 12
    if stop > len(datagram):
        raise NotEnoughBytes("the header of an option is truncated")
    extra = int.from_bytes(datagram[index:stop], "big")
    return extra + (13 if nibble == 13 else 269), stop


def _option_head(number: int, delta: int, length: int) -> bytes:
    if delta < 0:
        raise ValueError(f"option {number} after a higher one")
    if number > OPTION_NUMBER_MAX:
        raise ValueError(f"option number {number} is over {OPTION_NUMBER_MAX}")
    delta_nibble, delta_bytes = _nibble(delta)
    length_nibble, length_bytes = _nibble(length)
    return bytes((delta_nibble << 4 | length_nibble,)) + delta_bytes + length_bytes


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    if value < 269 + 65536:
        return 14, (value - 269).to_bytes(2, "big")
    raise ValueError(f"an option of {value} bytes")


def _option_text(number: int, value: bytes) -> str:
    if number in _BLOCK_OPTIONS and len(value) <= 3 and decode_uint(value) & 7 != 7:
        return f"{_BLOCK_OPTIONS[number]}:{Block.from_bytes(value)}"
    if number == OptionNumber.URI_QUERY:
        return f"?{quote(value)}"
    readable = decode_uint(value) if number in _UINT_OPTIONS and len(value) <= 4 else value.hex()
    return f"{option_text(number)}={readable}"
