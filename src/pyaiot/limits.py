# SPDX-License-Identifier: BSD-3-Clause
"""A rate that somebody may use and no more. Pure: `now` is an argument, in seconds."""


class RateLimit:
    """A token bucket: `burst` at once, `per_s` sustained."""

    __slots__ = ("_burst", "_level", "_per_s", "_then")

    def __init__(self, *, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._then = now

    def take(self, now: float) -> float:
        """Take one and return 0, or take none and return the seconds until there is one."""
        level = min(self._burst, self._level + (now - self._then) * self._per_s)
        self._then = now
        if level < 1.0:
            self._level = level
            return (1.0 - level) / self._per_s
        self._level = level - 1.0
        return 0.0
