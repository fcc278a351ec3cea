# SPDX-License-Identifier: BSD-3-Clause
"""A rate limit, and a log with one. Pure: `now` is an argument, in seconds."""

import logging
from typing import Final


class RateLimit:
    """A token bucket: `burst` at once, `per_s` sustained."""

    __slots__ = ("_burst", "_level", "_per_s", "_updated_at")

    def __init__(self, *, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._updated_at = now

    def take(self, now: float, count: float = 1.0) -> float:
        """Take `count` tokens and return 0, or take none and return the seconds until there are
        enough.

        `count` is at most the burst.
        """
        level = min(self._burst, self._level + (now - self._updated_at) * self._per_s)
        self._updated_at = now
        if level < count:
            self._level = level
            return (count - level) / self._per_s
        self._level = level - count
        return 0.0


class RateLimitedLog:
    """A log for lines that peers cause: five at once, one in five seconds sustained.

    A line also has the number of lines dropped before it. Text of peers is shown on one line.
    """

    LINES_PER_S: Final = 0.2
    LINES_BURST: Final = 5.0
    DETAIL_LENGTH_MAX: Final = 200

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._rate = RateLimit(per_s=self.LINES_PER_S, burst=self.LINES_BURST, now=0.0)
        self._dropped = 0

    def warning(self, text: str, *details: object, now: float) -> None:
        """Log `text % details`, or count it. `now` is the loop's time in seconds."""
        self._log(logging.WARNING, text, details, now)

    def info(self, text: str, *details: object, now: float) -> None:
        """The same at level INFO."""
        self._log(logging.INFO, text, details, now)

    def _log(self, level: int, text: str, details: tuple[object, ...], now: float) -> None:
        if not self._logger.isEnabledFor(level):
            return
        if self._rate.take(now):
            self._dropped += 1
            return
        line = text % tuple(self._shown(str(detail)) for detail in details)
        if self._dropped:
            line += f" (and {self._dropped} more)"
            self._dropped = 0
        self._logger.log(level, "%s", line)

    def _shown(self, detail: str) -> str:
        """The text without control characters, cut to `DETAIL_LENGTH_MAX`."""
        cut = detail[: self.DETAIL_LENGTH_MAX]
        return "".join(letter if letter.isprintable() else "?" for letter in cut)
