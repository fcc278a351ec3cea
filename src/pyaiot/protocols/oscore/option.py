# SPDX-License-Identifier: BSD-3-Clause
"""The value of the OSCORE option (RFC 8613 section 6.1). Pure."""

from typing import Final, Self

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError

PARTIAL_IV_BYTES_MAX: Final = 5
"""Longest Partial IV in bytes (section 6.1). A longer one is refused."""
_PARTIAL_IV_LENGTH: Final = 0x07
_HAS_KID: Final = 0x08
_HAS_KID_CONTEXT: Final = 0x10
_RESERVED: Final = 0xE0


class OscoreOption(msgspec.Struct, frozen=True, gc=False):
    """Identifies the key that protects a message, and the number in its nonce.

    A request has a Partial IV and a kid. A response has a Partial IV only if it does not use the
    nonce of its request. `kid` None: absent, which differs from empty.
    """

    partial_iv: bytes = b""
    kid: bytes | None = None
    kid_context: bytes | None = None

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Raises `NotEnoughBytes` if the value ends inside a field, `ProtocolError` for reserved
        bits or lengths."""
        if not value:
            return cls()
        flags = value[0]
        length = flags & _PARTIAL_IV_LENGTH
        if flags & _RESERVED or length > PARTIAL_IV_BYTES_MAX or not flags:
            raise ProtocolError(f"flag bits 0x{flags:02x} of the OSCORE option are reserved")
        index = 1 + length
        if index > len(value):
            raise NotEnoughBytes("the Partial IV is truncated")
        partial_iv = value[1:index]
        kid_context = None
        if flags & _HAS_KID_CONTEXT:
            if index == len(value):
                raise NotEnoughBytes("the length of the kid context is missing")
            stop = index + 1 + value[index]
            if stop > len(value):
                raise NotEnoughBytes("the kid context is truncated")
            kid_context, index = value[index + 1 : stop], stop
        if flags & _HAS_KID:
            return cls(partial_iv, value[index:], kid_context)
        if index < len(value):
            raise ProtocolError("the OSCORE option has bytes after its last field")
        return cls(partial_iv, None, kid_context)

    def to_bytes(self) -> bytes:
        flags = len(self.partial_iv)
        rest = b""
        if self.kid_context is not None:
            flags |= _HAS_KID_CONTEXT
            rest = bytes((len(self.kid_context),)) + self.kid_context
        if self.kid is not None:
            flags |= _HAS_KID
            rest += self.kid
        return bytes((flags,)) + self.partial_iv + rest if flags else b""


def encode_partial_iv(number: int) -> bytes:
    """A sequence number as a Partial IV, without leading zeros. 0 is one byte."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
