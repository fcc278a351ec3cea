# SPDX-License-Identifier: BSD-3-Clause
"""Notifications (RFC 7641): their order, their freshness, and the usual form of them. Pure."""

from typing import Final, NamedTuple, Self

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, decode_uint
from pyaiot.protocols.coap.numbers import (
    PAYLOAD_MARKER,
    TOKEN_BYTES_MAX,
    VERSION,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)

SEQUENCE_LIFE_S: Final = 128.0
"""RFC 7641 section 3.4: a notification that arrives this much later is newer, regardless of its
number."""
MAX_AGE_DEFAULT_S: Final = 60.0
"""RFC 7252 section 5.10.5: the freshness of a response without Max-Age."""
_HALF: Final = 1 << 23
_OPTIONS_BYTES_MAX: Final = 64
"""Bytes of the options after Observe. Notifications with more are not decoded here."""
_FRESHNESS_MAX: Final = 256
"""Encoded options whose meaning is cached. Further ones are decoded each time."""
_USUAL_START: Final = bytes(
    (VERSION << 6 | MessageType.NON << 4 | TOKEN_BYTES_MAX, int(Code.CONTENT))
)
_TOKEN_END: Final = 4 + TOKEN_BYTES_MAX
_OBSERVE_HEAD: Final = int(OptionNumber.OBSERVE) << 4
_MARKER: Final = bytes((PAYLOAD_MARKER,))


class NotificationNumber(NamedTuple):
    """The number of a notification, and the loop's time at which it was received."""

    number: int
    at: float

    def is_followed_by(self, other: Self) -> bool:
        """Whether `other`, which was received later, is newer: RFC 7641 section 3.4."""
        first, second = self.number, other.number
        return (
            (first < second and second - first < _HALF)
            or (first > second and first - second > _HALF)
            or other.at > self.at + SEQUENCE_LIFE_S
        )


def observe_number(message: CoapMessage) -> int | None:
    """The number of a notification; None: not a notification. Raises `ProtocolError`."""
    option = message.option(OptionNumber.OBSERVE)
    if option is None:
        return None
    if len(option) > 3:  # section 2
        raise ProtocolError("Observe has at most 3 bytes")
    return decode_uint(option)


def max_age_s(message: CoapMessage) -> float:
    """The freshness of a response in seconds. Raises `ProtocolError`."""
    option = message.option(OptionNumber.MAX_AGE)
    if option is None:
        return MAX_AGE_DEFAULT_S
    if len(option) > 4:  # RFC 7252 section 5.10, table 4
        raise ProtocolError("Max-Age has at most 4 bytes")
    return float(decode_uint(option))


def read_notification(datagram: bytes) -> tuple[bytes, int, float, str] | None:
    """Token, number, freshness in seconds, and text of a notification as nearly all are:
    Non-confirmable, with a token of `TOKEN_BYTES_MAX`, Observe as its first option, text in one
    block, and no other option than Content-Format and Max-Age. None for any other datagram. Never
    raises.

    A shorter `CoapMessage.from_bytes`, `observe_number`, `max_age_s` and `values.read_value`, which
    agree.
    """
    if datagram[:2] != _USUAL_START or len(datagram) <= _TOKEN_END:
        return None
    head = datagram[_TOKEN_END]
    if head & 0xFC != _OBSERVE_HEAD:  # Observe has at most 3 bytes
        return None
    number_end = _TOKEN_END + 1 + (head & 3)
    # The first 0xFF after Observe ends the options, or is part of one: then the bytes before it
    # are incomplete options, which `_read_freshness` refuses.
    end = datagram.find(_MARKER, number_end)
    if end < 0 or end + 1 == len(datagram):
        return None
    options = datagram[number_end:end]
    freshness_s = _freshness.get(options)
    if freshness_s is None:
        freshness_s = _read_freshness(options)
        if freshness_s is None:
            return None
        if len(_freshness) < _FRESHNESS_MAX:
            _freshness[options] = freshness_s
    try:
        # Some firmware includes the terminating zero of the string.
        text = datagram[end + 1 :].decode().rstrip("\0")
    except UnicodeDecodeError:
        return None
    number = int.from_bytes(datagram[_TOKEN_END + 1 : number_end], "big")
    return datagram[4:_TOKEN_END], number, freshness_s, text


def _read_freshness(options: bytes) -> float | None:
    """Decode the options between Observe and payload marker, if they are Content-Format 0 and
    Max-Age at most."""
    if len(options) > _OPTIONS_BYTES_MAX:
        return None
    try:
        # A message with an empty Observe, to use the same decoder of options.
        message = CoapMessage.from_bytes(b"\x50\x45\x00\x00" + bytes((_OBSERVE_HEAD,)) + options)
        freshness_s = max_age_s(message)
    except ProtocolError:
        return None
    before = int(OptionNumber.OBSERVE)
    for number, value in message.options[1:]:
        is_text = number == OptionNumber.CONTENT_FORMAT and len(value) <= 2
        is_text = is_text and decode_uint(value) == ContentFormat.TEXT
        if number == before or not (is_text or number == OptionNumber.MAX_AGE):
            return None
        before = number
    return None if message.payload else freshness_s


_freshness: Final[dict[bytes, float]] = {
    # With and without Content-Format 0. They do not depend on the cache.
    b"": MAX_AGE_DEFAULT_S,
    b"\x60": MAX_AGE_DEFAULT_S,
}
