# SPDX-License-Identifier: BSD-3-Clause
"""A device with one security context. The other endpoint is its gateway (RFC 8613). Pure.

It is both client and server: it posts to the gateway, and answers its requests.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.messages import (
    ProtectedMessage,
    is_protected,
    protect_request,
    protect_response,
    read_protected,
    request_number,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.numbers import ReplayWindow, received_up_to

EXCHANGES_MAX: Final = 64
"""Largest number of remembered requests in each direction. Beyond it the oldest is forgotten and
not answered."""
_ECHO_BYTES: Final = 8
_REQUEST_CODES_END: Final = 0x20
_OTHER_MESSAGE_ID: Final = 0x4000


class OscoreClient:
    """Accepts and returns plain datagrams. After each call, send what `datagrams_to_send` returns.

    The replay window does not survive a reboot: the first request of the gateway is answered with
    an Echo value (Appendix B.1.2).
    """

    def __init__(self, context: SecurityContext, next_number: Callable[[], int]) -> None:
        """`next_number` returns a sequence number that was never used, not even before a reboot."""
        self._context = context
        self._next_number = next_number
        self._window: ReplayWindow | None = None
        self._echo = os.urandom(_ECHO_BYTES)
        self._sent: OrderedDict[bytes, tuple[bytes, bytes, RequestIds]] = OrderedDict()
        """By token: the plain request, the protected request, and the request ids of its
        response."""
        self._received: OrderedDict[bytes, tuple[bytes, RequestIds, bool]] = OrderedDict()
        """By token: the protected request, and whether a response used its nonce."""
        self._outgoing: list[bytes] = []

    def send(self, datagram: bytes) -> None:
        """Protect a datagram and send it."""
        token = _token(datagram)
        code = datagram[1]
        if code == Code.EMPTY:
            self._outgoing.append(datagram)
        elif code < _REQUEST_CODES_END:
            sent = self._sent.get(token)
            if sent is None or sent[0] != datagram:
                protected, ids = protect_request(self._context, datagram, self._next_number())
                sent = datagram, protected, ids
                _keep(self._sent, token, sent)
            self._outgoing.append(sent[1])
        elif token in self._received:
            request, ids, used = self._received[token]
            self._received[token] = request, ids, True
            number = self._next_number() if used else None
            self._outgoing.append(protect_response(self._context, datagram, ids, number))

    def receive_datagram(self, datagram: bytes) -> Sequence[bytes]:
        """The plain datagram; None if the datagram is not accepted."""
        if not is_protected(datagram):
            return self._receive_plain(datagram)
        try:
            message = read_protected(datagram)
            if datagram[1] < _REQUEST_CODES_END:
                return self._receive_request(message)
            return self._receive_response(message)
        except ProtocolError:
            return ()

    def datagrams_to_send(self) -> list[bytes]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _receive_plain(self, datagram: bytes) -> Sequence[bytes]:
        """Refuse a request without protection."""
        if len(datagram) < 4 or not 0 < datagram[1] < _REQUEST_CODES_END:
            return (datagram,)
        if datagram[0] >> 4 & 3 == MessageType.CON:
            self._outgoing.append(_answer(datagram, ()))
        return ()

    def _receive_request(self, request: ProtectedMessage) -> Sequence[bytes]:
        number = request_number(request.option)
        inner = unprotect_request(self._context, request)
        known = self._received.get(request.token)
        if known is not None and known[0] == request.datagram:
            return (inner,)  # a retransmission: the server knows its message ID
        ids = RequestIds(self._context.recipient_id, request.option.partial_iv)
        if self._window is None:
            if CoapMessage.from_bytes(inner).option(OptionNumber.ECHO) != self._echo:
                challenge = _answer(inner, ((OptionNumber.ECHO, self._echo),))
                protected = protect_response(self._context, challenge, ids, self._next_number())
                self._outgoing.append(protected)
                return ()
            self._window = ReplayWindow(received_up_to(number))
        elif not self._window.is_new(number):
            return ()
        else:
            self._window.add(number)
        _keep(self._received, request.token, (request.datagram, ids, False))
        return (inner,)

    def _receive_response(self, response: ProtectedMessage) -> Sequence[bytes]:
        sent = self._sent.get(response.token)
        if sent is None:
            return ()
        inner = unprotect_response(self._context, response, sent[2])
        answer = CoapMessage.from_bytes(inner)
        echo = answer.option(OptionNumber.ECHO)
        if answer.code != Code.UNAUTHORIZED or echo is None:
            return (inner,)
        # RFC 9175 section 2.3: the gateway requires proof that the request is new.
        request = CoapMessage.from_bytes(sent[0])
        if request.option(OptionNumber.ECHO) is None:
            options = build_options(*request.options, (OptionNumber.ECHO, echo))
            message_id = request.message_id ^ _OTHER_MESSAGE_ID
            repeated = msgspec.structs.replace(request, message_id=message_id, options=options)
            self.send(repeated.to_bytes())
        # The acknowledgement of the first request, without its response.
        return (CoapMessage(MessageType.ACK, Code.EMPTY, request.message_id).to_bytes(),)


def _token(datagram: bytes) -> bytes:
    return datagram[4 : 4 + (datagram[0] & 0x0F)]


def _answer(request: bytes, options: Sequence[tuple[int, bytes]]) -> bytes:
    """Send 4.01. It is Confirmable if the request was."""
    message = CoapMessage.from_bytes(request)
    mtype = MessageType.ACK if message.mtype is MessageType.CON else MessageType.NON
    return CoapMessage(
        mtype, Code.UNAUTHORIZED, message.message_id, message.token, tuple(options)
    ).to_bytes()


V = TypeVar("V")


def _keep(table: OrderedDict[bytes, V], key: bytes, value: V) -> None:
    table.pop(key, None)
    if len(table) >= EXCHANGES_MAX:
        table.popitem(last=False)
    table[key] = value
