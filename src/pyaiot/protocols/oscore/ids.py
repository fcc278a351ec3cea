# SPDX-License-Identifier: BSD-3-Clause
"""The Sender IDs that gateways and devices of Pyaiot use."""

import hashlib
from typing import Final

GATEWAY_ID: Final = b"\x00"
"""The Sender ID of every gateway. Each device has its own secret, so all devices may use the same
one."""
DEVICE_ID_BYTES: Final = 2
"""Length of the Sender ID of a device, in bytes. Several devices may have the same: the keys
decide."""


def device_id(uid: str) -> bytes:
    """The Sender ID of a device. It is derived from the uid, so it need not be stored."""
    return hashlib.sha256(uid.encode()).digest()[:DEVICE_ID_BYTES]
