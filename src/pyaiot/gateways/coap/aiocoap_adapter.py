# SPDX-License-Identifier: BSD-3-Clause
"""aiocoap without a socket. Private names of aiocoap are used in this file and nowhere else.

aiocoap's own server context would share a port in use (SO_REUSEPORT) and open TCP, TLS and
WebSocket listeners beside it. This one is given its datagrams, and sends through `MessageSender`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiocoap
from aiocoap.numbers.constants import TransportTuning
from aiocoap.resource import Site
from aiocoap.transports.udp6 import MessageInterfaceUDP6, UDP6EndpointAddress

from pyaiot.protocols.coap.numbers import OptionNumber
from pyaiot.transport.peers import Peer

REMEMBERED_S: Final = 60.0
"""How long aiocoap remembers a request for deduplication: as long as posts are remembered, for the
same reason. aiocoap's default is 247 s, at 3.4 kB each."""
ANSWER_MESSAGE_IDS: Final = 0x4000
"""Responses of aiocoap use message IDs below this. See `RESPONSE_IDS` in protocols/coap/post.py."""
_PROXY_OPTIONS: Final = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})
_CANCELLED: Final = asyncio.InvalidStateError
"""aiocoap learns one turn of the event loop later that a request was cancelled, for example at its
deadline. A response or error that arrives in between has no receiver and is dropped."""

log = logging.getLogger(__name__)


class AiocoapPeer(UDP6EndpointAddress):  # type: ignore[misc]  # aiocoap has no types
    """A peer in the form of aiocoap, with its scope and identity: fe80::1 on two interfaces is two
    peers, and so are a secured and an unsecured one at one address.

    aiocoap does not compare scopes, so that a response from one interface would complete a request
    to the other.
    """

    def __init__(self, peer: Peer, interface: Any) -> None:
        super().__init__(peer.remote, interface, pktinfo=peer.local)
        self.peer = peer

    __hash__ = UDP6EndpointAddress.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AiocoapPeer):
            return self.peer == other.peer
        return isinstance(other, UDP6EndpointAddress) and self.sockaddr == other.sockaddr

    def as_response_address(self) -> "AiocoapPeer":
        # The endpoint never reports a multicast address as the local one.
        return self


class _Remembering(TransportTuning):  # type: ignore[misc]  # aiocoap has no types
    EXCHANGE_LIFETIME = REMEMBERED_S


class MessageSender(Protocol):
    """Sends the messages of aiocoap."""

    def send_message(self, message: aiocoap.Message) -> None: ...


class AiocoapTransport(MessageInterfaceUDP6):  # type: ignore[misc]  # aiocoap has no types
    """aiocoap's transport, without its socket. Set `sender` before the first datagram."""

    sender: MessageSender
    is_open = True

    def __init__(self, manager: Any, log: Any, loop: asyncio.AbstractEventLoop, port: int) -> None:
        """`port` is the local port."""
        super().__init__(manager, log, loop)
        self.port = port

    def _local_port(self) -> int:
        return self.port

    def send(self, message: aiocoap.Message) -> None:
        self.sender.send_message(message)

    async def shutdown(self) -> None:
        self.is_open = False

    def receive_datagram(self, datagram: bytes, peer: Peer) -> None:
        """Let aiocoap handle a datagram. What it cannot decode is ignored."""
        try:
            message = aiocoap.Message.decode(datagram, AiocoapPeer(peer, self))
        except (aiocoap.error.UnparsableMessage, ValueError):
            log.debug("%s: aiocoap cannot decode the datagram", peer)
            return
        message.direction = aiocoap.message.Direction.INCOMING
        if message.code.is_request():
            message.transport_tuning = _Remembering()
        with contextlib.suppress(_CANCELLED):
            self._ctx.dispatch_message(message)

    def receive_error(self, error: OSError, peer: Peer) -> None:
        """A datagram of aiocoap could not be delivered to this peer."""
        if self.is_open:
            with contextlib.suppress(_CANCELLED):
                self._ctx.dispatch_error(error, AiocoapPeer(peer, self))

    def has_exchange(self, peer: Peer, message_id: int) -> bool:
        """Whether aiocoap waits for an acknowledgement of this message."""
        return (AiocoapPeer(peer, self), message_id) in self._ctx._active_exchanges

    def has_request(self, peer: Peer, token: bytes) -> bool:
        """Whether aiocoap is answering a request with this token."""
        return (token, AiocoapPeer(peer, self)) in self._ctx.token_manager.incoming_requests


async def open_aiocoap(
    site: Site, loop: asyncio.AbstractEventLoop, port: int
) -> tuple[aiocoap.Context, AiocoapTransport]:
    """A context that reads no socket, and its transport. `port` is the local port."""
    # Malformed datagrams of unknown peers do not belong in the operator's log.
    logging.getLogger("coap-gateway").setLevel(logging.ERROR)
    context = aiocoap.Context(loop=loop, serversite=site, loggername="coap-gateway")
    transports: list[AiocoapTransport] = []

    async def open_transport(manager: Any) -> AiocoapTransport:
        transports.append(AiocoapTransport(manager, context.log, loop, port))
        return transports[0]

    # aiocoap's own constructors add a transport in this way; no public one goes without a socket.
    await context._append_tokenmanaged_messagemanaged_transport(open_transport)
    messages = context.request_interfaces[0].token_interface
    messages._retransmit = _unless_cancelled(messages._retransmit)
    render = context._render_to_pipe
    context._render_to_pipe = lambda pipe: _Awaited(render, pipe)
    any_message_id = messages._next_message_id
    messages._next_message_id = lambda: any_message_id() % ANSWER_MESSAGE_IDS
    return context, transports[0]


def remembered_requests(context: aiocoap.Context) -> int:
    """Requests that aiocoap remembers for deduplication."""
    return len(context.request_interfaces[0].token_interface._recent_messages)


def request_bytes(request: aiocoap.Message) -> int:
    """Bytes of the datagram of a request without payload. aiocoap removes the path from it."""
    path = urlsplit(request._original_request_uri).path
    return 4 + len(request.token) + len(path) + len(request.opt.encode())


class _Awaited:
    """A coroutine that is made when it is awaited.

    aiocoap makes it at once, for a task that may be cancelled before its first step; Python warns
    of a coroutine that was never awaited.
    """

    def __init__(self, function: Callable[[Any], Awaitable[None]], argument: Any) -> None:
        self.function = function
        self.argument = argument

    def __await__(self) -> Generator[Any, None, None]:
        return self.function(self.argument).__await__()


def _unless_cancelled(retransmit: Callable[..., None]) -> Callable[..., None]:
    """The last timeout of a request may end in the turn in which its deadline cancels it."""

    def retransmit_or_not(*exchange: Any) -> None:
        with contextlib.suppress(_CANCELLED):
            retransmit(*exchange)

    return retransmit_or_not


class _ProxyingNotSupported(aiocoap.error.ConstructionRenderableError):  # type: ignore[misc]
    code = aiocoap.PROXYING_NOT_SUPPORTED


class StrictSite(Site):  # type: ignore[misc]  # aiocoap has no types
    """The resources of the gateway. It is not a proxy, and honours No-Response (RFC 7967)."""

    async def render_to_pipe(self, request: Any) -> None:
        suppressed = request.request.opt.no_response
        if suppressed:
            _suppress(request, suppressed)
        for option in request.request.opt.option_list():
            if option.number in _PROXY_OPTIONS:  # RFC 7252 section 5.10.2
                raise _ProxyingNotSupported
        await super().render_to_pipe(request)


def _suppress(pipe: Any, classes: int) -> None:
    """RFC 7967: mark responses of these classes (bits) as unwanted; see `is_unwanted`.

    aiocoap's own support does not cover errors, and builds messages in a way that it warns of.
    """
    add_response = pipe.add_response

    def add(response: aiocoap.Message, *args: Any, **named: Any) -> None:
        response.opt.no_response = None
        response.is_unwanted = bool(classes >> response.code.class_ - 1 & 1)
        add_response(response, *args, **named)

    pipe.add_response = add


def is_unwanted(response: aiocoap.Message) -> bool:
    """Whether the client asked for no response of this class (RFC 7967 section 2.1)."""
    return getattr(response, "is_unwanted", False)
