# SPDX-License-Identifier: BSD-3-Clause
"""Sockets and timers of many virtual nodes over UDP. Each node has its own socket."""

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable
from typing import Final, Protocol

from pyaiot.devices.addresses import SocketAddress
from pyaiot.errors import OperatorError, reason_of

BATCH_MAX: Final = 64
"""Datagrams read from one socket before the next socket is served."""
_DATAGRAM_BYTES_MAX: Final = 65535


class DatagramNode(Protocol):
    """The state machine of a node. Pure.

    Call `boot` first, and `handle_timer` when `get_timer` is due. After each call, send what
    `datagrams_to_send` returns. `now` is in seconds, on any monotonic clock.
    """

    def boot(self, *, now: float) -> None: ...
    def receive_datagram(self, data: bytes, *, now: float) -> None: ...
    def datagrams_to_send(self) -> list[bytes]: ...
    def get_timer(self) -> float | None: ...
    def handle_timer(self, *, now: float) -> None: ...


class Datagrams:
    """Has its own selector, because an event loop may stop reading a socket after an ICMP error."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[DatagramNode, socket.socket] = {}
        self._loop = asyncio.get_running_loop()
        self._fileno = self._selector.fileno()
        self._loop.add_reader(self._fileno, self._readable)

    def add(self, node: DatagramNode, gateway: SocketAddress) -> None:
        """Open the socket of a node and boot it. Raises `OSError`."""
        sock = socket.socket(gateway.family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(gateway.sockaddr)
            self._selector.register(sock, selectors.EVENT_READ, node)
        except BaseException:
            sock.close()
            raise
        self._sockets[node] = sock
        node.boot(now=self._clock())
        self.flush(node)

    def add_node(self, node: DatagramNode, gateway: SocketAddress) -> None:
        """Like `add`, but raises `OperatorError`."""
        try:
            self.add(node, gateway)
        except OSError as error:
            raise OperatorError(f"Cannot open a socket for a node: {reason_of(error)}.") from error

    def flush_node(self, node: object) -> None:
        """Send the datagrams of a node, if it has a socket here."""
        if node in self._sockets:
            self.flush(node)

    def flush(self, node: DatagramNode) -> None:
        """Send the datagrams of a node. Those that the socket refuses are lost."""
        sock = self._sockets[node]
        for data in node.datagrams_to_send():
            # May also report an ICMP error of an earlier datagram: the port is closed.
            with contextlib.suppress(OSError):
                sock.send(data)

    def handle_timers(self, now: float) -> None:
        """Serve the nodes whose timer is due."""
        for node in self._sockets:
            timer = node.get_timer()
            if timer is not None and timer <= now:
                node.handle_timer(now=now)
                self.flush(node)

    def close(self) -> None:
        self._loop.remove_reader(self._fileno)
        for sock in self._sockets.values():
            sock.close()
        self._selector.close()

    def _readable(self) -> None:
        now = self._clock()
        for key, _ in self._selector.select(0):
            sock: socket.socket = key.fileobj  # type: ignore[assignment]
            node: DatagramNode = key.data
            for _ in range(BATCH_MAX):
                try:
                    data = sock.recv(_DATAGRAM_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error: handled like a missing answer
                node.receive_datagram(data, now=now)
            self.flush(node)
