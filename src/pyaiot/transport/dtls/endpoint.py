# SPDX-License-Identifier: BSD-3-Clause
"""A UDP endpoint whose datagrams are protected by DTLS: the I/O part of the server."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.transport.dtls.events import (
    HandshakeFailed,
    Plaintext,
    SessionChange,
    SessionClosed,
    SessionOpened,
    SessionReady,
)
from pyaiot.transport.dtls.psk_context import PskContext, PskOf
from pyaiot.transport.dtls.server import DtlsServer
from pyaiot.transport.peers import Peer
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.timer import Timer
from pyaiot.transport.udp import (
    DATAGRAMS_AT_ONCE,
    DatagramEndpoint,
    DatagramTrace,
    Fail,
    Receive,
)
from pyaiot.transport.udp_sockets import answers_probe, udp_socket

_SECRET_BYTES: Final = 32

log = logging.getLogger(__name__)


class DtlsEndpoint:
    """One UDP port for sessions. It has the methods of `DatagramEndpoint` that protocols use."""

    def __init__(
        self,
        datagrams: DatagramEndpoint,
        loop: asyncio.AbstractEventLoop,
        context: PskContext,
        *,
        protocol: str,
    ) -> None:
        self.server = DtlsServer(context, secret=os.urandom(_SECRET_BYTES))
        self.trace: DatagramTrace | None = None
        """Receives plaintexts."""
        self.report: Callable[..., None] = lambda _text, *_details: None
        """Receives a log text for each failed handshake, with address and reason."""
        self._datagrams = datagrams
        self._loop = loop
        self._protocol = protocol
        self._timer = Timer(loop, self._handle_timer)
        self._receive: Receive
        self._fail: Fail
        self._changed: Callable[[SessionChange], None]
        self._lines = RateLimitedLog(log)

    @classmethod
    def open(
        cls, host: str, port: int, psk_of: PskOf, *, interface: str, protocol: str, flag: str
    ) -> "DtlsEndpoint":
        """Listen on a UDP port. Raises `OperatorError`. See `udp_socket` and `PskContext`."""
        loop = asyncio.get_running_loop()
        context = PskContext.for_server(psk_of)
        sock = udp_socket(host, port, interface, protocol=protocol, flag=flag)
        datagrams = DatagramEndpoint(sock, loop, protocol=protocol)
        return cls(datagrams, loop, context, protocol=protocol)

    @property
    def local_address(self) -> tuple[str, int]:
        """The host and UDP port of the socket."""
        return self._datagrams.host, self._datagrams.port

    def listen(
        self, receive: Receive, fail: Fail, changed: Callable[[SessionChange], None]
    ) -> None:
        """Call `receive` with plaintexts and their secured peers, `fail` if a datagram cannot be
        sent because its peer has no session, and `changed` when a session changes."""
        self._receive, self._fail, self._changed = receive, fail, changed
        self._datagrams.listen(self._receive_datagrams)

    def send(self, plaintext: bytes, peer: Peer) -> None:
        self.send_all(((plaintext, peer),))

    def send_all(self, plaintexts: Sequence[tuple[bytes, Peer]]) -> None:
        """Send each plaintext in the session of its peer."""
        encrypted: list[tuple[bytes, Peer]] = []
        for plaintext, peer in plaintexts:
            datagram = self.server.encrypt(plaintext, peer)
            if datagram is None:
                # Later: the caller may be in the middle of an update.
                self._loop.call_soon(self._report_missing, peer)
                continue
            if self.trace is not None:
                self.trace(plaintext, peer, False)
            if datagram:
                encrypted.append((datagram, peer))
        self._datagrams.send_all(encrypted)

    def close_sessions(self, uid: str, reason: str) -> None:
        """Close the sessions of a device."""
        for peer in list(self.server.peers_of(uid)):
            self.server.close(peer, reason)
        self._apply()

    def close(self) -> None:
        """Close all sessions, and the socket."""
        self._timer.cancel()
        self.server.close_all("the gateway stops")
        self._datagrams.stop()
        self._datagrams.send_all(self.server.datagrams_to_send())
        self._datagrams.close()

    async def answers(self, limit_s: float) -> bool:
        """Whether the endpoint answers a ClientHello of this machine."""
        return await answers_probe(*self.local_address, _PROBE, _is_hello_verify_request, limit_s)

    def _report_missing(self, peer: Peer) -> None:
        self._fail(OSError(errno.ENOTCONN, "the node has no DTLS session"), peer, None)

    def _receive_datagrams(self, datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        """See `Receive`. Processes a few datagrams at a time: each may be a handshake."""
        now = self._loop.time()
        some = datagrams[:DATAGRAMS_AT_ONCE]
        for datagram, peer in some:
            self.server.receive_datagram(datagram, peer, now=now)
        self._apply()
        return len(some)

    def _handle_timer(self) -> None:
        self.server.handle_timer(now=self._loop.time())
        self._apply()

    def _apply(self) -> None:
        """Pass on the events of the server, in order, and send its datagrams."""
        server = self.server
        self._datagrams.send_all(server.datagrams_to_send())
        plaintexts: list[tuple[bytes, Peer]] = []
        while (event := server.next_event()) is not None:
            if type(event) is Plaintext:
                if self.trace is not None:
                    self.trace(event.data, event.peer, True)
                plaintexts.append((event.data, event.peer))
                continue
            if plaintexts:
                self._receive(plaintexts)
                plaintexts = []
            match event:
                case SessionOpened() | SessionReady() | SessionClosed():
                    self._log_change(event)
                    self._changed(event)
                case HandshakeFailed():
                    self._log_failure(event)
        if plaintexts:
            self._receive(plaintexts)
        self._timer.set(server.get_timer())

    def _log_change(self, change: SessionChange) -> None:
        match change:
            case SessionOpened(peer):
                log.debug("%s: session with %s at %s", self._protocol, peer.address.uid, peer)
            case SessionClosed(peer, reason):
                log.debug(
                    "%s: session with %s at %s ended: %s",
                    self._protocol,
                    peer.address.uid,
                    peer,
                    reason,
                )

    def _log_failure(self, failure: HandshakeFailed) -> None:
        """Log why a handshake failed. The client does not learn the reason."""
        now, host = self._loop.time(), failure.peer.address.host
        if failure.identity is None:
            text, details = "%s: no session with %s: %s", (self._protocol, host, failure.reason)
            self._lines.info(text, *details, now=now)
            self.report(text, *details)
        else:
            guess = "wrong key?" if failure.is_known else "this uid has no credential"
            text = "%s: no session with %s, which sent the identity %s (%s): %s"
            sent = (self._protocol, host, failure.identity, guess, failure.reason)
            self._lines.warning(text, *sent, now=now)
            self.report(text, *sent)


_PROBE: Final = (
    b"\x16\xfe\xfd"
    + bytes(8)
    + bytes.fromhex("0036 01 00002a 0000 000000 00002a fefd" + "00" * 32 + "00 00 0002 c0a8 01 00")
)
"""A ClientHello without a cookie."""


def _is_hello_verify_request(answer: bytes) -> bool:
    return answer[:1] == b"\x16" and answer[13:14] == b"\x03"
