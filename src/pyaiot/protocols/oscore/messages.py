# SPDX-License-Identifier: BSD-3-Clause
"""Protects and unprotects whole datagrams (RFC 8613 sections 4, 7.2 and 8). Pure.

Header and token of a message stay unchanged. Code, options and payload become the plaintext, which
is encoded like a CoAP message, so requests and responses are copied without being decoded.
"""

from typing import Final

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import PAYLOAD_MARKER, Code, OptionNumber
from pyaiot.protocols.edhoc.messages import split_combined
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.option import OscoreOption, encode_partial_iv

_OSCORE: Final = int(OptionNumber.OSCORE)
_MARKER: Final = bytes((PAYLOAD_MARKER,))
_OUTER: Final = frozenset({OptionNumber.URI_HOST, OptionNumber.URI_PORT, OptionNumber.OSCORE})
"""Critical options that may be unprotected: this endpoint has one virtual host. Unprotected blocks
come from proxies (section 4.1.3.4.2), and are not supported."""
_PROXY: Final = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})
_RESPONSE_CLASSES: Final = frozenset((2, 4, 5))
_REQUEST_CODES_END: Final = 0x20
_OBSERVE_BYTES: Final = 3


class Unacceptable(ProtocolError):
    """A protected message that cannot be accepted. `code` is that of the response to a request, and
    `edhoc_error` its payload, an EDHOC error message; empty: the text is the payload."""

    def __init__(self, code: Code, text: str, edhoc_error: bytes = b"") -> None:
        super().__init__(text)
        self.code = code
        self.edhoc_error = edhoc_error


class ProtectedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message with an OSCORE option."""

    datagram: bytes
    token_end: int
    option: OscoreOption
    ciphertext: bytes
    message_3: bytes = b""
    """The third message of EDHOC before the ciphertext (RFC 9668); empty if absent."""

    @property
    def token(self) -> bytes:
        return self.datagram[4 : self.token_end]


def is_protected(datagram: bytes) -> bool:
    """Whether a datagram has an OSCORE option. Never raises: False for a malformed datagram.

    It stops at the first option above the OSCORE option, as it does for most requests.
    """
    end = len(datagram)
    if end < 5:
        return False
    index = 4 + (datagram[0] & 0x0F)
    number = 0
    while index < end:
        number += datagram[index] >> 4  # above the OSCORE option for a payload marker
        if number >= _OSCORE:
            return number == _OSCORE
        length = datagram[index] & 0x0F
        index += 1 + length
        if length > 12:
            if length > 13 or index - 13 >= end:
                return False  # a lower option has at most 255 bytes
            index += datagram[index - 13]
    return False


def read_protected(datagram: bytes) -> ProtectedMessage:
    """Read a message for which `is_protected` is true. Raises `Unacceptable` for a malformed OSCORE
    option and for an option that should be protected, `ProtocolError` for a malformed message (see
    `message.rejection`)."""
    message = CoapMessage.from_bytes(datagram)
    value: bytes | None = None
    ciphertext, message_3 = message.payload, b""
    for number, found in message.options:
        if number == _OSCORE:
            if value is not None:
                raise Unacceptable(Code.BAD_OPTION, "the OSCORE option is repeated")
            value = found
        elif number in _PROXY:
            raise Unacceptable(Code.PROXYING_NOT_SUPPORTED, "this is not a proxy")
        elif number == OptionNumber.EDHOC and message.code < _REQUEST_CODES_END:
            try:
                message_3, ciphertext = split_combined(message.payload)
            except ProtocolError as error:
                raise Unacceptable(Code.BAD_REQUEST, "the EDHOC message_3 is missing") from error
        elif number & 1 and number not in _OUTER:
            raise Unacceptable(Code.BAD_OPTION, f"option {number} is outside of OSCORE")
    if value is None or not ciphertext:
        raise Unacceptable(Code.BAD_OPTION, "the OSCORE message has no ciphertext")
    try:
        option = OscoreOption.from_bytes(value)
    except (NotEnoughBytes, ProtocolError) as error:
        # Section 8.2, step 2.
        raise Unacceptable(Code.BAD_OPTION, "failed to decode COSE") from error
    return ProtectedMessage(datagram, 4 + len(message.token), option, ciphertext, message_3)


# -- requests -------------------------------------------------------------------------------------


def protect_request(
    context: SecurityContext, datagram: bytes, number: int
) -> tuple[bytes, RequestIds]:
    """Protect a request with an unused sequence number (section 8.1). Returns the ids that bind the
    response to it.

    An Observe option is also sent unprotected, with the code FETCH (section 4.1.3.5). Raises
    `ValueError` for a request to a proxy or a virtual host, whose options cannot be in the
    plaintext.
    """
    message = CoapMessage.from_bytes(datagram)
    if not _PROXY.union((OptionNumber.URI_HOST, OptionNumber.URI_PORT)).isdisjoint(
        found for found, _ in message.options
    ):
        raise ValueError("a request to a proxy or a virtual host cannot be protected")
    token_end = 4 + len(message.token)
    ids = RequestIds(context.sender_id, encode_partial_iv(number))
    observe = message.option(OptionNumber.OBSERVE)
    outer: list[tuple[int, bytes | str | int]] = [
        (_OSCORE, OscoreOption(ids.partial_iv, ids.kid).to_bytes())
    ]
    if observe is not None:
        outer.append((OptionNumber.OBSERVE, observe))
    plaintext = datagram[1:2] + datagram[token_end:]
    protected = msgspec.structs.replace(
        message,
        code=Code.POST if observe is None else Code.FETCH,
        options=build_options(*outer),
        payload=context.encrypt(plaintext, context.sender_nonce(number), ids),
    )
    return protected.to_bytes(), ids


def request_number(option: OscoreOption) -> int:
    """The sequence number of a request. Raises `Unacceptable` without one (section 8.2)."""
    if not option.partial_iv:
        raise Unacceptable(Code.BAD_OPTION, "failed to decode COSE")
    return int.from_bytes(option.partial_iv, "big")


def unprotect_request(context: SecurityContext, request: ProtectedMessage) -> bytes:
    """Decrypt the datagram of a request (section 8.2). Raises `Unacceptable` if it was not
    protected with this context.

    The caller finds the context by the kid, and checks the sequence number for replays.
    """
    option = request.option
    number = request_number(option)
    ids = RequestIds(context.recipient_id, option.partial_iv)
    try:
        plaintext = context.decrypt(request.ciphertext, context.recipient_nonce(number), ids)
    except ProtocolError as error:
        raise Unacceptable(Code.BAD_REQUEST, "decryption failed") from error
    if not 0 < plaintext[0] < _REQUEST_CODES_END:
        raise Unacceptable(Code.BAD_REQUEST, "no request inside")
    return _inner(request, plaintext)


# -- responses ------------------------------------------------------------------------------------


def protect_response(
    context: SecurityContext, datagram: bytes, request: RequestIds, number: int | None = None
) -> bytes:
    """Protect a response (section 8.3). `number` None: use the nonce of its request, which no other
    response may have used; otherwise use this unused sequence number."""
    token_end = 4 + (datagram[0] & 0x0F)
    plaintext = datagram[1:2] + datagram[token_end:]
    if number is None:
        nonce = context.recipient_nonce(int.from_bytes(request.partial_iv, "big"))
        option = b"\x90"
    else:
        nonce = context.sender_nonce(number)
        value = OscoreOption(encode_partial_iv(number)).to_bytes()
        option = bytes((0x90 | len(value),)) + value
    return (
        datagram[:1]
        + bytes((Code.CHANGED,))
        + datagram[2:token_end]
        + option
        + _MARKER
        + context.encrypt(plaintext, nonce, request)
    )


def unprotect_response(
    context: SecurityContext, response: ProtectedMessage, request: RequestIds
) -> bytes:
    """Decrypt the datagram of a response (section 8.4).

    The Observe option of a notification contains the low bytes of the sequence number, which shows
    its age (section 7.4.1). Raises `ProtocolError` if it is not a response to this request with
    this context.
    """
    partial_iv = response.option.partial_iv
    if partial_iv:
        nonce = context.recipient_nonce(int.from_bytes(partial_iv, "big"))
    else:
        nonce = context.sender_nonce(int.from_bytes(request.partial_iv, "big"))
    plaintext = context.decrypt(response.ciphertext, nonce, request)
    if plaintext[0] >> 5 not in _RESPONSE_CLASSES:
        raise ProtocolError("no response inside")
    datagram = _inner(response, plaintext)
    message = CoapMessage.from_bytes(datagram)
    if partial_iv and message.option(OptionNumber.OBSERVE) is not None:
        number = partial_iv[-_OBSERVE_BYTES:].lstrip(b"\0")
        options = tuple(
            (option, number if option == OptionNumber.OBSERVE else value)
            for option, value in message.options
        )
        return msgspec.structs.replace(message, options=options).to_bytes()
    return datagram


def _inner(message: ProtectedMessage, plaintext: bytes) -> bytes:
    datagram = message.datagram
    return datagram[:1] + plaintext[:1] + datagram[2 : message.token_end] + plaintext[1:]
