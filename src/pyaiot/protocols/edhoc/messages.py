# SPDX-License-Identifier: BSD-3-Clause
"""EDHOC messages in CoAP (RFC 9528 Appendix A.2, RFC 9668). Pure.

Reads and writes the parts around the EDHOC messages; the messages themselves are opaque.
"""

import enum
from typing import Final

from pyaiot.errors import ProtocolError

MESSAGE_BYTES_MAX: Final = 256
"""Largest message of a device in bytes. Larger ones are refused: credentials by value have about
150."""
_CIPHER_SUITE: Final = 2  # P-256, AES-CCM-16-64-128 and SHA-256 (section 3.6)
_TRUE: Final = 0xF5
_BYTE_STRING: Final = 0x40
_ONE_BYTE: Final = 0x58
_TWO_BYTES: Final = 0x59
_ARRAY: Final = 0x80
_SHARE_BYTES: Final = 32
_TAG_BYTES: Final = 8


class ErrorCode(enum.IntEnum):
    """Why a handshake failed (section 6)."""

    UNSPECIFIED = 1
    WRONG_CIPHER_SUITE = 2
    UNKNOWN_CREDENTIAL = 3


def read_message(payload: bytes) -> tuple[bytes | None, bytes]:
    """Split a message to a responder into the connection identifier before it, and the message. The
    identifier is None for a first message, which has `true` in its place. Raises
    `ProtocolError`."""
    if not payload:
        raise ProtocolError("the message is empty")
    first = payload[0]
    if first == _TRUE:
        return None, payload[1:]
    if _is_one_byte_integer(first):
        return payload[:1], payload[1:]
    return _split_byte_string(payload)


def split_combined(payload: bytes) -> tuple[bytes, bytes]:
    """Split a combined request into the third message and the OSCORE ciphertext (RFC 9668 section
    3.1). Raises `ProtocolError`."""
    _, ciphertext = _split_byte_string(payload)
    return payload[: len(payload) - len(ciphertext)], ciphertext


def public_share(message_1: bytes) -> bytes:
    """G_X of a first message: an x coordinate of 32 bytes. Does not check that a point with it
    exists. Raises `ProtocolError`."""
    # METHOD, SUITES_I, G_X: integers of one or two bytes, or an array of them, and a byte string.
    at = _end_of_integer(message_1, 0)
    items = 1
    if at < len(message_1) and _ARRAY < message_1[at] < _ARRAY + 0x18:
        items = message_1[at] - _ARRAY
        at += 1
    for _ in range(items):
        at = _end_of_integer(message_1, at)
    share, _ = _split_byte_string(message_1[at:])
    if len(share) != _SHARE_BYTES:
        raise ProtocolError("G_X has the wrong length")
    return share


def check_message_3(message: bytes) -> None:
    """Raise `ProtocolError` if a third message is not a byte string that is long enough for its
    tag."""
    ciphertext, rest = _split_byte_string(message)
    if rest or len(ciphertext) <= _TAG_BYTES:
        raise ProtocolError("message_3 has the wrong length")


def write_identifier(identifier: bytes) -> bytes:
    """Encode a connection identifier before a message (section 3.3.2). It has at most 23 bytes."""
    if len(identifier) == 1 and _is_one_byte_integer(identifier[0]):
        return identifier
    return bytes((_BYTE_STRING | len(identifier),)) + identifier


def write_error(code: ErrorCode, text: str = "") -> bytes:
    """An error message. `text` is for `UNSPECIFIED` alone, at most 23 bytes of ASCII."""
    if code is ErrorCode.UNSPECIFIED:
        return bytes((code, 0x60 | len(text))) + text.encode("ascii")
    if code is ErrorCode.WRONG_CIPHER_SUITE:
        return bytes((code, _CIPHER_SUITE))
    return bytes((code, _TRUE))


def _is_one_byte_integer(byte: int) -> bool:
    """Whether this is a CBOR integer from -24 to 23, which stands for the byte itself."""
    return byte < 0x18 or 0x20 <= byte < 0x38


def _end_of_integer(data: bytes, at: int) -> int:
    """The end of a CBOR integer. Raises `ProtocolError`."""
    if at < len(data):
        if _is_one_byte_integer(data[at]):
            return at + 1
        if data[at] in (0x18, 0x38):
            return at + 2
    raise ProtocolError("a small integer is missing")


def _split_byte_string(data: bytes) -> tuple[bytes, bytes]:
    """Split off the byte string at the beginning. Raises `ProtocolError`."""
    first = data[0] if data else 0
    if _BYTE_STRING <= first < _ONE_BYTE:
        begin, length = 1, first - _BYTE_STRING
    elif first == _ONE_BYTE and len(data) > 1:
        begin, length = 2, data[1]
    elif first == _TWO_BYTES and len(data) > 2:
        begin, length = 3, data[1] << 8 | data[2]
    else:
        raise ProtocolError("a byte string is missing")
    if len(data) < begin + length:
        raise ProtocolError("the byte string is too short")
    return data[begin : begin + length], data[begin + length :]
