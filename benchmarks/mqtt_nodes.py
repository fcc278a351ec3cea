# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many MQTT nodes in one process with prepared publications.

It uses neither `pyaiot` nor an MQTT library: load must be cheap.
"""

import socket
import time
from typing import Any, Final

from benchmarks.foreign_messages import DIALECTS
from benchmarks.paced_writes import ROUNDS, TOGETHER, PacedWrites
from benchmarks.processes import HOST, BenchmarkError, run_worker

CONNECTS_TOGETHER: Final = 100
"""Number of connections that are opened before the first answer is read."""
LIMIT_S: Final = 20.0
DESCRIBED_S: Final = 0.5
"""Pause between descriptions and values, because one node may describe the others."""

_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x82
_CONNACK: Final = b"\x20\x02\x00\x00"
_SUBACK: Final = b"\x90\x03\x00\x01\x00"


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def packet(kind: int, *parts: bytes) -> bytes:
    """MQTT 3.1.1 section 2.2, for packets of less than 2 MB."""
    body = b"".join(parts)
    size, length = b"", len(body)
    while True:
        length, low = divmod(length, 128)
        size += bytes([low | 0x80 if length else low])
        if not length:
            return bytes([kind]) + size + body


def publication(topic: str, payload: str | bytes, *, qos: int = 0, retain: bool = False) -> bytes:
    """With QoS 1, all have the same packet identifier, because acknowledgements are ignored."""
    identifier = b"\x00\x07" if qos else b""
    content = payload.encode() if isinstance(payload, str) else payload
    return packet(_PUBLISH | qos << 1 | retain, text(topic), identifier, content)


def connect(uid: str) -> bytes:
    """MQTT 3.1.1 section 3.1: a clean session without keep-alive."""
    return packet(_CONNECT, text("MQTT"), b"\x04\x02\x00\x00", text(uid))


def accepts_nodes(connection: socket.socket) -> bool:
    """Whether the MQTT broker accepts a node."""
    connection.sendall(connect("early"))
    return connection.recv(16).startswith(_CONNACK)


class Nodes:
    """All nodes. Each has a connection and one resource (legacy protocol, section 4).

    `dialect`: the nodes are devices of this dialect instead. `ports`: the ports of several
    machines, to which the nodes connect in turn.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._dialect = spec.get("dialect", "own")
        self._client_id = self._dialect.replace(" ", "-")
        self._messages = DIALECTS[self._dialect]
        self._count = spec["nodes"]
        numbers = range(self._count)
        self._sockets: list[socket.socket] = []
        for first in range(0, self._count, CONNECTS_TOGETHER):
            self._connect(
                spec.get("ports") or [spec["port"]], numbers[first : first + CONNECTS_TOGETHER]
            )
        time.sleep(DESCRIBED_S)
        for number, connection in enumerate(self._sockets):
            connection.sendall(publication(*self._messages.value(number, 0)))
        turns = [
            [
                b"".join(
                    publication(
                        *self._messages.value(number, turn * TOGETHER + more),
                        qos=spec.get("qos", 0),
                    )
                    for more in range(TOGETHER)
                )
                for number in numbers
            ]
            for turn in range(ROUNDS)
        ]
        self._writes = PacedWrites(self._sockets, turns)

    def _connect(self, ports: list[int], numbers: range) -> None:
        opened = []
        for number in numbers:
            uid = f"n{number:05}" if self._dialect == "own" else f"{self._client_id}{number}"
            connection = socket.create_connection(
                (HOST, ports[number % len(ports)]), timeout=LIMIT_S
            )
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            subscription = text(f"gateway/{uid}/#") + b"\x00"
            connection.sendall(connect(uid) + packet(_SUBSCRIBE, b"\x00\x01", subscription))
            opened.append((connection, number))
        for connection, number in opened:
            answered = b""
            while len(answered) < len(_CONNACK + _SUBACK):
                piece = connection.recv(4096)
                if not piece:
                    raise BenchmarkError("the MQTT broker closed a connection")
                answered += piece
            if answered != _CONNACK + _SUBACK:
                raise BenchmarkError(f"the MQTT broker answered {answered!r}")
            first = self._messages.first(number, self._count)
            connection.sendall(b"".join(publication(*it) for it in first))
            self._sockets.append(connection)

    def send(self, seconds: float, rate: float) -> dict[str, Any]:
        """Send in turn from all nodes, `rate` publications per second in total."""
        return self._writes.write(seconds=seconds, rate=rate)


if __name__ == "__main__":
    run_worker(Nodes, "send")
