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
        self._file: NumbersFile | None = None
        self._contexts: OscoreContexts | None = None
        self._apply(CredentialChanges(added=tuple(gateway.devices.credentials())))
        gateway.device_watch.changed.append(self._apply_or_warn)

    def close(self) -> None:
        """Store the replay windows. Nothing is received any more."""
        if self._file is None or self._contexts is None:
            return
        try:
            self._file.save(self._contexts.windows())
        except OperatorError as error:
            log.warning("devices with OSCORE must prove that they are there: %s", error)
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
        added = [credential for credential in changes.added if credential.kind == KIND]
        if not added:
            return
        if self._contexts is None:
            self._contexts = self._open()
        self._contexts.add(*added)

    def _open(self) -> "OscoreContexts":
        # Most gateways have no such device, and should hold neither SQLite nor cryptography.
        from pyaiot.gateways.coap.oscore.contexts import OscoreContexts  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.layer import OscoreLayer  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile  # noqa: PLC0415

        self._file = NumbersFile(self._path, self._unix_time)
        contexts = OscoreContexts(self._file)
        self._endpoint.oscore = OscoreLayer(contexts)
        return contexts
