# SPDX-License-Identifier: BSD-3-Clause
"""The share of each principal in entries about refused attempts. Pure."""

from collections import OrderedDict
from typing import Final

from pyaiot.transport.rate_limit import RateLimit

REFUSALS_PER_MINUTE: Final = 10.0
"""Refused attempts of one principal that are recorded each by an entry. Further ones are counted in
its next entry."""
REFUSALS_PER_MINUTE_IN_TOTAL: Final = 100.0
"""The same for all principals together."""
PRINCIPALS_MAX: Final = 1000
"""Principals whose refused attempts are counted. Beyond that, the one with the oldest is
forgotten."""


class _Share:
    __slots__ = ("rate", "suppressed")

    def __init__(self, now: float) -> None:
        self.rate = RateLimit(per_s=REFUSALS_PER_MINUTE / 60, burst=REFUSALS_PER_MINUTE, now=now)
        self.suppressed = 0


class RefusalShares:
    """`now` is the loop's time in seconds."""

    def __init__(self, now: float) -> None:
        self.suppressed = 0
        """Refused attempts without an entry of their own, since the start."""
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._total = RateLimit(
            per_s=REFUSALS_PER_MINUTE_IN_TOTAL / 60, burst=REFUSALS_PER_MINUTE_IN_TOTAL, now=now
        )

    def take(self, key: str, now: float) -> int | None:
        """Whether an attempt is recorded: the number of suppressed ones before it; None if not.

        `key` identifies the principal.
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
