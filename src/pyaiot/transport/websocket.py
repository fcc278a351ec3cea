# SPDX-License-Identifier: BSD-3-Clause
"""WebSockets of a server that waits for no peer."""

import asyncio
import contextlib
from typing import Any, Final

import aiohttp
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_websocket import WebSocketWriter

from pyaiot.transport.frame_check import TURN_FRAMES_MAX, FrameCheck
from pyaiot.transport.websocket_frames import close_frame

CLOSE_LIMIT_S: Final = 2.0
"""A peer that does not answer a close for so long is cut off."""
PONG_BUFFER_MAX: Final = 16 * 1024
"""Bytes waiting in the socket above which pings are not answered: their sender reads nothing."""
WEBSOCKET_VERSION: Final = "13"
"""The version of RFC 6455. Another one is answered 426."""
CLOSE_CODE_MAX: Final = 4999
"""The largest code of a close frame (RFC 6455 section 7.4.2). Larger: closed with 1002."""
SEND_BUFFER_SIZE: Final = 256 * 1024
"""Bytes that the kernel may hold for one peer, doubled by Linux for its own use (socket(7))."""


class TransportSink:
    """The socket of a peer. Frames are made elsewhere and written as they are.

    aiohttp writes pings, pongs and closes to the same transport; each write is whole frames.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.write = transport.write
        self.buffered = transport.get_write_buffer_size

    def close(self, code: int, reason: str) -> None:
        self._transport.write(close_frame(code, reason))
        self._loop.call_later(CLOSE_LIMIT_S, self._transport.abort)


class NonBlockingWebSocket(web.WebSocketResponse):
    """A WebSocket that never waits for a peer that reads nothing, and gives others their turn."""

    def __init__(
        self,
        *protocols: str,
        heartbeat_s: float,
        size_max: int,
        shows_pings: bool = False,
        checks_text: bool = True,
    ) -> None:
        """A peer that does not answer a ping within half of `heartbeat_s` is cut off.

        Larger messages than `size_max` bytes close it with 1009. Pings are answered here;
        `shows_pings`: pings and pongs are received as messages are, too. Without `checks_text`, a
        text that is not UTF-8 is received, too.
        """
        super().__init__(
            protocols=protocols,
            heartbeat=heartbeat_s,
            timeout=CLOSE_LIMIT_S,
            autoping=False,
            max_msg_size=size_max,
            # One frame is made for all clients: there is no state of a compressor to share.
            compress=False,
            decode_text=False,
        )
        self.transport: asyncio.Transport | None = None
        self._shows_pings = shows_pings
        self._checks_text = checks_text
        self._in_a_row = 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        check_version(request)
        self.transport = request.transport
        return await super().prepare(request)

    def _post_start(
        self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        """aiohttp's, with a check of ours before its reader."""
        connection = request.protocol
        # What came with the request is checked as well.
        first, connection._message_tail = connection._message_tail, b""
        super()._post_start(request, protocol, writer)
        assert self._parser is not None  # noqa: S101 - it was made
        assert self._reader is not None  # noqa: S101 - it was made

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
        )
        connection._payload_parser = check
        if first and check.feed_data(first)[0]:
            connection.close()

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - aiohttp's
        while True:
            self._in_a_row += 1
            if self._in_a_row >= TURN_FRAMES_MAX:
                self._in_a_row = 0
                await asyncio.sleep(0)
            message: Any = await super().receive(timeout)
            match message.type:
                case aiohttp.WSMsgType.PING:
                    await self.pong(message.data)
                    if not self._shows_pings:
                        continue
                case aiohttp.WSMsgType.PONG if not self._shows_pings:
                    continue
                case aiohttp.WSMsgType.TEXT if self._checks_text and not _is_utf8(message.data):
                    error = aiohttp.WebSocketError(
                        aiohttp.WSCloseCode.INVALID_TEXT, "a text that is not UTF-8"
                    )
                    assert self._reader is not None  # noqa: S101 - a message came
                    # As if the reader had found it: nothing further is waited for.
                    self._reader.set_exception(error)
                    await self.close(code=error.code, message=b"a text that is not UTF-8")
                    return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, error, None)
                case aiohttp.WSMsgType.CLOSE if not _may_be_sent(message.data):
                    error = aiohttp.WebSocketError(
                        aiohttp.WSCloseCode.PROTOCOL_ERROR, f"a close with code {message.data}"
                    )
                    return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, error, None)
            return message

    async def pong(self, message: bytes = b"") -> None:
        # Below this, a write waits for nobody.
        if self.transport and self.transport.get_write_buffer_size() <= PONG_BUFFER_MAX:
            with contextlib.suppress(ConnectionError):  # it pinged, and has left
                await super().pong(message)

    async def close(
        self, *, code: int = aiohttp.WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if self.transport is not None:
            # Else what the peer does not take keeps the connection and its memory for ever.
            asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self.transport.abort)
        if self._closing and self.close_code and not _may_be_sent(self.close_code):
            code = aiohttp.WSCloseCode.PROTOCOL_ERROR
        return await super().close(code=code, message=message, drain=drain)


def check_version(request: web.BaseRequest) -> None:
    """Raises 426 for a WebSocket of another version (RFC 6455 section 4.4)."""
    version = request.headers.get(hdrs.SEC_WEBSOCKET_VERSION, "")
    if hdrs.UPGRADE in request.headers and version != WEBSOCKET_VERSION:
        raise web.HTTPUpgradeRequired(
            text=f"This server speaks version {WEBSOCKET_VERSION} of the WebSocket protocol.\n",
            headers={
                hdrs.SEC_WEBSOCKET_VERSION: WEBSOCKET_VERSION,
                hdrs.UPGRADE: "websocket",
                hdrs.CONNECTION: "Upgrade",
            },
        )


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_be_sent(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455 section 7.4; aiohttp refuses others)."""
    return code != aiohttp.WSCloseCode.ABNORMAL_CLOSURE and code <= CLOSE_CODE_MAX
