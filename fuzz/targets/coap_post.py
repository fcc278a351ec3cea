# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams that may be one of the two posts of nodes."""

from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType
from pyaiot.protocols.coap.post import (
    PAYLOAD_BYTES_MAX,
    SERVER,
    read_post,
    read_value,
    response_id,
    write_changed,
    write_response,
    write_too_many,
)
from pyaiot.protocols.coap.post_payload import parse_value

CORPUS: list[bytes] = [
    bytes.fromhex("52021234abcdb5") + b"alive" + b"\x10\xff" + b"alive:0123456789ABCDE",
    bytes.fromhex("42021235abceb6") + b"server" + b"\x10\xff" + "temperature:23.5°C".encode(),
    # With No-Response 26, and Uri-Host before the path.
    bytes.fromhex("50021236b6") + b"server" + bytes.fromhex("10d1e91a") + b"\xfft:1",
    bytes.fromhex("500212373767776d") + b"\x85alive\xffreset:A",
    # 0xFF in the token, and in an option.
    bytes.fromhex("5202123800ffb5") + b"alive" + b"\xff" + b"alive:A",
    bytes.fromhex("50021239b5") + b"alive" + bytes.fromhex("d101ff") + b"\xffalive:A",
    bytes.fromhex("48010003") + b"12345678" + b"\xb1x",
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Accepted posts equal those of the complete parser; responses are short and valid."""
    too_many = write_too_many(data, 300)
    assert len(too_many) <= AMPLIFICATION_MAX * len(data)
    if too_many:
        assert CoapMessage.from_bytes(too_many).code == Code.TOO_MANY_REQUESTS
    post = read_post(data)
    if post is None:
        assert read_value(data) is None
        return
    value = read_value(data)
    if value is not None and value[0].strip():
        posted = parse_value(post.payload)
        assert value == (value[0], posted.data, write_changed(post))
        assert (value[0].strip(), post.route.path) == (posted.resource, SERVER)
    message = CoapMessage.from_bytes(data)
    assert message.code == Code.POST
    assert message.uri_path == (post.route.path,)
    assert message.payload == post.payload
    assert 0 < len(post.payload) <= PAYLOAD_BYTES_MAX
    assert (message.mtype == MessageType.CON) == post.confirmable
    short = write_changed(post)
    assert short == write_response(post, Code.CHANGED, response_id(message.message_id))
    for code in (Code.CHANGED, Code.FORBIDDEN, Code.SERVICE_UNAVAILABLE):
        written = write_response(post, code, 0xFFFF, words="wörter" * 40, max_age_s=30)
        assert len(written) <= AMPLIFICATION_MAX * len(data)
        if not written:
            assert not post.confirmable
            continue
        answer = CoapMessage.from_bytes(written)
        if answer.code != Code.EMPTY:
            assert (answer.code, answer.token) == (code, message.token)
