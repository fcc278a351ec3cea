# SPDX-License-Identifier: BSD-3-Clause
"""Encodes WebSocket frames of a server (RFC 6455 section 5.2). Pure."""

import struct
from typing import Final

CLOSE_REASON_MAX: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5). Longer ones are cut."""
PING: Final = bytes((0x89, 0))
"""FIN and opcode 9, without a body."""
_FIN_TEXT: Final = 0x81
_FIN_CLOSE: Final = 0x88
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127


def text_frame(payload: bytes) -> bytes:
    """An unfragmented text frame. A server does not mask (section 5.1)."""
    size = len(payload)
    if size < _LENGTH_16:
        return bytes((_FIN_TEXT, size)) + payload
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
