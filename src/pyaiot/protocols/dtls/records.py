# SPDX-License-Identifier: BSD-3-Clause
"""Records: the units of a DTLS datagram (RFC 6347 section 4.1). Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError

HEADER_BYTES: Final = 13
"""Length of the header of a record, in bytes. A shorter record is malformed."""
FRAGMENT_BYTES_MAX: Final = 2**14 + 2048
"""Largest encrypted fragment in bytes (RFC 5246 section 6.2.3). A larger one is malformed."""
_SEQUENCE_NUMBERS: Final = 2**48
_MAJOR: Final = 0xFE
"""The first byte of the version in all versions of DTLS."""


class DtlsRecord(msgspec.Struct, frozen=True, gc=False):
    """A record. In epoch 0, `fragment` is not encrypted."""

    content_type: int
    version: int
    epoch: int
    sequence_number: int
    fragment: bytes

    @classmethod
    def from_bytes(cls, data: bytes, offset: int = 0) -> "DtlsRecord":
        """The record that begins at `offset`. Raises `ProtocolError`."""
        end = offset + HEADER_BYTES
        if len(data) < end:
            raise NotEnoughBytes("the header of the record ends too early")
        if data[offset + 1] != _MAJOR:
            raise ProtocolError("not a version of DTLS")
        length = int.from_bytes(data[offset + 11 : end])
        if length > FRAGMENT_BYTES_MAX:
            raise ProtocolError(f"more than {FRAGMENT_BYTES_MAX} bytes in a record")
        if len(data) < end + length:
            raise NotEnoughBytes("the record ends too early")
        return cls(
            data[offset],
            int.from_bytes(data[offset + 1 : offset + 3]),
            int.from_bytes(data[offset + 3 : offset + 5]),
            int.from_bytes(data[offset + 5 : offset + 11]),
            data[end : end + length],
        )

    def to_bytes(self) -> bytes:
        return b"".join(
            (
                self.content_type.to_bytes(1),
                self.version.to_bytes(2),
                self.epoch.to_bytes(2),
                self.sequence_number.to_bytes(6),
                len(self.fragment).to_bytes(2),
                self.fragment,
            )
        )

    def numbered(self, sequence_number: int) -> "DtlsRecord":
        """The same record with another sequence number, which epoch 0 does not protect."""
        return msgspec.structs.replace(self, sequence_number=sequence_number % _SEQUENCE_NUMBERS)


def read_records(data: bytes) -> Iterator[DtlsRecord]:
    """The records of one or several consecutive datagrams. Raises `ProtocolError` at the first
    malformed record."""
    offset = 0
    while offset < len(data):
        record = DtlsRecord.from_bytes(data, offset)
        yield record
        offset += HEADER_BYTES + len(record.fragment)


def datagrams_of(records: Iterable[DtlsRecord], size_max: int) -> list[bytes]:
    """Pack records into datagrams of at most `size_max` bytes, in order. A larger record gets its
    own datagram."""
    datagrams: list[bytes] = []
    datagram = b""
    for record in records:
        data = record.to_bytes()
        if datagram and len(datagram) + len(data) > size_max:
            datagrams.append(datagram)
            datagram = b""
        datagram += data
    if datagram:
        datagrams.append(datagram)
    return datagrams
