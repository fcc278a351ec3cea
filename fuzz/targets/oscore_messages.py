# SPDX-License-Identifier: BSD-3-Clause
"""Protected messages of peers with and without the keys."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.messages import (
    is_protected,
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.option import OscoreOption

DEVICE = SecurityContext(bytes(16), sender_id=b"\x01\x02", recipient_id=b"\x00")
GATEWAY = SecurityContext(bytes(16), sender_id=b"\x00", recipient_id=b"\x01\x02")
POST = bytes.fromhex("42020001abcdb6") + b"server\xfft:1"
IDS = RequestIds(b"\x00", b"\x01")
CORPUS: list[bytes] = [
    protect_request(DEVICE, POST, 1)[0],
    protect_request(DEVICE, POST, 1 << 39)[0],
    protect_response(DEVICE, bytes.fromhex("62450001abcd60ff31"), IDS),
    protect_response(DEVICE, bytes.fromhex("52450001abcd60ff31"), IDS, 70_000),
    # With Uri-Host, and a kid context.
    bytes.fromhex("4402000100003974396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac4"),
    POST,
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a decrypted message belongs to the same exchange."""
    with contextlib.suppress(ProtocolError):
        option = OscoreOption.from_bytes(data)
        assert OscoreOption.from_bytes(option.to_bytes()) == option
    if not is_protected(data):
        return
    try:
        message = read_protected(data)
    except ProtocolError:
        return
    assert any(number == 9 for number, _ in CoapMessage.from_bytes(data).options)
    with contextlib.suppress(ProtocolError):
        inner = unprotect_request(GATEWAY, message)
        assert (inner[0], inner[2 : message.token_end]) == (data[0], data[2 : message.token_end])
    with contextlib.suppress(ProtocolError):
        unprotect_response(GATEWAY, message, IDS)
