# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `homie`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b"Rhomie/k/b/p/$datatype\x00float\x1eRhomie/k/b/p/$settable\x00true\x1eRhomie/k/b/p"
        b"\x005.5\x1eRhomie/k/$state\x00ready"
    ),
    (
        b'Rhomie/5/k/$description\x00{"nodes":{"n":{"properties":{"p":{"datatype":"enum","for'
        b'mat":"a,b","settable":true}}}}}\x1eRhomie/5/k/n/p\x00a'
    ),
    (
        b" homie/k/b/p\x005\x1e homie/k/b/p/$format\x001:9\x1e homie/k/b/p/$datatype\x00integ"
        b"er\x1e homie/k/b/p/$settable\x00true\x1e homie/k/$state\x00"
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["homie"], data)
