# SPDX-License-Identifier: BSD-3-Clause
"""How long a broker gathers what it sends to the others. Pure."""

from typing import Final

FLUSH_INTERVAL_S: Final = 0.02
"""Interval between frames to the same broker."""
FLUSH_OF_FEW_S: Final = 0.1
"""The same while they have only readings, and fewer than `FEW_PER_S`, because each frame wakes
every broker."""
FEW_PER_S: Final = 2500.0
"""Readings for which a frame in `FLUSH_INTERVAL_S` is worth its cost."""


class FlushInterval:
    """Follows the rate of readings."""

    def __init__(self) -> None:
        self._flushed_at = 0.0
        self._of_readings_s = FLUSH_INTERVAL_S
        self._counted_at = 0.0
        self._counted = 0

    def next_flush(self, *, urgent: bool) -> float:
        """When to flush next. `urgent`: what waits is more than readings."""
        return self._flushed_at + (FLUSH_INTERVAL_S if urgent else self._of_readings_s)

    def flushed(self, items: int, now: float) -> None:
        """Everything was sent. `items`: sent so far."""
        self._flushed_at = now
        since_s = now - self._counted_at
        if since_s >= FLUSH_INTERVAL_S:  # not after a flush for another reason
            has_few = items - self._counted < FEW_PER_S * since_s
            self._of_readings_s = FLUSH_OF_FEW_S if has_few else FLUSH_INTERVAL_S
            self._counted_at, self._counted = now, items
