# SPDX-License-Identifier: BSD-3-Clause
"""DTLS clients and a server in one process, with a network between them that loses chosen
datagrams. Time is simulated."""

from typing import TYPE_CHECKING, Final

from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.events import DtlsEvent, Plaintext, SessionOpened
from pyaiot.transport.dtls.psk_context import PskContext
from pyaiot.transport.dtls.server import DtlsServer
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

KEY: Final = b"0123456789abcdef"
KEYS: Final = {"lamp": KEY, "robot": b"another key of 24 bytes!", "Küche 1": b"k"}


class Client:
    """A device at its own address."""

    def __init__(
        self,
        uid: str = "lamp",
        key: bytes = KEY,
        *,
        port: int = 49152,
        host: str = "2001:db8::1",
        now: float = 0.0,
    ) -> None:
        self.peer = Peer((host, port, 0, 0))
        self.connection = DtlsConnection.connect(PskContext.for_client(uid, key), now=now)

    @property
    def remote(self) -> object:
        return self.peer.remote


class Wire:
    """A server, and the datagrams between it and its clients."""

    def __init__(
        self,
        *,
        limits: HostLimits | None = None,
        sessions_max: int = 8,
        handshakes_max: int = 8,
    ) -> None:
        self.server = DtlsServer(
            PskContext.for_server(KEYS.get),
            secret=b"s" * 32,
            limits=limits,
            sessions_max=sessions_max,
            handshakes_max=handshakes_max,
        )
        self.now = 0.0
        self.events: list[DtlsEvent] = []
        self.sent = 0
        """Datagrams in both directions."""
        self.is_lost: Callable[[int], bool] = lambda _number: False
        """Whether the datagram with this number is lost. The first has 0."""

    @property
    def plaintexts(self) -> list[tuple[str, bytes]]:
        return [
            (event.peer.address.uid, event.data)
            for event in self.events
            if isinstance(event, Plaintext)
        ]

    def arrives(self, datagram: bytes, peer: Peer) -> list[bytes]:
        """Pass a datagram to the server. Returns its answers to any address."""
        self.server.receive_datagram(datagram, peer, now=self.now)
        return self.take()

    def take(self) -> list[bytes]:
        """The datagrams and the events of the server."""
        while (event := self.server.next_event()) is not None:
            self.events.append(event)
        return [datagram for datagram, _peer in self.server.datagrams_to_send()]

    def run(self, client: Client) -> None:
        """Deliver datagrams until neither end sends any."""
        to_client: list[bytes] = self.take()
        while True:
            to_server = client.connection.datagrams_to_send()
            if not to_server and not to_client:
                return
            for datagram in to_server:
                if self._passes():
                    to_client += self.arrives(datagram, client.peer)
            arriving, to_client = to_client, []
            for datagram in arriving:
                if self._passes():
                    client.connection.receive_datagram(datagram)

    def run_until(self, client: Client, until: float) -> None:
        """Deliver datagrams, and let both ends retransmit, until the given time."""
        self.run(client)
        while not (client.connection.is_established and not self.server.handshakes):
            timers = [client.connection.get_timer()]
            if (timer := self.server.get_timer()) is not None:
                timers.append(timer)
            if min(timers) > until or client.connection.failure is not None:
                break
            self.now = min(timers)
            client.connection.handle_timer(now=self.now)
            self.server.handle_timer(now=self.now)
            self.run(client)

    def session(self, uid: str = "lamp", *, port: int = 49152, host: str = "2001:db8::1") -> Client:
        """A client with an established session."""
        client = Client(uid, KEYS[uid], port=port, host=host, now=self.now)
        self.run(client)
        assert client.connection.is_established
        self.arrives(client.connection.encrypt(b"hello"), client.peer)
        assert isinstance(self.events.pop(), Plaintext)
        assert self.opened()[-1] == client.peer.secured(uid, "dtls-psk")
        return client

    def opened(self) -> list[Peer]:
        return [event.peer for event in self.events if isinstance(event, SessionOpened)]

    def _passes(self) -> bool:
        self.sent += 1
        return not self.is_lost(self.sent - 1)
