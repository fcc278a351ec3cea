# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of DTLS 1.2, with the names of RFC 5246 and RFC 6347."""

from enum import IntEnum
from typing import Final


class ContentType(IntEnum):
    """What a record contains (RFC 5246 section 6.2.1)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


CLIENT_HELLO: Final = 1
HELLO_VERIFY_REQUEST: Final = 3
DTLS_1_0: Final = 0xFEFF
DTLS_1_2: Final = 0xFEFD
