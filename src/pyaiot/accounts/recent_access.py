# SPDX-License-Identifier: BSD-3-Clause
"""Caches the identity of clients, because a program sends many requests with the same token.

Reading the header of a request and looking up its secret takes a sixth of the time of a short
request. The cache is cleared when the file changed, which a call of `stat` shows, and entries
expire after `REMEMBERED_S` in any case.
"""

import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from pyaiot.accounts.store import AccountsFile

REMEMBERED_S: Final = 0.5
"""How long an identity is cached. Removed access ends within this time, as for open connections."""
LOOK_INTERVAL_S: Final = 0.02
"""Interval of the check whether another process changed the file. Changes by this process take
effect at once.
"""
REMEMBERED_MAX: Final = 1000
"""Largest number of cached clients. Beyond it the cache is cleared."""

T = TypeVar("T")


class RecentAccess(Generic[T]):
    """Caches the results of the caller's lookups, by the header that identifies a client."""

    def __init__(self, accounts: AccountsFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = accounts
        self._clock = clock
        self._found: dict[Hashable, tuple[T, float]] = {}
        self._stamp: object = None
        self._changes: object = None
        self._until = 0.0
        self._look_at = 0.0

    def get(self, header: Hashable, now: float) -> T | None:
        """The cached result for this header, or None. `now` is Unix time. Raises `OperatorError`
        if the file cannot be used.
        """
        self._drop_old()
        known = self._found.get(header)
        return known[0] if known is not None and now < known[1] else None

    def put(self, header: Hashable, found: T, valid_until: float) -> None:
        """Cache a client until `valid_until`, a Unix time. Call it after `get`, and only for a
        client that was looked up since then.
        """
        self._found[header] = found, valid_until

    def _drop_old(self) -> None:
        now, changes = self._clock(), self._accounts.own_changes
        stamp = self._stamp if now < self._look_at else self._accounts.stamp()
        if (
            now >= self._until
            or stamp != self._stamp
            or changes != self._changes
            or len(self._found) >= REMEMBERED_MAX
        ):
            self._found.clear()
            self._stamp, self._changes = self._accounts.stamp(), changes
            self._until, self._look_at = now + REMEMBERED_S, now + LOOK_INTERVAL_S
        elif now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL_S
