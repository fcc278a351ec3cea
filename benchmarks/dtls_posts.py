# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes with DTLS sessions, which post as fast as they are answered."""

import json
import select
import socket
import sys
import time
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from benchmarks.coap import CHANGED, post
from benchmarks.processes import HOST, answer
from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.psk_context import PskContext

if TYPE_CHECKING:
    from collections.abc import Callable

KEY: Final = b"0123456789abcdef"
OPEN_LIMIT_S: Final = 60.0
LOST_AFTER_S: Final = 0.2
"""Without an answer for this long, the posts in flight are lost and replaced."""
HANDSHAKES_IN_FLIGHT: Final = 16


def uid_of(number: int) -> str:
    return f"DTLS{number:06}"


class SecuredNodes:
    """All nodes. Each has its own address."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._contexts: dict[int, PskContext] = {}
        self._sessions: dict[int, DtlsConnection] = {}
        for number in range(spec["nodes"]):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.bind((f"127.85.{number // 250}.{number % 250 + 1}", 0))
            opened.connect((HOST, spec["port"]))
            self._sockets[opened.fileno()] = opened
            self._contexts[opened.fileno()] = PskContext.for_client(uid_of(number), KEY)
            self._poll.register(opened, select.EPOLLIN)
        self._next = cycle(self._sockets)
        self._message_id = 0
        self.accepted = self.refused = 0

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

    def post(self, *, seconds: float, in_flight: int) -> dict[str, Any]:
        """Post with `in_flight` unanswered posts."""
        self.accepted = self.refused = 0
        sent = 0
        began = last_at = time.monotonic()
        own_began = time.process_time()
        end = began + seconds
        for _ in range(in_flight):
            self._send()
            sent += 1
        while (now := time.monotonic()) < end:
            before = self.accepted + self.refused
            for number, _ in self._poll.poll(min(LOST_AFTER_S, end - now)):
                self._receive(number)
            answered = self.accepted + self.refused - before
            if answered:
                last_at = now
            elif now - last_at > LOST_AFTER_S:
                answered = in_flight
                last_at = now
            for _ in range(answered):
                self._send()
            sent += answered
        return {
            "sent": sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "seconds": time.monotonic() - began,
            "own_cpu_s": time.process_time() - own_began,
        }


def main() -> None:
    try:
        nodes = SecuredNodes(json.loads(sys.argv[1]))
        actions: dict[str, Callable[..., dict[str, Any]]] = {
            "open": nodes.open,
            "post": nodes.post,
        }
        answer(opened=True)
        for line in sys.stdin:
            command = json.loads(line)
            answer(**actions[command.pop("do")](**command))
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent
        answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
