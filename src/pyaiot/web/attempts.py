# SPDX-License-Identifier: BSD-3-Clause
"""The rate limit of attempts to sign in, by address and by name of the user."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from pyaiot.transport.rate_limit import RateLimit

ATTEMPTS_PER_S: Final = 5 / 60
ATTEMPTS_BURST: Final = 5.0
"""Attempts of one address, and for one name: 5 a minute. Further ones are answered 429. One that
succeeds does not count, nor do those before it."""
ATTEMPTS_REMEMBERED_MAX: Final = 10_000
"""Addresses and names with attempts that are remembered. Beyond that, the oldest is forgotten."""

Key: TypeAlias = tuple[str, str]


class Attempts:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: OrderedDict[Key, RateLimit] = OrderedDict()

    def take(self, address: str, name: str | None = None) -> bool:
        """Count an attempt. False: it is one too many, and must be refused."""
        now = self._clock()
        waits = [self._limit(key, now).take(now) for key in _keys(address, name)]
        return not any(waits)

    def succeeded(self, address: str, name: str | None = None) -> None:
        """An attempt succeeded: those before it do not count."""
        for key in _keys(address, name):
            self._limits.pop(key, None)

    def _limit(self, key: Key, now: float) -> RateLimit:
        limit = self._limits.get(key)
        if limit is None:
            if len(self._limits) >= ATTEMPTS_REMEMBERED_MAX:
                self._limits.popitem(last=False)
            limit = RateLimit(per_s=ATTEMPTS_PER_S, burst=ATTEMPTS_BURST, now=now)
            self._limits[key] = limit
        self._limits.move_to_end(key)
        return limit


def _keys(address: str, name: str | None) -> list[Key]:
    keys = [("address", address)]
    if name is not None:
        # A longer name belongs to no user.
        keys.append(("name", name[:64]))
    return keys
