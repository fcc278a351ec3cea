# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP endpoint of the gateway: sorts datagrams before aiocoap sees them, and sends answers."""

import asyncio
import logging
from typing import Any, Final, Protocol

import aiocoap
from aiocoap.resource import Site

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.aiocoap_adapter import (
    AiocoapTransport,
    CoapPeer,
    is_unwanted,
    open_aiocoap,
)
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.post import PAYLOAD_BYTES_MAX, write_too_many
from pyaiot.protocols.coap.request import is_request, option_problem, read_datagram, write_error
from pyaiot.transport.anti_amplification import AmplificationLimit
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.udp import DatagramEndpoint, Trace, answers_probe, udp_socket

HOST_REQUESTS_PER_S: Final = 20.0
HOST_REQUESTS_BURST: Final = 200.0
"""Requests that reach aiocoap from one unverified host, sustained and at once. Above: 4.29, or no
answer to a Non-confirmable request."""
UNVERIFIED_REQUESTS_PER_S: Final = 50.0
UNVERIFIED_REQUESTS_BURST: Final = 500.0
"""The same of all unverified hosts together. Above: not answered, and counted."""
NODE_REQUESTS_PER_S: Final = 50.0
NODE_REQUESTS_BURST: Final = 1200.0
"""Requests that reach aiocoap from one verified host, for example the blocks of a large value.
Above: 4.29, or no answer to a Non-confirmable request."""
NODES_REQUESTS_PER_S: Final = 500.0
NODES_REQUESTS_BURST: Final = 2000.0
"""The same of all verified hosts together. Above: not answered, and counted."""
_ERRORS: Final = 0x80
_ACK: Final = 0x60
_RESPONSES: Final = 0x40
"""Codes of responses begin here (RFC 7252 section 12.1)."""

log = logging.getLogger(__name__)


class PostHandler(Protocol):
    """Handles the posts of nodes, which most datagrams are."""

    def receive_datagram(
        self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None
    ) -> bytes | None:
        """The answer, b"" for none, or None: the datagram is not such a post."""
        ...

    def count_refusal(self, host: str, problem: object) -> None:
        """A request was refused before any handler saw it."""
        ...


class ResponseHandler(Protocol):
    """Handles responses to requests that do not go through aiocoap."""

    def receive_datagram(self, datagram: bytes, sockaddr: Any) -> bytes | None:
        """The answer, b"" for none, or None: the datagram belongs to no request of this handler."""
        ...


class RequestHandler(ResponseHandler, Protocol):
    """Handles responses and errors of requests to nodes."""

    def receive_error(self, error: OSError, peer: CoapPeer, quoted: bytes | None) -> None:
        """A peer cannot be reached. `quoted`: the datagram in the ICMP error; None: not sent."""


class CoapEndpoint:
    """One UDP port, for posts, responses of nodes, and requests that aiocoap answers.

    The handlers are set once, before the first datagram is read.
    """

    def __init__(
        self, context: aiocoap.Context, transport: AiocoapTransport, datagrams: DatagramEndpoint
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = context.loop
        self.requests: RequestHandler | None = None
        self.observer: ResponseHandler | None = None
        self._context = context
        self._transport = transport
        self._datagrams = datagrams
        self._posts: PostHandler | None = None
        self._unverified = HostRateLimit(
            Rate(HOST_REQUESTS_PER_S, HOST_REQUESTS_BURST),
            Rate(UNVERIFIED_REQUESTS_PER_S, UNVERIFIED_REQUESTS_BURST),
        )
        self._verified = HostRateLimit(
            Rate(NODE_REQUESTS_PER_S, NODE_REQUESTS_BURST),
            Rate(NODES_REQUESTS_PER_S, NODES_REQUESTS_BURST),
        )

    @classmethod
    async def open(cls, host: str, port: int, site: Site, *, interface: str = "") -> "CoapEndpoint":
        """Listen on one UDP port. Raises `OperatorError` if that is not possible.

        `interface`: receive and send on this network interface only.
        """
        loop = asyncio.get_running_loop()
        sock = udp_socket(host, port, interface, protocol="CoAP", flag="--coap-port")
        datagrams = DatagramEndpoint(sock, loop, protocol="CoAP")
        try:
            context, transport = await open_aiocoap(site, loop, datagrams.port)
        except BaseException:
            datagrams.close()
            raise
        endpoint = transport.sender = cls(context, transport, datagrams)
        datagrams.listen(endpoint._receive, endpoint._receive_error)
        return endpoint

    @property
    def local_address(self) -> tuple[str, int]:
        """The host and UDP port of the socket."""
        return self._datagrams.host, self._datagrams.port

    @property
    def context(self) -> aiocoap.Context:
        return self._context

    def handle_posts(self, posts: PostHandler) -> None:
        """Give each datagram to `posts` first, and enforce the limits of unverified hosts."""
        self._posts = posts
        self._datagrams.limit = AmplificationLimit()

    def trace_to(self, trace: Trace) -> None:
        self._datagrams.trace = trace

    async def close(self) -> None:
        self._datagrams.stop()
        await self._context.shutdown()
        self._datagrams.close()

    def refusals(self) -> tuple[int, int]:
        """Datagrams held back by the anti-amplification limit, and requests over a rate limit."""
        limit = self._datagrams.limit
        held_back = 0 if limit is None else limit.held_back
        return held_back, self._unverified.refused + self._verified.refused

    async def answers(self, limit_s: float) -> bool:
        """Whether the endpoint answers a CoAP ping of this machine."""
        return await answers_ping(*self.local_address, limit_s)

    # -- sending --------------------------------------------------------------------------------

    def peer_at(self, sockaddr: Any, pktinfo: bytes | None) -> CoapPeer:
        """The peer that a datagram came from."""
        return CoapPeer(sockaddr, self._transport, pktinfo=pktinfo)

    def send_to(self, datagram: bytes, peer: CoapPeer) -> None:
        self._datagrams.send(datagram, peer.sockaddr, peer.pktinfo)

    def send_message(self, message: aiocoap.Message) -> None:
        """See `MessageSender`."""
        datagram = message.encode()
        limit = self._datagrams.limit
        if is_unwanted(message):
            # RFC 7967 section 2.1: a Confirmable request is acknowledged all the same.
            if message.mtype is not aiocoap.ACK:
                return
            datagram = bytes((_ACK, 0)) + datagram[2:4]
        elif limit is not None and message.code >= _ERRORS:
            credit = limit.credit(message.remote.sockaddr[0])
            if credit is not None and credit < len(datagram):
                message.payload = b""  # the diagnostic text; the code is enough
                datagram = message.encode()
        self._datagrams.send(datagram, message.remote.sockaddr, message.remote.pktinfo)

    def next_message_id(self) -> int:
        """A message ID for an answer."""
        return self._transport.next_message_id()

    def verify(self, peer: CoapPeer) -> None:
        """The peer answered with a token that only the receiver of our request can know."""
        if self._datagrams.limit is not None:
            self._datagrams.limit.verify(peer.sockaddr[0])

    def is_verified(self, peer: CoapPeer) -> bool:
        limit = self._datagrams.limit
        return limit is None or limit.credit(peer.sockaddr[0]) is None

    # -- receiving ------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None) -> None:
        posts = self._posts
        if posts is not None:
            answer = posts.receive_datagram(datagram, sockaddr, pktinfo)
            if answer is not None:
                if answer:
                    self._datagrams.send(answer, sockaddr, pktinfo)
                return
        for handler in (self.requests, self.observer):
            answer = None if handler is None else handler.receive_datagram(datagram, sockaddr)
            if answer is not None:
                if answer:
                    self._datagrams.send(answer, sockaddr, pktinfo)
                return
        self._receive_other(datagram, self.peer_at(sockaddr, pktinfo))

    def _receive_other(self, datagram: bytes, peer: CoapPeer) -> None:
        """Check a datagram that no handler took, then give it to aiocoap."""
        try:
            message = read_datagram(datagram)
        except ProtocolError as error:
            self._refuse(peer, rejection(datagram) or b"", error)
            return
        if self._posts is not None and not self._is_admitted(self._posts, datagram, peer):
            return
        if is_request(message) and not self._is_in_order(message, peer):
            return
        self._transport.receive_datagram(datagram, peer)

    def _is_in_order(self, request: CoapMessage, peer: CoapPeer) -> bool:
        """Whether the options and size of a request are acceptable. If not, it is answered here."""
        problem = option_problem(request)
        if problem:
            # RFC 7252 section 5.4.1: a Non-confirmable request is ignored.
            confirmable = request.mtype is MessageType.CON
            answer = write_error(request, Code.BAD_OPTION, 0) if confirmable else b""
            self._refuse(peer, answer, problem)
        elif len(request.payload) > PAYLOAD_BYTES_MAX:
            # RFC 7959 section 4: Size1 is the largest acceptable payload of one request.
            size1 = OptionNumber.SIZE1, PAYLOAD_BYTES_MAX
            code = Code.REQUEST_ENTITY_TOO_LARGE
            answer = write_error(request, code, self.next_message_id(), size1)
            self._refuse(peer, answer, f"more than {PAYLOAD_BYTES_MAX} bytes of payload")
        else:
            return True
        return False

    def _refuse(self, peer: CoapPeer, answer: bytes, problem: object) -> None:
        if answer:
            self.send_to(answer, peer)
        if self._posts is not None:
            self._posts.count_refusal(peer.address.host, problem)

    def _is_admitted(self, posts: PostHandler, datagram: bytes, peer: CoapPeer) -> bool:
        """Whether aiocoap gets a datagram. It remembers each request, from any peer."""
        code = datagram[1]
        if code == 0:
            # A ping is answered without any state. Other empty messages end an exchange, or none.
            message_id = datagram[2] << 8 | datagram[3]
            return datagram[0] & 0x30 == 0 or self._transport.has_exchange(peer, message_id)
        if code >= _RESPONSES:
            self._reject(peer, datagram)
            return False
        if self._transport.has_request(peer, _token(datagram)):
            # RFC 7252 section 5.3.1: a token is in use once. The request is answered when it is
            # retransmitted; aiocoap would abandon the first one.
            return False
        host = peer.address.host
        rate = self._verified if self.is_verified(peer) else self._unverified
        wait_s = rate.take(host, now=self.loop.time())
        if wait_s == 0:
            return True
        if wait_s is not None:
            answer = write_too_many(datagram, int(wait_s) + 1)
            if answer:
                self.send_to(answer, peer)
        posts.count_refusal(host, "too many requests")
        return False

    def _reject(self, peer: CoapPeer, datagram: bytes) -> None:
        """Reject a Confirmable response that matches no request (RFC 7252 section 4.2)."""
        answer = rejection(datagram)
        if answer is not None:
            self.send_to(answer, peer)

    def _receive_error(self, error: OSError, sockaddr: Any, quoted: bytes | None) -> None:
        peer = self.peer_at(sockaddr, None)
        if self.requests is not None:
            self.requests.receive_error(error, peer, quoted)
        self._transport.receive_error(error, peer)


def _token(datagram: bytes) -> bytes:
    return datagram[4 : 4 + (datagram[0] & 0x0F)]


async def answers_ping(host: str, port: int, limit_s: float) -> bool:
    """Whether an endpoint of this machine answers a CoAP ping (RFC 7252 section 4.3)."""
    # Empty, Confirmable, message ID 1. The answer is an empty reset with that ID.
    return await answers_probe(host, port, b"\x40\x00\x00\x01", b"\x70\x00\x00\x01".__eq__, limit_s)
