# SPDX-License-Identifier: BSD-3-Clause
"""Payloads that nodes post to `/alive` and `/server`."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.post_payload import parse_alive, parse_value

CORPUS: list[bytes] = [
    b"",
    b":",
    b"reset",
    b"alive:9A3F0C12D4E5B67",
    b"Alive:9A3F0C12D4E5B67\0",
    b"reset:a:b",
    "temperature:23.5°C".encode(),
    b'position:{"lat":48.714784,"lng":2.205502}',
    b"\xff:\xfe",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a value keeps every character after the first colon."""
    with contextlib.suppress(ProtocolError):
        alive = parse_alive(data)
        assert alive.uid is None or b":" in data
    with contextlib.suppress(ProtocolError):
        value = parse_value(data)
        assert value.resource
        assert data.rstrip(b"\0").endswith(b":" + value.data.encode())
