# SPDX-License-Identifier: BSD-3-Clause
"""Recognises that the process did not run for a while, so that no peer counts as silent.

SIGSTOP, the move of a virtual machine or a lack of memory can pause a process. Then all timers are
due at once, before anything that peers sent meanwhile is read. Pure.
"""

from typing import Final

PAUSED_MIN_S: Final = 1.0
"""A timer that is later than this was delayed by a pause of the process."""
READ_FIRST_S: Final = 5.0
"""After a pause, what peers sent meanwhile is read for this long, before silent ones are lost."""


class PauseGuard:
    """Postpones a timer once after each pause."""

    def __init__(self) -> None:
        self._until: float | None = None

    def postponed(self, due: float, *, now: float) -> float | None:
        """When to handle the timer that was `due`; None: now."""
        if self._until is None and now - due > PAUSED_MIN_S:
            self._until = now + READ_FIRST_S
        if self._until is not None and now < self._until:
            return self._until
        self._until = None
        return None
