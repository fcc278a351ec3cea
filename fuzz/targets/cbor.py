# SPDX-License-Identifier: BSD-3-Clause
"""CBOR that nodes send as a value."""

import contextlib
import json

from pyaiot.errors import ProtocolError
from pyaiot.protocols.cbor import decode_cbor, json_value

CORPUS: list[bytes] = [
    bytes.fromhex("83010203"),
    bytes.fromhex("bf61610161629f0203ffff"),
    bytes.fromhex("a26161016162820203"),
    bytes.fromhex("5f42010243030405ff"),
    bytes.fromhex("7f657374726561646d696e67ff"),
    bytes.fromhex("c48221196ab3"),
    bytes.fromhex("c074323031332d30332d32315432303a30343a30305a"),
    bytes.fromhex("fb3ff199999999999af97e00f6f7f4f5"),
    bytes.fromhex("1bffffffffffffffff3bffffffffffffffff"),
    bytes.fromhex("81" * 20 + "00"),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a decoded value is JSON, or `to_json` refuses it."""
    try:
        value = decode_cbor(data)
    except ProtocolError:
        return
    with contextlib.suppress(ProtocolError):
        json.dumps(json_value(value), allow_nan=False)
