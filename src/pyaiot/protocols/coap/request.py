# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a CoAP request before it is handled, and error responses. Pure."""

from typing import Final, NamedTuple

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, build_options, decode_uint
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber

_RESERVED_CLASSES: Final = frozenset({1, 6, 7})
_REQUEST_CODES_END: Final = 0x20
"""Codes of requests are below this (RFC 7252 section 12.1)."""


class _Form(NamedTuple):
    """Shortest and longest value of an option in bytes, and its other properties."""

    shortest: int
    longest: int
    repeatable: bool = False
    is_text: bool = False
    """UTF-8 (RFC 7252 section 3.2)."""


# RFC 7252 section 5.10, table 4; RFC 7959 section 2.1. Others are not supported.
_CRITICAL: Final = {
    int(OptionNumber.URI_HOST): _Form(1, 255, is_text=True),
    int(OptionNumber.URI_PORT): _Form(0, 2),
    int(OptionNumber.URI_PATH): _Form(0, 255, repeatable=True, is_text=True),
    int(OptionNumber.URI_QUERY): _Form(0, 255, repeatable=True, is_text=True),
    int(OptionNumber.ACCEPT): _Form(0, 2),
    int(OptionNumber.BLOCK2): _Form(0, 3),
    int(OptionNumber.BLOCK1): _Form(0, 3),
    # Answered 5.05 (section 5.10.2), which is more specific than 4.02.
    int(OptionNumber.PROXY_URI): _Form(1, 1034, is_text=True),
    int(OptionNumber.PROXY_SCHEME): _Form(1, 255, is_text=True),
}
_CRITICAL_IN_RESPONSES: Final = frozenset({int(OptionNumber.BLOCK2), int(OptionNumber.BLOCK1)})
_ELECTIVE_TEXTS: Final = frozenset(
    {int(OptionNumber.LOCATION_PATH), int(OptionNumber.LOCATION_QUERY)}
)
_RESERVED_SZX: Final = 7


def read_datagram(datagram: bytes) -> CoapMessage:
    """The message in a received datagram.

    Raises `ProtocolError` for every message format error, also for a code of a reserved class (RFC
    7252 section 3). `message.rejection` returns the response.
    """
    message = CoapMessage.from_bytes(datagram)
    if message.code >> 5 in _RESERVED_CLASSES:
        raise ProtocolError(f"codes of class {message.code >> 5} are reserved")
    return message


def is_request(message: CoapMessage) -> bool:
    return Code.EMPTY < message.code < _REQUEST_CODES_END


def option_problem(request: CoapMessage) -> str:
    """The problem with the critical options of a request, or "".

    Options may be unknown, of a wrong length, not UTF-8, or repeated (RFC 7252 sections 5.4.1,
    5.4.3 and 5.4.5). A Confirmable request is answered 4.02, another is ignored.
    """
    before = -1
    for number, value in request.options:
        if number & 1:
            form = _CRITICAL.get(number)
            if form is None:
                return f"unknown critical option {number}"
            if not form.shortest <= len(value) <= form.longest:
                return f"option {number} has an invalid length"
            if number == before and not form.repeatable:
                return f"option {number} is repeated"
            if form.is_text and not _is_utf8(value):
                return f"option {number} is not UTF-8"
        before = number
    return ""


def block_problem(request: CoapMessage) -> str:
    """The problem with the block options of a request without `option_problem`, or "".

    RFC 7959 section 2.2: the block size exponent 7 is answered 4.00.
    """
    for number in (OptionNumber.BLOCK2, OptionNumber.BLOCK1):
        value = request.option(number)
        if value is not None and decode_uint(value) & _RESERVED_SZX == _RESERVED_SZX:
            return f"the block size exponent of option {int(number)} is reserved"
    return ""


def without_malformed_texts(request: CoapMessage) -> CoapMessage:
    """The request without elective options that are texts but not UTF-8.

    They are ignored (RFC 7252 section 5.4.3), and aiocoap cannot decode a message that has them.
    """
    if _ELECTIVE_TEXTS.isdisjoint(number for number, _ in request.options):
        return request
    options = tuple(
        option
        for option in request.options
        if option[0] not in _ELECTIVE_TEXTS or _is_utf8(option[1])
    )
    return msgspec.structs.replace(request, options=options)


def is_rejected(response: CoapMessage) -> bool:
    """Whether a response has a critical option that a client does not understand.

    RFC 7252 section 5.4.1: it is rejected, with a reset if it is Confirmable, else silently, and
    ends no request.
    """
    return any(
        number & 1 and number not in _CRITICAL_IN_RESPONSES for number, _ in response.options
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def suppresses(request: CoapMessage, code: int) -> bool:
    """Whether the client does not want a response of this class (RFC 7967 section 2.1)."""
    value = request.option(OptionNumber.NO_RESPONSE)
    # With another length, an elective option is treated as unknown (RFC 7252 section 5.4.3).
    return value is not None and len(value) <= 1 and bool(decode_uint(value) >> (code >> 5) - 1 & 1)


def write_error(
    request: CoapMessage, code: int, message_id: int, *options: tuple[int, int]
) -> bytes:
    """The datagram that answers a request, without payload; b"" if nothing is to be sent.

    `message_id` is for the response to a Non-confirmable request.
    """
    confirmable = request.mtype is MessageType.CON
    if suppresses(request, code):
        # RFC 7967 section 2.1: a Confirmable request is acknowledged all the same.
        if not confirmable:
            return b""
        return CoapMessage(MessageType.ACK, Code.EMPTY, request.message_id).to_bytes()
    mtype = MessageType.ACK if confirmable else MessageType.NON
    response_id = request.message_id if confirmable else message_id
    return CoapMessage(mtype, code, response_id, request.token, build_options(*options)).to_bytes()
