# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a running service, for whoever looks at it: `/metrics` is made of them. Pure.

The road only counts; samples are made when somebody asks. A label has one of a few values that
stand here in the code, never a word of a device: the number of series is known before anything
runs.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

OTHER: Final = "other"
"""The value of a label for everything that has none of its own."""
PROTOCOLS: Final[list[str]] = [OTHER]
"""Values of the label `protocol`. `app/protocols.py` puts those of the list before the last."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the buckets of a duration."""


class Histogram:
    """Counts durations in seconds. Cheap enough for every command, flush and commit."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Of each bucket, the last one for everything above."""
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Sample(NamedTuple):
    """A figure as it is now."""

    metric: "Metric"
    value: float | Histogram
    labels: tuple[str, ...]
    """Values, in the order of the metric's labels."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that is counted or measured. Names as Prometheus wants them: base units."""

    name: str
    """With the unit at its end; that of a counter without `_total`, which is added."""
    kind: Kind
    says: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names, and all the values that each may have."""

    def of(self, value: float | Histogram, **labels: str) -> Sample:
        """A sample. A label value that is none of the known ones becomes `other`."""
        values = tuple(
            labels[name] if labels[name] in known else OTHER for name, known in self.labels.items()
        )
        return Sample(self, value, values)


Collector: TypeAlias = Callable[[], Iterable[Sample]]
"""Called on the loop when somebody asks. Never waits."""
