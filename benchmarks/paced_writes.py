# SPDX-License-Identifier: BSD-3-Clause
"""Prepared bytes of many nodes, written at a fixed rate."""

import itertools
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

ROUNDS: Final = 20
"""Number of different values of each node. After the last one they repeat."""
TOGETHER: Final = 4
"""Messages of one node per write: one TCP segment, as in a busy network."""


class PacedWrites:
    """Writes to sockets in turn. Each call continues where the previous one ended."""

    def __init__(self, sockets: Sequence[socket.socket], turns: Sequence[Sequence[bytes]]) -> None:
        """`turns`: for each turn the bytes for each socket, which are `TOGETHER` messages."""
        self._writes = (
            each for turn in itertools.cycle(turns) for each in zip(sockets, turn, strict=True)
        )

    def write(self, *, seconds: float, rate: float) -> dict[str, Any]:
        """Write `rate` messages per second in total."""
        sent = 0
        began = time.monotonic()
        end = began + seconds
        while True:
            now = time.monotonic()
            if now >= end:
                return {"sent": sent, "seconds": now - began}
            if (ahead := began + sent / rate - now) > 0:
                time.sleep(ahead)
            connection, data = next(self._writes)
            connection.sendall(data)
            sent += TOGETHER
