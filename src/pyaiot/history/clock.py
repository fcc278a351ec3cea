# SPDX-License-Identifier: BSD-3-Clause
"""The calendar time of the history, derived from a wall clock that may jump. Pure.

There are two times. The time of *recording* follows the wall clock, but follows a jump only after
`CONFIRM_S`; until then it continues from before the jump. The time of *retention* decides what is
deleted. It never runs faster than the steady clock, and adopts the wall clock only after
`TRUST_AFTER_S` without a jump.

Brokers of a cluster use the clock of their database as the wall clock, so that all of them record
the same time for the same reading. Timestamps of a machine whose clock differs are shifted.
"""

import logging
from collections import deque
from typing import Final

import msgspec

from pyaiot.history.rows import CLOCK_SET_S, FUTURE_MAX_S, plausible_time

STEP_S: Final = 60.0
"""Largest change of the wall clock against the steady clock that is followed at once. A larger one
is a jump."""
CONFIRM_S: Final = 300.0
"""The time of recording follows a jump after the wall clock has run this long since it."""
TRUST_AFTER_S: Final = 86_400.0
"""Retention follows a wall clock that has run this long without a jump, including restarts."""
REST_MAX_S: Final = 3 * 86_400.0
"""Longest pause between two runs that retention accepts at once. A longer one counts as a jump."""
JUMPS_REMEMBERED_MAX: Final = 8
"""Largest number of jumps for which late timestamps are corrected. Beyond it the oldest is
forgotten."""
LATE_MAX_S: Final = 3600.0
"""The timestamp of a message that arrives later than this after a jump is not corrected."""
SAVE_INTERVAL_S: Final = 600.0
"""Interval between writes of the state into the store."""
_DAY_S: Final = 86_400.0

log = logging.getLogger(__name__)


class ClockState(msgspec.Struct, frozen=True):
    """The state of the clock that a store keeps between two runs. Unix times, and seconds."""

    trusted: float
    """The time of retention."""
    wall: float
    """The reading of the wall clock."""
    agreed_s: float
    """How long the wall clock had run without a jump."""

    @classmethod
    def of_newest(cls, ts: float) -> "ClockState":
        """The state for a store without a saved one: only the time of its newest row is known."""
        return cls(ts, ts, 0.0)


class HistoryClock:
    """The two times. Call `open` once, then `read` before each use."""

    def __init__(self) -> None:
        self.now = 0.0
        """The time of recording."""
        self.trusted = 0.0
        """The time of retention. Readings that are too old at this time are refused."""
        self.exact_since = CLOCK_SET_S
        """`correct` does not change timestamps from here to `FUTURE_MAX_S` after `now`."""
        self._wall = 0.0
        self._own_wall = 0.0
        """The clock of this machine, where the wall clock is that of the store."""
        self._steady = 0.0
        self._offset = 0.0
        """The time of recording minus the steady clock."""
        self._wall_offset = 0.0
        """The wall clock minus the steady clock."""
        self._jumped_at = 0.0
        """Steady time of the last jump."""
        self._from_store = False
        """Whether the time of recording was taken from the store."""
        self._agreed_s = 0.0
        self._corrections: deque[float] = deque(maxlen=JUMPS_REMEMBERED_MAX)
        self._saved_at: float | None = None
        self._diverged_until = 0.0
        """The latest Unix time of the wall clock or of `now` while they differed."""

    @property
    def retention_now(self) -> float:
        """The Unix time from which ages are counted. Not later than `trusted` or the wall clock."""
        return min(self.trusted, self._wall)

    @property
    def own_ahead_s(self) -> float:
        """Seconds by which the clock of this machine is ahead of that of the store."""
        return self._own_wall - self._wall

    def open(
        self, wall: float, steady: float, state: ClockState | None, own_wall: float | None = None
    ) -> None:
        """Start with the state that an earlier run saved in the store. `own_wall`: see `read`."""
        self._wall, self._steady = wall, steady
        self._own_wall = wall if own_wall is None else own_wall
        self._wall_offset = wall - steady
        self._jumped_at = steady
        if state is None:
            self.trusted = max(wall, CLOCK_SET_S)
        else:
            rest_s = wall - state.wall
            self.trusted = state.trusted
            if -STEP_S <= rest_s <= REST_MAX_S:
                self._agreed_s = state.agreed_s
                self.trusted += max(0.0, min(rest_s, wall - state.trusted))
            elif rest_s > 0:
                log.warning(
                    "the clock of this machine is %.1f days ahead of the last entry of the history:"
                    " nothing is deleted because of it during the next %.0f hours",
                    rest_s / _DAY_S,
                    TRUST_AFTER_S / 3600,
                )
        now = max(wall, self.trusted - STEP_S, CLOCK_SET_S)
        self._from_store = now > wall
        if self._from_store:
            log.warning(
                "the clock of this machine is %.0f s behind the history: readings are stamped"
                " with the time at which the history ended",
                now - wall,
            )
        self._offset = now - steady
        self._settle()

    def read(self, wall: float, steady: float, own_wall: float | None = None) -> None:
        """Update the times from both clocks. `own_wall`: the clock of this machine, if `wall` is
        that of the store.
        """
        self._own_wall = wall if own_wall is None else own_wall
        elapsed = max(0.0, steady - self._steady)
        wall_offset = wall - steady
        jump = wall_offset - self._wall_offset
        if abs(jump) > STEP_S:
            self._agreed_s = 0.0
            self._jumped_at = steady
            log.warning("the clock of this machine jumped by %+.0f s", jump)
        else:
            self._agreed_s += elapsed
        self._wall, self._steady, self._wall_offset = wall, steady, wall_offset
        ahead = wall_offset - self._offset
        stays = steady - self._jumped_at >= CONFIRM_S or (self._from_store and ahead > 0)
        if abs(ahead) <= STEP_S or (stays and wall >= CLOCK_SET_S):
            if abs(ahead) > STEP_S:
                self._diverged_until = max(self._diverged_until, wall, self._steady + self._offset)
            self._offset = wall_offset
            self._from_store = False
        self.trusted += elapsed
        if self._agreed_s >= TRUST_AFTER_S and wall >= CLOCK_SET_S:
            self.trusted = wall
        self._settle()

    def correct(self, ts: float) -> float:
        """The time of recording that corresponds to the timestamp `ts`."""
        if abs(self.own_ahead_s) > STEP_S and abs(ts - self._own_wall) <= STEP_S:
            # This machine stamped it just now. Other gateways may have the right time.
            ts -= self.own_ahead_s
        ahead = self._wall_offset - self._offset
        if abs(ahead) > STEP_S and abs(ts - self._wall) < abs(ts - self.now):
            # The timestamp is from the wrong clock.
            return min(ts - ahead, self.now + FUTURE_MAX_S)
        if not self.now - _DAY_S <= ts <= self.now + FUTURE_MAX_S:
            # The timestamp may be from the time when the clock was wrong; it is correct again now.
            for correction in self._corrections:
                if -LATE_MAX_S <= ts + correction - self.now <= FUTURE_MAX_S:
                    return ts + correction
        return plausible_time(ts, self.now)

    def no_jump_since(self, ts: float) -> bool:
        """Whether timestamps of this machine since `ts` are recorded unchanged."""
        return ts > self._diverged_until and ts <= self.now + FUTURE_MAX_S

    def state_to_save(self) -> ClockState | None:
        """The state to write into the store now; then call `mark_saved`. None if it is not due."""
        if self._saved_at is not None and self._steady - self._saved_at < SAVE_INTERVAL_S:
            return None
        return self.state

    @property
    def state(self) -> ClockState:
        return ClockState(self.trusted, self._wall, self._agreed_s)

    def mark_saved(self) -> None:
        self._saved_at = self._steady

    def _settle(self) -> None:
        self.now = self._steady + self._offset
        correction = self._offset - self._wall_offset
        if abs(correction) > STEP_S:
            self.exact_since = float("inf")
            self._diverged_until = max(self._diverged_until, self._wall, self.now)
            if not self._corrections or abs(self._corrections[-1] - correction) > STEP_S:
                self._corrections.append(correction)
        else:
            self.exact_since = self.now - _DAY_S if self._corrections else CLOCK_SET_S
        if abs(self.own_ahead_s) > STEP_S:
            self.exact_since = float("inf")
            self._diverged_until = max(self._diverged_until, self._own_wall, self.now)
