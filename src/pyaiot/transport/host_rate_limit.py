# SPDX-License-Identifier: BSD-3-Clause
"""A rate limit for each host, and one for all hosts together. Pure.

Source addresses are easily forged, so that the limit of each host gives fairness, and the limit of
all hosts gives protection. `now` is the loop's time in seconds.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from pyaiot.transport.rate_limit import RateLimit

HOSTS_MAX: Final = 4096
"""Hosts whose rates are remembered. Beyond that, the oldest starts with a full burst again."""


class Rate(NamedTuple):
    """A sustained rate, and a burst."""

    per_s: float
    burst: float


class HostRateLimit:
    """A limit for each host, within a limit for all."""

    def __init__(self, each: Rate, together: Rate, *, hosts_max: int = HOSTS_MAX) -> None:
        self._each = each
        self._together = RateLimit(per_s=together.per_s, burst=together.burst, now=0.0)
        self._hosts: OrderedDict[str, RateLimit] = OrderedDict()
        self._hosts_max = hosts_max
        self.refused = 0
        """Refused operations, since the start."""

    def __len__(self) -> int:
        return len(self._hosts)

    def take(self, host: str, *, now: float) -> float | None:
        """0: admitted. Else the seconds to wait, or None: the limit of all hosts is exceeded.

        `host` "": the protocol hides it, and only the limit of all hosts applies.
        """
        if not host:
            return self._take_together(now)
        rate = self._hosts.get(host)
        if rate is None:
            while len(self._hosts) >= self._hosts_max:
                self._hosts.popitem(last=False)
            rate = RateLimit(per_s=self._each.per_s, burst=self._each.burst, now=now)
            self._hosts[host] = rate
        wait_s = rate.take(now)
        if wait_s:
            self.refused += 1
            return wait_s
        return self._take_together(now)

    def _take_together(self, now: float) -> float | None:
        if self._together.take(now):
            self.refused += 1
            return None
        return 0.0
