# SPDX-License-Identifier: BSD-3-Clause
"""WebSocket frames of a server (RFC 6455 section 5.2), built once for many clients. Pure."""

import struct

_FIN_TEXT = 0x81
_LENGTH_16 = 126
_LENGTH_64 = 127


def text_frame(payload: bytes) -> bytes:
    """An unfragmented text frame. A server does not mask (section 5.1)."""
    size = len(payload)
    if size < _LENGTH_16:
        return bytes((_FIN_TEXT, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _FIN_TEXT, _LENGTH_16, size) + payload
    return struct.pack("!BBQ", _FIN_TEXT, _LENGTH_64, size) + payload
