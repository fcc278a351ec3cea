# SPDX-License-Identifier: BSD-3-Clause
"""Notifications of nodes."""

import contextlib

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.observe import NotificationNumber, max_age_s, observe_number

CORPUS: list[bytes] = [
    bytes.fromhex("514500010a610560813cff") + b"23.5",
    bytes.fromhex("514500010a63ffffff84ffffffffff") + b"23.5",
    bytes.fromhex("41450001aa6084"),
]


def fuzz_one(data: bytes) -> None:
    """Invalid options raise `ProtocolError`; no notification is newer than itself."""
    with contextlib.suppress(ProtocolError):
        message = CoapMessage.from_bytes(data)
        assert 0 <= max_age_s(message) < 2**32
        number = observe_number(message)
        if number is not None:
            assert 0 <= number < 2**24
            assert not NotificationNumber(number, 0.0).is_followed_by(
                NotificationNumber(number, 1.0)
            )
