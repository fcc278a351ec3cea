# SPDX-License-Identifier: BSD-3-Clause
"""The timer of a state machine with `get_timer` and `handle_timer`, and periodic checks."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

EARLY_S: Final = 0.01
"""Timers may call by this much too early: uvloop rounds times to milliseconds."""


def next_check(now: float, interval_s: float) -> float:
    """The loop's time of the next periodic check: the next multiple of its interval.

    Checks of a process with the same interval, or with a multiple of it, are thus made together: an
    idle process wakes up less often. The first one is at most `EARLY_S` late.
    """
    return (math.floor((now + EARLY_S) / interval_s) + 1) * interval_s


async def wait_for_check(interval_s: float) -> None:
    """Wait until `next_check`."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(next_check(now, interval_s) - now)


class Timer:
    """Calls back once, at the earliest time that was set. It must be set again afterwards.

    It may call early: the callback must check the time.
    """

    __slots__ = ("_at", "_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.Handle | None = None
        # Not read from the handle: a handle of uvloop has no time if the time is past.
        self._at = math.inf

    def set(self, at: float | None) -> None:
        """Call back at `at`, the loop's time, unless an earlier time is set. None: no change."""
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
