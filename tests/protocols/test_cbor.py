# SPDX-License-Identifier: BSD-3-Clause
"""CBOR against the examples of RFC 8949 appendix A, every truncation, and the limits."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.cbor import DEPTH_MAX, ITEMS_MAX, decode_cbor, json_value

# RFC 8949 appendix A, without bignums and simple values that have no meaning.
EXAMPLES: list[tuple[str, Any]] = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("3bffffffffffffffff", -18446744073709551616),
    ("20", -1),
    ("3903e7", -1000),
    ("f90000", 0.0),
    ("fb3ff199999999999a", 1.1),
    ("f93e00", 1.5),
    ("fa47c35000", 100000.0),
    ("f90001", 5.960464477539063e-8),
    ("fbc010666666666666", -4.1),
    ("f97c00", math.inf),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", None),
    ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
    ("c11a514b67b0", 1363896240),
    ("d74401020304", b"\1\2\3\4"),
    ("40", b""),
    ("60", ""),
    ("6449455446", "IETF"),
    ("62c3bc", "ü"),
    ("80", []),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", [*range(1, 26)]),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("5f42010243030405ff", b"\1\2\3\4\5"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("83019f0203ff820405", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ("bf6346756ef563416d7421ff", {"Fun": True, "Amt": -2}),
    ("c48221196ab3", 273.15),  # section 3.4.4
]


@pytest.mark.parametrize(("encoded", "value"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_an_example_of_the_standard_is_read(encoded: str, value: object) -> None:
    read = decode_cbor(bytes.fromhex(encoded))
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_read_and_is_no_json() -> None:
    assert math.isnan(decode_cbor(bytes.fromhex("f97e00")))
    for encoded in ("f97e00", "81f97c00", "a16161fb7ff0000000000000"):
        with pytest.raises(ProtocolError, match="finite"):
            json_value(decode_cbor(bytes.fromhex(encoded)))


def test_bytes_and_numbered_keys_have_a_form_in_json() -> None:
    value = decode_cbor(bytes.fromhex("a201430102ff6161a10a80"))
    assert json_value(value) == {"1": "AQL_", "a": {"10": []}}


@pytest.mark.parametrize("encoded", [text for text, _ in EXAMPLES])
def test_every_truncation_lacks_bytes(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    for end in range(len(data)):
        with pytest.raises(NotEnoughBytes):
            decode_cbor(data[:end])


@pytest.mark.parametrize(
    "encoded",
    [
        *("1c", "1f", "3d", "ff", "5f4100614100ff", "7f5f4100ffff", "61ff", "f8ff", "e0", "fc"),
        *("c249010000000000000000", "c58221196ab3", "c401", "c4821a7fffffff01", "d81e8201"),
        *("a2616101616102", "a1f500", "a18000", "a1416100"),
        *("0000", "f600"),
    ],
)
def test_what_is_wrong_is_refused(encoded: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_cbor(bytes.fromhex(encoded))
    assert type(raised.value) is ProtocolError


def test_depth_is_limited() -> None:
    assert decode_cbor(b"\x81" * DEPTH_MAX + b"\x00") is not None
    for head in (b"\x81", b"\x9f", b"\xc1", b"\xa1\x00"):
        with pytest.raises(ProtocolError, match="deep"):
            decode_cbor(head * 100_000 + b"\x00")


def test_items_are_limited_and_those_that_cannot_be_there_are_not_waited_for() -> None:
    count = ITEMS_MAX - 1
    assert len(decode_cbor(b"\x99" + struct.pack(">H", count) + b"\x00" * count)) == count
    with pytest.raises(ProtocolError, match="items"):
        decode_cbor(b"\x99" + struct.pack(">H", count + 1) + b"\x00" * (count + 1))
    for head in (b"\x9b", b"\xbb", b"\x5b", b"\x7b"):
        with pytest.raises(NotEnoughBytes):
            decode_cbor(head + b"\x7f" * 8)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_protocol_error(data: bytes) -> None:
    try:
        decode_cbor(data)
    except ProtocolError:
        return
