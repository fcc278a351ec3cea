# SPDX-License-Identifier: BSD-3-Clause
"""Time limits of tests that hold on a machine with other work.

A limit counts the time in which what is tested runs, or waits for something else than a processor.
It does not count the time in which this process, or one that it started, was ready to run and
others had the processors. Linux has that time in `/proc`; elsewhere all time counts.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CHECK_INTERVAL_S: Final = 0.01
_REAL_TIMES_MAX: Final = 3.0
"""A limit also ends after this many times its length on the clock. Several processes that wait for
processors at once could otherwise hold it open for ever: the wait of each one is taken off."""
_WITHOUT_WATCH_S: Final = 0.5
"""In the first half second of a limit all time counts, and at most in this share of it. Most tests
end within it, and to read `/proc` for all processes of a browser takes longer than many tests."""
_WITHOUT_WATCH_SHARE: Final = 0.1


class Stopwatch:
    """Seconds since it was made, without those in which the processes waited for a processor.

    Where several processes waited at once, each of these waits is taken off.
    """

    def __init__(
        self, pid: int = 0, *, proc: Path = _PROC, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`pid`: this process and those that it started are meant; 0: the process of the test."""
        self._pid = pid or os.getpid()
        self._proc = proc
        self._clock = clock
        self._waits_before = {one: self._waits_s(one) for one in self._processes(self._pid)}
        self._began_at = clock()

    @property
    def elapsed_s(self) -> float:
        elapsed_s = self._clock() - self._began_at
        for pid in self._processes(self._pid):
            before = self._waits_before.get(pid, {})
            waits_s = (
                wait_s - before.get(thread, 0.0) for thread, wait_s in self._waits_s(pid).items()
            )
            elapsed_s -= max(waits_s, default=0.0)
        return max(elapsed_s, 0.0)

    def _processes(self, pid: int) -> Iterator[int]:
        """A process and those that it started, and so on."""
        yield pid
        with contextlib.suppress(OSError):
            for thread in (self._proc / f"{pid}" / "task").iterdir():
                for child in (thread / "children").read_text("ascii").split():
                    yield from self._processes(int(child))

    def _waits_s(self, pid: int) -> dict[str, float]:
        """By thread, how long it was ready to run and waited (sched-stats.rst of Linux)."""
        waits = {}
        with contextlib.suppress(OSError):
            for thread in (self._proc / f"{pid}" / "task").iterdir():
                with contextlib.suppress(OSError):
                    _, wait_ns, _ = (thread / "schedstat").read_text("ascii").split()
                    waits[thread.name] = int(wait_ns) / 1e9
        return waits


@contextlib.asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, in the time of a `Stopwatch`. Raises `TimeoutError`.

    It ends after three times as long on the clock in any case.
    """
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    last = began + seconds * _REAL_TIMES_MAX
    watch: Stopwatch | None = None
    before_s = 0.0
    timer: asyncio.TimerHandle

    def begin() -> None:
        nonlocal watch, before_s, timer
        before_s = time.monotonic() - began
        watch = Stopwatch()
        timer = loop.call_later(max(seconds - before_s, 0.0), check)

    def check() -> None:
        nonlocal timer
        assert watch is not None
        left_s = min(seconds - before_s - watch.elapsed_s, last - time.monotonic())
        if left_s > 0:
            timer = loop.call_later(max(left_s, _CHECK_INTERVAL_S), check)
        else:
            limit.reschedule(loop.time())

    timer = loop.call_later(min(seconds * _WITHOUT_WATCH_SHARE, _WITHOUT_WATCH_S), begin)
    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        timer.cancel()
