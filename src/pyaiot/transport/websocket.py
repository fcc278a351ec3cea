# SPDX-License-Identifier: BSD-3-Clause
"""Server-side WebSockets that never wait for a slow peer."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_websocket import WebSocketWriter

from pyaiot.transport.frame_check import TURN_FRAMES_MAX, FrameCheck, TakeMessages
from pyaiot.transport.pauses import PAUSED_MIN_S, READ_FIRST_S
from pyaiot.transport.websocket_frames import (
    RemoveMask,
    close_frame,
    cut_reason,
    is_utf8,
    without_mask,
)

CLOSE_LIMIT_S: Final = 2.0
"""Time for a peer to answer a close. Then the connection is aborted."""
END_LIMIT_S: Final = 0.3
"""The same for a peer whose access was removed."""
SHUTDOWN_LIMIT_S: Final = 1.0
"""Time for all peers to answer the close when a service ends. Then it ends without them."""
PONG_BUFFER_MAX: Final = 16 * 1024
"""Bytes in the send buffer above which pings are not answered, because the peer reads nothing."""
HEARTBEAT_PARTS: Final = 20
"""Parts of the heartbeat interval by which a ping may be early."""
WEBSOCKET_VERSION: Final = "13"
"""The version of RFC 6455. Other versions are answered 426."""
CLOSE_CODE_MAX: Final = 4999
"""The largest code of a close frame (RFC 6455 section 7.4.2). Larger: closed with 1002."""
SEND_BUFFER_SIZE: Final = 256 * 1024
"""Bytes that the kernel may hold for one peer; Linux doubles it for its own use (socket(7))."""


def _compiled_remove_mask() -> RemoveMask:
    """`without_mask` of aiohttp, which is compiled: 0.2 µs instead of 0.5 for a short message, and
    0.4 instead of 10 for 5 kB."""
    try:
        # Private: another version may not have it.
        from aiohttp._websocket.helpers import websocket_mask  # noqa: PLC0415
    except ImportError:
        return without_mask

    def remove_mask(key: bytes, payload: bytes) -> bytes:
        data = bytearray(payload)
        websocket_mask(key, data)
        return bytes(data)

    return remove_mask


REMOVE_MASK: Final = _compiled_remove_mask()


class TransportSink:
    """Writes frames that were encoded elsewhere to the socket of a peer.

    aiohttp writes pings, pongs and closes to the same transport; each write is complete frames.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._write = transport.write
        self.buffered = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        """Write whole frames; no effect if the peer is gone, which is reported a moment later."""
        try:
            self._write(data)
        except RuntimeError:  # of uvloop, after a reset
            if not self._transport.is_closing():
                raise

    def close(self, code: int, reason: str) -> None:
        self.write(close_frame(code, reason))
        self._loop.call_later(CLOSE_LIMIT_S, self._transport.abort)


class NonBlockingWebSocket(web.WebSocketResponse):
    """A WebSocket that never waits for a slow peer, and that yields to other connections."""

    def __init__(
        self,
        *protocols: str,
        heartbeat_s: float,
        size_max: int,
        shows_pings: bool = False,
        checks_text: bool = True,
    ) -> None:
        """A peer that does not answer a ping within half of `heartbeat_s` is disconnected.

        Messages larger than `size_max` bytes close the connection with 1009. Pings are answered
        here. With `shows_pings`, pings and pongs are also returned by `receive`. Without
        `checks_text`, text that is not UTF-8 is accepted.
        """
        super().__init__(
            protocols=protocols,
            heartbeat=heartbeat_s,
            timeout=CLOSE_LIMIT_S,
            autoping=False,
            max_msg_size=size_max,
            # One frame is encoded for all clients, which cannot share the state of a compressor.
            compress=False,
            decode_text=False,
        )
        self.transport: asyncio.Transport | None = None
        self._shows_pings = shows_pings
        self._checks_text = checks_text
        self._in_a_row = 0
        self._check: FrameCheck | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        check_version(request)
        self.transport = request.transport
        return await super().prepare(request)

    def _handshake(self, request: web.BaseRequest) -> tuple[Any, str | None, int, bool]:
        """As of aiohttp, which reads only the first of several headers with subprotocols (RFC 6455
        section 11.3.4)."""
        headers, _, compress, notakeover = super()._handshake(request)
        known = self._protocols
        protocol = next((name for name in offered_protocols(request) if name in known), None)
        headers.popall(hdrs.SEC_WEBSOCKET_PROTOCOL, None)
        if protocol is not None:
            headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = protocol
        return headers, protocol, compress, notakeover

    def _post_start(
        self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        """As of aiohttp, with `FrameCheck` before its reader."""
        connection = request.protocol
        # Bytes that arrived with the request are checked as well.
        first, connection._message_tail = connection._message_tail, b""
        super()._post_start(request, protocol, writer)
        assert self._parser is not None  # noqa: S101 - set by the call above
        assert self._reader is not None  # noqa: S101 - set by the call above

        def hold(held: bool) -> None:
            if held:
                connection._pause_reading_for_buffer()
            else:
                connection._resume_reading_for_buffer()

        check = FrameCheck(
            feed=self._parser.feed_data,
            fail=self._reader.set_exception,
            end=self._parser.feed_eof,
            call_soon=asyncio.get_running_loop().call_soon,
            hold=hold,
            remove_mask=REMOVE_MASK,
            checks_text=self._checks_text,
        )
        self._check = check
        connection._payload_parser = _InOrderOfArrival(check, connection)
        if first and check.feed_data(first)[0]:
            connection.close()

    def _on_data_received(self) -> None:
        """As of aiohttp, which moves its next ping with each read: 4 µs. It is not moved by less
        than a part of `HEARTBEAT_PARTS`, unless a pong is awaited."""
        loop, heartbeat_s = self._loop, self._heartbeat
        if loop is not None and heartbeat_s is not None and self._pong_response_cb is None:
            earliest = self._heartbeat_when - heartbeat_s * (1 - 1 / HEARTBEAT_PARTS)
            if loop.time() < earliest:
                return
        super()._on_data_received()

    def _reset_heartbeat(self) -> None:
        # Bytes that arrive after the close would start the timer again, which would hold the
        # connection and its memory for another minute.
        if not self._closed and not self._closing:
            super()._reset_heartbeat()

    def _pong_not_received(self) -> None:
        due = self._pong_response_cb
        loop = asyncio.get_running_loop()
        if due is not None and loop.time() - due.when() > PAUSED_MIN_S:
            # This process was paused: what the peer sent meanwhile is read first.
            self._pong_response_cb = loop.call_later(READ_FIRST_S, self._pong_not_received)
            return
        super()._pong_not_received()

    def take_simple(self, take: TakeMessages) -> None:
        """Call `take` with messages in one frame that arrive while `receive` waits, without waking
        it. `receive` returns those that `take` does not take, and all after them that arrived
        before it waits again. Text is UTF-8, if this is checked.
        """
        if self._check is not None:
            self._check.take = take

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - aiohttp's
        while True:
            self._in_a_row += 1
            if self._in_a_row >= TURN_FRAMES_MAX:
                self._in_a_row = 0
                await asyncio.sleep(0)
            message: Any = await self._next_message(timeout)
            match message.type:
                case aiohttp.WSMsgType.PING:
                    await self.pong(message.data)
                    if not self._shows_pings:
                        continue
                case aiohttp.WSMsgType.PONG if not self._shows_pings:
                    continue
                case aiohttp.WSMsgType.TEXT if self._checks_text and not is_utf8(message.data):
                    error = aiohttp.WebSocketError(
                        aiohttp.WSCloseCode.INVALID_TEXT, "a text that is not UTF-8"
                    )
                    assert self._reader is not None  # noqa: S101 - a message arrived
                    # As if the reader had found the error: nothing further is read.
                    self._reader.set_exception(error)
                    await self.close(code=error.code, message=b"a text that is not UTF-8")
                    return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, error, None)
                case aiohttp.WSMsgType.CLOSE if not _is_valid_close_code(message.data):
                    error = aiohttp.WebSocketError(
                        aiohttp.WSCloseCode.PROTOCOL_ERROR, f"a close with code {message.data}"
                    )
                    return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, error, None)
            return message

    async def _next_message(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - as above
        check = self._check
        if check is None or self._closing:
            return await super().receive(timeout)
        check.is_awaited = True
        try:
            return await super().receive(timeout)
        finally:
            check.is_awaited = False

    async def pong(self, message: bytes = b"") -> None:
        # Up to this size, a write does not wait.
        if self.transport and self.transport.get_write_buffer_size() <= PONG_BUFFER_MAX:
            with contextlib.suppress(ConnectionError):  # the peer has disconnected
                await super().pong(message)

    async def close(
        self, *, code: int = aiohttp.WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if self.transport is not None:
            # Else unread bytes would keep the connection and its memory for ever.
            asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self.transport.abort)
        if self._check is not None:
            self._check.take = None  # what arrives from now on is not processed
        if self._closing and self.close_code and not _is_valid_close_code(self.close_code):
            code = aiohttp.WSCloseCode.PROTOCOL_ERROR
        return await super().close(code=code, message=message, drain=drain)

    def end(self, code: int, reason: str) -> None:
        """Close with a reason without waiting; unsent data is dropped.

        The connection is aborted if the peer does not answer in time.
        """
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(close_frame(code, reason))
            asyncio.get_running_loop().call_later(END_LIMIT_S, self.transport.abort)

    async def close_with(self, code: int, reason: str) -> None:
        """Close with a reason, which is cut if it is too long. Ignores a lost connection."""
        with contextlib.suppress(OSError, RuntimeError):
            await self.close(code=code, message=cut_reason(reason))


class _InOrderOfArrival:
    """Passes bytes on to `FrameCheck` after the event loop has woken the receivers of what arrived
    at other sockets before.

    Messages that are taken without their receiver would overtake those: a page that joins before a
    gateway reports a node would get it twice.
    """

    def __init__(self, check: FrameCheck, connection: Any) -> None:
        self._check = check
        self._connection = connection
        self._call_soon = asyncio.get_running_loop().call_soon
        self._waiting: list[bytes] = []

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._check.take is None and not self._waiting:
            return self._check.feed_data(data)
        if not self._waiting:
            self._call_soon(self._pass)
        self._waiting.append(data)
        return False, b""

    def _pass(self) -> None:
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            if self._check.feed_data(data)[0]:
                self._connection.close()

    def feed_eof(self) -> None:
        self._pass()
        self._check.feed_eof()


async def close_all(sockets: Iterable[NonBlockingWebSocket], reason: str) -> None:
    """Close the WebSockets of a service that ends with 1001. Takes `SHUTDOWN_LIMIT_S` at most."""
    closing = [socket.close_with(aiohttp.WSCloseCode.GOING_AWAY, reason) for socket in sockets]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHUTDOWN_LIMIT_S):
            await asyncio.gather(*closing, return_exceptions=True)


def offered_protocols(request: web.BaseRequest) -> list[str]:
    """The subprotocols that the peer offers, the preferred first."""
    return [
        name.strip()
        for header in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        for name in header.split(",")
    ]


def check_version(request: web.BaseRequest) -> None:
    """Raises 426 for another version of WebSocket (RFC 6455 section 4.4), or for HTTP/1.0, which
    has no upgrades (section 4.2.1)."""
    version = request.headers.get(hdrs.SEC_WEBSOCKET_VERSION, "")
    is_current = version == WEBSOCKET_VERSION and request.version >= HttpVersion11
    if hdrs.UPGRADE in request.headers and not is_current:
        raise web.HTTPUpgradeRequired(
            text=f"This server supports version {WEBSOCKET_VERSION} of the WebSocket protocol, over"
            " HTTP/1.1.\n",
            headers={
                hdrs.SEC_WEBSOCKET_VERSION: WEBSOCKET_VERSION,
                hdrs.UPGRADE: "websocket",
                hdrs.CONNECTION: "Upgrade",
            },
        )


def _is_valid_close_code(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455 section 7.4)."""
    return code != aiohttp.WSCloseCode.ABNORMAL_CLOSURE and code <= CLOSE_CODE_MAX
