# SPDX-License-Identifier: BSD-3-Clause
"""How much of strangers is looked at: a rate for each host, and one for all together. Pure.

A source address costs nothing to forge, so that the rate of each host is fairness, and the rate of
all is what protects. `now` is the loop's time in seconds.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from pyaiot.transport.rate_limit import RateLimit

HOSTS_MAX: Final = 4096
"""Hosts whose rates are remembered. Beyond, the oldest is forgotten and begins anew."""


class Rate(NamedTuple):
    """Sustained, and at once."""

    per_s: float
    burst: float


class HostRateLimit:
    """Hosts that share a limit, each with one of its own."""

    def __init__(self, each: Rate, together: Rate, *, hosts_max: int = HOSTS_MAX) -> None:
        self._each = each
        self._together = RateLimit(per_s=together.per_s, burst=together.burst, now=0.0)
        self._hosts: OrderedDict[str, RateLimit] = OrderedDict()
        self._hosts_max = hosts_max
        self.refused = 0
        """What was too much, ever."""

    def __len__(self) -> int:
        return len(self._hosts)

    def take(self, host: str, *, now: float) -> float | None:
        """0: it may pass. Else the seconds to wait, or None: it is too much from all together.

        `host` "": the protocol hides it, and only the rate of all counts.
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
