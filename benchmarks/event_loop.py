# SPDX-License-Identifier: BSD-3-Clause
"""The event loop of a measuring process."""

import selectors
import time
from collections.abc import Callable
from typing import Any

from benchmarks.processes import BenchmarkError


class EventLoop:
    """Sockets and their callbacks."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()

    def add(self, peer: Any, on_readable: Callable[[], None]) -> None:
        """`peer` has a `fileno()`."""
        self._selector.register(peer, selectors.EVENT_READ, on_readable)

    def remove(self, peer: Any) -> None:
        self._selector.unregister(peer)

    def run_once(self, until: float) -> None:
        """Serve readable sockets; wait at most until `until` (monotonic clock)."""
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            key.data()

    def run_until(self, done: Callable[[], bool], limit_s: float, what: str = "") -> bool:
        """Run until `done`. False at the limit, or `BenchmarkError` if `what` is set."""
        limit = time.monotonic() + limit_s
        while not done():
            if time.monotonic() >= limit:
                if what:
                    raise BenchmarkError(f"{what}: not in {limit_s:.0f} s")
                return False
            self.run_once(limit)
        return True

    def run_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run_once(end)

    def close(self) -> None:
        self._selector.close()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    if not values:
        raise BenchmarkError("nothing arrived")
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]
