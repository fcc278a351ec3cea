# SPDX-License-Identifier: BSD-3-Clause
"""The progress of the recorder, for brokers that answer from a shared history. Pure."""

from collections import deque
from typing import Final

LATENESS_KEPT_S: Final = 3600.0
"""How long the age of a late reading is remembered."""
MARKS_MAX: Final = 64
"""Largest number of marks that wait for the recorder. Beyond it none is added, and the progress is
known later."""
_MINUTE_S: Final = 60.0


class ReadingAges:
    """The largest age of readings when they were written, during the last hour."""

    def __init__(self) -> None:
        self._minutes: tuple[tuple[float, float], ...] = ()
        """Start of a minute, and the largest age in it. Replaced as a whole, for readers in other
        threads."""

    def note(self, age_s: float, now: float) -> None:
        """Record that a reading of this age is written. `now`: a steady clock, in seconds."""
        minutes = self._minutes
        if not minutes or now - minutes[-1][0] >= _MINUTE_S:
            kept = tuple(it for it in minutes if now - it[0] < LATENESS_KEPT_S + _MINUTE_S)
            self._minutes = (*kept, (now, age_s))
        elif age_s > minutes[-1][1]:
            self._minutes = (*minutes[:-1], (minutes[-1][0], age_s))

    @property
    def largest_s(self) -> float:
        return max((age_s for _, age_s in self._minutes), default=0.0)


class RecordedMarks:
    """The time until which everything is recorded, from the number of recorded messages."""

    def __init__(self) -> None:
        self.until = 0.0
        """Messages published before this time are recorded or lost; 0 if unknown."""
        self._marks: deque[tuple[int, float]] = deque()

    def note(self, published: int, recorded: int, now: float) -> float:
        """Report the numbers of messages that were published, and that were recorded or lost, at
        `now`. Returns `until`."""
        if len(self._marks) < MARKS_MAX:
            self._marks.append((published, now))
        while self._marks and self._marks[0][0] <= recorded:
            self.until = self._marks.popleft()[1]
        return self.until
