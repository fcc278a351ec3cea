# SPDX-License-Identifier: BSD-3-Clause
"""Watches the free disk space of a history: recording pauses before the disk is full. Pure."""

from collections.abc import Callable
from typing import Final

CHECK_INTERVAL_S: Final = 1.0
"""Interval between checks of the free space."""
RESUME_FACTOR: Final = 1.25
"""Recording resumes at this multiple of the limit, so that it does not alternate."""
REUSABLE_FROM: Final = 0.5
"""The share of the limit that must be free on the disk before space within the file counts: the
write-ahead log needs some."""
_MEGABYTE: Final = 1_000_000


class DiskSpace:
    """Decides whether rows may be written. Times are those of a monotonic clock."""

    def __init__(self, free_bytes: Callable[[], int], *, pause_below_mb: int) -> None:
        """`free_bytes` may raise `OSError`: the space is then unknown, and recording does not
        pause."""
        self._free_bytes = free_bytes
        self._pause_below = pause_below_mb * _MEGABYTE
        self._check_at = float("-inf")
        self._problem = ""

    def problem(self, now: float, reusable_bytes: Callable[[], int] = lambda: 0) -> str:
        """Why nothing may be written now; empty if rows may be written.

        `reusable_bytes`: the space of deleted rows. Retention does not shrink the file, but new
        rows use that space. Without it, a history that filled its disk would never resume.
        """
        if now >= self._check_at:
            self._check_at = now + CHECK_INTERVAL_S
            self._check(reusable_bytes)
        return self._problem

    def _check(self, reusable_bytes: Callable[[], int]) -> None:
        try:
            free = self._free_bytes()
        except OSError:
            self._problem = ""
            return
        if self._pause_below * REUSABLE_FROM <= free < self._pause_below * RESUME_FACTOR:
            free += reusable_bytes()
        limit = self._pause_below * (RESUME_FACTOR if self._problem else 1)
        if free >= limit:
            self._problem = ""
        elif not self._problem:
            # Not updated later: the log and `/readyz` show the same sentence during one pause.
            self._problem = (
                f"is paused: less than {self._pause_below // _MEGABYTE} MB are free on its disk"
                " (history.free_mb)"
            )
