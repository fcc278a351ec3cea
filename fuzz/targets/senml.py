# SPDX-License-Identifier: BSD-3-Clause
"""SenML packs that nodes send, in JSON and in CBOR."""

import contextlib
import math

from pyaiot.errors import ProtocolError
from pyaiot.protocols.senml import RECORDS_MAX, UNIT_LENGTH_MAX, SenmlRecord, parse_cbor, parse_json

CORPUS: list[bytes] = [
    b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]',
    b'[{"bn":"a:","bt":1.27e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1}]',
    b'[{"n":"current","t":-5,"v":1.2},{"bv":1,"bs":2},{"s":3},{"n":"x","vs":"text","ut":3}]',
    b'[{"n":"open","vb":false},{"n":"nfc","vd":"aGkgCg"},{"a_":1}]',
    bytes.fromhex("81a3006178016343656c02f94e00"),
    bytes.fromhex("82a321626e3a22fb41d303a15b00106223614120050067766f6c746167650161560202a10508"),
    bytes.fromhex("81a20861c108420102"),
    b"[]",
    b"\x80",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a record has a value of its kind, and finite numbers."""
    for parse in (parse_json, parse_cbor):
        with contextlib.suppress(ProtocolError):
            records = parse(data)
            assert len(records) <= RECORDS_MAX
            for record in records:
                _check(record)


def _check(record: SenmlRecord) -> None:
    assert record.value is not None or record.sum is not None
    for number in (record.value, record.sum, record.time):
        assert not isinstance(number, float) or math.isfinite(number)
    assert len(record.unit) <= UNIT_LENGTH_MAX
    assert record.name.endswith(record.own_name)
    assert record.name.isascii()
