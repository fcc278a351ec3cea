# SPDX-License-Identifier: BSD-3-Clause
"""The loop of the workers whose nodes write prepared bytes to their connections at a fixed rate."""

import itertools
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

ROUNDS: Final = 20
"""Different values of each node. Then they repeat."""
TOGETHER: Final = 4
"""Messages of one node per write: one TCP segment, as in a busy network."""


def write_in_turn(
    sockets: Sequence[socket.socket],
    turns: Sequence[Iterable[bytes]],
    *,
    seconds: float,
    rate: float,
) -> dict[str, Any]:
    """Write in turn to all sockets, `rate` messages per second in total.

    `turns`: for each turn the bytes for each socket, which are `TOGETHER` messages.
    """
    sent = 0
    began = time.monotonic()
    end = began + seconds
    for turn in itertools.cycle(turns):
        for connection, write in zip(sockets, turn, strict=True):
            now = time.monotonic()
            if now >= end:
                return {"sent": sent, "seconds": now - began}
            if (ahead := began + sent / rate - now) > 0:
                time.sleep(ahead)
            connection.sendall(write)
            sent += TOGETHER
    raise AssertionError("a cycle has no end")
