# SPDX-License-Identifier: BSD-3-Clause
"""Which calendar time history believes, of a wall clock that anybody may set. Pure.

Two questions have two answers. *When was this?* follows the wall clock, but a jump only after
`CONFIRM_S`: until then the time goes on from before. *What is too old?* deletes, so it is answered
by a time that never runs faster than the steady clock, and takes over the wall clock only after
`TRUST_AFTER_S` without a jump.
"""

import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from pyaiot.history.rows import CLOCK_SET_S, FUTURE_MAX_S, believed

STEP_S: Final = 60.0
"""A change of the wall clock against the steady one that is followed at once. More is a jump."""
CONFIRM_S: Final = 300.0
"""A wall clock that jumped is believed, for times of readings, when it stays so for so long."""
TRUST_AFTER_S: Final = 86_400.0
"""Retention follows a wall clock that ran so long without a jump, restarts included."""
REST_MAX_S: Final = 3 * 86_400.0
"""A pause between two runs that retention believes at once. A longer one counts as a jump."""
JUMPS_REMEMBERED_MAX: Final = 8
"""Jumps whose stamps are corrected when they come late. Beyond: the oldest is forgotten."""
LATE_MAX_S: Final = 3600.0
"""A message with the stamp of a clock that was wrong is at most so late, or its stamp is kept."""
SAVE_INTERVAL_S: Final = 600.0
"""Between two times that the state is written into the store."""
_DAY_S: Final = 86_400.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClockState:
    """What a store keeps of the clock between two runs. Unix times, and seconds."""

    trusted: float
    """The time of retention."""
    wall: float
    """What the wall clock showed."""
    agreed_s: float
    """How long it has run without a jump."""

    @classmethod
    def of_newest(cls, ts: float) -> "ClockState":
        """For a store that keeps no state yet: all that is known is the time of its newest row."""
        return cls(ts, ts, 0.0)


class HistoryClock:
    """Call `open` once, then `read` before each use."""

    def __init__(self) -> None:
        self.now = 0.0
        """The believed time."""
        self.trusted = 0.0
        """The time of retention: older readings than it allows are refused."""
        self.sure_since = CLOCK_SET_S
        """Stamps from here to `FUTURE_MAX_S` after `now` are what `moment` makes of them."""
        self._wall = 0.0
        self._steady = 0.0
        self._offset = 0.0
        """Of the believed time against the steady one."""
        self._wall_offset = 0.0
        self._jumped_at = 0.0
        """Steady time of the last jump."""
        self._is_guess = False
        """The believed time was taken from the store."""
        self._agreed_s = 0.0
        self._corrections: deque[float] = deque(maxlen=JUMPS_REMEMBERED_MAX)
        self._saved_at: float | None = None
        self._uneven_until = 0.0
        """The latest Unix time that either time showed while they were apart."""

    @property
    def retention_now(self) -> float:
        """Trimming counts from here. Never later than either clock says."""
        return min(self.trusted, self._wall)

    def open(self, wall: float, steady: float, state: ClockState | None) -> None:
        """Begin, with what an earlier run left in the store."""
        self._wall, self._steady = wall, steady
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
                    "the clock of this machine is %.1f days after the last entry of the history:"
                    " nothing is trimmed for it within the next %.0f hours",
                    rest_s / _DAY_S,
                    TRUST_AFTER_S / 3600,
                )
        now = max(wall, self.trusted - STEP_S, CLOCK_SET_S)
        self._is_guess = now > wall
        if self._is_guess:
            log.warning(
                "the clock of this machine is %.0f s behind the history: readings get the time at"
                " which the history goes on",
                now - wall,
            )
        self._offset = now - steady
        self._settle()

    def read(self, wall: float, steady: float) -> None:
        """Take what both clocks show now."""
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
        stays = steady - self._jumped_at >= CONFIRM_S or (self._is_guess and ahead > 0)
        if abs(ahead) <= STEP_S or (stays and wall >= CLOCK_SET_S):
            if abs(ahead) > STEP_S:
                self._uneven_until = max(self._uneven_until, wall, self._steady + self._offset)
            self._offset = wall_offset
            self._is_guess = False
        self.trusted += elapsed
        if self._agreed_s >= TRUST_AFTER_S and wall >= CLOCK_SET_S:
            self.trusted = wall
        self._settle()

    def moment(self, ts: float) -> float:
        """The believed time of what is stamped `ts`."""
        ahead = self._wall_offset - self._offset
        if abs(ahead) > STEP_S and abs(ts - self._wall) < abs(ts - self.now):
            # Stamped by the clock that is wrong.
            return min(ts - ahead, self.now + FUTURE_MAX_S)
        if not self.now - _DAY_S <= ts <= self.now + FUTURE_MAX_S:
            # Perhaps it was stamped by that clock, and waited until it was right again.
            for correction in self._corrections:
                if -LATE_MAX_S <= ts + correction - self.now <= FUTURE_MAX_S:
                    return ts + correction
        return believed(ts, self.now)

    def ran_evenly_since(self, ts: float) -> bool:
        """Whether what was stamped by this machine since `ts` has the time of its stamp here."""
        return ts > self._uneven_until and ts <= self.now + FUTURE_MAX_S

    def state_to_save(self) -> ClockState | None:
        """What the store should keep now, if it is time for it; see `saved`."""
        if self._saved_at is not None and self._steady - self._saved_at < SAVE_INTERVAL_S:
            return None
        return self.state

    @property
    def state(self) -> ClockState:
        return ClockState(self.trusted, self._wall, self._agreed_s)

    def saved(self) -> None:
        self._saved_at = self._steady

    def _settle(self) -> None:
        self.now = self._steady + self._offset
        correction = self._offset - self._wall_offset
        if abs(correction) > STEP_S:
            self.sure_since = float("inf")
            self._uneven_until = max(self._uneven_until, self._wall, self.now)
            if not self._corrections or abs(self._corrections[-1] - correction) > STEP_S:
                self._corrections.append(correction)
        else:
            self.sure_since = self.now - _DAY_S if self._corrections else CLOCK_SET_S
