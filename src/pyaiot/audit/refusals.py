# SPDX-License-Identifier: BSD-3-Clause
"""Limits the entries about refused attempts for each principal. Pure."""

from collections import OrderedDict
from typing import Final

from pyaiot.transport.rate_limit import RateLimit

REFUSALS_PER_MINUTE: Final = 10.0
"""Refused attempts of one principal that are recorded individually. Further ones are counted in
its next entry.
"""
REFUSALS_PER_MINUTE_IN_TOTAL: Final = 100.0
"""The same, for all principals together."""
PRINCIPALS_MAX: Final = 1000
"""Largest number of principals that are tracked. Beyond it, the one with the oldest attempt is
dropped.
"""


class _Share:
    __slots__ = ("rate", "suppressed")

    def __init__(self, now: float) -> None:
        self.rate = RateLimit(per_s=REFUSALS_PER_MINUTE / 60, burst=REFUSALS_PER_MINUTE, now=now)
        self.suppressed = 0


class RefusalShares:
    """Decides which refused attempts are recorded. `now` is the time of the event
    loop in seconds.
    """

    def __init__(self, now: float) -> None:
        self.suppressed = 0
        """Refused attempts that were not recorded individually, since the start."""
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._total = RateLimit(
            per_s=REFUSALS_PER_MINUTE_IN_TOTAL / 60, burst=REFUSALS_PER_MINUTE_IN_TOTAL, now=now
        )

    def take(self, key: str, now: float) -> int | None:
        """Whether to record an attempt: the number of suppressed ones before it, or None if it is
        suppressed itself. `key` identifies the principal.
        """
        share = self._shares.get(key)
        if share is None:
            if len(self._shares) >= PRINCIPALS_MAX:
                self._shares.popitem(last=False)
            share = self._shares[key] = _Share(now)
        self._shares.move_to_end(key)
        if share.rate.take(now) or self._total.take(now):
            share.suppressed += 1
            self.suppressed += 1
            return None
        suppressed, share.suppressed = share.suppressed, 0
        return suppressed
