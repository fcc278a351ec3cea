# SPDX-License-Identifier: BSD-3-Clause
"""Applies the credentials for OSCORE to the endpoint of the CoAP gateway, while it runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyaiot.accounts.devices import CredentialChanges
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.gateway import Gateway

if TYPE_CHECKING:
    from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
    from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile

FILE_NAME: Final = "oscore.db"
KIND: Final = "oscore"
"""The kind of credential."""

log = logging.getLogger(__name__)


class OscoreDevices:
    """The devices with a credential for OSCORE. A gateway without any opens no file."""

    def __init__(
        self,
        endpoint: CoapEndpoint,
        gateway: Gateway,
        path: Path | None,
        unix_time: Callable[[], float],
    ) -> None:
        """`path` is the file of the sequence numbers. Raises `OperatorError` if it cannot be used
        although there are such devices."""
        self._endpoint = endpoint
        self._path = path
        self._unix_time = unix_time
        self._devices = gateway.devices
        self._file: NumbersFile | None = None
        self._contexts: OscoreContexts | None = None
        self._apply(CredentialChanges())
        gateway.device_watch.changed.append(self._apply_or_warn)

    def close(self) -> None:
        """Store the replay windows. Nothing may be received after that."""
        if self._file is None or self._contexts is None:
            return
        try:
            self._file.save(self._contexts.windows())
        except OperatorError as error:
            log.warning(
                "each device with OSCORE must prove that its next request is new, because the"
                " replay windows are not stored: %s",
                error,
            )
        self._file.close()

    def _apply_or_warn(self, changes: CredentialChanges) -> None:
        try:
            self._apply(changes)
        except OperatorError as error:
            log.warning("devices that were added cannot use OSCORE: %s", error)

    def _apply(self, changes: CredentialChanges) -> None:
        if self._contexts is not None:
            for credential in changes.removed:
                if credential.kind == KIND:
                    self._contexts.remove(credential.uid)
        # Also those that could not be added at an earlier change.
        wanted = [it for it in self._devices.credentials() if it.kind == KIND]
        if self._contexts is None and wanted:
            self._contexts = self._open()
        if self._contexts is not None:
            self._contexts.add(*(it for it in wanted if it not in self._contexts))

    def _open(self) -> "OscoreContexts":
        # Most gateways have no such device, and should hold neither SQLite nor cryptography.
        from pyaiot.gateways.coap.oscore.contexts import OscoreContexts  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.layer import OscoreLayer  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile  # noqa: PLC0415

        self._file = NumbersFile(self._path, self._unix_time)
        contexts = OscoreContexts(self._file)
        self._endpoint.oscore = OscoreLayer(contexts)
        return contexts
