# SPDX-License-Identifier: BSD-3-Clause
"""Tokens of gateways."""

import base64

from pyaiot.broker.keys import Keys, TokenCheck

MINTED_AT = 1_700_000_000.0
# Keys that are used in this file only, and the only token made with them.
_KEYS = Keys("0123456789abcdef0123456789ABCDEF", "A" * 43 + "=")
_TOKEN = (
    b"gAAAAABlU_EAU3cgyoviBlTNNM-76d7XxZ0Cv78UwFM3vpksIQZJBR-l4ieJF4mROMcLRtJjOBcrHywu1OUMzrfSJ9lv"
    b"4wHFvPjmUAXPEUnsUESzkr_aeYI8jOx2RW-warNdb0OsDQ_B"
)

CORPUS: list[bytes] = [_TOKEN, _TOKEN[:-4], _TOKEN + b"\n", b"gAAAAA==", "é".encode(), b""]


def fuzz_one(data: bytes) -> None:
    """Nothing raises, and only the minted token is accepted, within its time."""
    token = data.decode("utf-8", "surrogateescape")
    for age_s in (0, 25 * 3600):
        if TokenCheck(_KEYS, lambda: MINTED_AT + age_s).accept(token):  # noqa: B023 - called here
            assert age_s == 0
            assert base64.urlsafe_b64decode(data) == base64.urlsafe_b64decode(_TOKEN)
