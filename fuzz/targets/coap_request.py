# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams that may be valid requests, requests with invalid options, or no messages."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType
from pyaiot.protocols.coap.request import is_request, option_problem, read_datagram, write_error

CORPUS: list[bytes] = [
    bytes.fromhex("49021234313233343536373839b5616c697665ff616c6976653a78"),
    bytes.fromhex("42021234746bb5616c697665ff"),
    # Accept twice; No-Response 26.
    bytes.fromhex("42021234746bb6736572766572") + b"\x60\x00\xffx:3",
    bytes.fromhex("50021236b6736572766572") + bytes.fromhex("10d1e91a") + b"\xfft:1",
    bytes.fromhex("42e11234746b"),
    bytes.fromhex("40011234bb2e77656c6c2d6b6e6f776e04636f7265"),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; an error response is valid and within its size limit."""
    try:
        message = read_datagram(data)
    except ProtocolError:
        return
    assert message.code >> 5 not in {1, 6, 7}
    if not is_request(message):
        return
    option_problem(message)
    written = write_error(message, Code.BAD_OPTION, 0xFFFF)
    assert len(written) <= len(data)
    if not written:
        assert message.mtype != MessageType.CON
        return
    answer = CoapMessage.from_bytes(written)
    if answer.code != Code.EMPTY:
        assert (answer.code, answer.token) == (Code.BAD_OPTION, message.token)
