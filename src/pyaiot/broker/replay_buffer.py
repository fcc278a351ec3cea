# SPDX-License-Identifier: BSD-3-Clause
"""The latest published messages, for subscribers that reconnect. Pure."""

import math
from collections import deque
from typing import Final

from pyaiot.backlog import cost
from pyaiot.broker.deliveries import ToAll

RECENT_MAX: Final = 10_000
"""Largest number of messages in the replay buffer. Beyond it the oldest is dropped."""
RECENT_COST_MAX: Final = 8 * 1024 * 1024
"""Largest size of the replay buffer in bytes. Beyond it the oldest message is dropped."""
DELAYS_MAX: Final = 1440
"""Largest number of minutes for which the largest age of arriving messages is kept. Before that it
is unknown."""
_MINUTE_S: Final = 60.0
_CLOCK_SET_S: Final = 1_577_836_800.0
"""The Unix time of 2020. An earlier time is from a clock that was never set."""


class ReplayBuffer:
    """The latest messages, numbered in the order in which they were published."""

    def __init__(self, number: int, ts: float) -> None:
        """`number`: of the last published message. `ts`: the current Unix time."""
        self._first = number + 1
        self._messages: deque[tuple[ToAll, int]] = deque()
        self._cost = 0
        # Ids from clients have whole milliseconds.
        self._began = math.floor(ts * 1000) / 1000
        self._delays: deque[tuple[float, float]] = deque([(ts, 0.0)], maxlen=DELAYS_MAX)
        """Start of a minute, and the largest age of a message that arrived in it, in seconds."""

    def add(self, delivery: ToAll, ts: float) -> None:
        """Add the next message, published at the Unix time `ts`."""
        message = delivery.message
        message_cost = cost(message)
        self._messages.append((delivery, message_cost))
        self._cost += message_cost
        while len(self._messages) > RECENT_MAX or self._cost > RECENT_COST_MAX:
            self._cost -= self._messages.popleft()[1]
            self._first += 1
        message_ts: float = getattr(message, "ts", 0.0)
        delay = ts - message_ts if message_ts >= _CLOCK_SET_S else 0.0
        began, longest = self._delays[-1]
        if ts - began >= _MINUTE_S:
            self._delays.append((ts, delay))
        elif delay > longest:
            self._delays[-1] = began, delay

    def since(self, number: int) -> list[ToAll] | None:
        """The messages after the one with this number; None if some of them were dropped."""
        skip = number + 1 - self._first
        if not 0 <= skip <= len(self._messages):
            return None
        return [delivery for delivery, _ in list(self._messages)[skip:]]

    def delay_since(self, ts: float) -> float | None:
        """The largest age, in seconds, of a message that arrived after the Unix time `ts`.

        None if that is no longer known.
        """
        if ts < self._began or (len(self._delays) == DELAYS_MAX and ts < self._delays[0][0]):
            return None
        # Include the previous minute: it may extend beyond `ts`.
        return max(
            (delay for began, delay in self._delays if began > ts - 2 * _MINUTE_S), default=0.0
        )
