# SPDX-License-Identifier: BSD-3-Clause
"""Recognises messages that an MQTT broker delivers again although they were acknowledged. Pure.

The machines of a cluster elect who stores the acknowledgements of a session. One that arrives
during an election is lost, and nats-server delivers the message again, with another packet id and
the flag DUP, when the time for its acknowledgement is over. `now` is the loop's time in seconds.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

EARLY_S: Final = 1.0
"""How much earlier than expected a message may be delivered again. Earlier ones, also with the same
content, are further readings."""
LATE_S: Final = 2.5
"""How much later it may be delivered again, if an election takes long. Later ones are further
readings."""
RECENT_MAX: Final = 32_768
"""Messages of one session that are remembered, as eight bytes each. The oldest are forgotten."""


class RecentMessages:
    """What was processed and acknowledged within the last seconds."""

    def __init__(self, again_after_s: float) -> None:
        """`again_after_s`: when the broker delivers again what was not acknowledged."""
        self._least_s = again_after_s - EARLY_S
        self._most_s = again_after_s + LATE_S
        self._reads: deque[tuple[float, array[int]]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, messages: Sequence[tuple[str, bytes]], now: float) -> None:
        """These messages, each a topic and a payload, were processed together."""
        self._reads.append((now, array("q", map(hash, messages))))
        self._count += len(messages)
        while self._reads and (self._count > RECENT_MAX or now - self._reads[0][0] > self._most_s):
            self._count -= len(self._reads.popleft()[1])

    def take(self, topic: str, payload: bytes, now: float) -> bool:
        """Whether a message that is delivered again was processed. Each counts once: of two
        messages with the same content, the second one may be another."""
        wanted = hash((topic, payload))
        for at, read in self._reads:
            age_s = now - at
            if age_s < self._least_s:
                break
            if age_s <= self._most_s and wanted in read:
                read.remove(wanted)
                self._count -= 1
                return True
        return False
