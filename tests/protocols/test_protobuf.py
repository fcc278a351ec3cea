# SPDX-License-Identifier: BSD-3-Clause
"""The wire format of Protocol Buffers, with the examples of its documentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.protocols.protobuf import (
    WireType,
    as_double,
    as_float,
    read_fields,
    write_field,
)

FIELDS = st.one_of(
    st.tuples(st.integers(1, 2**29 - 1), st.just(WireType.VARINT), st.integers(0, 2**64 - 1)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(WireType.FIXED64), st.integers(0, 2**64 - 1)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(WireType.FIXED32), st.integers(0, 2**32 - 1)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(WireType.BYTES), st.binary(max_size=300)),
)


def test_examples_of_the_documentation_are_read() -> None:
    assert list(read_fields(b"\x08\x96\x01")) == [(1, WireType.VARINT, 150)]
    assert list(read_fields(b"\x12\x07testing")) == [(2, WireType.BYTES, b"testing")]
    assert write_field(1, WireType.VARINT, 150) == b"\x08\x96\x01"
    assert write_field(2, WireType.BYTES, b"testing") == b"\x12\x07testing"


@given(st.lists(FIELDS, max_size=10))
def test_written_fields_are_read(fields: list[tuple[int, int, int | bytes]]) -> None:
    data = b"".join(write_field(*each) for each in fields)
    assert list(read_fields(data)) == fields


@given(st.lists(FIELDS, min_size=1, max_size=3), st.data())
def test_every_truncation_is_refused_or_fewer_fields(
    fields: list[tuple[int, int, int | bytes]], data: st.DataObject
) -> None:
    whole = b"".join(write_field(*each) for each in fields)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = list(read_fields(cut))
    except ProtocolError:
        return
    assert found == fields[: len(found)]
    assert len(found) < len(fields)


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01", b"\x0b", b"\x0c", b"\x0f", b"\x80" * 10 + b"\x01", b"\x0a\xff\xff\xff\x7f"],
)
def test_invalid_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(read_fields(data))


def test_floats_have_the_bits_of_ieee_754() -> None:
    assert as_float(0x41900000) == 18.0
    assert as_double(0x4037E66666666666) == 23.9
