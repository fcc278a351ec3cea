# SPDX-License-Identifier: BSD-3-Clause
"""What aiohttp's reader of WebSocket frames lets pass, and how many frames are read in a row."""

from collections.abc import Callable
from typing import Final

from aiohttp import WebSocketError, WSCloseCode

TURN_FRAMES_MAX: Final = 64
"""Messages of one WebSocket in a row. Then it is the turn of the others."""
TURN_HEADERS_MAX: Final = 1000
"""Frames of one WebSocket whose headers are looked at in a row. Then it is the turn of the others.
"""
FRAGMENTS_MAX: Final = 1024
"""Frames of one WebSocket message. More: closed with 1008."""

_CONTROL: Final = 0x8
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_KEY_SIZE: Final = 4


class FrameCheck:
    """Stands before a reader of frames, and hands on what is whole headers and payloads.

    `feed` takes the bytes; `fail` takes the error that ends the connection; `call_soon` calls back
    when others had their turn; `hold` asks not to be given more bytes until it is told False.
    """

    def __init__(
        self,
        *,
        feed: Callable[[bytes], object],
        fail: Callable[[WebSocketError], object],
        end: Callable[[], object],
        call_soon: Callable[[Callable[[], None]], object],
        hold: Callable[[bool], None],
    ) -> None:
        self._feed = feed
        self._fail = fail
        self._end = end
        self._call_soon = call_soon
        self._hold = hold
        self._data = b""
        self._skip = 0
        """Bytes of a mask and a payload that are still to come."""
        self._fragments = 0
        self._turn_due = False
        self._over = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """As aiohttp's reader: True if nothing further is read."""
        if not self._over:
            self._data += data
            if not self._turn_due:
                self._take_turn()
        return self._over, b""

    def feed_eof(self) -> None:
        """The connection is lost: what came before counts."""
        while self._data and not self._over and self._read():
            pass
        self._over = True
        self._end()

    def _take_turn(self) -> None:
        if not self._over and self._read():
            self._turn_due = True
            self._hold(True)
            self._call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_due = False
        self._take_turn()
        if not self._turn_due:
            self._hold(False)

    def _read(self) -> bool:
        """Look at some frames. True if there are more."""
        data = self._data
        size = len(data)
        position = 0
        error: WebSocketError | None = None
        frames = 0
        while frames < TURN_HEADERS_MAX:
            step = min(self._skip, size - position)
            position += step
            self._skip -= step
            if self._skip or size - position < 2:
                break
            length = data[position + 1] & 0x7F
            header_size = 2 + {_LENGTH_16: 2, _LENGTH_64: 8}.get(length, 0)
            if size - position < header_size:
                break
            error = self._judge(data[position], data[position + 1])
            if error is not None:
                break
            if header_size > 2:
                length = int.from_bytes(data[position + 2 : position + header_size], "big")
            position += header_size
            self._skip = _KEY_SIZE + length
            frames += 1
        self._data = data[position:]
        if position:
            self._feed(data[:position])
        if error is not None:
            self._over = True
            self._data = b""
            self._fail(error)
        return frames == TURN_HEADERS_MAX

    def _judge(self, first: int, second: int) -> WebSocketError | None:
        if not second & 0x80:
            # RFC 6455 section 5.1.
            return WebSocketError(WSCloseCode.PROTOCOL_ERROR, "a frame without a mask")
        if first & _CONTROL:
            return None
        self._fragments = 0 if first & 0x80 else self._fragments + 1
        if self._fragments >= FRAGMENTS_MAX:
            return WebSocketError(
                WSCloseCode.POLICY_VIOLATION, f"a message in more than {FRAGMENTS_MAX} frames"
            )
        return None
