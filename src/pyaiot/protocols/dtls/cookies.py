# SPDX-License-Identifier: BSD-3-Clause
"""Cookies, which prove that a client receives at its source address (RFC 6347 section 4.2.1).

Before that the server keeps no state of the client. Pure; `now` is a monotonic time in seconds.
"""

import hashlib
import hmac
from typing import Final

from pyaiot.protocols.dtls.client_hello import ClientHello
from pyaiot.protocols.dtls.numbers import DTLS_1_0, HELLO_VERIFY_REQUEST, ContentType
from pyaiot.protocols.dtls.records import DtlsRecord

COOKIE_BYTES: Final = 16
"""Length of a cookie in bytes. A cookie of another length is invalid."""
COOKIE_PERIOD_S: Final = 60.0
"""Interval at which the secret changes. A cookie is valid in its interval and in the next one."""


class Cookies:
    """Creates and checks cookies."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: at least 32 random bytes, known to this server only."""
        self._secret = secret

    def cookie_for(self, hello: ClientHello, address: bytes, *, now: float) -> bytes:
        """The cookie of a client at an address (any bytes that identify it)."""
        return self._cookie(hello, address, int(now // COOKIE_PERIOD_S))

    def is_valid(self, hello: ClientHello, address: bytes, *, now: float) -> bool:
        """Whether the cookie of a ClientHello was made for its sender and its parameters."""
        if len(hello.cookie) != COOKIE_BYTES:
            return False
        period = int(now // COOKIE_PERIOD_S)
        return any(
            hmac.compare_digest(hello.cookie, self._cookie(hello, address, made))
            for made in (period, period - 1)
        )

    def _cookie(self, hello: ClientHello, address: bytes, period: int) -> bytes:
        # Each period has its own secret, derived from one that never leaves this object.
        secret = hmac.digest(self._secret, period.to_bytes(8, signed=True), hashlib.sha256)
        text = len(address).to_bytes(2) + address + hello.parameters
        return hmac.digest(secret, text, hashlib.sha256)[:COOKIE_BYTES]


def hello_verify_request(hello: ClientHello, cookie: bytes) -> bytes:
    """The datagram that sends a client its cookie.

    It has the sequence number of the ClientHello (section 4.2.1), and its record version, which the
    client is sure to accept. The version in the message is DTLS 1.0 and affects no negotiation.
    """
    body = DTLS_1_0.to_bytes(2) + len(cookie).to_bytes(1) + cookie
    length = len(body).to_bytes(3)
    # Message sequence number 0, in one fragment at offset 0.
    fragment = HELLO_VERIFY_REQUEST.to_bytes(1) + length + bytes(2) + bytes(3) + length + body
    record = DtlsRecord(
        ContentType.HANDSHAKE, hello.record_version, 0, hello.record_sequence, fragment
    )
    return record.to_bytes()
