# SPDX-License-Identifier: BSD-3-Clause
"""Loop of workers whose CoAP nodes post as fast as the gateway answers, or at a fixed rate."""

import abc
import select
import socket
import time
from collections.abc import Iterable
from typing import Any, Final

from benchmarks.processes import HOST

LOST_AFTER_S: Final = 0.2
"""After this time without a response, the posts in flight count as lost and are replaced."""


class PostingNodes(abc.ABC):
    """Nodes, each with its own socket, of which `_send` picks one after another."""

    def __init__(self, addresses: Iterable[tuple[str, int]], port: int) -> None:
        """`addresses`: those of the nodes; `port`: that of the gateway."""
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for address in addresses:
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.bind(address)
            opened.connect((HOST, port))
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened, select.EPOLLIN)
        self.accepted = self.refused = 0
        """Answers to posts."""

    @abc.abstractmethod
    def _send(self) -> None:
        """Send the next post."""

    @abc.abstractmethod
    def _receive(self, number: int) -> None:
        """Read one datagram of the socket with this descriptor, and count it."""

    def post(self, *, seconds: float, in_flight: int = 0, rate: float = 0.0) -> dict[str, Any]:
        """Post with `in_flight` unanswered posts, or at `rate` posts per second."""
        self.accepted = self.refused = 0
        sent = lost = 0
        began = last_at = time.monotonic()
        own_began = time.process_time()
        end = began + seconds
        for _ in range(in_flight):
            self._send()
            sent += 1
        while (now := time.monotonic()) < end:
            wait_s = min(LOST_AFTER_S, end - now)
            if rate:
                while sent < (now - began) * rate:
                    self._send()
                    sent += 1
                wait_s = 0.001
            before = self.accepted + self.refused
            for number, _ in self._poll.poll(wait_s):
                self._receive(number)
            answered = self.accepted + self.refused - before
            if answered:
                last_at = now
            elif in_flight and now - last_at > LOST_AFTER_S:
                lost += in_flight
                answered = in_flight
                last_at = now
            if not rate:
                for _ in range(answered):
                    self._send()
                sent += answered
        return {
            "sent": sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "lost": lost,
            "seconds": time.monotonic() - began,
            "own_cpu_s": time.process_time() - own_began,
        }
