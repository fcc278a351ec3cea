# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of a running service, exported at `/metrics`. Pure.

The code on the message path only counts; samples are made at each scrape. Label values are
constants of the code, never text from a device, so that the number of series is bounded.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

OTHER: Final = "other"
"""The label value for everything that has no separate value."""
PROTOCOLS: Final[list[str]] = [OTHER]
"""Values of the label `protocol`. `app/protocols.py` inserts its protocols before the last one."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of a duration, in seconds."""


class Histogram:
    """Counts durations in seconds. Cheap enough for every command, flush and commit."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """One count per bucket; the last one is for values above all bounds."""
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Sample(NamedTuple):
    """The current value of a metric for one set of labels."""

    metric: "Metric"
    value: float | Histogram
    labels: tuple[str, ...]
    """Values, in the order of the metric's labels."""


class Metric(msgspec.Struct, frozen=True):
    """A counter, gauge or histogram, named by the conventions of Prometheus: base units."""

    name: str
    """Ends with the unit. A counter's name is without `_total`, which the export adds."""
    kind: Kind
    description: str
    labels: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)
    """Label names, each with all its possible values."""

    def of(self, value: float | Histogram, **labels: str) -> Sample:
        """A sample of this metric. An unknown label value becomes `other`."""
        values = tuple(
            labels[name] if labels[name] in known else OTHER for name, known in self.labels.items()
        )
        return Sample(self, value, values)


Collector: TypeAlias = Callable[[], Iterable[Sample]]
"""Called on the event loop at each scrape. Never waits."""
