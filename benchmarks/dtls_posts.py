# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes with DTLS sessions, which post as fast as they are answered."""

import time
from itertools import cycle
from typing import Any, Final

from benchmarks.coap import CHANGED, post
from benchmarks.posting import PostingNodes
from benchmarks.processes import run_worker
from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.psk_context import PskContext

KEY: Final = b"0123456789abcdef"
OPEN_LIMIT_S: Final = 60.0
HANDSHAKES_IN_FLIGHT: Final = 16


def uid_of(number: int) -> str:
    return f"DTLS{number:06}"


class SecuredNodes(PostingNodes):
    """All nodes. Each has its own address."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(
            ((f"127.85.{number // 250}.{number % 250 + 1}", 0) for number in range(spec["nodes"])),
            spec["port"],
        )
        self._contexts = {
            opened: PskContext.for_client(uid_of(number), KEY)
            for number, opened in enumerate(self._sockets)
        }
        self._sessions: dict[int, DtlsConnection] = {}
        self._next = cycle(self._sockets)
        self._message_id = 0

    def open(self) -> dict[str, Any]:
        """Open a new session for each node."""
        waiting = list(self._sockets)
        opening: set[int] = set()
        self._sessions.clear()
        end = time.monotonic() + OPEN_LIMIT_S
        while waiting or opening:
            now = time.monotonic()
            if now > end:
                raise TimeoutError(f"{len(waiting) + len(opening)} nodes have no session")
            while waiting and len(opening) < HANDSHAKES_IN_FLIGHT:
                number = waiting.pop()
                self._sessions[number] = DtlsConnection.connect(self._contexts[number], now=now)
                self._transmit(number)
                opening.add(number)
            for number, _ in self._poll.poll(0.1):
                self._receive(number)
            for number in list(opening):
                session = self._sessions[number]
                session.handle_timer(now=now)
                self._transmit(number)
                if session.is_established:
                    opening.discard(number)
                elif session.failure is not None:
                    opening.discard(number)
                    waiting.append(number)
        return {}

    def _transmit(self, number: int) -> None:
        for datagram in self._sessions[number].datagrams_to_send():
            self._sockets[number].send(datagram)

    def _receive(self, number: int) -> None:
        try:
            datagram = self._sockets[number].recv(2048)
        except ConnectionError:
            return
        for plaintext in self._sessions[number].receive_datagram(datagram):
            if plaintext[1] == CHANGED:
                self.accepted += 1
            elif plaintext[1] >= 64:
                self.refused += 1
        self._transmit(number)

    def _send(self) -> None:
        number = next(self._next)
        self._message_id = self._message_id + 1 & 0xFFFF
        text = f"temperature:{20 + self._message_id % 100 / 10:.1f}°C"
        datagram = self._sessions[number].encrypt(post("server", text, self._message_id))
        self._sockets[number].send(datagram)


if __name__ == "__main__":
    run_worker(SecuredNodes, "open", "post")
