# SPDX-License-Identifier: BSD-3-Clause
"""Applies the credentials for OSCORE to the endpoint of the CoAP gateway, while it runs."""

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiocoap
from aiocoap.resource import Resource, Site

from pyaiot.accounts.device_credential import CredentialChanges, DeviceCredential
from pyaiot.accounts.devices import KEY_PAIR_FILE
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.coap.metrics import EDHOC_HANDSHAKES, EDHOC_REFUSED, OSCORE_REFUSED
from pyaiot.gateways.gateway import Gateway
from pyaiot.metrics import Sample
from pyaiot.protocols.coap.numbers import ContentFormat

if TYPE_CHECKING:
    from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
    from pyaiot.gateways.coap.oscore.edhoc import EdhocResponder
    from pyaiot.gateways.coap.oscore.layer import OscoreLayer
    from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile

FILE_NAME: Final = "oscore.db"
KIND: Final = "oscore"
EDHOC_KIND: Final = "edhoc"
"""The kinds of credential."""
EDHOC_PATH: Final = (".well-known", "edhoc")

log = logging.getLogger(__name__)


class OscoreDevices:
    """The devices with a credential for OSCORE or for EDHOC. A gateway without such devices opens
    no file."""

    def __init__(
        self,
        endpoint: CoapEndpoint,
        site: Site,
        gateway: Gateway,
        path: Path | None,
        discover: Callable[[str], None],
    ) -> None:
        """`path`: the file of the sequence numbers. `discover` reads the resources of a node again.

        Raises `OperatorError` if the file cannot be used although there are such devices. If the
        requirements of EDHOC are missing, only a warning is logged.
        """
        self._endpoint = endpoint
        self._site = site
        self._path = path
        self._gateway = gateway
        self._discover = discover
        self._file: NumbersFile | None = None
        self._contexts: OscoreContexts | None = None
        self._layer: OscoreLayer | None = None
        self._edhoc: EdhocResponder | None = None
        self._apply(CredentialChanges())
        gateway.device_watch.changed.append(self._apply_or_warn)

    def close(self) -> None:
        """Store the replay windows. After that, nothing may be received."""
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

    def collect(self) -> Iterator[Sample]:
        yield OSCORE_REFUSED.of(0 if self._layer is None else self._layer.refusals.refused)
        yield EDHOC_HANDSHAKES.of(0 if self._edhoc is None else self._edhoc.opened)
        yield EDHOC_REFUSED.of(0 if self._edhoc is None else self._edhoc.refused)

    def _apply_or_warn(self, changes: CredentialChanges) -> None:
        try:
            self._apply(changes)
        except OperatorError as error:
            log.warning("devices that were added cannot use OSCORE: %s", error)

    def _apply(self, changes: CredentialChanges) -> None:
        if self._contexts is not None:
            for credential in changes.removed:
                if credential.kind in (KIND, EDHOC_KIND):
                    self._contexts.remove(credential.uid)
        # Includes devices that could not be added at an earlier change.
        found = self._gateway.devices.credentials()
        shared = [it for it in found if it.kind == KIND]
        with_keys = [it for it in found if it.kind == EDHOC_KIND]
        if self._contexts is None and (shared or with_keys):
            self._contexts = self._open()
        if self._contexts is not None:
            self._contexts.add(*(it for it in shared if it not in self._contexts))
        self._apply_edhoc(with_keys)

    def _apply_edhoc(self, devices: list[DeviceCredential]) -> None:
        if self._edhoc is None and devices:
            try:
                self._edhoc = self._open_edhoc()
            except OperatorError as error:
                log.warning("devices with a key pair cannot connect: %s", error)
        if self._edhoc is not None:
            self._edhoc.set_devices(devices)

    def _open(self) -> "OscoreContexts":
        # Most gateways have no such device, and need neither SQLite nor cryptography.
        from pyaiot.gateways.coap.oscore.contexts import OscoreContexts  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.layer import OscoreLayer  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile  # noqa: PLC0415

        self._file = NumbersFile(self._path, self._gateway.unix_time)
        contexts = OscoreContexts(self._file)
        report = self._gateway.rejections.refuse_message
        self._layer = self._endpoint.oscore = OscoreLayer(contexts, report=report)
        return contexts

    def _open_edhoc(self) -> "EdhocResponder | None":
        from pyaiot.gateways.coap.oscore.edhoc import EdhocResponder  # noqa: PLC0415
        from pyaiot.gateways.coap.oscore.edhoc_key import read_key  # noqa: PLC0415
        from pyaiot.protocols.edhoc.responder import check_available  # noqa: PLC0415

        if self._path is None or self._contexts is None or self._layer is None:
            return None
        check_available()
        private_key = read_key(self._path.with_name(KEY_PAIR_FILE))
        responder = EdhocResponder(
            *(private_key, self._contexts, self._established),
            refresh=self._gateway.device_watch.refresh,
        )
        self._layer.edhoc = responder
        time = self._endpoint.loop.time
        self._site.add_resource(EDHOC_PATH, EdhocResource(responder, time))
        return responder

    def _established(self, uid: str) -> None:
        """The previous context ended, and with it its observations."""
        if self._gateway.nodes.get(uid) is not None:
            self._discover(uid)


class EdhocResource(Resource):  # type: ignore[misc]  # aiocoap has no types
    """`/.well-known/edhoc` (RFC 9528 Appendix A.2)."""

    def __init__(self, responder: "EdhocResponder", time: Callable[[], float]) -> None:
        super().__init__()
        self._responder = responder
        self._time = time

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        from pyaiot.gateways.coap.oscore.edhoc import TooManyHandshakes  # noqa: PLC0415
        from pyaiot.protocols.edhoc.responder import EdhocRefused  # noqa: PLC0415

        format_ = request.opt.content_format
        if format_ not in (None, ContentFormat.EDHOC_WITH_ID):
            return aiocoap.Message(code=aiocoap.UNSUPPORTED_CONTENT_FORMAT)
        host = request.remote.peer.host
        code, payload = aiocoap.CHANGED, b""
        try:
            payload = self._responder.receive_message(request.payload, host, self._time())
        except EdhocRefused as problem:
            code, payload = aiocoap.BAD_REQUEST, problem.answer
        except TooManyHandshakes as problem:
            response = aiocoap.Message(code=aiocoap.TOO_MANY_REQUESTS)
            response.opt.max_age = math.ceil(problem.wait_s)
            return response
        return aiocoap.Message(code=code, payload=payload, content_format=ContentFormat.EDHOC)
