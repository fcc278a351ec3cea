# SPDX-License-Identifier: BSD-3-Clause
"""The Sender IDs that gateways and devices of Pyaiot use."""

import hashlib
from typing import Final

GATEWAY_ID: Final = b"\x00"
"""The Sender ID of the gateway. Each device has a secret of its own, so that it may be the same for
all."""
DEVICE_ID_BYTES: Final = 2
"""Bytes of the Sender ID of a device. Devices may share one: the keys decide."""


def device_id(uid: str) -> bytes:
    """The Sender ID of a device: derived from its uid, so that it need not be stored."""
    return hashlib.sha256(uid.encode()).digest()[:DEVICE_ID_BYTES]
