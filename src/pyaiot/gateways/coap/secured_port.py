# SPDX-License-Identifier: BSD-3-Clause
"""The UDP port for DTLS sessions (`coaps`), and the effects of sessions on nodes."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from pyaiot.accounts.device_credential import CredentialChanges
from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import OperatorError, Refused
from pyaiot.gateways.coap import metrics
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.coap.post_intake import PostIntake
from pyaiot.metrics import Sample
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.dtls.events import SessionChange, SessionClosed, SessionReady
from pyaiot.transport.peers import Peer

if TYPE_CHECKING:
    from pyaiot.transport.dtls.endpoint import DtlsEndpoint

CREDENTIAL_KIND: Final = "dtls-psk"
"""The kind of these credentials in the store: a pre-shared key, whose identity is the uid."""

log = logging.getLogger(__name__)


class SecuredPort:
    """A port that is open as soon as the first device has a key."""

    def __init__(
        self,
        endpoint: CoapEndpoint,
        devices: DeviceStore,
        host: str,
        port: int,
        interface: str,
        report: Callable[..., None] = lambda _text, *_details: None,
    ) -> None:
        """`host`, `port`, `interface`: see `udp_socket`. `report`: see `DtlsEndpoint`."""
        self._report = report
        self._endpoint = endpoint
        self._devices = devices
        self._host = host
        self._port = port
        self._interface = interface
        self._dtls: DtlsEndpoint | None = None
        self._problem = ""

    @property
    def port(self) -> int:
        """The UDP port; 0 if it is not open."""
        return 0 if self._dtls is None else self._dtls.local_address[1]

    def open_if_needed(self) -> None:
        """Open the port if a device has a key. Raises `OperatorError`."""
        if self._dtls is not None or not any(
            credential.kind == CREDENTIAL_KIND for credential in self._devices.credentials()
        ):
            return
        # Gateways without keys do not load OpenSSL.
        from pyaiot.transport.dtls.endpoint import DtlsEndpoint  # noqa: PLC0415

        self._dtls = DtlsEndpoint.open(
            self._host,
            self._port,
            self._key_of,
            interface=self._interface,
            protocol="CoAP",
            flag="--coaps-port",
        )
        self._dtls.report = self._report
        self._endpoint.add_secured(self._dtls)
        if is_loopback(self._host):
            log.info("UDP port %d is open for devices with a key", self.port)
        else:
            log.warning(
                "UDP port %d is open to the network: devices with a key can connect", self.port
            )

    def credentials_changed(self, changes: CredentialChanges) -> None:
        """Close the sessions of devices whose key is no longer valid, and open the port if the
        first key was added."""
        if self._dtls is not None:
            for credential in changes.removed:
                if credential.kind == CREDENTIAL_KIND:
                    self._dtls.close_sessions(credential.uid, "its key is no longer valid")
        try:
            self.open_if_needed()
        except OperatorError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("devices with a key cannot connect: %s", error)  # noqa: TRY400

    async def answers(self, limit_s: float) -> bool:
        """Whether the port answers, if it is open."""
        return self._dtls is None or await self._dtls.answers(limit_s)

    def collect(self) -> Iterable[Sample]:
        """The metrics of the port; 0 while it is closed."""
        server = None if self._dtls is None else self._dtls.server
        yield metrics.DTLS_SESSIONS.of(0 if server is None else len(server))
        yield metrics.DTLS_SESSIONS_OPENED.of(0 if server is None else server.opened)
        yield metrics.DTLS_HANDSHAKES_FAILED.of(0 if server is None else server.failed)
        yield metrics.DTLS_HANDSHAKES_REFUSED.of(0 if server is None else server.refused)
        yield metrics.DTLS_DATAGRAMS_IGNORED.of(0 if server is None else server.ignored)

    def _key_of(self, uid: str) -> bytes | None:
        credential = self._devices.credential(uid, CREDENTIAL_KIND)
        return None if credential is None else credential.secret


class SessionNodes:
    """Directs requests to a node to its latest session."""

    def __init__(
        self,
        endpoint: CoapEndpoint,
        table: AddressTable[Peer],
        posts: PostIntake,
        *,
        discover: Callable[[str], None],
    ) -> None:
        """`discover` reads the resources of a node again."""
        self._endpoint = endpoint
        self._table = table
        self._posts = posts
        self._discover = discover

    def changed(self, change: SessionChange) -> None:
        """A session became usable, or was closed."""
        match change:
            case SessionReady(peer):
                self._ready(peer)
            case SessionClosed(peer, _, other):
                self._closed(peer, other)

    def _ready(self, peer: Peer) -> None:
        # The cookie proved that it receives at this address.
        self._endpoint.verify(peer)
        uid = peer.address.uid
        if self._table.get(uid) is None:
            return  # it becomes a node with this message
        # Perhaps it rebooted, and knows nothing of observations in an earlier session.
        self._table.does_not_answer(uid)
        try:
            self._posts.claim(uid, peer, rebooted=False)
        except Refused as error:
            log.debug("%s: %s", peer, error)

    def _closed(self, peer: Peer, other: Peer | None) -> None:
        # The outcome of a sent request is unknown.
        self._endpoint.fail_requests(TimeoutError("the session ended"), peer)
        uid = peer.address.uid
        node = self._table.get(uid)
        if node is not None and node.peer == peer and other is not None:
            self._table.move(uid, other.address, other)
            self._discover(uid)
