# SPDX-License-Identifier: BSD-3-Clause
"""The sessions of a DTLS server. Pure.

`now` is the loop's time in seconds.

After each datagram, the caller takes all of `next_event` and `datagrams_to_send`, and sets a timer
to `get_timer`.

Until an address without a session has returned a cookie, it gets no more bytes than it sent, and
the server keeps no state for it. A new handshake at the address of a session replaces that session
only when it is complete (RFC 6347 section 4.2.8), so a forged ClientHello ends no session.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.dtls.client_hello import ClientHello, is_client_hello
from pyaiot.protocols.dtls.cookies import Cookies, hello_verify_request
from pyaiot.protocols.dtls.numbers import ContentType
from pyaiot.protocols.dtls.records import HEADER_BYTES
from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.events import (
    DtlsEvent,
    HandshakeFailed,
    Plaintext,
    SessionClosed,
    SessionOpened,
    SessionReady,
)
from pyaiot.transport.dtls.psk_context import PskContext
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer

DATAGRAM_BYTES_MAX: Final = 4096
"""Largest secured datagram, in bytes. Larger ones are ignored, and counted."""
SESSIONS_MAX: Final = 4096
"""Largest number of sessions, of 60 to 160 kB each. Beyond it the longest idle session is
closed."""
SESSIONS_PER_UID_MAX: Final = 2
"""Largest number of sessions of one device, for example of a board and of a command line. Beyond it
the longest idle session is closed."""
SESSION_IDLE_S: Final = 86_400.0
"""Longest idle time of a session. After that it is closed."""
HANDSHAKES_MAX: Final = 512
"""Largest number of handshakes at the same time, of about 60 kB each. Beyond it the oldest is
abandoned."""
HANDSHAKES_PER_HOST_MAX: Final = 128
"""The same for one host. Beyond it the oldest of this host is abandoned."""
HOST_HANDSHAKES_PER_S: Final = 50.0
HOST_HANDSHAKES_BURST: Final = 500.0
"""Rate limit and burst of handshakes that one host may begin. Above it, its ClientHello is ignored,
and counted; the client sends it again."""
UNVERIFIED_HANDSHAKES_PER_S: Final = 300.0
UNVERIFIED_HANDSHAKES_BURST: Final = 1000.0
"""The same for all hosts that never completed one. Above it they are ignored, and counted."""
VERIFIED_HANDSHAKES_PER_S: Final = 300.0
VERIFIED_HANDSHAKES_BURST: Final = 1000.0
"""The same for all other hosts."""


class _Association(msgspec.Struct, eq=False):
    """A handshake or a session."""

    connection: DtlsConnection
    peer: Peer
    """Secured when the handshake is complete."""
    random: bytes
    """The `random` of the ClientHello, by which a duplicate is recognised."""
    last_received: float
    is_ready: bool = False
    """See `SessionReady`."""


def handshake_limits() -> HostLimits:
    """The limits of the hosts that begin handshakes."""
    return HostLimits(
        HostRateLimit(
            Rate(HOST_HANDSHAKES_PER_S, HOST_HANDSHAKES_BURST),
            Rate(UNVERIFIED_HANDSHAKES_PER_S, UNVERIFIED_HANDSHAKES_BURST),
        ),
        HostRateLimit(
            Rate(HOST_HANDSHAKES_PER_S, HOST_HANDSHAKES_BURST),
            Rate(VERIFIED_HANDSHAKES_PER_S, VERIFIED_HANDSHAKES_BURST),
        ),
    )


class DtlsServer:
    """Assigns the datagrams of one UDP port to sessions and handshakes."""

    def __init__(
        self,
        context: PskContext,
        *,
        secret: bytes,
        limits: HostLimits | None = None,
        sessions_max: int = SESSIONS_MAX,
        handshakes_max: int = HANDSHAKES_MAX,
    ) -> None:
        """`secret`: at least 32 random bytes, for cookies."""
        self._context = context
        self._cookies = Cookies(secret)
        self._limits = limits or handshake_limits()
        self._sessions_max = sessions_max
        self._handshakes_max = handshakes_max
        self._events: deque[DtlsEvent] = deque()
        self._to_send: list[tuple[bytes, Peer]] = []
        self._sessions: OrderedDict[Any, _Association] = OrderedDict()
        """By remote address, the longest idle first."""
        self._of_uid: dict[str, list[_Association]] = {}
        self._handshakes: OrderedDict[Any, _Association] = OrderedDict()
        """By remote address, the oldest first."""
        self._handshakes_of: Counter[str] = Counter()
        self._handshake_timer = float("inf")
        self.opened = 0
        """Number of sessions that were opened."""
        self.failed = 0
        """Number of handshakes that failed."""
        self.refused = 0
        """Number of handshakes that were refused by a limit."""
        self.ignored = 0
        """Number of datagrams that belong to no session and begin none."""

    def __len__(self) -> int:
        """The number of sessions."""
        return len(self._sessions)

    @property
    def handshakes(self) -> int:
        """Number of handshakes that are not complete."""
        return len(self._handshakes)

    def next_event(self) -> DtlsEvent | None:
        """The next event; None if there are no more."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[tuple[bytes, Peer]]:
        to_send, self._to_send = self._to_send, []
        return to_send

    # -- sessions -------------------------------------------------------------------------------

    def encrypt(self, plaintext: bytes, peer: Peer) -> bytes | None:
        """The datagram that contains this plaintext. None if there is no session with this peer;
        empty if the session is not ready: the datagram then counts as lost."""
        session = self._session(peer)
        if session is None:
            return None
        return session.connection.encrypt(plaintext) if session.is_ready else b""

    def close(self, peer: Peer, reason: str) -> None:
        """Close the session with this peer, if there is one, with a close_notify."""
        session = self._session(peer)
        if session is not None:
            self._end(session, reason)

    def close_all(self, reason: str) -> None:
        """Close all sessions, so that their clients begin a new handshake."""
        for session in list(self._sessions.values()):
            self._end(session, reason)

    def peers_of(self, uid: str) -> Iterator[Peer]:
        """The sessions of a device, the latest last."""
        return (session.peer for session in self._of_uid.get(uid, ()))

    def _session(self, peer: Peer) -> _Association | None:
        session = self._sessions.get(peer.remote)
        return session if session is not None and session.peer == peer else None

    # -- receiving ------------------------------------------------------------------------------

    def receive_datagram(self, datagram: bytes, peer: Peer, *, now: float) -> None:
        """Process a datagram from an address."""
        if not HEADER_BYTES < len(datagram) <= DATAGRAM_BYTES_MAX:
            self.ignored += 1
            return
        if is_client_hello(datagram):
            self._receive_hello(datagram, peer, now)
            return
        remote = peer.remote
        session = self._sessions.get(remote)
        if self._handshakes and (session is None or datagram[0] in _HANDSHAKE_TYPES):
            handshake = self._handshakes.get(remote)
            if handshake is not None:
                self._receive_handshake(handshake, datagram, now)
                return
        if session is None:
            # Also after a restart: an alert here could be forged, and clients ignore it.
            self.ignored += 1
            return
        connection = session.connection
        for plaintext in connection.receive_datagram(datagram):
            session.last_received = now
            self._sessions.move_to_end(remote)
            self._received(session, plaintext)
        self._send_outgoing(session)
        if connection.failure is not None:
            self._end(session, connection.failure)

    def _received(self, session: _Association, plaintext: bytes) -> None:
        if not session.is_ready:
            session.is_ready = True
            self._events.append(SessionReady(session.peer))
        if plaintext:
            self._events.append(Plaintext(plaintext, session.peer))

    def _receive_hello(self, datagram: bytes, peer: Peer, now: float) -> None:
        try:
            hello = ClientHello.from_bytes(datagram)
        except ProtocolError:
            self.ignored += 1
            return
        remote = peer.remote
        address = repr(remote).encode()
        if not self._cookies.is_valid(hello, address, now=now):
            answer = hello_verify_request(hello, self._cookies.cookie_for(hello, address, now=now))
            if len(answer) <= len(datagram):
                self._to_send.append((answer, peer))
            return
        handshake = self._handshakes.get(remote)
        if handshake is not None and handshake.random == hello.random:
            handshake.connection.retransmit()
            self._send_outgoing(handshake)
            return
        session = self._sessions.get(remote)
        if session is not None and session.random == hello.random:
            return  # a late copy of the one that began this session
        if self._limits.take_request(peer.host, now=now) != 0:
            self.refused += 1
            return
        if handshake is not None:
            self._abandon(handshake, "begun again by the client")
        self._make_room_for_handshake(peer.host)
        connection = DtlsConnection.accept(self._context, datagram, hello, now=now)
        handshake = _Association(connection, peer, hello.random, now)
        self._handshakes[remote] = handshake
        self._handshakes_of[peer.host] += 1
        self._handshake_timer = min(self._handshake_timer, connection.get_timer())
        self._send_outgoing(handshake)
        if connection.failure is not None:
            self._abandon(handshake, connection.failure)

    def _receive_handshake(self, handshake: _Association, datagram: bytes, now: float) -> None:
        if datagram[0] not in _HANDSHAKE_TYPES:
            # An alert is not protected yet, so it can be forged easily. If a client gave up, its
            # handshake times out.
            self.ignored += 1
            return
        connection = handshake.connection
        plaintexts = connection.receive_datagram(datagram)
        self._send_outgoing(handshake)
        if connection.is_established:
            self._open(handshake, now)
            for plaintext in plaintexts:
                self._received(handshake, plaintext)
            if connection.failure is not None:
                self._end(handshake, connection.failure)
        elif connection.failure is not None:
            self._abandon(handshake, connection.failure)

    def _send_outgoing(self, association: _Association) -> None:
        for datagram in association.connection.datagrams_to_send():
            self._to_send.append((datagram, association.peer))

    # -- handshakes -----------------------------------------------------------------------------

    def _open(self, handshake: _Association, now: float) -> None:
        """A handshake is complete: it becomes the session of its address."""
        self._forget_handshake(handshake)
        peer, uid = handshake.peer, handshake.connection.identity
        if uid is None or not handshake.connection.is_known:
            # OpenSSL verified the key of this identity.
            raise AssertionError("a session without a credential")
        self._limits.verify(peer.host)
        handshake.peer = peer.secured(uid, "dtls-psk")
        handshake.last_received = now
        before = self._sessions.get(peer.remote)
        if before is not None and before.peer == handshake.peer:
            # The peer continues. It would receive a close_notify in the new session.
            self._forget_session(before)
        elif before is not None:
            self._end(before, "another device is at its address", notify=False)
        same_device = self._of_uid.get(uid, [])
        if len(same_device) >= SESSIONS_PER_UID_MAX:
            oldest = min(same_device, key=lambda session: session.last_received)
            self._end(oldest, "replaced by a new session of this device")
        if len(self._sessions) >= self._sessions_max:
            self._end(next(iter(self._sessions.values())), "too many sessions")
        self._sessions[peer.remote] = handshake
        self._of_uid.setdefault(uid, []).append(handshake)
        self.opened += 1
        self._events.append(SessionOpened(handshake.peer))

    def _make_room_for_handshake(self, host: str) -> None:
        if self._handshakes_of[host] >= HANDSHAKES_PER_HOST_MAX:
            oldest = next(item for item in self._handshakes.values() if item.peer.host == host)
            self._abandon(oldest, "too many handshakes of its host")
        elif len(self._handshakes) >= self._handshakes_max:
            self._abandon(next(iter(self._handshakes.values())), "too many handshakes")

    def _abandon(self, handshake: _Association, reason: str) -> None:
        connection = handshake.connection
        self._forget_handshake(handshake)
        self.failed += 1
        self._events.append(
            HandshakeFailed(handshake.peer, connection.identity, connection.is_known, reason)
        )

    def _forget_handshake(self, handshake: _Association) -> None:
        host = handshake.peer.host
        del self._handshakes[handshake.peer.remote]
        self._handshakes_of[host] -= 1
        if not self._handshakes_of[host]:
            del self._handshakes_of[host]
        if not self._handshakes:
            self._handshake_timer = float("inf")

    def _end(self, session: _Association, reason: str, *, notify: bool = True) -> None:
        self._forget_session(session)
        session.connection.close()
        if notify:
            self._send_outgoing(session)
        peer = session.peer
        others = self._of_uid.get(peer.address.uid, ())
        other = next((item.peer for item in reversed(others) if item.is_ready), None)
        self._events.append(SessionClosed(peer, reason, other))

    def _forget_session(self, session: _Association) -> None:
        del self._sessions[session.peer.remote]
        uid = session.peer.address.uid
        self._of_uid[uid].remove(session)
        if not self._of_uid[uid]:
            del self._of_uid[uid]

    # -- timers ---------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """Time of the next `handle_timer`; None if nothing is due."""
        timer = self._handshake_timer
        if self._sessions:
            oldest = next(iter(self._sessions.values()))
            timer = min(timer, oldest.last_received + SESSION_IDLE_S)
        return None if timer == float("inf") else timer

    def handle_timer(self, *, now: float) -> None:
        """Retransmit flights, abandon handshakes, close idle sessions."""
        if now >= self._handshake_timer:
            for handshake in list(self._handshakes.values()):
                connection = handshake.connection
                connection.handle_timer(now=now)
                self._send_outgoing(handshake)
                if connection.failure is not None:
                    self._abandon(handshake, connection.failure)
            timers = (item.connection.get_timer() for item in self._handshakes.values())
            self._handshake_timer = min(timers, default=float("inf"))
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if now < oldest.last_received + SESSION_IDLE_S:
                break
            self._end(oldest, "idle for too long")


_HANDSHAKE_TYPES: Final = frozenset((ContentType.HANDSHAKE, ContentType.CHANGE_CIPHER_SPEC))
"""Types of records at the address of a session that may belong to a new handshake."""
