# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes in one process with observed resources (RFC 7641) that notify at a fixed rate.

Registrations are parsed; notifications are assembled from prepared pieces.
"""

import contextlib
import select
import socket
import time
from itertools import cycle
from typing import Any, Final

from benchmarks.coap import NODE_PORT, NON, post
from benchmarks.processes import HOST, run_worker
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber

ANNOUNCE_LIMIT_S: Final = 30.0
VALUES: Final = 100


class Nodes:
    """All nodes, each with its own address."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._gateway = (HOST, spec["port"])
        self._resources = [f"t{number}" for number in range(spec["resources"])]
        self._links = ",".join(f"</{name}>;obs" for name in self._resources).encode()
        self._tokens: dict[tuple[int, str], bytes] = {}
        for number in range(spec["nodes"]):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((f"127.83.{number // 250}.{number % 250 + 1}", NODE_PORT))
            opened.connect(self._gateway)
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened, select.EPOLLIN)
        self._values = cycle([f"{20 + n / 10:.1f}°C".encode() for n in range(VALUES)])
        self._message_id = 0
        self._sequence = 2
        self.registered = 0
        self._announce()

    def _announce(self) -> None:
        wanted = len(self._sockets) * len(self._resources)
        limit = time.monotonic() + ANNOUNCE_LIMIT_S
        for number, opened in self._sockets.items():
            opened.send(post("alive", f"alive:OBS{number:08}", number))
            self._receive(0.0005)
        while len(self._tokens) < wanted:
            if time.monotonic() > limit:
                raise TimeoutError(f"{len(self._tokens)} of {wanted} resources are observed")
            self._receive(0.1)

    def _receive(self, wait_s: float) -> None:
        for number, _ in self._poll.poll(wait_s):
            with contextlib.suppress(ConnectionError):
                datagram = self._sockets[number].recv(2048)
                if 0 < datagram[1] < 32:
                    self._answer(number, CoapMessage.from_bytes(datagram))

    def _answer(self, number: int, request: CoapMessage) -> None:
        path = "/".join(request.uri_path)
        options = build_options((OptionNumber.CONTENT_FORMAT, ContentFormat.LINK_FORMAT))
        payload = self._links
        if path in self._resources:
            self.registered += 1
            self._tokens[number, path] = request.token
            options, payload = build_options((OptionNumber.OBSERVE, 1)), next(self._values)
        answered = CoapMessage(
            MessageType.ACK, Code.CONTENT, request.message_id, request.token, options, payload
        )
        self._sockets[number].send(answered.to_bytes())

    def run(self, *, seconds: float) -> dict[str, Any]:
        """Each resource notifies once per second, evenly spread."""
        ready = [
            (self._sockets[number], token, f"{number}{path}")
            for (number, path), token in self._tokens.items()
        ]
        rate = len(ready)
        head = bytes((0x40 | NON << 4 | 8, Code.CONTENT))
        sent = 0
        self.registered = 0
        began = time.monotonic()
        own_began = time.process_time()
        for opened, token, _ in cycle(ready):
            now = time.monotonic()
            if now - began >= seconds:
                break
            ahead = began + sent / rate - now
            if ahead > 0.002:
                self._receive(ahead)
            if sent % rate == 0:
                self._sequence += 1
            self._message_id = self._message_id + 1 & 0xFFFF
            observe = b"\x63" + self._sequence.to_bytes(3, "big") + b"\x60\xff"
            opened.send(
                head + self._message_id.to_bytes(2, "big") + token + observe + next(self._values)
            )
            sent += 1
        return {
            "sent": sent,
            "seconds": time.monotonic() - began,
            "registered": self.registered,
            "own_cpu_s": time.process_time() - own_began,
        }


if __name__ == "__main__":
    run_worker(Nodes, "run")
