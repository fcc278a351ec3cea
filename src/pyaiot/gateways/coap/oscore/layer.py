# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE between the UDP port and the rest of the CoAP gateway (RFC 8613). Pure.

A protected datagram of a device becomes a plain datagram from a peer that has proved its uid, and
datagrams to such a peer are protected. All other datagrams pass unchanged. `now` is the loop's time
in seconds.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.device import (
    RESPONSES_MAX,
    ExchangeKey,
    OscoreDevice,
    ReceivedRequest,
    SentRequest,
    keep,
)
from pyaiot.gateways.coap.oscore.refusals import OscoreRefusals, build_response
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.edhoc.responder import EdhocRefused
from pyaiot.protocols.oscore.context import RequestIds
from pyaiot.protocols.oscore.messages import (
    ProtectedMessage,
    Unacceptable,
    is_protected,
    protect_request,
    protect_response,
    read_protected,
    request_number,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.numbers import ReplayWindow, received_up_to
from pyaiot.transport.peers import Peer, PeerAddress
from pyaiot.transport.rate_limit import RateLimit

if TYPE_CHECKING:
    from pyaiot.gateways.coap.oscore.edhoc import EdhocResponder

MESSAGE_IDS_MAX: Final = 8192
"""Largest number of Confirmable messages to devices whose acknowledgements are recognised. Beyond
it the oldest is retransmitted although it arrived."""
CHALLENGE_BYTES: Final = 8
"""Length of an Echo value, in bytes."""
CHALLENGES_PER_S: Final = 1.0
CHALLENGES_BURST: Final = 10.0
"""Rate limit and burst of Echo values for one device. Above it there is no response. Only copies of
the device's own messages can exceed it."""
_REQUEST_CODES_END: Final = 0x20
_RESPONSE_CLASSES: Final = frozenset((2, 4, 5))
_ERROR_CLASSES: Final = frozenset((4, 5))


class Unprotected(NamedTuple):
    """A device answered a protected request with an unprotected error. Any host that sees the
    request can forge it."""

    peer: Peer
    token: bytes
    code: int


class OscoreLayer:
    """All devices with a credential for OSCORE, at one UDP port."""

    def __init__(
        self,
        contexts: OscoreContexts,
        random_bytes: Callable[[int], bytes] = os.urandom,
        report: Callable[..., None] = lambda _text, *_details: None,
    ) -> None:
        """`report`: see `OscoreRefusals`."""
        self.refusals = OscoreRefusals(report)
        self.edhoc: EdhocResponder | None = None
        """Set if there are devices with a key pair."""
        self._contexts = contexts
        self._random_bytes = random_bytes
        self._message_ids: OrderedDict[tuple[PeerAddress, bytes], Peer] = OrderedDict()
        self._to_send: list[tuple[bytes, Peer]] = []
        self._unprotected: list[Unprotected] = []

    def datagrams_to_send(self) -> list[tuple[bytes, Peer]]:
        """Responses of this layer since the last call, in their form on the wire."""
        if not self._to_send:
            return self._to_send
        to_send, self._to_send = self._to_send, []
        return to_send

    def next_unprotected(self) -> Unprotected | None:
        """The next unprotected response to a protected request; None if there are no more."""
        return self._unprotected.pop(0) if self._unprotected else None

    # -- receiving ------------------------------------------------------------------------------

    def receive_datagram(
        self, datagram: bytes, peer: Peer, *, now: float
    ) -> tuple[bytes, Peer] | None:
        """The plain datagram and its peer; None if there is nothing to process."""
        if not is_protected(datagram):
            return self._receive_plain(datagram, peer)
        if self.refusals.is_muted(peer.host, now):
            self.refusals.refused += 1
            return None
        code, mtype = datagram[1], datagram[0] >> 4 & 3
        is_request = 0 < code < _REQUEST_CODES_END
        try:
            message = read_protected(datagram)
            if is_request and mtype in (MessageType.CON, MessageType.NON):
                if message.message_3:
                    self._receive_message_3(message, peer, now)
                return self._receive_request(message, peer, now)
            if code >> 5 in _RESPONSE_CLASSES:
                return self._receive_response(message, peer)
        except Unacceptable as problem:
            if is_request:
                self._refuse(datagram, peer, problem, now)
            return None
        except ProtocolError:
            pass  # An error of the message format: rejected like any other message.
        return datagram, peer

    def _receive_message_3(self, request: ProtectedMessage, peer: Peer, now: float) -> None:
        """RFC 9668 section 3.3.1: the context of the request is that of a handshake which the
        message in front of it ends."""
        if self.edhoc is None:
            raise Unacceptable(Code.BAD_OPTION, f"option {OptionNumber.EDHOC} is not supported")
        kid = request.option.kid or b""
        if self._contexts.uids_of(kid):
            return  # A copy: the handshake has ended already.
        try:
            self.edhoc.receive_combined(kid, request.message_3, peer.host, now)
        except EdhocRefused as problem:
            raise Unacceptable(Code.BAD_REQUEST, str(problem), problem.answer) from problem

    def _receive_request(
        self, request: ProtectedMessage, peer: Peer, now: float
    ) -> tuple[bytes, Peer] | None:
        """RFC 8613 section 8.2."""
        option = request.option
        number = request_number(option)
        uids = () if option.kid_context else self._contexts.uids_of(option.kid)
        problem = Unacceptable(Code.UNAUTHORIZED, "security context not found")
        for uid in uids:
            device = self._contexts.device(uid)
            if device is None:
                continue
            window = device.stored.window
            if window is not None and not window.is_new(number):
                self.refusals.replayed += 1
                if self._respond_to_copy(device, request, peer):
                    return None
                problem = Unacceptable(Code.UNAUTHORIZED, "replay detected")
                continue
            try:
                inner = unprotect_request(device.context, request)
            except Unacceptable as error:
                problem = error
                continue
            self.refusals.has_proved(peer.host)
            if window is not None:
                window.add(number)
            elif self._is_fresh(device, inner):
                # Lower numbers may have been received earlier.
                device.stored.window = ReplayWindow(received_up_to(number))
                device.challenge = b""
            else:
                self._send_challenge(device, request, peer, now)
                return None
            received = ReceivedRequest(request.datagram, _ids_of(device, request))
            keep(device.received, (peer.address, request.token), received, RESPONSES_MAX)
            return inner, device.at(peer)
        raise problem

    def _respond_to_copy(self, device: OscoreDevice, request: ProtectedMessage, peer: Peer) -> bool:
        """RFC 7252 section 4.5: a copy of an accepted Confirmable request gets the same response
        again. Returns False if it is not a copy of a remembered request."""
        known = device.received.get((peer.address, request.token))
        if known is None or known.datagram != request.datagram:
            return False
        if known.reply and _is_confirmable(request.datagram):
            self._to_send.append((known.reply, peer))
        return True

    # -- loss of the replay window --------------------------------------------------------------

    def _is_fresh(self, device: OscoreDevice, inner: bytes) -> bool:
        """Whether a request has the Echo value of this process (RFC 8613, Appendix B.1.2)."""
        if not device.challenge:
            return False
        try:
            echo = CoapMessage.from_bytes(inner).option(OptionNumber.ECHO)
        except ProtocolError:
            return False
        return echo == device.challenge

    def _send_challenge(
        self, device: OscoreDevice, request: ProtectedMessage, peer: Peer, now: float
    ) -> None:
        """Send 4.01 with an Echo value. It is protected with a new sequence number, because the
        nonce of the request may have been used before the loss."""
        if device.challenges is None:
            device.challenges = RateLimit(per_s=CHALLENGES_PER_S, burst=CHALLENGES_BURST, now=now)
        if device.challenges.take(now):
            return
        number = self._contexts.take_number(device)
        if number is None:
            return
        if not device.challenge:
            device.challenge = self._random_bytes(CHALLENGE_BYTES)
        echo = OptionNumber.ECHO, device.challenge
        response = build_response(request.datagram, Code.UNAUTHORIZED, echo)
        ids = _ids_of(device, request)
        self._to_send.append((protect_response(device.context, response, ids, number), peer))

    # -- responses ------------------------------------------------------------------------------

    def _receive_response(
        self, response: ProtectedMessage, peer: Peer
    ) -> tuple[bytes, Peer] | None:
        """RFC 8613 section 8.4."""
        sent = self._contexts.sent((peer.address, response.token))
        if sent is None:
            # RFC 7252 section 4.2: a Confirmable response without a matching request is rejected.
            if reset := rejection(response.datagram):
                self._to_send.append((reset, peer))
            return None
        try:
            inner = unprotect_response(sent.device.context, response, sent.ids)
        except ProtocolError:
            self.refusals.refused += 1
            return None
        if not sent.take_response(response.option.partial_iv):
            self.refusals.replayed += 1
            self._acknowledge(response.datagram, peer)
            return None
        return inner, sent.peer

    def _receive_plain(self, datagram: bytes, peer: Peer) -> tuple[bytes, Peer] | None:
        """A datagram without protection. Empty messages are never protected (RFC 8613 section
        4.2)."""
        if len(datagram) < 4:
            return datagram, peer
        code = datagram[1]
        if code == Code.EMPTY:
            return datagram, self._message_ids.get((peer.address, datagram[2:4]), peer)
        if code >> 5 in _ERROR_CLASSES and self._contexts.has_sent:
            sent = self._contexts.sent((peer.address, _token(datagram)))
            if sent is not None:
                self.refusals.refused += 1
                self._unprotected.append(Unprotected(sent.peer, _token(datagram), code))
                self._acknowledge(datagram, peer)
                return None
        return datagram, peer

    def receive_error(self, peer: Peer, quoted: bytes | None) -> tuple[Peer, bytes | None]:
        """The peer and the plain datagram of an ICMP error, which quotes the protected one."""
        if quoted is None or len(quoted) < 4:
            return peer, quoted
        token = _token(quoted)
        sent = self._contexts.sent((peer.address, token))
        if sent is None or not sent.protected.startswith(quoted[: 4 + len(token)]):
            return peer, quoted
        return sent.peer, sent.plain

    # -- sending --------------------------------------------------------------------------------

    def protect(self, datagram: bytes, peer: Peer) -> bytes | None:
        """The datagram to send to a secured peer; None if its credential was removed, its request
        is forgotten, or no sequence number could be reserved."""
        code = datagram[1]
        if code == Code.EMPTY:
            return datagram
        device = self._contexts.device(peer.address.uid)
        if device is None:
            return None
        address = peer.address._replace(uid="")
        key = address, _token(datagram)
        if code < _REQUEST_CODES_END:
            protected = self._protect_request(device, datagram, peer, key)
        else:
            protected = self._protect_response(device, datagram, key)
        if protected is not None and _is_confirmable(datagram):
            keep(self._message_ids, (address, datagram[2:4]), peer, MESSAGE_IDS_MAX)
        return protected

    def _protect_request(
        self, device: OscoreDevice, datagram: bytes, peer: Peer, key: ExchangeKey
    ) -> bytes | None:
        sent = self._contexts.sent(key)
        if sent is not None and sent.plain == datagram:
            return sent.protected  # a retransmission
        number = self._contexts.take_number(device)
        if number is None:
            return None
        protected, ids = protect_request(device.context, datagram, number)
        self._contexts.keep_sent(
            key,
            SentRequest(device, peer, datagram, protected, ids),
            observes=protected[1] == Code.FETCH,
        )
        return protected

    def _protect_response(
        self, device: OscoreDevice, datagram: bytes, key: ExchangeKey
    ) -> bytes | None:
        request = device.received.get(key)
        if request is None:
            return None
        plaintext = datagram[1:2] + datagram[4 + len(key[1]) :]
        number = None
        if not request.plaintext:
            request.plaintext = plaintext
        elif request.plaintext != plaintext:
            # A different response than the one that used the nonce of the request.
            number = self._contexts.take_number(device)
            if number is None:
                return None
        request.reply = protect_response(device.context, datagram, request.ids, number)
        return request.reply

    # -- responses of this layer ----------------------------------------------------------------

    def _refuse(self, datagram: bytes, peer: Peer, problem: Unacceptable, now: float) -> None:
        response = self.refusals.refuse(datagram, peer.host, problem, now=now)
        if response:
            self._to_send.append((response, peer))

    def _acknowledge(self, datagram: bytes, peer: Peer) -> None:
        if _is_confirmable(datagram):
            self._to_send.append((bytes((0x60, 0)) + datagram[2:4], peer))


def _token(datagram: bytes) -> bytes:
    return datagram[4 : 4 + (datagram[0] & 0x0F)]


def _is_confirmable(datagram: bytes) -> bool:
    return datagram[0] >> 4 & 3 == MessageType.CON


def _ids_of(device: OscoreDevice, request: ProtectedMessage) -> RequestIds:
    return RequestIds(device.context.recipient_id, request.option.partial_iv)
