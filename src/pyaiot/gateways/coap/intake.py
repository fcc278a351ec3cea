# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP intake: sorts received datagrams, and answers those that need no other part. Pure.

`now` is the loop's time in seconds, `ts` Unix time in seconds. After each call of
`receive_datagrams`, the caller takes all of `next_event`, and after the last one
`datagrams_to_send`. There is no timer: what is remembered expires when it is looked up.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.intake_events import (
    ACCEPTED,
    NOT_ANSWERED,
    EmptyReceived,
    IntakeEvent,
    Posted,
    ResponseReceived,
    ToAiocoap,
    ValuesPosted,
)
from pyaiot.gateways.coap.posts import Posts
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.observe import NotificationNumber, read_notification
from pyaiot.protocols.coap.post import (
    PAYLOAD_BYTES_MAX,
    read_post,
    read_value,
    response_id,
    write_changed,
    write_response,
    write_too_many,
)
from pyaiot.protocols.coap.request import (
    block_problem,
    is_rejected,
    is_request,
    option_problem,
    read_datagram,
    without_malformed_texts,
    write_error,
)
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.peers import Peer

if TYPE_CHECKING:
    from pyaiot.gateways.coap.observations import Observations
    from pyaiot.messages import Reading


class CoapIntake:
    """All datagrams of one CoAP endpoint come in here."""

    def __init__(
        self,
        nodes: LiveNodes,
        table: AddressTable[Peer],
        *,
        limits: HostLimits | None,
        has_request: Callable[[Peer, bytes], bool],
        is_secured: Callable[[str], bool] = lambda _uid: False,
    ) -> None:
        """`has_request`: whether a request of this peer with this token is being answered.
        `is_secured`: whether the device with this uid has a credential, and must use it.

        `limits` None: posts and requests go to aiocoap without a limit, for comparison in
        benchmarks.
        """
        self._events: deque[IntakeEvent] = deque()
        self._to_send: list[tuple[bytes, Peer]] = []
        self._limits = limits
        self._has_request = has_request
        self.posts = Posts(nodes, table, self._events, is_secured)
        self.observations: Observations[Peer] | None = None
        """Set once, before the first datagram. None: notifications are responses as others."""
        self._nodes = nodes

    def next_event(self) -> IntakeEvent | None:
        """The next event; None if there are no more."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[tuple[bytes, Peer]]:
        """The responses since the last call, each with the peer to send it to."""
        if not self._to_send:
            return self._to_send
        to_send, self._to_send = self._to_send, []
        return to_send

    def receive_datagrams(
        self,
        datagrams: Iterator[tuple[bytes, Peer]],
        *,
        now: float,
        unix_time: Callable[[], float],
    ) -> bool:
        """Process datagrams, each with its peer, up to the first one that causes an event other
        than a reading. Returns whether there was one: then apply the events, and call it again."""
        events, to_send = self._events, self._to_send
        receive_value = self.posts.receive_value
        receive_notification = self._receive_notification
        has_limits = self._limits is not None
        readings: list[Reading] = []
        for datagram, peer in datagrams:
            ts = unix_time()
            value = read_value(datagram) if has_limits else None
            if value is not None:
                resource, data, response = value
                reading = receive_value(datagram, resource, data, peer, now, ts)
                if reading is not None:
                    readings.append(reading)
                    to_send.append((response, peer))
                    continue
            elif has_limits:
                reading = receive_notification(datagram, peer, now, ts)
                if reading is not None:
                    readings.append(reading)
                    continue
            if readings:
                events.append(ValuesPosted(readings))
                readings = []
            self._receive_datagram(datagram, peer, now, ts)
            if events and not isinstance(events[-1], Posted):
                return True
        if readings:
            events.append(ValuesPosted(readings))
        return False

    def _receive_notification(
        self, datagram: bytes, peer: Peer, now: float, ts: float
    ) -> "Reading | None":
        """A notification of the usual form: a new value of a known node and resource.

        The reading is accepted. Returns None and changes nothing if the datagram is anything else,
        or is refused.
        """
        notification = read_notification(datagram)
        if notification is None or self.observations is None or self._limits is None:
            return None
        token, number, max_age_s, data = notification
        observation = self.observations.notified(token, peer)
        if observation is None or observation.known is None:
            return None
        sequence = NotificationNumber(number, now)
        if not observation.known.is_followed_by(sequence):
            return None
        reading = self._nodes.known_reading(
            observation.uid, observation.resource, data, now=now, ts=ts
        )
        if reading is not None:
            self.observations.receive_next(observation, sequence, max_age_s)
            observation.too_fast = 0
            self._limits.verify(peer.host)
        return reading

    def _receive_datagram(self, datagram: bytes, peer: Peer, now: float, ts: float) -> None:
        post = read_post(datagram) if self._limits is not None else None
        if post is not None:
            reply = self.posts.receive_post(post, peer, now=now, ts=ts)
            if reply is ACCEPTED:
                response = write_changed(post)
            elif reply is None or reply is NOT_ANSWERED:
                return
            else:
                response = write_response(
                    post,
                    reply.code,
                    response_id(datagram[2] << 8 | datagram[3]),
                    words=reply.words,
                    max_age_s=reply.max_age_s,
                )
            if response:
                self._to_send.append((response, peer))
            return
        try:
            message = read_datagram(datagram)
        except ProtocolError as error:
            self._refuse(peer, rejection(datagram) or b"", error)
            return
        if message.code == Code.EMPTY:
            self._receive_empty(message, datagram, peer)
        elif is_request(message):
            self._receive_request(message, datagram, peer, now)
        elif is_rejected(message):
            self._refuse(peer, rejection(datagram) or b"", "unknown critical option in a response")
        else:
            self._events.append(ResponseReceived(message, datagram, peer))

    def _receive_empty(self, message: CoapMessage, datagram: bytes, peer: Peer) -> None:
        if message.mtype in (MessageType.ACK, MessageType.RST):
            self._events.append(EmptyReceived(message, datagram, peer))
        elif response := rejection(datagram):
            self._to_send.append((response, peer))  # a ping (RFC 7252 section 4.3)

    def _receive_request(
        self, request: CoapMessage, datagram: bytes, peer: Peer, now: float
    ) -> None:
        """Check a request before it is passed to aiocoap, which remembers each request of any
        peer."""
        limits = self._limits
        if limits is not None:
            if self._has_request(peer, request.token):
                # RFC 7252 section 5.3.1: a token is in use once. The request is answered when it is
                # retransmitted; aiocoap would abandon the first one.
                return
            wait_s = limits.take_request(peer.host, now=now)
            if wait_s != 0:
                too_many = b"" if wait_s is None else write_too_many(datagram, int(wait_s) + 1)
                self._refuse(peer, too_many, "too many requests")
                return
        problem = option_problem(request)
        if problem:
            # RFC 7252 section 5.4.1: a Non-confirmable request is ignored.
            confirmable = request.mtype is MessageType.CON
            response = write_error(request, Code.BAD_OPTION, 0) if confirmable else b""
            self._refuse(peer, response, problem)
        elif problem := block_problem(request):
            response = write_error(request, Code.BAD_REQUEST, response_id(request.message_id))
            self._refuse(peer, response, problem)
        elif len(request.payload) > PAYLOAD_BYTES_MAX:
            # RFC 7959 section 4: Size1 is the largest acceptable payload of one request.
            size1 = OptionNumber.SIZE1, PAYLOAD_BYTES_MAX
            code = Code.REQUEST_ENTITY_TOO_LARGE
            response = write_error(request, code, response_id(request.message_id), size1)
            self._refuse(peer, response, f"more than {PAYLOAD_BYTES_MAX} bytes of payload")
        else:
            readable = without_malformed_texts(request)
            if readable is not request:
                datagram = readable.to_bytes()
            self._events.append(ToAiocoap(datagram, peer))

    def _refuse(self, peer: Peer, response: bytes, problem: object) -> None:
        if response:
            self._to_send.append((response, peer))
        if self._limits is not None:
            self.posts.refuse("post from %s refused: %s", peer.address.host, problem)
