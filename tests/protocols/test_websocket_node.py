# SPDX-License-Identifier: BSD-3-Clause
"""What WebSocket nodes send, in the forms of everyday firmware."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.websocket_node import Named, Update, decode_from_node, read_value


@pytest.mark.parametrize(
    "sent",
    [
        b'{"type":"update","data":{"t":21.5}}',
        b'{"type":"update","data":{"t":21.5}}\0',
        b'{"type":"update","data":{"t":21.5}}\r\n\0\0',
        b'\xef\xbb\xbf{"type":"update","data":{"t":21.5}}',
        b' {"data": {"t": 21.5}, "type": "update", "more": 1}\n',
    ],
)
def test_mark_before_and_zeros_behind_a_message_are_ignored(sent: bytes) -> None:
    assert decode_from_node(sent) == Update({"t": 21.5})


@pytest.mark.parametrize("sent", ["12345", '"12345"'])
def test_uid_may_be_a_number(sent: str) -> None:
    assert decode_from_node(f'{{"type":"new","uid":{sent}}}'.encode()) == Named("12345")


@pytest.mark.parametrize("uid", ["-1", "1.5", "true", "null", "[1]"])
def test_other_uids_are_refused(uid: str) -> None:
    with pytest.raises(ProtocolError):
        decode_from_node(f'{{"type":"new","uid":{uid}}}'.encode())


@pytest.mark.parametrize("sent", [b"", b"\0", b"\xef\xbb\xbf", b'{"type":"update"\0}'])
def test_nothing_but_padding_is_refused(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_from_node(sent)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('"21.5\u00b0C"', "21.5\u00b0C"),
        ("21.5", 21.5),
        ("true", True),
        ("9007199254740992", 2**53),
        ('"12345678901234567890"', "12345678901234567890"),
    ],
)
def test_one_short_value_is_read_as_every_message(value: str, read: object) -> None:
    sent = f'{{"type":"update","data":{{"t":{value}}}}}'.encode()
    assert read_value(sent) == ("t", read)
    assert decode_from_node(sent) == Update({"t": read})


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[" * 2000,
        b'{"type":"new","uid":"A"}',
        b'{"type":"update","data":{}}',
        b'{"type":"update","data":{"t":1,"h":2}}',
        b'{"type":"update","data":{"t":null}}',
        b'{"type":"update","data":{"t":[1]}}',
        b'{"type":"update","data":{"t":12345678901234567890}}',
        b'{"type":"update","data":{"t":123456789012345678901234567890}}',
        b'{"type":"update","data":{"t":"\xff"}}',
        b'{"type":"update","data":{"t":1}}\0',
    ],
)
def test_other_messages_are_left_to_the_complete_decoder(sent: bytes) -> None:
    assert read_value(sent) is None
