# SPDX-License-Identifier: BSD-3-Clause
"""Values that nodes send. The first byte selects the Content-Format."""

import contextlib
import json

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.values import AGE_MAX_S, SENML, content_format, read_pack, read_values

CORPUS: list[bytes] = [
    b"\x00" + "23.5°C\0".encode(),
    b"\x2a\xff\xfe",
    b'\x32{"lat":48.7,"lng":[2.2,null,true]}',
    b"\x3c" + bytes.fromhex("bf61610161629f0203ffff"),
    b'\x6e[{"bn":"a/","u":"%RH","v":20},{"u":"lon","v":2,"t":-5},{"n":"t","s":3,"v":1}]',
    b"\x70" + bytes.fromhex("81a3006178016343656c02f94e00"),
    b"",
]
NOW = 1.7e9


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a value is JSON and has a plausible time."""
    with contextlib.suppress(ProtocolError):
        assert content_format(data[:3]) is not None
    format_, payload = (data[0], data[1:]) if data else (None, b"")
    with contextlib.suppress(ProtocolError):
        values = read_values(payload, format_, "r")
        if format_ in SENML:
            values += read_pack(payload, format_)
        for value in values:
            json.dumps(value.data, allow_nan=False)
            assert NOW - AGE_MAX_S <= value.measured_at(NOW) <= NOW
