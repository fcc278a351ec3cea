# SPDX-License-Identifier: BSD-3-Clause
"""Rate limits. Pure: `now` is an argument, in seconds."""

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
        """Take `count` tokens and return 0, or take none and return the seconds to wait.

        `count` must not exceed the burst.
        """
        level = self._level + (now - self._updated_at) * self._per_s
        if level > self._burst:
            level = self._burst
        self._updated_at = now
        if level < count:
            self._level = level
            return (count - level) / self._per_s
        self._level = level - count
        return 0.0


class SharedRate:
    """A token bucket whose state is one number that the caller keeps: the time at which the bucket
    is full again. One object serves any number of buckets, and a full one needs no memory."""

    __slots__ = ("_interval_s", "_tolerance_s")

    ROUNDING_S: Final = 1e-6
    """A wait below this is a rounding error."""

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._interval_s = 1 / per_s
        self._tolerance_s = burst / per_s

    def take(self, full_at: float, now: float, count: float = 1.0) -> tuple[float, float]:
        """Take `count` tokens from the bucket that is full at `full_at`: any time in the past, if
        it is full now.

        Returns when it is full again, and 0; or `full_at`, and the seconds to wait: nothing was
        taken. `count` must not exceed the burst.
        """
        then = (max(now, full_at)) + count * self._interval_s
        wait_s = then - now - self._tolerance_s
        return (full_at, wait_s) if wait_s > self.ROUNDING_S else (then, 0.0)

    def take_one(self, full_at: float, now: float) -> float | None:
        """`take` of one token, for what happens most: when the bucket is full again; None: nothing
        was taken."""
        latest = full_at if full_at > now else now  # noqa: FURB136 - a call of max takes longer
        then = latest + self._interval_s
        return None if then - now - self._tolerance_s > self.ROUNDING_S else then


class RateLimitedLog:
    """A log for events that peers cause: five lines at once, one in five seconds sustained.

    The next line states how many were dropped before it. Text from peers cannot break the line.
    """

    LINES_PER_S: Final = 0.2
    LINES_BURST: Final = 5.0
    DETAIL_LENGTH_MAX: Final = 200

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._rate = RateLimit(per_s=self.LINES_PER_S, burst=self.LINES_BURST, now=0.0)
        self._dropped = 0

    def warning(self, text: str, *details: object, now: float) -> None:
        """Log `text % details`, or only count it. `now` is the time of the loop in seconds."""
        self._log(logging.WARNING, text, details, now)

    def info(self, text: str, *details: object, now: float) -> None:
        """Like `warning`, at level INFO."""
        self._log(logging.INFO, text, details, now)

    def _log(self, level: int, text: str, details: tuple[object, ...], now: float) -> None:
        if not self._logger.isEnabledFor(level):
            return
        if self._rate.take(now):
            self._dropped += 1
            return
        line = text % tuple(self._escaped(str(detail)) for detail in details)
        if self._dropped:
            line += f" (and {self._dropped} more)"
            self._dropped = 0
        self._logger.log(level, "%s", line)

    def _escaped(self, detail: str) -> str:
        """Cut to `DETAIL_LENGTH_MAX`, without line ends and other control characters."""
        cut = detail[: self.DETAIL_LENGTH_MAX]
        return "".join(char if char.isprintable() else "?" for char in cut)
