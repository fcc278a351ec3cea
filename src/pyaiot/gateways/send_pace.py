# SPDX-License-Identifier: BSD-3-Clause
"""Decides when a gateway sends the events that it has gathered. Pure; `now` in seconds."""

from typing import Final

from pyaiot.links import GATHER_S

SENDS_AT_ONCE: Final = 10.0
"""Largest number of sends in direct succession after a quiet time. Beyond it, events are gathered
for up to `GATHER_S`."""


class SendPace:
    """Sustained rate: one send in `GATHER_S`. A quiet gateway sends at once; a busy one sends
    events together."""

    __slots__ = ("_at", "_credit")

    def __init__(self) -> None:
        self._credit = SENDS_AT_ONCE
        self._at = 0.0

    def delay_s(self, now: float) -> float:
        """How many seconds to gather events that are reported now."""
        self._earn(now)
        return max(0.0, 1.0 - self._credit) * GATHER_S

    def sent(self, now: float) -> None:
        """Record that events were sent."""
        self._earn(now)
        self._credit = max(0.0, self._credit - 1.0)

    def _earn(self, now: float) -> None:
        self._credit = min(SENDS_AT_ONCE, self._credit + (now - self._at) / GATHER_S)
        self._at = now
