# SPDX-License-Identifier: BSD-3-Clause
"""A CoAP device made of datagrams: the test controls its posts and responses."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pyaiot.protocols.coap.message import Block, CoapMessage, build_options
from pyaiot.protocols.coap.numbers import (
    COAP_PORT,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)
from tests.time_limits import time_limit

ANSWER_LIMIT_S: Final = 15.0
WELL_KNOWN_CORE: Final = ".well-known/core"
_addresses: Final = itertools.count(os.getpid() * 256)
"""Unique, also between two test runs at the same time."""
_directory_ids: Final = itertools.count(1)
_TEXT: Final = (OptionNumber.CONTENT_FORMAT, ContentFormat.TEXT)
LINK_FORMAT: Final = (OptionNumber.CONTENT_FORMAT, ContentFormat.LINK_FORMAT)


@dataclass(frozen=True)
class Reply:
    """The response of a device to a request."""

    code: Code = Code.CONTENT
    payload: bytes = b""
    block_szx: int | None = None
    """Sent in blocks of `16 << block_szx` bytes (RFC 7959); None: sent without Block2."""
    separate: bool = False
    """Sent after an empty acknowledgement, as a Confirmable message (RFC 7252 section 5.2.2)."""
    bare: MessageType | None = None
    """Sent as a separate message of this type, without an empty acknowledgement before it."""
    acknowledged_after_s: float | None = None
    """Seconds from a `bare` response to the empty acknowledgement; None: none is sent."""
    copies: int = 1
    """Number of copies that are sent."""
    options: tuple[tuple[int, bytes | str | int], ...] = ()
    """Further options, such as a Content-Format."""
    observe: int | None = None
    """The Observe value of the response to a registration; None: not observable."""
    takes_szx: int | None = None
    """Accepts a payload in blocks of at most `16 << takes_szx` bytes (RFC 7959)."""


@dataclass(frozen=True)
class Request:
    """A request of a gateway, and its source address."""

    code: Code
    path: str
    payload: bytes
    origin: Any
    message_id: int = 0
    received_at: float = 0.0
    query: tuple[str, ...] = ()
    accept: bytes | None = None
    content_format: bytes | None = None


def directory_request(
    code: Code, path: str, *queries: str, payload: bytes = b"", links: bool = True
) -> CoapMessage:
    """A request to a resource directory as RIOT's cord_ep and cord_epsim send it: Confirmable, the
    path unchanged. `links`: the payload is in link format."""
    return CoapMessage(
        MessageType.CON,
        code,
        next(_directory_ids),
        os.urandom(2),
        build_options(
            *((OptionNumber.URI_PATH, segment) for segment in path.split("/")[1:]),
            *((OptionNumber.URI_QUERY, query) for query in queries),
            *([LINK_FORMAT] if payload and links else []),
        ),
        payload,
    )


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, device: "CoapDevice") -> None:
        self._device = device
        self.transport: Any = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._device.received(self, CoapMessage.from_bytes(data), addr)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.closed.set_result(None)

    async def close(self) -> None:
        self.transport.abort()
        await self.closed


class CoapDevice:
    """A device on loopback: one socket receives requests, another one sends posts."""

    def __init__(self, gateway_port: int) -> None:
        self._gateway = ("127.0.0.1", gateway_port)
        self._message_ids = itertools.count(1)
        self._awaited: dict[bytes, asyncio.Future[CoapMessage]] = {}
        self._answered: dict[tuple[Any, int], bytes | None] = {}
        self._held: list[tuple[_Socket, CoapMessage, Any]] = []
        self._progress = asyncio.Event()
        self.replies: dict[tuple[Code, str], Reply | None] = {}
        """By method and path without the first slash; None: no response."""
        self.observers: dict[str, list[tuple[bytes, Any]]] = {}
        """Token and address of each observer by path, the latest last."""
        self.empty_messages: list[tuple[MessageType, int]] = []
        """Type and message ID of each empty message received."""
        self.datagrams: list[tuple[float, CoapMessage]] = []
        """All received messages with the loop time, including those that `loses` drops."""
        self._uploads: dict[str, bytes] = {}
        self.requests: list[Request] = []
        """The requests of the gateway. Retransmissions are not included."""
        self.holds_answers = False
        """While true, responses wait for `release`."""
        self.without_accept: dict[str, Code] = {}
        """Response codes of requests with Accept, by path."""
        self.resets: set[str] = set()
        """Paths whose requests are answered with a reset."""
        self.takes_at_once = 65536
        """Longest accepted payload in bytes; a longer one is answered 4.13, as by small boards."""
        self.loses = 0
        """Number of the next received datagrams to drop."""
        self.server: _Socket
        self.source: _Socket

    @property
    def host(self) -> str:
        host: str = self.server.transport.get_extra_info("sockname")[0]
        return host

    # -- its resources --------------------------------------------------------------------------

    def has(self, values: Mapping[str, str | Reply | None]) -> None:
        """Set the resources: a text, a reply, or None for a resource that never responds."""
        self.offers(",".join(f"</{name}>" for name in values).encode())
        for name, value in values.items():
            reply = Reply(payload=value.encode()) if isinstance(value, str) else value
            self.replies[Code.GET, name] = reply

    def offers(self, links: bytes, *, block_szx: int | None = None) -> None:
        """Set the list of resources, in link format."""
        self.replies[Code.GET, WELL_KNOWN_CORE] = Reply(Code.CONTENT, links, block_szx)

    def uploaded(self, path: str) -> bytes:
        """The body that the gateway sent to this path in blocks."""
        return self._uploads[path]

    # -- its posts ------------------------------------------------------------------------------

    def notification(
        self, path: str, text: str | bytes, *, mtype: MessageType = MessageType.NON
    ) -> CoapMessage:
        """`POST /<path>` as RIOT sends it: Content-Format 0 is an option of length 0."""
        return CoapMessage(
            mtype,
            Code.POST,
            next(self._message_ids),
            os.urandom(2),
            build_options((OptionNumber.URI_PATH, path), _TEXT),
            text.encode() if isinstance(text, str) else text,
        )

    async def post(
        self,
        path: str,
        text: str | bytes,
        *,
        mtype: MessageType = MessageType.NON,
        from_server: bool = False,
    ) -> CoapMessage:
        """Post to the gateway as a board does, and return the response."""
        message = self.notification(path, text, mtype=mtype)
        return await self.exchange(message, from_server=from_server)

    async def exchange(self, message: CoapMessage, *, from_server: bool = False) -> CoapMessage:
        """Send a request, and return the response with its token."""
        answer: asyncio.Future[CoapMessage] = asyncio.get_running_loop().create_future()
        self._awaited[message.token] = answer
        self.send(message, from_server=from_server)
        async with time_limit(ANSWER_LIMIT_S):
            return await answer

    def send(self, message: CoapMessage, *, from_server: bool = False) -> None:
        sender = self.server if from_server else self.source
        sender.transport.sendto(message.to_bytes(), self._gateway)

    # -- requests to it -------------------------------------------------------------------------

    def received(self, at: _Socket, message: CoapMessage, origin: Any) -> None:
        now = asyncio.get_running_loop().time()
        self.datagrams.append((now, message))
        if self.loses:
            self.loses -= 1
            return
        if message.code >= Code.CREATED:
            awaited = self._awaited.pop(message.token, None)
            if awaited is not None and not awaited.done():
                awaited.set_result(message)
            return
        if message.code == Code.EMPTY:
            self.empty_messages.append((message.mtype, message.message_id))
            self._progress.set()
            return
        key = (origin, message.message_id)
        if key in self._answered:
            again = self._answered[key]
            if again is not None:
                at.transport.sendto(again, origin)
            return
        self._answered[key] = None
        path = "/".join(message.uri_path)
        request = Request(
            Code(message.code),
            path,
            message.payload,
            origin,
            message.message_id,
            now,
            message.uri_query,
            message.option(OptionNumber.ACCEPT),
            message.option(OptionNumber.CONTENT_FORMAT),
        )
        self.requests.append(request)
        self._progress.set()
        if self.holds_answers:
            self._held.append((at, message, origin))
        else:
            self._answer(at, message, origin)

    def notify(
        self,
        path: str,
        payload: str | bytes,
        number: int | None,
        *options: tuple[int, bytes | str | int],
        code: Code = Code.CONTENT,
        mtype: MessageType = MessageType.NON,
    ) -> int:
        """Send a notification to the observer, and return its message ID."""
        token, origin = self.observers[path][-1]
        observe = () if number is None else ((OptionNumber.OBSERVE, number),)
        message = CoapMessage(
            mtype,
            code,
            next(self._message_ids),
            token,
            build_options(*observe, *options),
            payload.encode() if isinstance(payload, str) else payload,
        )
        self.server.transport.sendto(message.to_bytes(), origin)
        return message.message_id

    async def reply_to(self, message_id: int) -> MessageType:
        """Wait for the empty message with this message ID, and return its type."""
        async with time_limit(ANSWER_LIMIT_S):
            while True:
                for mtype, number in self.empty_messages:
                    if number == message_id:
                        return mtype
                self._progress.clear()
                await self._progress.wait()

    def release(self) -> None:
        """Send the responses that wait, and respond at once from now on."""
        self.holds_answers = False
        held, self._held = self._held, []
        for request in held:
            self._answer(*request)

    async def requests_for(self, code: Code, path: str, *, times: int = 1) -> list[Request]:
        """Wait until `times` such requests were received, and return them."""
        async with time_limit(ANSWER_LIMIT_S):
            while True:
                found = [item for item in self.requests if (item.code, item.path) == (code, path)]
                if len(found) >= times:
                    return found
                self._progress.clear()
                await self._progress.wait()

    def _envelope(
        self, at: _Socket, request: CoapMessage, origin: Any, reply: Reply
    ) -> tuple[MessageType, int]:
        """Type and message ID of the response. Sends the empty acknowledgement, if any."""
        empty = CoapMessage(MessageType.ACK, Code.EMPTY, request.message_id).to_bytes()
        if reply.separate:
            at.transport.sendto(empty, origin)
            return MessageType.CON, next(self._message_ids)
        if reply.bare is not None:
            if reply.acknowledged_after_s is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(reply.acknowledged_after_s, at.transport.sendto, empty, origin)
            return reply.bare, next(self._message_ids)
        mtype = MessageType.ACK if request.mtype == MessageType.CON else MessageType.NON
        return mtype, request.message_id

    def _answer(self, at: _Socket, request: CoapMessage, origin: Any) -> None:
        path = "/".join(request.uri_path)
        missing = Reply(Code.NOT_FOUND)
        reply = self.replies.get((Code(request.code), path), missing)
        if request.uri_query:
            with_query = f"{path}?{'&'.join(request.uri_query)}"
            reply = self.replies.get((Code(request.code), with_query), reply)
        accept = request.option(OptionNumber.ACCEPT)
        if accept is not None and path in self.without_accept:
            reply = Reply(self.without_accept[path])
        if reply is None:
            return
        if path in self.resets:
            reset = CoapMessage(MessageType.RST, Code.EMPTY, request.message_id)
            at.transport.sendto(reset.to_bytes(), origin)
            return
        if len(request.payload) > self.takes_at_once:
            reply = Reply(Code.REQUEST_ENTITY_TOO_LARGE)
        payload = reply.payload
        options = list(build_options(*reply.options))
        code = reply.code
        if request.option(OptionNumber.OBSERVE) == b"" and reply.observe is not None:
            self.observers.setdefault(path, []).append((request.token, origin))
            options += build_options((OptionNumber.OBSERVE, reply.observe))
        block1 = request.option(OptionNumber.BLOCK1)
        if block1 is not None and reply.takes_szx is not None:
            block = Block.from_bytes(block1)
            taken = Block(block.num, block.more, min(block.szx, reply.takes_szx))
            if block.num == 0 and block.szx > reply.takes_szx:
                code, payload = Code.REQUEST_ENTITY_TOO_LARGE, b""
            else:
                before = self._uploads.get(path, b"") if block.num else b""
                assert block.offset == len(before)
                self._uploads[path] = before + request.payload
                if block.more:
                    code, payload = Code.CONTINUE, b""
            options += build_options((OptionNumber.BLOCK1, taken.to_bytes()))
        if reply.block_szx is not None:
            requested = request.option(OptionNumber.BLOCK2)
            wanted = Block.from_bytes(requested) if requested else Block(0, False, reply.block_szx)
            szx = min(wanted.szx, reply.block_szx)
            start = wanted.offset
            end = start + (16 << szx)
            block = Block(start // (16 << szx), end < len(payload), szx)
            options.append((OptionNumber.BLOCK2, block.to_bytes()))
            payload = payload[start:end]
        mtype, message_id = self._envelope(at, request, origin, reply)
        answer = CoapMessage(
            mtype,
            code,
            message_id,
            request.token,
            build_options(*options),
            payload,
        ).to_bytes()
        self._answered[origin, request.message_id] = answer
        for _ in range(reply.copies):
            at.transport.sendto(answer, origin)


@contextlib.asynccontextmanager
async def coap_device(
    gateway_port: int, *, at_coap_port: bool = True, host: str = ""
) -> AsyncIterator[CoapDevice]:
    """A device for the gateway at `gateway_port`.

    `at_coap_port`: it receives requests at port 5683 of a separate address and posts from another
    port, as boards do. Otherwise it uses one port for both, on `host` if given.
    """
    loop = asyncio.get_running_loop()
    device = CoapDevice(gateway_port)
    server = _own_address() if at_coap_port else _bound(host or own_address(), 0)
    _, device.server = await loop.create_datagram_endpoint(lambda: _Socket(device), sock=server)
    device.source = device.server
    try:
        if at_coap_port:
            _, device.source = await loop.create_datagram_endpoint(
                lambda: _Socket(device), local_addr=(device.host, 0)
            )
        yield device
    finally:
        for opened in {device.server, device.source}:
            await opened.close()


def own_address() -> str:
    """A loopback address of this machine whose CoAP port is free."""
    with _own_address() as found:
        host: str = found.getsockname()[0]
        return host


def _own_address() -> socket.socket:
    for number in _addresses:
        with contextlib.suppress(OSError):
            third, fourth = number // 256 % 256, number % 256
            return _bound(f"127.{56 + number // 65536 % 128}.{third}.{fourth}", COAP_PORT)
    raise AssertionError("never")


def _bound(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened
