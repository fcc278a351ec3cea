# SPDX-License-Identifier: BSD-3-Clause
"""Records of DTLS."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.dtls.records import HEADER_BYTES, datagrams_of, read_records

CORPUS: list[bytes] = [
    b"\x16\xfe\xfd" + bytes(8) + b"\0\x02ab" + b"\x14\xfe\xfd" + bytes(8) + b"\0\x01\x01",
    b"\x17\xfe\xfd\0\x01\0\0\0\0\0\x05\0\x04abcd",
    b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff",
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Parsed records are encoded to the same bytes, for any size of datagrams."""
    records = []
    with contextlib.suppress(ProtocolError):
        for record in read_records(data):
            records.append(record)  # noqa: PERF402 - those before a malformed one count
    written = b"".join(datagrams_of(records, 40))
    assert data.startswith(written)
    assert len(written) == sum(HEADER_BYTES + len(record.fragment) for record in records)
