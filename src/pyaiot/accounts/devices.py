# SPDX-License-Identifier: BSD-3-Clause
"""The credentials of devices, and the file of a gateway that keeps them.

`aiot device` writes the file while gateways use it. A gateway answers from memory; `refresh` takes
over what another process wrote.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyaiot.errors import OperatorError

if TYPE_CHECKING:
    from pyaiot.accounts.device_file import DeviceFile

FILE_NAME: Final = "devices.db"
KEY_PAIR_FILE: Final = "devices.key"
"""Beside it: the private key of the gateway, if devices have key pairs."""
CREDENTIALS_MAX: Final = 10_000
"""Credentials of devices in one file. One more is refused."""
RELEASED_MAX: Final = 1000
"""Uids that are remembered when their last credential is removed, for gateways that do not run.
With one more, the oldest is forgotten, and `aiot node forget` frees it."""
UID_LENGTH_MAX: Final = 64
"""Characters of the uid of a device with a credential. A longer one is refused."""

_UID: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{UID_LENGTH_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class DeviceCredential:
    """How one device proves its uid in one way."""

    uid: str
    kind: str
    """The way, as the plugins of the protocols name it: `DeviceAccess.kind`."""
    secret: bytes = field(repr=False)
    """A shared key; or the SHA-256 of a password or token."""
    created_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class CredentialChanges:
    """Credentials that are new, and those that are gone or have another secret now."""

    added: tuple[DeviceCredential, ...] = ()
    removed: tuple[DeviceCredential, ...] = ()


def check_device_uid(uid: str) -> None:
    """Raises `OperatorError` if a device with a credential may not have this uid.

    It is pasted into firmware, addresses, shells and permissions, so it has no special characters.
    """
    if not _UID.fullmatch(uid):
        raise OperatorError(
            f"The name of a device has 1 to {UID_LENGTH_MAX} letters, digits or . _ : - and begins"
            " with a letter or digit."
        )


class DeviceStore:
    """The credentials of the devices of one gateway. Methods that read the file raise
    `OperatorError`."""

    def __init__(self, path: Path | None) -> None:
        """`path` None: no file, and no credentials. A missing file is created by `add`."""
        self._path = path
        self._file: DeviceFile | None = None
        self._version = 0
        self._by_device: dict[tuple[str, str], DeviceCredential] = {}
        self._count_of: dict[str, int] = {}
        self._by_secret: dict[tuple[str, bytes], DeviceCredential] = {}
        self.released: tuple[str, ...] = ()
        """Uids whose last credential was removed: nodes without one may have them."""
        self.refresh()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- from memory ----------------------------------------------------------------------------

    def credential(self, uid: str, kind: str) -> DeviceCredential | None:
        """The credential of a device; None if it has none of this kind."""
        return self._by_device.get((uid, kind))

    def with_secret(self, kind: str, secret: bytes) -> DeviceCredential | None:
        """The credential of this kind with this `secret`, for a peer that sends no uid."""
        return self._by_secret.get((kind, secret))

    def is_secured(self, uid: str) -> bool:
        """Whether the device has a credential of any kind: claims without one are refused."""
        return uid in self._count_of

    def credentials(self) -> list[DeviceCredential]:
        """All credentials, in the order in which they were added."""
        return list(self._by_device.values())

    # -- the file -------------------------------------------------------------------------------

    def refresh(self) -> CredentialChanges:
        """Take over what this or another process wrote since the last call. Cheap if it is nothing.

        If the file was removed, its last content remains in effect until the process ends: a lost
        file must not open the gateway.
        """
        path = self._path
        if path is None or not path.exists():
            return CredentialChanges()
        if self._file is not None and not self._file.is_at(path):
            self.close()
        if self._file is None:
            self._file = _open(path)
            self._version = 0
        version = self._file.version()
        if version == self._version:
            return CredentialChanges()
        before, self._by_device = self._by_device, self._file.read()
        self.released = tuple(self._file.read_released())
        self._version = version
        self._count_of.clear()
        for uid, _ in self._by_device:
            self._count_of[uid] = self._count_of.get(uid, 0) + 1
        after = self._by_device
        self._by_secret = {(it.kind, it.secret): it for it in after.values()}
        return CredentialChanges(
            added=tuple(it for device, it in after.items() if before.get(device) != it),
            removed=tuple(it for device, it in before.items() if after.get(device) != it),
        )

    def add(self, credential: DeviceCredential) -> None:
        """Add a credential. Call `refresh` then. Raises `OperatorError` if there is one already."""
        check_device_uid(credential.uid)
        if self._path is None:
            raise OperatorError(
                'Credentials of devices are off: remove file = "off" from [devices] in the settings'
                " file."
            )
        if self._file is None:
            self._file = _open(self._path)
        self._file.add(credential)
        self._version = 0

    def remove(self, uid: str, kind: str | None = None) -> int:
        """Remove the credentials of a device; `kind`: only this one. Returns how many. Call
        `refresh` then."""
        self.refresh()
        if self._file is None:
            return 0
        self._version = 0
        return self._file.remove(uid, kind)


def _open(path: Path) -> "DeviceFile":
    # Most gateways have no such file, and should not hold SQLite.
    from pyaiot.accounts.device_file import DeviceFile  # noqa: PLC0415

    return DeviceFile(path)
