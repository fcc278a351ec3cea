# SPDX-License-Identifier: BSD-3-Clause
"""The credential of a device, and the limits of such credentials."""

import re
from dataclasses import dataclass, field
from typing import Final

import msgspec

from pyaiot.errors import OperatorError

CREDENTIALS_MAX: Final = 10_000
"""Largest number of credentials in one file. Further ones are refused."""
RELEASED_MAX: Final = 1000
"""Largest number of released uids that are remembered for gateways that do not run. Beyond it the
oldest is dropped, and only `aiot node forget` releases that uid.
"""
UID_LENGTH_MAX: Final = 64
"""Longest uid of a device with a credential, in characters. Longer ones are refused."""

_UID: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{UID_LENGTH_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class DeviceCredential:
    """A credential with which one device authenticates."""

    uid: str
    kind: str
    """Kind of credential, as the plugin of the protocol names it: `DeviceAccess.kind`."""
    secret: bytes = field(repr=False)
    """A shared key, or the SHA-256 of a password or token."""
    created_at: float
    """Unix seconds."""


class CredentialChanges(msgspec.Struct, frozen=True):
    """Credentials that were added, and those that were removed or replaced."""

    added: tuple[DeviceCredential, ...] = ()
    removed: tuple[DeviceCredential, ...] = ()


def check_device_uid(uid: str) -> None:
    """Raises `OperatorError` if a device with a credential must not have this uid.

    The uid is pasted into firmware, addresses, shells and permissions, so it has no special
    characters.
    """
    if not _UID.fullmatch(uid):
        raise OperatorError(
            f"The name of a device has 1 to {UID_LENGTH_MAX} letters, digits or . _ : - and begins"
            " with a letter or digit."
        )
