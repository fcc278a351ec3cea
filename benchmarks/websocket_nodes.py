# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many WebSocket nodes in one process with prepared updates."""

from typing import TYPE_CHECKING, Any

from benchmarks.paced_writes import ROUNDS, TOGETHER, PacedWrites
from benchmarks.processes import run_worker
from benchmarks.wire import connect, frame

if TYPE_CHECKING:
    import socket


class Nodes:
    """All nodes. Each sends one value per frame (legacy protocol, section 6)."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._sockets: list[socket.socket] = []
        for number in range(spec["nodes"]):
            connection, _ = connect(spec["port"], f"/node?uid=ws-{number:05}")
            self._sockets.append(connection)
        updates = [
            frame(f'{{"type":"update","data":{{"temperature":"{20 + turn}.5°C"}}}}'.encode())
            for turn in range(ROUNDS)
        ]
        turns = [
            [b"".join(updates[(turn + more) % ROUNDS] for more in range(TOGETHER))]
            * len(self._sockets)
            for turn in range(ROUNDS)
        ]
        self._writes = PacedWrites(self._sockets, turns)

    def send(self, seconds: float, rate: float) -> dict[str, Any]:
        """Send in turn from all nodes, `rate` updates per second in total."""
        return self._writes.write(seconds=seconds, rate=rate)


if __name__ == "__main__":
    run_worker(Nodes, "send")
