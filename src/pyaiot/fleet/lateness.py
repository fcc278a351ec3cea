# SPDX-License-Identifier: BSD-3-Clause
"""Distribution of delays: a histogram of bounded size, accurate to 2 %. Pure."""

import math
from typing import Final

SHORTEST_S: Final = 1e-5
"""Shorter delays count as this."""
STEP: Final = 1.02
"""Ratio of the upper bounds of adjacent classes."""
CLASSES_MAX: Final = 1024
"""Covers more than an hour. Longer delays count in the last class."""
_STEP_LOG: Final = math.log(STEP)


class Lateness:
    """Durations in seconds, and their percentiles."""

    def __init__(self) -> None:
        self._counts = [0] * CLASSES_MAX
        self.count = 0
        self.longest_s = 0.0

    def add(self, duration_s: float) -> None:
        index = 0
        if duration_s > SHORTEST_S:
            index = min(int(math.log(duration_s / SHORTEST_S) / _STEP_LOG), CLASSES_MAX - 1)
        self._counts[index] += 1
        self.count += 1
        self.longest_s = max(self.longest_s, duration_s)

    def merge(self, other: "Lateness") -> None:
        """Add all durations of another histogram."""
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.longest_s = max(self.longest_s, other.longest_s)

    def percentile(self, percent: float) -> float:
        """The duration in seconds that `percent` % do not exceed; 0 without durations."""
        rank = math.ceil(self.count * percent / 100)
        cumulative = 0
        for index, count in enumerate(self._counts):
            cumulative += count
            if count and cumulative >= rank:
                return min(self.longest_s, SHORTEST_S * STEP ** (index + 1))
        return 0.0
