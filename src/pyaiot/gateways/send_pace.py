# SPDX-License-Identifier: BSD-3-Clause
"""When a gateway sends the events that it has gathered. Pure; `now` in seconds."""

from typing import Final

from pyaiot.links import GATHER_S

SENDS_AT_ONCE: Final = 10.0
"""Sends that may follow each other at once after a quiet time. Beyond that, events are gathered for
up to `GATHER_S`."""


class SendPace:
    """One send in `GATHER_S`, sustained. A quiet gateway sends at once, a busy one together."""

    __slots__ = ("_at", "_credit")

    def __init__(self) -> None:
        self._credit = SENDS_AT_ONCE
        self._at = 0.0

    def delay_s(self, now: float) -> float:
        """For how many seconds to gather events that were reported now."""
        self._earn(now)
        return max(0.0, 1.0 - self._credit) * GATHER_S

    def sent(self, now: float) -> None:
        """Events were sent."""
        self._earn(now)
        self._credit = max(0.0, self._credit - 1.0)

    def _earn(self, now: float) -> None:
        self._credit = min(SENDS_AT_ONCE, self._credit + (now - self._at) / GATHER_S)
        self._at = now
