# SPDX-License-Identifier: BSD-3-Clause
"""Messages between WebSocket nodes and their gateway, in both directions."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.websocket_node import (
    DISCOVER,
    Update,
    decode_from_node,
    decode_to_node,
    encode,
    read_value,
)

CORPUS: list[bytes] = [
    b"",
    b"{}",
    DISCOVER,
    b'{"type":"new","uid":"A"}',
    b'{"type":"update","data":{"temperature":"23.5\xc2\xb0C","led":1}}',
    b'{"type":"update","data":{}}',
    b'{"endpoint":"led","payload":"1"}',
    b'{"type":"update","data":[1,2,3]}',
    b'{"type":"update","data":{"t":' + b"[" * 40 + b"]" * 40 + b"}}",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; parsed messages can be encoded and parsed again."""
    value = read_value(data)
    assert value is None or decode_from_node(data) == Update(dict([value]))
    with contextlib.suppress(ProtocolError):
        message = decode_from_node(data)
        assert decode_from_node(encode(message)) == message
    with contextlib.suppress(ProtocolError):
        decode_to_node(data)
