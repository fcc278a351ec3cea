# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `sparkplug`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b" spBv1.0/g/NBIRTH/e\x00\x12\t\n\x01x\x10\x01 \x03P\x05\x18\x00\x1e spBv1.0/g/NDATA/"
        b"e\x00\x12\x04\x10\x01P\x06\x18\x01"
    ),
    (
        b" spBv1.0/g/DBIRTH/e/d\x00\x12\x0c\n\x01y \x0cz\x01zJ\x02\n\x00\x18\x01\x1e spBv1.0/"
        b"g/NDEATH/e\x00\x12\x00\x1e spBv1.0/g/DDATA/e/d\x00\x12\x05(\x01P\x06\x18\x02"
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["sparkplug"], data)
