# SPDX-License-Identifier: BSD-3-Clause
"""Bytes of a WebSocket client, from which simple messages are read."""

from aiohttp.http_websocket import WSMsgType

from pyaiot.transport.websocket_frames import is_utf8, read_messages

CORPUS: list[bytes] = [
    b"",
    bytes.fromhex("818537fa213d7f9f4d5158"),  # RFC 6455 section 5.7
    bytes.fromhex("818537fa213d7f9f4d5158 828100000000ff 8980aaaaaaaa 8180bbbbbbbb"),
    bytes.fromhex("81fe008000000000") + b"x" * 128,
    bytes.fromhex("018100000000ff"),
    bytes.fromhex("8182 01020304 c0c1"),
]
COUNT_MAX = 3


def fuzz_one(data: bytes) -> None:
    """Messages follow each other from the first byte, and no byte of them is lost or changed."""
    messages, ends = read_messages(data, COUNT_MAX)
    assert len(messages) <= COUNT_MAX
    begin = 0
    for payload, end in zip(messages, ends, strict=True):
        opcode = data[begin] & 0x0F
        assert opcode in (WSMsgType.TEXT, WSMsgType.BINARY)
        assert opcode != WSMsgType.TEXT or is_utf8(payload)
        payload_at = end - len(payload)
        assert payload_at - begin == (6 if len(payload) < 126 else 8) or len(payload) < 126
        key = data[payload_at - 4 : payload_at]
        masked = data[payload_at:end]
        assert payload == bytes(byte ^ key[index % 4] for index, byte in enumerate(masked))
        begin = end
    assert begin <= len(data)
