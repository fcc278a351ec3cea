# SPDX-License-Identifier: BSD-3-Clause
"""Records, in datagrams of a limited size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.dtls.records import DtlsRecord, datagrams_of, read_records

RECORDS = st.builds(
    DtlsRecord,
    st.integers(0, 255),
    st.integers(0xFE00, 0xFEFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**48 - 1),
    st.binary(max_size=50),
)
ONE = DtlsRecord(22, 0xFEFD, 0, 5, b"abc")
TWO = DtlsRecord(23, 0xFEFD, 1, 0, b"")


@given(st.lists(RECORDS, max_size=6), st.integers(1, 200))
def test_records_survive_any_size_of_datagrams(records: list[DtlsRecord], size_max: int) -> None:
    datagrams = datagrams_of(records, size_max)
    assert [record for datagram in datagrams for record in read_records(datagram)] == records
    for datagram in datagrams:
        assert len(datagram) <= size_max or len(list(read_records(datagram))) == 1


def test_records_are_packed_while_they_fit() -> None:
    assert len(datagrams_of([ONE, TWO, ONE], 29)) == 2
    assert len(datagrams_of([ONE, TWO, ONE], 45)) == 1


def test_each_prefix_of_a_record_is_refused() -> None:
    data = ONE.to_bytes()
    for length in range(len(data)):
        with pytest.raises(NotEnoughBytes):
            DtlsRecord.from_bytes(data[:length])


def test_records_before_a_malformed_one_are_read() -> None:
    records = read_records(ONE.to_bytes() + b"\x16\x03\x03" + bytes(10))
    assert next(records) == ONE
    with pytest.raises(ProtocolError, match="version"):
        next(records)


def test_sequence_number_is_the_only_change() -> None:
    assert ONE.numbered(9) == DtlsRecord(22, 0xFEFD, 0, 9, b"abc")
