# SPDX-License-Identifier: BSD-3-Clause
"""Frames of deployed legacy pages and gateways."""

import contextlib

from pyaiot import messages
from pyaiot.errors import ProtocolError
from pyaiot.legacy import (
    decode_from_client,
    decode_from_gateway,
    encode_to_client,
    encode_to_gateway,
)

CORPUS: list[bytes] = [
    b'{"type":"new","data":"client"}',
    b'{"type":"update","data":{"uid":"a","endpoint":"/led","payload":"1"}}',
    b'{"type":"new","uid":"0123456789ABCDE","dst":"all"}',
    '{"type":"update","uid":"a","endpoint":"temperature","data":"23.5°C","dst":"all"}'.encode(),
    b'{"type":"update","uid":"a","endpoint":"position","data":"{\\"lat\\":48.7,\\"lng\\":2.2}"}',
    b'{"type":"update","uid":"a","endpoint":"imu","data":[{"type":"acc","values":[1,2,3]}]}',
    b'{"type":"update","uid":"a","endpoint":"led","data":null}',
    b'{"type":"update","uid":"alive"}',
    b'{"type":"reset","uid":"a"}',
    b'{"type":"out","uid":"a"}',
]


def fuzz_one(data: bytes) -> None:
    """Invalid frames raise `ProtocolError`; parsed messages can be encoded in both protocols."""
    for frame in (data, data.decode("utf-8", "surrogateescape")):
        with contextlib.suppress(ProtocolError):
            message = decode_from_client(frame)
            messages.encode(message)
            encode_to_gateway(message)
        with contextlib.suppress(ProtocolError):
            event = decode_from_gateway(frame, 1.5)
            if event is not None:
                messages.encode(event)
                written = encode_to_client(event)
                assert written is not None
                assert decode_from_gateway(written, 1.5) == event
