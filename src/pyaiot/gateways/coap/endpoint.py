# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP endpoint of the gateway: the I/O part of the intake, and the socket of all senders."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from typing import TYPE_CHECKING, Final, Protocol

import aiocoap
from aiocoap.resource import Site

from pyaiot.gateways.coap.aiocoap_adapter import AiocoapTransport, is_unwanted, open_aiocoap
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import (
    EmptyReceived,
    OtherChange,
    Posted,
    ResponseReceived,
    ToAiocoap,
)
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer
from pyaiot.transport.udp import TURN_LIMIT_S, DatagramEndpoint, DatagramTrace
from pyaiot.transport.udp_sockets import answers_probe, udp_socket

if TYPE_CHECKING:
    # Without devices that use it, their cryptography is not loaded.
    from pyaiot.gateways.coap.oscore.layer import OscoreLayer
    from pyaiot.transport.dtls.endpoint import DtlsEndpoint
    from pyaiot.transport.dtls.events import SessionChange

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
Above: 4.29, or no response to a Non-confirmable request."""
NODES_REQUESTS_PER_S: Final = 500.0
NODES_REQUESTS_BURST: Final = 2000.0
"""The same of all verified hosts together. Above: not answered, and counted."""
_ERRORS: Final = 0x80
_ACK: Final = 0x60

log = logging.getLogger(__name__)


class ResponseHandler(Protocol):
    """Handles responses to requests that do not go through aiocoap."""

    def receive_response(self, message: CoapMessage, peer: Peer) -> bytes | None:
        """Returns the acknowledgement or reset (empty: none); None if the response belongs to no
        request of this handler."""
        ...


class RequestHandler(ResponseHandler, Protocol):
    """Handles responses and errors of requests to nodes."""

    def receive_unprotected(self, token: bytes, peer: Peer, code: int) -> None:
        """A secured peer answered a request with this token by an unprotected error."""
        ...

    def receive_empty(self, message: CoapMessage, peer: Peer) -> bool:
        """Whether an acknowledgement or a reset belongs to a request of this handler."""
        ...

    def receive_error(self, error: OSError, peer: Peer, quoted: bytes | None) -> None:
        """A peer cannot be reached. `quoted`: the datagram in the ICMP error; None: not sent."""


def host_limits() -> HostLimits:
    """The limits of the hosts that send to the gateway."""
    return HostLimits(
        HostRateLimit(
            Rate(HOST_REQUESTS_PER_S, HOST_REQUESTS_BURST),
            Rate(UNVERIFIED_REQUESTS_PER_S, UNVERIFIED_REQUESTS_BURST),
        ),
        HostRateLimit(
            Rate(NODE_REQUESTS_PER_S, NODE_REQUESTS_BURST),
            Rate(NODES_REQUESTS_PER_S, NODES_REQUESTS_BURST),
        ),
    )


class CoapEndpoint:
    """One UDP port, for posts, responses of nodes, and requests that aiocoap answers.

    The handlers, `intake`, `on_posts`, `on_change` and `on_session` are set once, before the first
    datagram is read.
    """

    def __init__(
        self, context: aiocoap.Context, transport: AiocoapTransport, datagrams: DatagramEndpoint
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = context.loop
        self.requests: RequestHandler | None = None
        self.observer: ResponseHandler | None = None
        self.oscore: OscoreLayer | None = None
        """None: no device has a credential for OSCORE."""
        self.intake: CoapIntake
        self.on_posts: Callable[[Sequence[Posted]], None]
        self.on_change: Callable[[OtherChange], None]
        self.on_session: Callable[[SessionChange], None]
        self._context = context
        self._transport = transport
        self._datagrams = datagrams
        self._secured: DtlsEndpoint | None = None
        self._unix_time: Callable[[], float]

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        site: Site,
        *,
        interface: str = "",
        limits: HostLimits | None = None,
    ) -> "CoapEndpoint":
        """Listen on one UDP port. Raises `OperatorError` if that is not possible.

        `interface`: receive and send on this network interface only. Datagrams are read after
        `serve`.
        """
        loop = asyncio.get_running_loop()
        sock = udp_socket(host, port, interface, protocol="CoAP", flag="--coap-port")
        datagrams = DatagramEndpoint(sock, loop, protocol="CoAP", limits=limits)
        try:
            context, transport = await open_aiocoap(site, loop, datagrams.port)
        except BaseException:
            datagrams.close()
            raise
        endpoint = transport.sender = cls(context, transport, datagrams)
        return endpoint

    @property
    def local_address(self) -> tuple[str, int]:
        """The host and UDP port of the socket."""
        return self._datagrams.host, self._datagrams.port

    @property
    def context(self) -> aiocoap.Context:
        return self._context

    @property
    def limits(self) -> HostLimits | None:
        return self._datagrams.limits

    def serve(
        self,
        intake: CoapIntake,
        on_posts: Callable[[Sequence[Posted]], None],
        on_change: Callable[[OtherChange], None],
        unix_time: Callable[[], float],
    ) -> None:
        """Read datagrams from now on. Call `on_posts` with readings, which are the most frequent
        events of nodes, and `on_change` with each other event of a node, all in order."""
        self.intake, self._unix_time = intake, unix_time
        self.on_posts, self.on_change = on_posts, on_change
        self._datagrams.listen(self._receive, self._receive_error)

    def add_secured(self, secured: "DtlsEndpoint") -> None:
        """Serve another port too, whose datagrams are protected. Call it after `serve`."""
        self._secured = secured
        secured.trace = self._datagrams.trace
        secured.listen(self._receive_secured, self._receive_error, self.on_session)

    def has_request(self, peer: Peer, token: bytes) -> bool:
        """Whether aiocoap is answering a request of this peer with this token."""
        return self._transport.has_request(peer, token)

    def trace_to(self, trace: DatagramTrace) -> None:
        self._datagrams.trace = trace
        if self._secured is not None:
            self._secured.trace = trace

    async def close(self) -> None:
        if self._secured is not None:
            self._secured.close()
        self._datagrams.stop()
        await self._context.shutdown()
        self._datagrams.close()

    def refusals(self) -> tuple[int, int]:
        """Numbers of datagrams held back by the anti-amplification limit, and of requests over a
        rate limit."""
        limits = self._datagrams.limits
        return (0, 0) if limits is None else (limits.held_back, limits.refused)

    async def answers(self, limit_s: float) -> bool:
        """Whether the endpoint answers a CoAP ping of this machine."""
        return await answers_ping(*self.local_address, limit_s)

    # -- sending --------------------------------------------------------------------------------

    def send_to(self, datagram: bytes, peer: Peer) -> None:
        """Send a datagram, with the protection of the peer."""
        if peer.security == "dtls-psk":
            if self._secured is not None:
                self._secured.send(datagram, peer)
            return
        protected: bytes | None = datagram
        if peer.security == "oscore":
            protected = None if self.oscore is None else self.oscore.protect(datagram, peer)
        if protected is not None:
            self._datagrams.send(protected, peer)
        else:
            # Later: the caller may be in the middle of an update.
            error = OSError(errno.EACCES, "its credential was removed, or cannot be used")
            self.loop.call_soon(self._receive_error, error, peer, None)

    def _send_all(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        if self.oscore is None:
            self._datagrams.send_all(datagrams)
            return
        for datagram, peer in datagrams:
            self.send_to(datagram, peer)

    def send_message(self, message: aiocoap.Message) -> None:
        """See `MessageSender`."""
        datagram = message.encode()
        peer: Peer = message.remote.peer
        limits = self._datagrams.limits
        if is_unwanted(message):
            # RFC 7967 section 2.1: a Confirmable request is acknowledged all the same.
            if message.mtype is not aiocoap.ACK:
                return
            datagram = bytes((_ACK, 0)) + datagram[2:4]
        elif limits is not None and message.code >= _ERRORS:
            credit = limits.amplification.credit(peer.host)
            if credit is not None and credit < len(datagram):
                message.payload = b""  # the diagnostic text; the code is enough
                datagram = message.encode()
        self.send_to(datagram, peer)

    def verify(self, peer: Peer) -> None:
        """Verify a peer: it answered with a token that only the receiver of our request can
        know."""
        if self._datagrams.limits is not None:
            self._datagrams.limits.verify(peer.host)

    def is_verified(self, peer: Peer) -> bool:
        limits = self._datagrams.limits
        return limits is None or limits.is_verified(peer.host)

    # -- receiving ------------------------------------------------------------------------------

    def _receive(self, datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        """See `udp.Receive`."""
        oscore = self.oscore
        taken = self._take(datagrams, oscore, time.monotonic() + TURN_LIMIT_S)
        self._send_all(self.intake.datagrams_to_send())
        if oscore is not None:
            self._datagrams.send_all(oscore.datagrams_to_send())
            while self.requests is not None and (response := oscore.next_unprotected()) is not None:
                self.requests.receive_unprotected(response.token, response.peer, response.code)

        return taken

    def _receive_secured(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        self._take(datagrams, None)
        if self._secured is not None:
            self._secured.send_all(self.intake.datagrams_to_send())

    def _take(
        self,
        datagrams: Sequence[tuple[bytes, Peer]],
        oscore: "OscoreLayer | None",
        ends_at: float = float("inf"),
    ) -> int:
        """Process datagrams of one port. After a slow one, stop at `ends_at`. Returns how many were
        processed."""
        receive, now = self.intake.receive_datagrams, self.loop.time()
        waiting = iter(datagrams)
        plain = waiting if oscore is None else _unprotected(waiting, oscore, now)
        while receive(plain, now=now, unix_time=self._unix_time):
            self.apply_events()
            if time.monotonic() >= ends_at:
                break
        self.apply_events()
        return len(datagrams) - length_hint(waiting)

    def apply_events(self) -> None:
        """Apply the events of the intake."""
        next_event = self.intake.next_event
        posts: list[Posted] = []
        while (event := next_event()) is not None:
            if isinstance(event, Posted):
                posts.append(event)
                continue
            if posts:
                self.on_posts(posts)
                posts = []
            match event:
                case ResponseReceived(message, datagram, peer):
                    self._receive_response(message, datagram, peer)
                case EmptyReceived(message, datagram, peer):
                    self._receive_empty(message, datagram, peer)
                case ToAiocoap(datagram, peer):
                    self._transport.receive_datagram(datagram, peer)
                case _:
                    self.on_change(event)
        if posts:
            self.on_posts(posts)

    def _receive_response(self, message: CoapMessage, datagram: bytes, peer: Peer) -> None:
        for handler in (self.requests, self.observer):
            response = None if handler is None else handler.receive_response(message, peer)
            if response is not None:
                break
        else:
            # RFC 7252 section 4.2: a Confirmable response that matches no request is rejected.
            response = rejection(datagram)
        if response:
            self.send_to(response, peer)

    def _receive_empty(self, message: CoapMessage, datagram: bytes, peer: Peer) -> None:
        if self.requests is not None and self.requests.receive_empty(message, peer):
            return
        if self._transport.has_exchange(peer, message.message_id):
            self._transport.receive_datagram(datagram, peer)

    def fail_requests(self, error: OSError, peer: Peer) -> None:
        """Fail the requests to this peer, from which no further response can arrive."""
        self._receive_error(error, peer, None)

    def _receive_error(self, error: OSError, peer: Peer, quoted: bytes | None) -> None:
        if self.oscore is not None:
            peer, quoted = self.oscore.receive_error(peer, quoted)
        if self.requests is not None:
            self.requests.receive_error(error, peer, quoted)
        self._transport.receive_error(error, peer)


def _unprotected(
    datagrams: Iterator[tuple[bytes, Peer]], oscore: "OscoreLayer", now: float
) -> Iterator[tuple[bytes, Peer]]:
    """Remove the protection of OSCORE from datagrams. Those that are not accepted are left out."""
    for datagram, peer in datagrams:
        plain = oscore.receive_datagram(datagram, peer, now=now)
        if plain is not None:
            yield plain


async def answers_ping(host: str, port: int, limit_s: float) -> bool:
    """Whether an endpoint of this machine answers a CoAP ping (RFC 7252 section 4.3)."""
    # Empty, Confirmable, message ID 1. The reply is an empty reset with that ID.
    return await answers_probe(host, port, b"\x40\x00\x00\x01", b"\x70\x00\x00\x01".__eq__, limit_s)
