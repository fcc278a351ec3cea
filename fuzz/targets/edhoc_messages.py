# SPDX-License-Identifier: BSD-3-Clause
"""The parts around EDHOC messages in CoAP."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.edhoc.messages import (
    check_message_3,
    public_share,
    read_message,
    split_combined,
    write_identifier,
)

CORPUS: list[bytes] = [
    bytes.fromhex("f50382060258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc337"),
    bytes.fromhex("0302582021af63fec541770db38e5a927a7b7d21f4e86893c7cfe959558761998d7e506714"),
    bytes.fromhex("4301020352aabbccddeeff00112233445566778899aabb"),
    bytes.fromhex("52aabbccddeeff00112233445566778899aabb") + b"ciphertext",
    bytes.fromhex("0e5818") + bytes(24),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; other inputs lose no bytes."""
    with contextlib.suppress(ProtocolError):
        identifier, message = read_message(data)
        if identifier is None:
            assert data[1:] == message
        elif len(identifier) < 24:
            assert read_message(write_identifier(identifier) + message) == (identifier, message)
    with contextlib.suppress(ProtocolError):
        message_3, rest = split_combined(data)
        assert message_3 + rest == data
    with contextlib.suppress(ProtocolError):
        assert len(public_share(data)) == 32
    with contextlib.suppress(ProtocolError):
        check_message_3(data)
