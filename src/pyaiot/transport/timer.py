# SPDX-License-Identifier: BSD-3-Clause
"""One timer for a machine that says "wake me at"."""

import asyncio
import math
from collections.abc import Callable


class Timer:
    """Rings at the earliest time that it was set to, once; then it must be set again.

    It may ring early: whoever is called looks at the time.
    """

    __slots__ = ("_at", "_handle", "_loop", "_rings")

    def __init__(self, loop: asyncio.AbstractEventLoop, rings: Callable[[], None]) -> None:
        self._loop = loop
        self._rings = rings
        self._handle: asyncio.Handle | None = None
        # Not asked of the handle: that of uvloop knows no time if it was the past.
        self._at = math.inf

    def set(self, at: float | None) -> None:
        """Ring at `at`, the loop's time, unless it rings before that anyway. None asks nothing."""
        if at is None or at >= self._at:
            return
        self.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._ring)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._at = math.inf

    def _ring(self) -> None:
        self._handle = None
        self._at = math.inf
        self._rings()
