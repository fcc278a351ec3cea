# SPDX-License-Identifier: BSD-3-Clause
"""A timer that is late because the process was paused."""

from pyaiot.transport.pauses import READ_FIRST_S, PauseGuard


def test_timer_that_is_in_time_is_handled() -> None:
    guard = PauseGuard()
    assert guard.postponed(10.0, now=10.0) is None
    assert guard.postponed(11.0, now=11.9) is None


def test_late_timer_is_postponed_once_however_often_it_is_looked_at() -> None:
    guard = PauseGuard()
    until = 40.0 + READ_FIRST_S
    assert guard.postponed(10.0, now=40.0) == until
    # What is read meanwhile sets earlier and later timers.
    assert guard.postponed(10.0, now=41.0) == until
    assert guard.postponed(41.5, now=42.0) == until
    assert guard.postponed(10.0, now=until) is None


def test_each_pause_counts() -> None:
    guard = PauseGuard()
    assert guard.postponed(10.0, now=40.0) == 40.0 + READ_FIRST_S
    assert guard.postponed(10.0, now=90.0) is None
    assert guard.postponed(95.0, now=200.0) == 200.0 + READ_FIRST_S
