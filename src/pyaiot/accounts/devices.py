# SPDX-License-Identifier: BSD-3-Clause
"""The credentials of devices, stored in a file of the gateway.

`aiot device` writes the file while gateways use it. A gateway answers from memory; `refresh` loads
what another process wrote.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyaiot.accounts.device_credential import CredentialChanges, DeviceCredential, check_device_uid
from pyaiot.errors import OperatorError

if TYPE_CHECKING:
    from pyaiot.accounts.device_file import DeviceFile

FILE_NAME: Final = "devices.db"
KEY_PAIR_FILE: Final = "devices.key"
"""Name of the file beside it that contains the private key of the gateway, used if devices have
key pairs.
"""


class DeviceStore:
    """The credentials of all devices of one gateway. Methods that read the file raise
    `OperatorError`.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` None: no file and no credentials. `add` creates a missing file."""
        self._path = path
        self._file: DeviceFile | None = None
        self._version = 0
        self._by_device: dict[tuple[str, str], DeviceCredential] = {}
        self._count_of: dict[str, int] = {}
        self._by_secret: dict[tuple[str, bytes], DeviceCredential] = {}
        self.released: tuple[str, ...] = ()
        """Released uids: their last credential was removed, so nodes without a credential may use
        them.
        """
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
        """The credential of this kind with this `secret`, for peers that do not send a uid."""
        return self._by_secret.get((kind, secret))

    def is_secured(self, uid: str) -> bool:
        """Whether the device has a credential of any kind. Nodes without one cannot use its uid."""
        return uid in self._count_of

    def credentials(self) -> list[DeviceCredential]:
        """All credentials, in the order in which they were added."""
        return list(self._by_device.values())

    # -- the file -------------------------------------------------------------------------------

    def refresh(self) -> CredentialChanges:
        """Load what this or another process wrote since the last call. Fast if nothing was.

        If the file was deleted, its last content remains in effect until the process ends, because
        a lost file must not open the gateway to everybody.
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
        """Add a credential; then call `refresh`. Raises `OperatorError` if the device has one of
        this kind.
        """
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
        """Remove the credentials of a device; with `kind`, only that one. Returns their number.
        Then call `refresh`.
        """
        self.refresh()
        if self._file is None:
            return 0
        self._version = 0
        return self._file.remove(uid, kind)


def _open(path: Path) -> "DeviceFile":
    # Most gateways have no such file, and should not hold SQLite.
    from pyaiot.accounts.device_file import DeviceFile  # noqa: PLC0415

    return DeviceFile(path)
