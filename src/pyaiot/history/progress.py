# SPDX-License-Identifier: BSD-3-Clause
"""How far the recorder is, for brokers that answer from a history that they share. Pure."""

from collections import deque
from typing import Final

LATENESS_KEPT_S: Final = 3600.0
"""How long the age of a late reading is remembered."""
MARKS_MAX: Final = 64
"""Marks that wait for the recorder. Beyond that, none is set: what is recorded is known later."""
_MINUTE_S: Final = 60.0


class ReadingAges:
    """The largest age of readings when they were written, of the last hour."""

    def __init__(self) -> None:
        self._minutes: tuple[tuple[float, float], ...] = ()
        """Start of a minute, and the largest age in it. Replaced, for readers on other threads."""

    def note(self, age_s: float, now: float) -> None:
        """A reading of this age is written. `now`: a steady clock, in seconds."""
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
    """Until which time everything is recorded, from the number of recorded messages."""

    def __init__(self) -> None:
        self.until = 0.0
        """What was published before this time is recorded or lost; 0: not known."""
        self._marks: deque[tuple[int, float]] = deque()

    def note(self, published: int, recorded: int, now: float) -> float:
        """At `now`, this many messages were published, and this many recorded or lost. Returns
        `until`.
        """
        if len(self._marks) < MARKS_MAX:
            self._marks.append((published, now))
        while self._marks and self._marks[0][0] <= recorded:
            self.until = self._marks.popleft()[1]
        return self.until
