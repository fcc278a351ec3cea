# SPDX-License-Identifier: BSD-3-Clause
"""Encodes WebSocket frames of a server, and reads simple ones of a client (RFC 6455 section 5.2).
Pure."""

import struct
import sys
from collections.abc import Callable
from typing import Final, TypeAlias

CLOSE_REASON_MAX: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5). Longer ones are cut."""
PING: Final = bytes((0x89, 0))
"""FIN and opcode 9, without a body."""
_FIN_TEXT: Final = 0x81
_FIN_BINARY: Final = 0x82
_FIN_CLOSE: Final = 0x88
_MASKED: Final = 0x80
_KEY_SIZE: Final = 4
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
RemoveMask: TypeAlias = Callable[[bytes, bytes], bytes]
"""Returns a payload without its masking key, which is the first argument (section 5.3)."""
_SHORT_HEADERS: Final = tuple(bytes((_FIN_TEXT, size)) for size in range(_LENGTH_16))


def text_frame(payload: bytes) -> bytes:
    """An unfragmented text frame. A server does not mask (section 5.1)."""
    size = len(payload)
    if size < _LENGTH_16:
        return _SHORT_HEADERS[size] + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _FIN_TEXT, _LENGTH_16, size) + payload
    return struct.pack("!BBQ", _FIN_TEXT, _LENGTH_64, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame. Its body is below 126 bytes, so its length is one byte (section 5.5)."""
    body = struct.pack("!H", code) + cut_reason(reason)
    return bytes((_FIN_CLOSE, len(body))) + body


def cut_reason(reason: str) -> bytes:
    """A close reason of at most `CLOSE_REASON_MAX` bytes, cut between characters."""
    return reason.encode(errors="replace")[:CLOSE_REASON_MAX].decode(errors="ignore").encode()


def without_mask(key: bytes, payload: bytes) -> bytes:
    """A payload without its masking key (section 5.3)."""
    size = len(payload)
    words = -(-size // _KEY_SIZE)
    # One operation on long integers, instead of one for each byte.
    plain = int.from_bytes(payload, "little") ^ int.from_bytes(key * words, "little")
    return plain.to_bytes(words * _KEY_SIZE, "little")[:size]


def read_messages(
    data: bytes,
    count_max: int,
    size_max: int = sys.maxsize,
    remove_mask: RemoveMask = without_mask,
    *,
    checks_text: bool = True,
) -> tuple[list[bytes], list[int]]:
    """The messages at the beginning of `data`, up to the first that needs a complete reader, and
    where the frame after each begins.

    These are text or binary, in one masked frame below 64 KiB that has arrived completely. At most
    `count_max`, and none after `size_max` bytes of frames. With `checks_text`, text that is not
    UTF-8 needs a complete reader. Never raises.
    """
    messages: list[bytes] = []
    ends: list[int] = []
    size = len(data)
    position = 0
    while size - position >= 2 + _KEY_SIZE and len(messages) < count_max and position < size_max:
        first, length = data[position], data[position + 1] - _MASKED
        begin = position + 2 + _KEY_SIZE
        if (first != _FIN_TEXT and first != _FIN_BINARY) or length < 0 or length == _LENGTH_64:
            break
        if length == _LENGTH_16:
            length = data[position + 2] << 8 | data[position + 3]
            begin += 2
        position = begin + length
        if position > size:
            break
        payload = remove_mask(data[begin - _KEY_SIZE : begin], data[begin:position])
        if checks_text and first == _FIN_TEXT and not payload.isascii() and not is_utf8(payload):
            break
        messages.append(payload)
        ends.append(position)
    return messages, ends


def is_incomplete_message(data: bytes) -> bool:
    """Whether `data`, which is not empty, is the beginning of a message of `read_messages` and
    lacks its end."""
    if data[0] != _FIN_TEXT and data[0] != _FIN_BINARY:
        return False
    if len(data) < 2:
        return True
    length, begin = data[1] - _MASKED, 2 + _KEY_SIZE
    if length == _LENGTH_16:
        if len(data) < 2 + 2:
            return True
        length = data[2] << 8 | data[3]
        begin += 2
    elif length == _LENGTH_64:
        return False
    return length >= 0 and len(data) < begin + length


def is_utf8(text: bytes) -> bool:
    """Whether a text may be sent in a text frame (section 5.6)."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
