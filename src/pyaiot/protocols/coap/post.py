# SPDX-License-Identifier: BSD-3-Clause
"""The two most frequent requests of nodes, decoded and answered as bytes (RFC 7252). Pure.

They are `POST /alive` and `POST /server` in one datagram, with text. Everything else needs a
complete CoAP stack: `read_post` returns None for it.
"""

from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage, decode_uint, encode_uint
from pyaiot.protocols.coap.numbers import (
    PAYLOAD_MARKER,
    TOKEN_BYTES_MAX,
    VERSION,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)
from pyaiot.protocols.coap.request import (
    is_request,
    option_problem,
    read_datagram,
    write_error,
)

ALIVE: Final = "alive"
SERVER: Final = "server"
PAYLOAD_BYTES_MAX: Final = 1024
"""Payload bytes of one request. More: 4.13; a larger body must be sent in blocks (RFC 7959)."""
_OPTIONS_BYTES_MAX: Final = 64
"""Bytes of the options. Requests with more are not decoded here."""
_ROUTES_MAX: Final = 256
"""Encoded options whose meaning is cached. Further ones are decoded each time."""

RESPONSE_IDS: Final = 0x4000
"""Message IDs of these responses are from this to 0x7FFF: those below and above are for responses
and requests of other parts."""
_RESPONSE_ID_MASK: Final = RESPONSE_IDS - 1

_CHANGED: Final = int(Code.CHANGED)
_MARKER: Final = bytes((PAYLOAD_MARKER,))
_CONFIRMABLE: Final = VERSION << 6 | MessageType.CON << 4
_NON_CONFIRMABLE: Final = VERSION << 6 | MessageType.NON << 4
_ACK: Final = VERSION << 6 | MessageType.ACK << 4
_TOKEN_LENGTH: Final = 0x0F


# The first bytes of responses with 2.04, by the length of the token: for each, the two before the
# message ID, or the three that end with its first byte.
_ACK_CHANGED: Final = tuple(bytes((_ACK | size, _CHANGED)) for size in range(TOKEN_BYTES_MAX + 1))
_NON_CHANGED: Final = tuple(
    tuple(
        bytes((_NON_CONFIRMABLE | size, _CHANGED, RESPONSE_IDS >> 8 | high))
        for high in range(RESPONSE_IDS >> 8)
    )
    for size in range(TOKEN_BYTES_MAX + 1)
)


class Route(msgspec.Struct, frozen=True, gc=False):
    """The meaning of the options of a post."""

    path: str
    """`ALIVE` or `SERVER`."""
    suppressed: int = 0
    """RFC 7967 section 2.1: the classes of unwanted responses, as bits."""


class Post(msgspec.Struct, frozen=True, gc=False):
    """A post in one datagram."""

    datagram: bytes
    token_end: int
    """Where the options begin."""
    route: Route
    payload: bytes

    @property
    def confirmable(self) -> bool:
        return self.datagram[0] & 0x30 == 0


def read_post(datagram: bytes) -> Post | None:
    """The post, or None for any other datagram. Never raises."""
    if len(datagram) < 12 or datagram[1] != Code.POST:
        return None
    first = datagram[0]
    if first & 0xF0 not in (_NON_CONFIRMABLE, _CONFIRMABLE):
        return None
    start = 4 + (first & _TOKEN_LENGTH)
    if start > 4 + TOKEN_BYTES_MAX:
        return None
    # The first 0xFF after the token ends the options, or is part of one: then the bytes before
    # it are incomplete options, which `_read_route` refuses.
    end = datagram.find(_MARKER, start)
    if end < 0:
        return None
    options = datagram[start:end]
    route = _routes.get(options)
    if route is None:
        route = _read_route(options)
        if route is None:
            return None
        if len(_routes) < _ROUTES_MAX:
            _routes[options] = _VALUE_ROUTE if route == _VALUE_ROUTE else route
    payload = datagram[end + 1 :]
    if not 0 < len(payload) <= PAYLOAD_BYTES_MAX:
        return None
    return Post(datagram, start, route, payload)


def read_value(datagram: bytes) -> tuple[str, str, bytes] | None:
    """Resource, value and the response 2.04 of a `POST /server` as nearly all are: in its simplest
    form, with text, and with a response. None for any other datagram. Never raises.

    A shorter `read_post`, `parse_value` and `write_changed`, which agree, except that white space
    around the resource stays.
    """
    # The code of a post is 2, and its options begin after the token.
    if len(datagram) < 12 or datagram[1] != 2:
        return None
    first = datagram[0]
    token_end = 4 + (first & _TOKEN_LENGTH)
    end = datagram.find(_MARKER, token_end)
    if (
        _routes.get(datagram[token_end:end]) is not _VALUE_ROUTE
        or token_end > 4 + TOKEN_BYTES_MAX
        or end < 0
        or len(datagram) - end > PAYLOAD_BYTES_MAX
    ):
        return None
    try:
        resource, colon, data = datagram[end + 1 :].decode().partition(":")
    except UnicodeDecodeError:
        return None
    # Some firmware includes the terminating zero of the string.
    if not colon or not resource or data.endswith("\0"):
        return None
    kind = first & 0xF0
    if kind == _NON_CONFIRMABLE:
        head = _NON_CHANGED[token_end - 4][datagram[2] & _RESPONSE_ID_MASK >> 8]
        return resource, data, head + datagram[3:token_end]
    if kind == _CONFIRMABLE:
        return resource, data, _ACK_CHANGED[token_end - 4] + datagram[2:token_end]
    return None


def write_changed(post: Post) -> bytes:
    """The datagram that answers 2.04 to a post, or b"" if nothing is to be sent.

    See `response_id` for the message ID of a Non-confirmable response.
    """
    if post.route.suppressed:
        datagram = post.datagram
        return write_response(post, _CHANGED, response_id(datagram[2] << 8 | datagram[3]))
    datagram, token_end = post.datagram, post.token_end
    if datagram[0] & 0x30 == 0:
        return _ACK_CHANGED[token_end - 4] + datagram[2:token_end]
    return _NON_CHANGED[token_end - 4][datagram[2] & _RESPONSE_ID_MASK >> 8] + datagram[3:token_end]


def response_id(message_id: int) -> int:
    """The message ID of the response to a Non-confirmable request with this one.

    It repeats the low bits of its request, so that it is not reused towards a node before the node
    reuses its own.
    """
    return RESPONSE_IDS | message_id & _RESPONSE_ID_MASK


def write_response(
    post: Post, code: int, message_id: int, *, words: str = "", max_age_s: int | None = None
) -> bytes:
    """The datagram that answers a post, or b"" if nothing is to be sent.

    `message_id` is for a Non-confirmable response; a Confirmable post is answered in its
    acknowledgement (RFC 7252 section 5.2.1). `words` is the diagnostic payload, cut to the
    anti-amplification limit.
    """
    datagram = post.datagram
    confirmable = post.confirmable
    if post.route.suppressed >> (code >> 5) - 1 & 1:
        # RFC 7967 section 2.1: a Confirmable request is acknowledged all the same.
        return bytes((_ACK, 0, datagram[2], datagram[3])) if confirmable else b""
    token_length = datagram[0] & _TOKEN_LENGTH
    if confirmable:
        head = bytes((_ACK | token_length, code)) + datagram[2 : post.token_end]
    else:
        head = (
            bytes((_NON_CONFIRMABLE | token_length, code, message_id >> 8, message_id & 0xFF))
            + datagram[4 : post.token_end]
        )
    if code == _CHANGED:
        return head
    if max_age_s is not None:
        value = encode_uint(max_age_s)
        # The delta to Max-Age (14) needs the extended form.
        head += bytes((13 << 4 | len(value), OptionNumber.MAX_AGE - 13)) + value
    room = AMPLIFICATION_MAX * len(datagram) - len(head) - 1
    text = words.encode()[: max(0, room)].decode(errors="ignore").encode()
    return head + _MARKER + text if text else head


def write_too_many(datagram: bytes, max_age_s: int) -> bytes:
    """The acknowledgement with 4.29 (RFC 8516) of a Confirmable request; b"" for another
    datagram."""
    try:
        request = read_datagram(datagram)
    except ProtocolError:
        return b""
    if request.mtype is not MessageType.CON or not is_request(request):
        return b""
    return write_error(request, Code.TOO_MANY_REQUESTS, 0, (OptionNumber.MAX_AGE, max_age_s))


def _read_route(options: bytes) -> Route | None:
    """Decode the options between token and payload marker, if they are those of such a post."""
    if len(options) > _OPTIONS_BYTES_MAX:
        return None
    try:
        # A message without token, to use the same decoder of options.
        message = CoapMessage.from_bytes(b"\x50\x02\x00\x00" + options)
    except ProtocolError:
        return None
    if message.payload or option_problem(message):
        return None
    path: bytes | None = None
    suppressed = 0
    for number, value in message.options:
        match number:
            case OptionNumber.URI_PATH if path is None:
                path = value
            case OptionNumber.CONTENT_FORMAT if decode_uint(value) == ContentFormat.TEXT:
                pass
            case OptionNumber.URI_HOST | OptionNumber.URI_PORT:
                pass  # this endpoint has one virtual host
            case OptionNumber.NO_RESPONSE if len(value) <= 1:
                suppressed = decode_uint(value)
            case _ if number & 1 or number in _HEEDED:
                return None
    if path == b"alive":
        return Route(ALIVE, suppressed)
    return Route(SERVER, suppressed) if path == b"server" else None


_HEEDED: Final = frozenset(
    {
        OptionNumber.OBSERVE,
        OptionNumber.CONTENT_FORMAT,
        OptionNumber.NO_RESPONSE,
        OptionNumber.ECHO,
    }
)
"""Elective options that must not be ignored as others may be (RFC 7252 section 5.4.1)."""
_VALUE_ROUTE: Final = Route(SERVER)
"""The route of all posts of values without other options."""
_routes: Final[dict[bytes, Route]] = {
    # With and without Content-Format 0. They do not depend on the cache.
    b"\xb6server": _VALUE_ROUTE,
    b"\xb6server\x10": _VALUE_ROUTE,
}
