# SPDX-License-Identifier: BSD-3-Clause
"""A rate limit for each host, and one for all hosts together. Pure.

Source addresses are easily forged, so that the limit of each host gives fairness, and the limit of
all hosts gives protection. `now` is the loop's time in seconds.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from pyaiot.transport.rate_limit import RateLimit, SharedRate

HOSTS_MAX: Final = 4096
"""Hosts whose rates are remembered. Beyond that, the one that was idle for longest starts with a
full burst again."""

FORGOTTEN_AT_ONCE: Final = 2
"""Hosts that are forgotten at most when one is added, so that all are in the end."""


class Rate(NamedTuple):
    """A sustained rate, and a burst."""

    per_s: float
    burst: float


class HostRateLimit:
    """A limit for each host, within a limit for all."""

    def __init__(self, each: Rate, together: Rate, *, hosts_max: int = HOSTS_MAX) -> None:
        self._each = SharedRate(per_s=each.per_s, burst=each.burst)
        self._together = RateLimit(per_s=together.per_s, burst=together.burst, now=0.0)
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When the bucket of each host is full again, the one idle for longest first. Hosts whose
        bucket is full are forgotten."""
        self._hosts_max = hosts_max
        self.refused = 0
        """Refused operations, since the start."""

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, host: str, *, now: float) -> float | None:
        """0: admitted. Else the seconds to wait, or None: the limit of all hosts is exceeded.

        `host` "": the protocol hides it, and only the limit of all hosts applies.
        """
        if not host:
            return self._take_together(now)
        hosts = self._full_at
        known = hosts.get(host)
        full_at, wait_s = self._each.take(now if known is None else known, now)
        if wait_s:
            self.refused += 1
            return wait_s
        hosts[host] = full_at
        if known is None:
            self._forget_full(now)
        else:
            hosts.move_to_end(host)
        return self._take_together(now)

    def _take_together(self, now: float) -> float | None:
        if self._together.take(now):
            self.refused += 1
            return None
        return 0.0

    def _forget_full(self, now: float) -> None:
        """Make room after a host was added."""
        hosts = self._full_at
        for _ in range(FORGOTTEN_AT_ONCE):
            oldest = next(iter(hosts))
            if hosts[oldest] > now and len(hosts) <= self._hosts_max:
                break
            del hosts[oldest]
