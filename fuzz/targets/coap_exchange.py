# SPDX-License-Identifier: BSD-3-Clause
"""Arbitrary responses to a request, at any time."""

import contextlib
from random import Random

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.exchange import Exchange, command_spacing
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType

CORPUS: list[bytes] = [
    bytes.fromhex("00006080010000ff6444800161626364ff") + b"led:1",
    bytes.fromhex("0a0070008001"),
    bytes.fromhex("2c0154450007616263642a"),
]
REQUEST = CoapMessage(MessageType.CON, Code.PUT, 0x8001, b"abcd")
LIMIT_S = 60.0


def fuzz_one(data: bytes) -> None:
    """The first byte is the deadline, the second the time of the rest. Nothing is sent late."""
    if len(data) < 2:
        return
    deadline, at = data[0] / 256 * LIMIT_S, data[1] / 256 * LIMIT_S
    exchange = Exchange(
        REQUEST, command_spacing(deadline), deadline=deadline, now=0.0, random=Random(data[0])
    )
    now = 0.0
    while now < min(at, deadline):
        exchange.datagrams_to_send(now=now)
        now = exchange.get_timer()
    with contextlib.suppress(ProtocolError):
        message = CoapMessage.from_bytes(data[2:])
        reply = exchange.receive_message(message)
        if reply is not None:
            assert reply.message_id == message.message_id
            assert len(reply.to_bytes()) == 4
        assert exchange.datagrams_to_send(now=now) == []
    assert exchange.datagrams_to_send(now=deadline) == []
    assert exchange.transmissions <= 5
