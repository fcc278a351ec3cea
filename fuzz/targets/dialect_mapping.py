# SPDX-License-Identifier: BSD-3-Clause
"""Messages on topics that mappings read."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    b" sensors/attic/t\x005.5\x1e sensors/attic/t\x00on\x1e csv/a\x00x,5,6",
    b' json/a\x00{"a":[{"b":5}],"c":{"d":true}}\x1e paths/a\x00{"a":[{"b":5}]}',
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects([], data)
