# SPDX-License-Identifier: BSD-3-Clause
"""Frames of `pyaiot.v2`, from clients, gateways and brokers."""

import json
from collections.abc import Callable, Sequence

from pyaiot.errors import ProtocolError
from pyaiot.messages import (
    Message,
    decode_from_client,
    decode_from_gateway,
    decode_to_client,
    decode_to_gateway,
    encode_frames,
)

CORPUS: list[bytes] = [
    b"[]",
    b'[{"type":"new","data":"client"}]',
    b'{"type":"new","data":"client"}',
    b'[{"type":"subscribe","uids":["a","b"],"endpoints":["led"]},{"type":"subscribe"}]',
    b'[{"type":"command","id":"1","uid":"a","endpoint":"led","payload":"1","timeout":5}]',
    b'[{"type":"hello","name":"coap","protocol":"CoAP","version":"0.1.0","instance":"x"}]',
    b'[{"type":"gateway","name":"coap","protocol":"CoAP","state":"lost","ts":1.5}]',
    b'[{"type":"new","uid":"a","ts":1.5,"gateway":"coap"},{"type":"reset","uid":"a","ts":2}]',
    '[{"type":"update","uid":"a","endpoint":"temperature","data":"23.5°C","ts":1.5,'
    '"value":23.5,"unit":"Cel"}]'.encode(),
    b'[{"type":"update","uid":"a","endpoint":"x","data":{"lat":48.7,"l":[1,null,true,"\\u00e9"]}}]',
    b'[{"type":"out","uid":"a","ts":3,"reason":"silent"},{"type":"joined","nodes":1,"ts":3}]',
    b'[{"type":"receipt","id":"1","state":"confirmed","detail":"","elapsed_ms":12.5}]',
    b'[{"type":"describe","uid":"a","types":{"led":{"kind":"boolean","on":"1","off":"0"},"x":{}}}]',
    b'[{"type":"error","detail":"no","uid":"a"},{"type":"new","uid":"all"}]',
]


def fuzz_one(data: bytes) -> None:
    """Invalid frames raise `ProtocolError`; parsed messages can be encoded and parsed again."""
    for frame in (data, data.decode("utf-8", "surrogateescape")):
        read_again(decode_from_client, frame)
        read_again(from_gateway, frame)
        read_again(decode_to_client, frame)
        read_again(decode_to_gateway, frame)


def from_gateway(frame: str | bytes) -> Sequence[Message]:
    messages, problems = decode_from_gateway(frame)
    assert all(problems)
    return messages


def read_again(decode: Callable[[str | bytes], Sequence[Message]], frame: str | bytes) -> None:
    try:
        messages = decode(frame)
    except ProtocolError:
        return
    written = list(encode_frames(messages))
    again = [message for part in written for message in decode(part)]
    assert again == list(messages)
    for part in written:
        json.loads(part)
