# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams of nodes and of other hosts that reach the port."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import Block, CoapMessage, rejection
from pyaiot.protocols.coap.numbers import OptionNumber

CORPUS: list[bytes] = [
    # NON POST /alive with Content-Format 0, as RIOT sends it: `alive:<uid>`.
    bytes.fromhex("52021234abcdb5") + b"alive" + b"\x10\xff" + b"alive:0123456789ABCDE",
    bytes.fromhex("52021235abceb6") + b"server" + b"\x10\xff" + "temperature:23.5°C".encode(),
    # CON GET /.well-known/core?rt=core.rd
    bytes.fromhex("410100010abb") + b".well-known" + b"\x04core" + b"\x4a" + b"rt=core.rd",
    # ACK 2.05 with Content-Format 40, Observe, Block2 and a link.
    bytes.fromhex("614500010a6105612860d108160aff") + b"</led>,</os>",
    # POST /rd/?ep=n: the last segment is empty.
    bytes.fromhex("40020002b2") + b"rd" + b"\x00\x44" + b"ep=n",
    # Options with one and two bytes of extended delta and length.
    bytes.fromhex("40010003dd0000") + b"x" * 13 + bytes.fromhex("ee00000000") + b"y" * 269,
    bytes.fromhex("40000004"),
    bytes.fromhex("70000004"),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a parsed message can be encoded and parsed again."""
    answer = rejection(data)
    assert answer is None or len(answer) == 4 <= len(data)
    try:
        message = CoapMessage.from_bytes(data)
    except ProtocolError:
        return
    written = message.to_bytes()
    assert len(written) <= len(data)
    assert CoapMessage.from_bytes(written) == message
    assert repr(message).isprintable()
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(segment, str) for segment in message.uri_path)
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(argument, str) for argument in message.uri_query)
    for number in (OptionNumber.BLOCK1, OptionNumber.BLOCK2):
        value = message.option(number)
        if value is not None:
            with contextlib.suppress(ProtocolError):
                block = Block.from_bytes(value)
                assert Block.from_bytes(block.to_bytes()) == block
