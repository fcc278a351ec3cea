# SPDX-License-Identifier: BSD-3-Clause
"""Checks on WebSocket frames that aiohttp's reader omits, and fairness between connections.

Messages that are simple need no reader: see `FrameCheck.take`.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from aiohttp import WebSocketError, WSCloseCode

from pyaiot.transport.websocket_frames import (
    RemoveMask,
    is_incomplete_message,
    read_messages,
    without_mask,
)

TURN_FRAMES_MAX: Final = 64
"""Messages of one WebSocket that are handled in a row. Then other connections have their turn."""
TURN_SIZE_MAX: Final = 32 * 1024
"""Bytes of messages that are taken in a row. The sockets of their receivers are written to between
turns; what many readings cause at once would not fit into their buffers."""
TURN_HEADERS_MAX: Final = 1000
"""Frames of one WebSocket that are parsed in a row. Then other connections have their turn."""
FRAGMENTS_MAX: Final = 1024
"""Frames of one WebSocket message. More: closed with 1008."""
PART_SIZE_MAX: Final = 16 * 1024
"""Bytes of an incomplete message that wait here for the rest, to be taken together. The reader gets
a larger part: each read copies what waits."""

_CONTROL: Final = 0x8
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_KEY_SIZE: Final = 4


TakeMessages: TypeAlias = Callable[[Sequence[bytes]], int]
"""Takes the payloads of messages. Returns how many of them it has taken, from the first on."""


class FrameCheck:
    """Checks frame headers before aiohttp's reader, which gets complete headers only.

    `feed` passes bytes on to the reader; `fail` reports the error that ends the connection, `end`
    the end of the stream; `call_soon` schedules the next turn; `hold` pauses (True) and resumes
    (False) reading. `remove_mask` is used for messages that are taken; without `checks_text`, their
    text may be other than UTF-8.
    """

    def __init__(
        self,
        *,
        feed: Callable[[bytes], object],
        fail: Callable[[WebSocketError], object],
        end: Callable[[], object],
        call_soon: Callable[[Callable[[], None]], object],
        hold: Callable[[bool], None],
        remove_mask: RemoveMask = without_mask,
        checks_text: bool = True,
    ) -> None:
        self.is_awaited = False
        """The receiver waits, and has all that the reader was given. The receiver sets it."""
        self._feed_reader = feed
        self._fail = fail
        self._end = end
        self._call_soon = call_soon
        self._hold = hold
        self._remove_mask = remove_mask
        self._checks_text = checks_text
        self._data = b""
        self._part = b""
        """The beginning of a simple message. `_data` is empty then."""
        self._skip = 0
        """Bytes of a masking key and payload that were not received yet."""
        self._fragments = 0
        self._turn_due = False
        self._over = False
        self.take: TakeMessages | None = None
        """Takes messages in one frame that has arrived completely, while the receiver waits, so
        that messages stay in order. The reader gets those that it does not take, and all else."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """As `feed_data` of aiohttp's reader: returns True if the connection has ended."""
        is_idle = self._is_idle()
        if self._part:
            data, self._part = self._part + data, b""
        if self.take is not None and self.is_awaited and is_idle:
            data = self._pass_simple(data, self.take)
            if not data:
                return False, b""
        if is_idle and _is_frame(data):
            self._feed(data)
        elif not self._over:
            self._data += data
            if not self._turn_due:
                self._take_turn()
        return self._over, b""

    def _is_idle(self) -> bool:
        """The next byte begins a message, or continues `_part`."""
        return not (self._data or self._skip or self._fragments or self._turn_due or self._over)

    def _pass_simple(self, data: bytes, take: TakeMessages) -> bytes:
        """Pass simple messages on. Returns the bytes that the reader must get now.

        More messages than a turn has wait for the next turn, and an incomplete one for its rest.
        """
        messages, ends = read_messages(
            *(data, TURN_FRAMES_MAX, TURN_SIZE_MAX),
            self._remove_mask,
            checks_text=self._checks_text,
        )
        taken = take(messages) if messages else 0
        if taken:
            data = data[ends[taken - 1] :]
        if taken < len(messages) or not data:
            return data
        if taken == TURN_FRAMES_MAX or (taken and ends[-1] >= TURN_SIZE_MAX):
            self._data = data
            self._wait_for_turn()
            return b""
        if len(data) <= PART_SIZE_MAX and is_incomplete_message(data):
            self._part = data
            return b""
        return data

    def _feed(self, data: bytes) -> None:
        self.is_awaited = False
        self._feed_reader(data)

    def feed_eof(self) -> None:
        """The connection was lost. Bytes that were received before are still read."""
        self._data += self._part
        self._part = b""
        while self._data and not self._over and self._read():
            pass
        self._over = True
        self._end()

    def _take_turn(self) -> None:
        if not self._over and self._read():
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self._turn_due = True
        self._hold(True)
        self._call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_due = False
        data, self._data = self._data, b""
        if self.take is not None and self.is_awaited and self._is_idle():
            data = self._pass_simple(data, self.take)
        if not self._turn_due:
            self._data = data
            if data:
                self._take_turn()
        if not self._turn_due:
            self._hold(False)

    def _read(self) -> bool:
        """Check up to `TURN_HEADERS_MAX` frames. Returns whether there may be more."""
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
            error = self._header_error(data[position], data[position + 1])
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

    def _header_error(self, first: int, second: int) -> WebSocketError | None:
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


def _is_frame(data: bytes) -> bool:
    """Whether this is exactly one frame that is allowed and not a fragment, as most reads are."""
    if len(data) < 2 + _KEY_SIZE or not data[0] & 0x80 or not data[1] & 0x80:
        return False
    length = data[1] & 0x7F
    if length < _LENGTH_16:
        return len(data) == 2 + _KEY_SIZE + length
    if length == _LENGTH_16:
        return len(data) == 4 + _KEY_SIZE + (data[2] << 8 | data[3])
    return False
