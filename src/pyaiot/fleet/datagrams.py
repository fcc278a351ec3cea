# SPDX-License-Identifier: BSD-3-Clause
"""Moves the datagrams of many virtual nodes, each with a socket of its own."""

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable
from typing import Final, Protocol

from pyaiot.devices.addresses import Address
from pyaiot.errors import OperatorError, reason_of

AT_ONCE_MAX: Final = 64
"""Datagrams read from one socket before the next has its turn."""
_DATAGRAM_BYTES_MAX: Final = 65535


class DatagramNode(Protocol):
    """What is moved here. Pure."""

    @property
    def next_wake(self) -> float: ...
    def boot(self, *, now: float) -> None: ...
    def receive_datagram(self, data: bytes, *, now: float) -> None: ...
    def datagrams_to_send(self, *, now: float) -> list[bytes]: ...


class Datagrams:
    """One selector for all sockets: a loop that stops watching after an ICMP error sees none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[DatagramNode, socket.socket] = {}
        self._loop = asyncio.get_running_loop()
        self._fileno = self._selector.fileno()
        self._loop.add_reader(self._fileno, self._readable)

    def add(self, node: DatagramNode, gateway: Address) -> None:
        """Open its socket and boot it. Raises `OSError`."""
        sock = socket.socket(gateway.family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(gateway.sockaddr)
            self._selector.register(sock, selectors.EVENT_READ, node)
        except BaseException:
            sock.close()
            raise
        self._sockets[node] = sock
        now = self._clock()
        node.boot(now=now)
        self.flush(node, now)

    def add_node(self, node: DatagramNode, gateway: Address) -> None:
        """The same for a node of a fleet. Raises `OperatorError`."""
        try:
            self.add(node, gateway)
        except OSError as error:
            raise OperatorError(
                f"No socket is available for a node: {reason_of(error)}."
            ) from error

    def flush_node(self, node: object, now: float) -> None:
        """Send what a node has to send, if its datagrams are moved here."""
        if node in self._sockets:
            self.flush(node, now)

    def flush(self, node: DatagramNode, now: float) -> None:
        """Send what it has to say. What the network does not take is lost, as on any network."""
        sock = self._sockets[node]
        for data in node.datagrams_to_send(now=now):
            # Also raised for an earlier datagram: nobody listens at that port at the moment.
            with contextlib.suppress(OSError):
                sock.send(data)

    def wake(self, now: float) -> None:
        """Have those speak that are due."""
        for node in self._sockets:
            if node.next_wake <= now:
                self.flush(node, now)

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
            for _ in range(AT_ONCE_MAX):
                try:
                    data = sock.recv(_DATAGRAM_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error: it says no more than silence would
                node.receive_datagram(data, now=now)
            self.flush(node, now)
