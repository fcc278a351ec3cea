# SPDX-License-Identifier: BSD-3-Clause
"""One timer for a pure machine with `get_timer` and `handle_timer`."""

import asyncio
import math
from collections.abc import Callable


class Timer:
    """Calls a function once, at the earliest time that it was set to; then it must be set again.

    It may fire early: the function must check the time.
    """

    __slots__ = ("_at", "_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.Handle | None = None
        # Kept here: a uvloop handle has no time if it was set to the past.
        self._at = math.inf

    def set(self, at: float | None) -> None:
        """Fire at `at`, the loop's time, or earlier if it is already set to. None changes
        nothing."""
        if at is None or at >= self._at:
            return
        self.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._fire)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._at = math.inf

    def _fire(self) -> None:
        self._handle = None
        self._at = math.inf
        self._callback()
