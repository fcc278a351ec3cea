# SPDX-License-Identifier: BSD-3-Clause
"""What WebSocket nodes send, in the forms of everyday firmware."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.websocket_node import Named, Update, decode_from_node


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
