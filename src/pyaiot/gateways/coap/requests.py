# SPDX-License-Identifier: BSD-3-Clause
"""Requests to nodes: one at a time for each node, each with a deadline.

Nothing is sent after the deadline. The requests do not go through aiocoap, which sends queued
requests regardless of a deadline.
"""

import asyncio
import contextlib
import logging
import os
import random
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError, Refused
from pyaiot.protocols.coap.blocks import Download, Upload
from pyaiot.protocols.coap.exchange import (
    Exchange,
    Spacing,
    acknowledgement,
    command_spacing,
    read_spacing,
)
from pyaiot.protocols.coap.message import Block, CoapMessage, build_options
from pyaiot.protocols.coap.message_ids import MessageIds
from pyaiot.protocols.coap.numbers import (
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
    code_text,
)
from pyaiot.protocols.link_format import Target, read_target
from pyaiot.transport.peers import Peer, PeerAddress

NOT_ACCEPTED: Final = frozenset({Code.BAD_OPTION, Code.NOT_ACCEPTABLE})
"""Response codes of a node that does not support Accept, or the format (RFC 7252 section
5.10.4)."""
TOKEN_BYTES: Final = 4
"""Length of the random token of each request: RFC 7252 section 5.3.1 recommends at least 32
bits."""
WHOLE_BYTES_MAX: Final = 1024
"""The largest payload that is sent in one message. Larger ones are sent in blocks (RFC 7959)."""
SZX_AFTER_413: Final = 2
"""After 4.13 a payload is sent again in blocks of 64 bytes: old boards drop requests above 128
bytes."""
READ_YIELDS_AFTER_S: Final = 1.0
"""How long a command waits for an unanswered read. After that the read is interrupted and repeated
later."""
CONFIRMABLE_RESPONSES_MAX: Final = 4096
"""Largest number of Confirmable responses that are remembered. Beyond it, a copy of the oldest is
rejected."""
CONFIRMABLE_RESPONSES_S: Final = 60.0
"""How long copies of a Confirmable response are acknowledged. After that they are rejected. They
are sent for 45 s (MAX_TRANSMIT_SPAN of RFC 7252 section 4.8.2)."""
_RESPONSE_CLASSES: Final = frozenset((2, 4, 5))

log = logging.getLogger(__name__)

Option: TypeAlias = tuple[int, bytes | str | int]

_TEXT: Final[Option] = (OptionNumber.CONTENT_FORMAT, ContentFormat.TEXT)
"""For commands: some nodes answer 4.06 to a PUT without Content-Format."""


class ResetReceived(ProtocolError):
    """The peer rejected the request with a reset. It may have carried it out before."""


class UnprotectedResponse(ResetReceived):
    """The node answered a protected request with an unprotected error. A host that sees the request
    can forge it, so the node may have carried it out nevertheless."""


class RequestSocket(Protocol):
    """The endpoint that sends the requests."""

    def send_to(self, datagram: bytes, peer: Peer) -> None: ...

    def verify(self, peer: Peer) -> None:
        """Verify a peer: it answered with a token that only the receiver of our request can
        know."""
        ...


class _PendingRequest(msgspec.Struct, eq=False):
    """A request that waits for its response."""

    exchange: Exchange
    peer: Peer
    datagram_start: bytes
    """Header and token, which an ICMP error for this request must quote."""
    is_read: bool
    observes: bool
    """Whether it registers an observation, whose notifications have its token."""
    ended: "asyncio.Future[Exception | None]"
    """The error that ended it, or None if it was answered. It is a result, not an exception: if the
    waiting task is cancelled just then, asyncio would log an exception that nothing retrieves."""

    def end(self, error: Exception | None = None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)


class Requests:
    """The client side of the gateway's CoAP endpoint."""

    def __init__(self, socket: RequestSocket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket
        self._loop = loop
        self._random = random.SystemRandom()
        self._locks: dict[Peer, asyncio.Lock] = {}
        self._users: Counter[Peer] = Counter()
        self._current: dict[Peer, _PendingRequest] = {}
        """The running request of each peer."""
        self._by_token: dict[tuple[bytes, PeerAddress], _PendingRequest] = {}
        self._by_message: dict[tuple[int, PeerAddress], _PendingRequest] = {}
        self._answered: OrderedDict[tuple[bytes, PeerAddress], float] = OrderedDict()
        """Tokens and addresses of Confirmable responses, and until when copies are acknowledged."""
        self._message_ids = MessageIds(self._random)
        self._ids_timer: asyncio.TimerHandle | None = None

    async def get(
        self,
        peer: Peer,
        uri: str,
        deadline: float,
        *,
        accept: int | None = None,
        once: bool = False,
    ) -> CoapMessage:
        """GET a percent-encoded path with query. Returns the response with any code.

        `accept` is the Content-Format to request; if the node does not support it, the request is
        repeated without. `once`: no retransmission. A body in blocks is read completely (RFC 7959
        section 2.4). `deadline` is the loop's time.

        Raises `TimeoutError` at the deadline, another `OSError` for a network error,
        `ResetReceived` for a reset, `ProtocolError` for an invalid path or inconsistent blocks.
        """
        target = read_target(uri)
        spacing = _once if once else read_spacing
        async with self._turn(peer, deadline):
            download, block = Download(), None
            while True:
                options = _accept_options(accept)
                if block is not None:
                    options.append((OptionNumber.BLOCK2, block.to_bytes()))
                response = await self._request(peer, Code.GET, target, deadline, spacing, options)
                if accept is not None and response.code in NOT_ACCEPTED:
                    accept = None
                    continue
                if response.code != Code.CONTENT:
                    return response
                option, etag = (
                    response.option(OptionNumber.BLOCK2),
                    response.option(OptionNumber.ETAG),
                )
                try:
                    block = download.add(option, etag, response.payload)
                except Refused as error:
                    raise ProtocolError(str(error)) from error
                if block is None:
                    return msgspec.structs.replace(response, payload=download.body)

    async def observe(
        self, peer: Peer, uri: str, token: bytes, deadline: float, *, accept: int | None = None
    ) -> CoapMessage:
        """GET with Observe 0 (RFC 7641 section 3.1). See `get`, but blocks are not assembled, and
        the request is not repeated without `accept`."""
        target = read_target(uri)
        async with self._turn(peer, deadline):
            options = [(OptionNumber.OBSERVE, 0), *_accept_options(accept)]
            return await self._request(
                peer, Code.GET, target, deadline, read_spacing, options, token=token
            )

    async def put(self, peer: Peer, uri: str, payload: bytes, deadline: float) -> CoapMessage:
        """PUT text, in blocks if it is large, or too large for the node. See `get`.

        Raises `Refused` if the node accepts only blocks so small that there would be too many.
        """
        target = read_target(uri)
        refusal = None
        async with self._turn(peer, deadline, is_command=True):
            if len(payload) <= WHOLE_BYTES_MAX:
                response = await self._request(
                    peer, Code.PUT, target, deadline, command_spacing, [_TEXT], payload=payload
                )
                too_large = response.code == Code.REQUEST_ENTITY_TOO_LARGE
                if not too_large or len(payload) <= 16 << SZX_AFTER_413:
                    return response
                refusal = response
                upload = Upload(payload, _smaller(response.option(OptionNumber.BLOCK1)))
            else:
                upload = Upload(payload)
            while True:
                block, piece = upload.block()
                options: list[Option] = [_TEXT, (OptionNumber.BLOCK1, block.to_bytes())]
                if block.num == 0:
                    options.append((OptionNumber.SIZE1, len(payload)))
                response = await self._request(
                    peer, Code.PUT, target, deadline, command_spacing, options, payload=piece
                )
                if not upload.receive_response(response.code, response.option(OptionNumber.BLOCK1)):
                    if refusal is not None and response.code == Code.BAD_OPTION:
                        return refusal  # no support for blocks: its first response is the reason
                    return response

    # -- turns ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _turn(
        self, peer: Peer, deadline: float, *, is_command: bool = False
    ) -> AsyncIterator[None]:
        """RFC 7252 section 4.7, NSTART = 1: one exchange at a time with an endpoint.

        Raises `TimeoutError` at the deadline, while waiting (then nothing is sent) or inside.
        """
        async with asyncio.timeout_at(deadline):
            self._users[peer] += 1
            lock = self._locks.setdefault(peer, asyncio.Lock())
            try:
                with self._reads_yield(peer) if is_command else contextlib.nullcontext():
                    await lock.acquire()
                try:
                    yield
                finally:
                    lock.release()
            finally:
                self._users[peer] -= 1
                if not self._users[peer]:
                    del self._users[peer], self._locks[peer]

    @contextlib.contextmanager
    def _reads_yield(self, peer: Peer) -> Iterator[None]:
        """While a command waits, interrupt unanswered reads after `READ_YIELDS_AFTER_S`."""
        timers: list[asyncio.TimerHandle] = []

        def end_read() -> None:
            timers[:] = [self._loop.call_later(READ_YIELDS_AFTER_S, end_read)]
            current = self._current.get(peer)
            if current is not None and current.is_read:
                current.end(TimeoutError("interrupted by a command"))

        timers.append(self._loop.call_later(READ_YIELDS_AFTER_S, end_read))
        try:
            yield
        finally:
            timers[0].cancel()

    async def _request(
        self,
        peer: Peer,
        code: Code,
        target: Target,
        deadline: float,
        spacing: Callable[[float], Spacing],
        options: Sequence[Option] = (),
        *,
        payload: bytes = b"",
        token: bytes = b"",
    ) -> CoapMessage:
        """One exchange; two if the node requires proof that the request is new (RFC 9175 section
        2.3).

        `token`: that of an observation, whose notifications are handled elsewhere.
        """
        now = self._loop.time()
        message = CoapMessage(
            MessageType.CON,
            code,
            self._next_message_id(peer.address),
            token or os.urandom(TOKEN_BYTES),
            build_options(
                *((OptionNumber.URI_PATH, item) for item in target.path),
                *((OptionNumber.URI_QUERY, item) for item in target.query),
                *options,
            ),
            payload,
        )
        pending = _PendingRequest(
            Exchange(
                message, spacing(deadline - now), deadline=deadline, now=now, random=self._random
            ),
            peer,
            message.to_bytes()[: 4 + len(message.token)],
            code == Code.GET,
            bool(token),
            self._loop.create_future(),
        )
        by_token, by_message = (message.token, peer.address), (message.message_id, peer.address)
        self._by_token[by_token] = self._by_message[by_message] = pending
        self._current[peer] = pending
        try:
            await self._until_ended(pending)
        finally:
            del self._by_token[by_token], self._by_message[by_message]
            del self._current[peer]
        if pending.exchange.response is None:
            raise ResetReceived("the node rejected the request with a reset")
        response = pending.exchange.response
        if not token and response.mtype is MessageType.CON:
            self._remember(by_token)
        echo = response.option(OptionNumber.ECHO) if response.code == Code.UNAUTHORIZED else None
        if echo is None or any(number == OptionNumber.ECHO for number, _ in options):
            return response
        options = [*options, (OptionNumber.ECHO, echo)]
        return await self._request(
            peer, code, target, deadline, spacing, options, payload=payload, token=token
        )

    async def _until_ended(self, pending: _PendingRequest) -> None:
        """Send until the response. Raises `TimeoutError` at the deadline, or the error received."""
        exchange, ended = pending.exchange, pending.ended
        while not ended.done():
            now = self._loop.time()
            for datagram in exchange.datagrams_to_send(now=now):
                self._socket.send_to(datagram, pending.peer)
            timer = exchange.get_timer()
            if timer <= now:
                raise TimeoutError
            await asyncio.wait((ended,), timeout=timer - now)
        if error := ended.result():
            raise error

    def _next_message_id(self, address: PeerAddress) -> int:
        number = self._message_ids.next(address, now=self._loop.time())
        if self._ids_timer is None:
            self._forget_message_ids()
        return number

    def _forget_message_ids(self) -> None:
        """Forget old message IDs now, and regularly while there are any, so that idle nodes cost
        nothing."""
        self._message_ids.handle_timer(now=self._loop.time())
        due = self._message_ids.get_timer()
        self._ids_timer = None
        if due is not None:
            self._ids_timer = self._loop.call_at(due, self._forget_message_ids)

    # -- receiving ------------------------------------------------------------------------------

    def receive_response(self, message: CoapMessage, peer: Peer) -> bytes | None:
        """Returns the acknowledgement or reset (empty: none); None if the response belongs to no
        request."""
        if message.code >> 5 not in _RESPONSE_CLASSES:
            return None
        key = message.token, peer.address
        pending = self._by_token.get(key)
        if pending is not None:
            if pending.observes and pending.exchange.response is not None:
                return None  # a notification, in the same turn as the response to its registration
            self._socket.verify(pending.peer)
            reply = pending.exchange.receive_message(message)
            pending.end()
        elif self._answered.get(key, 0.0) > self._loop.time():
            reply = acknowledgement(message)
        else:
            return None
        return b"" if reply is None else reply.to_bytes()

    def receive_empty(self, message: CoapMessage, peer: Peer) -> bool:
        """Process an acknowledgement or a reset, which does not verify the peer. Returns False if
        it belongs to no request."""
        pending = self._by_message.get((message.message_id, peer.address))
        if pending is None:
            return False
        pending.exchange.receive_message(message)
        if pending.exchange.is_reset:
            pending.end()
        return True

    def receive_unprotected(self, token: bytes, peer: Peer, code: int) -> None:
        """A secured peer answered a request with this token by an unprotected error."""
        pending = self._by_token.get((token, peer.address))
        if pending is not None:
            pending.end(UnprotectedResponse(f"the node answered {code_text(code)} without OSCORE"))

    def receive_error(self, error: OSError, peer: Peer, quoted: bytes | None) -> None:
        """A peer cannot be reached: by an ICMP error, or (`quoted` None) because sending failed.

        ICMP errors are easily forged. One counts if it quotes header and token of the request,
        which only hosts on the path know. Linux quotes them.
        """
        pending = self._current.get(peer)
        if pending is not None and (quoted is None or quoted.startswith(pending.datagram_start)):
            pending.end(error)

    def _remember(self, key: tuple[bytes, PeerAddress]) -> None:
        """RFC 7252 section 4.2: each copy of a Confirmable response is acknowledged.

        Most nodes answer in the acknowledgement, whose copies need no reply.
        """
        now = self._loop.time()
        answered = self._answered
        while answered:
            oldest, until = next(iter(answered.items()))
            if until > now and len(answered) < CONFIRMABLE_RESPONSES_MAX:
                break
            del answered[oldest]
        answered[key] = now + CONFIRMABLE_RESPONSES_S


def _accept_options(accept: int | None) -> list[Option]:
    return [] if accept is None else [(OptionNumber.ACCEPT, accept)]


def _once(limit_s: float) -> Spacing:
    return Spacing(limit_s, 0)


def _smaller(hint: bytes | None) -> int:
    """The block size exponent after 4.13: the hint of the node, but at most `SZX_AFTER_413`."""
    return SZX_AFTER_413 if hint is None else min(Block.from_bytes(hint).szx, SZX_AFTER_413)
