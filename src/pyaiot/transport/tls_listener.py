# SPDX-License-Identifier: BSD-3-Clause
"""Accepts TCP connections and completes their TLS handshakes, with limits on both.

asyncio would admit a connection to the table of its listener only after the handshake, so that
unfinished handshakes would have no limit. Here a connection is in the table from the start.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import Counter
from typing import Final

from pyaiot.errors import Refused, reason_of
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.http_connection import HttpConnections
from pyaiot.transport.plain_http import REQUEST_SIZE_MAX, answer_to_plain_http, is_plain_http
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.tls import ServerTls

HANDSHAKE_LIMIT_S: Final = 10.0
"""Time from a TCP connection to the end of its TLS handshake. Then the connection is closed."""
SHUTDOWN_LIMIT_S: Final = 1.0
"""Time for a peer to answer the end of TLS. Then its connection is aborted."""
HANDSHAKES_PER_ADDRESS_MAX: Final = 64
"""Unfinished TLS handshakes of one address (IPv6: one /64 network) at a listener. One more
connection is closed. Loopback is exempt."""
HANDSHAKES_PER_S: Final = Rate(50.0, 200.0)
HANDSHAKES_TOGETHER_PER_S: Final = Rate(300.0, 3000.0)
"""TLS handshakes of one address, and of all together, that a listener begins: sustained per second,
and at once. Above, connections are closed. Each takes about 1 ms of CPU. Loopback is exempt from
the first."""
ACCEPTED_IN_A_ROW_MAX: Final = 64
"""Connections that are accepted in a row. Then other connections are served."""
RETRY_S: Final = 1.0
"""How long no connection is accepted after one failed for lack of descriptors or memory."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


class Handshake:
    """A connection whose TLS handshake has not ended."""

    def __init__(self, accepted: socket.socket, address: str, principal: str) -> None:
        self.address = address
        self.principal = principal
        self.task: asyncio.Task[None] | None = None
        self._accepted: socket.socket | None = accepted

    def take_socket(self) -> socket.socket:
        """The socket, which the caller closes from now on."""
        taken, self._accepted = self._accepted, None
        assert taken is not None  # noqa: S101 - taken once
        return taken

    @property
    def socket(self) -> socket.socket:
        """The socket, until it is taken."""
        assert self._accepted is not None  # noqa: S101 - see above
        return self._accepted

    def evict(self) -> None:
        """Close the connection in favour of a new one."""
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Close the socket unless it was taken."""
        if self._accepted is not None:
            self._accepted.close()


class TlsListener:
    """One listening socket. Belongs to the running loop."""

    def __init__(
        self, listening: socket.socket, tls: ServerTls, connections: HttpConnections
    ) -> None:
        """`listening` is bound and listens, and does not block; `close` closes it."""
        self._socket = listening
        self._tls = tls
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._limited = RateLimitedLog(log)
        self._rate = HostRateLimit(HANDSHAKES_PER_S, HANDSHAKES_TOGETHER_PER_S)
        self._unfinished: Counter[str] = Counter()
        """Unfinished handshakes, by principal."""
        self._open: set[Handshake] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more connections, and end handshakes. Open connections continue."""
        if self._retry is not None:
            self._retry.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for handshake in self._open:
            handshake.evict()

    # -- accepting ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTED_IN_A_ROW_MAX):
            try:
                accepted, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                now = self._loop.time()
                self._limited.warning("cannot accept a connection: %s", error, now=now)
                self._loop.remove_reader(self._socket)
                self._retry = self._loop.call_later(RETRY_S, self._accept_again)
                return
            accepted.setblocking(False)
            address = str(peer[0])
            self._begin(Handshake(accepted, address, self._connections.principal(address)))

    def _accept_again(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket, self._accept)

    def _begin(self, handshake: Handshake) -> None:
        """Admit a connection, or close it."""
        principal = handshake.principal
        try:
            if principal and self._unfinished[principal] >= HANDSHAKES_PER_ADDRESS_MAX:
                raise Refused(f"{HANDSHAKES_PER_ADDRESS_MAX} handshakes of it have not ended")
            if self._rate.take(principal, now=self._loop.time()) != 0:
                raise Refused("too many TLS handshakes a second")
            evicted = self._connections.table.admit(handshake, principal)
        except Refused as error:
            handshake.close()
            self._connections.log.connection_refused(handshake.address, error)
            return
        if evicted is not None:
            self._connections.evict(evicted)
        self._unfinished[principal] += 1
        self._open.add(handshake)
        handshake.task = self._loop.create_task(self._serve(handshake), name="TLS handshake")
        handshake.task.add_done_callback(lambda _: self._ended(handshake))

    def _ended(self, handshake: Handshake) -> None:
        handshake.close()
        self._connections.table.remove(handshake)
        self._open.discard(handshake)
        self._unfinished[handshake.principal] -= 1
        if not self._unfinished[handshake.principal]:
            del self._unfinished[handshake.principal]

    # -- handshakes --------------------------------------------------------------------------------

    async def _serve(self, handshake: Handshake) -> None:
        """Complete the handshake, and give the connection to HTTP."""
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                await self._readable(handshake.socket)
                first = handshake.socket.recv(REQUEST_SIZE_MAX, socket.MSG_PEEK)
                if not first:
                    return
                if is_plain_http(first):
                    self._answer_plain_http(handshake.socket)
                    return
                await self._loop.connect_accepted_socket(
                    lambda: self._connections.make(handshake),
                    handshake.take_socket(),
                    ssl=self._tls.context,
                    ssl_handshake_timeout=HANDSHAKE_LIMIT_S,
                    ssl_shutdown_timeout=SHUTDOWN_LIMIT_S,
                )
        except TimeoutError:
            self._connections.log.connection_timed_out(
                handshake.address, "no TLS handshake", HANDSHAKE_LIMIT_S
            )
        except OSError as error:  # ssl.SSLError is one
            if isinstance(error, ssl.SSLError) and error.reason:
                reason = f"TLS handshake: {error.reason.lower().replace('_', ' ')}"
            else:
                reason = f"TLS handshake: {reason_of(error) or 'it closed the connection'}"
            self._connections.log.connection_refused(handshake.address, reason)

    async def _readable(self, accepted: socket.socket) -> None:
        readable = asyncio.Event()
        self._loop.add_reader(accepted, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(accepted)

    def _answer_plain_http(self, accepted: socket.socket) -> None:
        # The request is taken from the socket: a close with unread bytes would reset the
        # connection before the client reads the answer.
        request = accepted.recv(REQUEST_SIZE_MAX)
        accepted.send(answer_to_plain_http(request))
        with contextlib.suppress(OSError):  # the peer has disconnected already
            accepted.shutdown(socket.SHUT_WR)
