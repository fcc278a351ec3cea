# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes that post as fast as they are answered, or at a pace.

It must cost far less than the gateway: datagrams are put together from ready pieces, an answer is
known by its code, and each node is one UDP port of loopback without resources.
"""

import contextlib
import json
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

from benchmarks.coap import ACK, CHANGED, CONTENT, encode, post
from benchmarks.processes import HOST, answer

ANNOUNCE_LIMIT_S: Final = 30.0
LOST_AFTER_S: Final = 0.2
"""In-flight posts of which none is answered for so long are lost, and others sent."""
VALUES: Final = 100


def message_ids() -> Iterator[bytes]:
    """Message ID and token, each pair once in 65,536."""
    return cycle([number.to_bytes(2, "big") * 2 for number in range(1 << 16)])


class Nodes:
    """All of them."""

    def __init__(self, spec: dict[str, Any]) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._in_turn: list[socket.socket] = []
        for _ in range(spec["nodes"]):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.connect((HOST, spec["port"]))
            self._sockets[opened.fileno()] = opened
            self._in_turn.append(opened)
            self._poll.register(opened, select.EPOLLIN)
        self._ids = message_ids()
        self._next = cycle(self._in_turn)
        head, _, rest = post("server", "temperature:", 0).partition(bytes(4))
        self._head = head
        self._values = cycle([rest + f"{20 + n / 10:.1f}°C".encode() for n in range(VALUES)])
        self.accepted = self.refused = 0
        self._announce()

    def _announce(self) -> None:
        """Say that each is alive until it was answered and asked for its resources."""
        waiting = {number: f"BENCH{number:010}" for number in self._sockets}
        limit = time.monotonic() + ANNOUNCE_LIMIT_S
        while waiting:
            if time.monotonic() > limit:
                raise TimeoutError(f"{len(waiting)} nodes were not taken")
            for number, uid in list(waiting.items()):
                with contextlib.suppress(ConnectionError):
                    self._sockets[number].send(post("alive", f"alive:{uid}", number))
                self._answer_all(waiting, 0.0005)
            self._answer_all(waiting, 0.2)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            self._answer_all(waiting, end - time.monotonic())

    def _answer_all(self, waiting: dict[int, str], wait_s: float) -> None:
        for number, _ in self._poll.poll(max(0.0, wait_s)):
            try:
                datagram = self._sockets[number].recv(2048)
            except ConnectionError:
                continue
            if datagram[1] == CHANGED:
                waiting.pop(number, None)
            else:
                self._answer_request(self._sockets[number], datagram)

    def _answer_request(self, at: socket.socket, datagram: bytes) -> None:
        """It has no resources, and says so."""
        if 0 < datagram[1] < 32:
            token = datagram[4 : 4 + (datagram[0] & 15)]
            message_id = int.from_bytes(datagram[2:4], "big")
            at.send(encode(ACK, CONTENT, message_id, token, b"", b""))

    def _send(self) -> None:
        next(self._next).send(self._head + next(self._ids) + next(self._values))

    def run(self, *, seconds: float, in_flight: int = 0, rate: float = 0.0) -> dict[str, Any]:
        """Post with so many unanswered at a time, or so many a second."""
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
            events = self._poll.poll(wait_s)
            before = self.accepted + self.refused
            for number, _ in events:
                self._hear(self._sockets[number])
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
        seconds = time.monotonic() - began
        return {
            "sent": sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "lost": lost,
            "seconds": seconds,
            "own_cpu_s": time.process_time() - own_began,
        }

    def _hear(self, at: socket.socket) -> None:
        datagram = at.recv(2048)
        code = datagram[1]
        if code == CHANGED:
            self.accepted += 1
        elif code >= 64:
            self.refused += 1
        else:
            self._answer_request(at, datagram)


def main() -> None:
    try:
        nodes = Nodes(json.loads(sys.argv[1]))
        answer(announced=True)
        for line in sys.stdin:
            command = json.loads(line)
            del command["do"]
            answer(**nodes.run(**command))
    except Exception as error:  # noqa: BLE001 - the parent is told, whatever it is
        answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
