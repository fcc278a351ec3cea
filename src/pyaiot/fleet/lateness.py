# SPDX-License-Identifier: BSD-3-Clause
"""How late readings were: a histogram of bounded size, exact to 2 %. Pure."""

import math
from typing import Final

SHORTEST_S: Final = 1e-5
"""What is shorter counts as this."""
STEP: Final = 1.02
"""Each class of the histogram ends so much above the one before it."""
CLASSES_MAX: Final = 1024
"""Up to more than an hour. What is longer counts into the last one."""
_STEP_LOG: Final = math.log(STEP)


class Lateness:
    """Add durations in seconds, ask for percentiles."""

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
        """Add all that another one has."""
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.longest_s = max(self.longest_s, other.longest_s)

    def percentile(self, percent: float) -> float:
        """The duration that `percent` of them did not exceed, in seconds; 0 if there are none."""
        wanted = math.ceil(self.count * percent / 100)
        so_far = 0
        for index, count in enumerate(self._counts):
            so_far += count
            if count and so_far >= wanted:
                return min(self.longest_s, SHORTEST_S * STEP ** (index + 1))
        return 0.0
