# SPDX-License-Identifier: BSD-3-Clause
"""Messages of devices of the dialect `shelly`."""

from fuzz.dialect_checks import fuzz_dialects

CORPUS = [
    b"",
    (
        b"Rshellies/s/online\x00true\x1e shellies/s/relay/0\x00on\x1e shellies/s/relay/0/powe"
        b'r\x001.5\x1e shellies/announce\x00{"id":"s","model":"m"}\x1e shellies/s/roller/0/po'
        b"s\x005"
    ),
    (
        b' shellies/s/color/0/status\x00{"ison":true,"white":5,"temp":3000}\x1e shellies/s/re'
        b"lay/0/energy\x0060\x1e shellies/s/emeter/0/total\x005.5"
    ),
]


def fuzz_one(data: bytes) -> None:
    """See `fuzz_dialects`."""
    fuzz_dialects(["shelly"], data)
