# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes that post as fast as they are answered, or at a fixed rate.

They must cost far less than the gateway: datagrams are assembled from prepared pieces, and answers
are recognised by their code.
"""

import contextlib
import resource
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

from benchmarks.coap import ACK, CHANGED, CON, CONTENT, POST, encode, post, uri_path
from benchmarks.posting import PostingNodes
from benchmarks.processes import run_worker

ANNOUNCE_LIMIT_S: Final = 30.0
VALUES: Final = 100
COAP_PORT: Final = 5683


def message_ids() -> Iterator[bytes]:
    """Message ID and token. A pair repeats after 65,536."""
    return cycle([number.to_bytes(2, "big") * 2 for number in range(1 << 16)])


class Nodes(PostingNodes):
    """All nodes. Each has its own address and answers at its CoAP port."""

    def __init__(self, spec: dict[str, Any]) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        super().__init__(
            (
                (f"127.{84 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}", COAP_PORT)
                for number in range(spec["nodes"])
            ),
            spec["port"],
        )
        self._ids = message_ids()
        self._next = cycle(self._sockets.values())
        head, _, rest = post("server", "temperature:", 0).partition(bytes(4))
        if spec.get("confirmable"):
            head = encode(CON, POST, 0, bytes(2), b"", b"")[:2]
        self._head = head
        self._values = cycle([rest + f"{20 + n / 10:.1f}°C".encode() for n in range(VALUES)])
        self._resources = {f"temperature-{n}": f"{n}.5°C" for n in range(spec["resources"])}
        self._links = ",".join(f"</{name}>" for name in self._resources).encode()
        self._accepted_nodes: set[int] = set()
        self._requested: set[tuple[int, str]] = set()

    def announce(self, *, quiet_s: float) -> dict[str, Any]:
        """Post `alive` for each node until it is answered, and answer requests.

        Runs until every resource was requested and no request arrives for `quiet_s`.
        """
        began = time.monotonic()
        end = began + ANNOUNCE_LIMIT_S
        requests = len(self._sockets) * (1 + len(self._resources))
        self._accepted_nodes.clear()
        self._requested.clear()
        while len(self._accepted_nodes) < len(self._sockets):
            if time.monotonic() > end:
                missing = len(self._sockets) - len(self._accepted_nodes)
                raise TimeoutError(f"{missing} nodes were not accepted")
            for number, opened in self._sockets.items():
                if number not in self._accepted_nodes:
                    with contextlib.suppress(ConnectionError):  # the gateway is not ready
                        # A new message each time: a copy of a Non-confirmable one may be ignored.
                        message_id = int.from_bytes(next(self._ids)[:2], "big")
                        opened.send(post("alive", f"alive:BENCH{number:010}", message_id))
                    self._receive_all(0)
            self._receive_all(0.2)
        while time.monotonic() < end:
            if not self._receive_all(quiet_s) and len(self._requested) >= requests:
                break
        return {"began": began}

    def _receive_all(self, wait_s: float) -> int:
        events = self._poll.poll(wait_s)
        for number, _ in events:
            self._receive(number)
        return len(events)

    def _receive(self, number: int) -> None:
        at = self._sockets[number]
        try:
            datagram = at.recv(2048)
        except ConnectionError:
            return
        code = datagram[1]
        if code == CHANGED:
            self.accepted += 1
            self._accepted_nodes.add(number)
        elif code >= 64:
            self.refused += 1
        elif code:
            at.send(self._answer(number, datagram))

    def _answer(self, number: int, datagram: bytes) -> bytes:
        token = datagram[4 : 4 + (datagram[0] & 15)]
        path, _ = uri_path(datagram[4 + len(token) :])
        self._requested.add((number, path))
        value = self._resources.get(path)
        text = self._links if value is None else value.encode()
        message_id = int.from_bytes(datagram[2:4], "big")
        return encode(ACK, CONTENT, message_id, token, b"", text)

    def _send(self) -> None:
        next(self._next).send(self._head + next(self._ids) + next(self._values))


if __name__ == "__main__":
    run_worker(Nodes, "announce", "post")
