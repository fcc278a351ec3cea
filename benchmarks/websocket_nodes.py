# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many WebSocket nodes in one process with prepared updates."""

import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import answer
from benchmarks.wire import connect, frame

if TYPE_CHECKING:
    import socket

ROUNDS: Final = 20
"""Different values of each node. Then they repeat."""
TOGETHER: Final = 4
"""Updates of one node per write: one TCP segment, as in a busy network."""


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
        self._writes = [
            b"".join(updates[(turn + more) % ROUNDS] for more in range(TOGETHER))
            for turn in range(ROUNDS)
        ]

    def send(self, seconds: float, rate: float) -> dict[str, Any]:
        """Send in turn from all nodes, `rate` updates per second in total."""
        sent = 0
        began = time.monotonic()
        end = began + seconds
        for turn in itertools.cycle(self._writes):
            for connection in self._sockets:
                now = time.monotonic()
                if now >= end:
                    return {"sent": sent, "seconds": now - began}
                if (ahead := began + sent / rate - now) > 0:
                    time.sleep(ahead)
                connection.sendall(turn)
                sent += TOGETHER
        raise AssertionError("a cycle has no end")


def main() -> None:
    try:
        nodes = Nodes(json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(connected=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer(**nodes.send(command["seconds"], command["rate"]))


if __name__ == "__main__":
    main()
