# SPDX-License-Identifier: BSD-3-Clause
"""The clock of the history: pure, with the two clocks as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.history.clock import (
    CONFIRM_S,
    JUMPS_REMEMBERED_MAX,
    LATE_MAX_S,
    REST_MAX_S,
    STEP_S,
    TRUST_AFTER_S,
    ClockState,
    HistoryClock,
)
from pyaiot.history.rows import CLOCK_SET_S, FUTURE_MAX_S

NOW = 1_900_000_000.0
DAY = 86_400.0


def opened(wall: float = NOW, state: ClockState | None = None) -> HistoryClock:
    clock = HistoryClock()
    clock.open(wall, 0.0, state)
    return clock


def run(clock: HistoryClock, since: float, until: float, step: float = 0.0) -> None:
    """Advance both clocks; the wall clock is wrong by `step`."""
    steady = since
    while steady < until:
        clock.read(NOW + steady + step, steady)
        steady += 50.0
    clock.read(NOW + until + step, until)


def test_a_correct_clock_is_followed() -> None:
    clock = opened()
    run(clock, 0, 1000)
    assert clock.now == clock.trusted == clock.retention_now == NOW + 1000
    assert clock.correct(NOW + 500) == NOW + 500
    assert clock.correct(NOW + 1000 + FUTURE_MAX_S + 1) == NOW + 1000
    assert clock.correct(CLOCK_SET_S - 1) == NOW + 1000


def test_a_clock_that_drifts_or_is_slewed_is_followed() -> None:
    clock = opened()
    for number in range(1, 100):
        clock.read(NOW + number * (10 + STEP_S / 2), number * 10.0)
    assert clock.now == NOW + 99 * (10 + STEP_S / 2)
    assert clock.trusted == NOW + 990


@pytest.mark.parametrize("step", [400 * DAY, -3600.0, 3600.0, -90 * DAY, -NOW + DAY])
def test_recording_follows_a_jump_that_lasts(step: float) -> None:
    clock = opened()
    run(clock, 0, 100)
    run(clock, 150, 150 + CONFIRM_S - 50, step)
    assert clock.now == NOW + 100 + CONFIRM_S
    # A gateway on this machine, and one with a correct clock.
    assert clock.correct(clock.now + step - 1) == pytest.approx(clock.now - 1)
    assert clock.correct(clock.now - 2) == clock.now - 2
    run(clock, 100 + CONFIRM_S, 1000 + CONFIRM_S, step)
    never_set = NOW + step < CLOCK_SET_S
    assert clock.now == NOW + 1000 + CONFIRM_S + (0 if never_set else step)
    assert clock.trusted == NOW + 1000 + CONFIRM_S


def test_retention_follows_a_jump_after_a_day() -> None:
    clock = opened()
    run(clock, 0, 100)
    run(clock, 150, TRUST_AFTER_S + 100, 400 * DAY)
    assert clock.retention_now == NOW + TRUST_AFTER_S + 100
    run(clock, TRUST_AFTER_S + 150, TRUST_AFTER_S + 200, 400 * DAY)
    assert clock.retention_now == NOW + TRUST_AFTER_S + 200 + 400 * DAY


def test_retention_goes_back_with_the_wall_clock() -> None:
    clock = opened()
    run(clock, 0, 100)
    clock.read(NOW + 150 - 30 * DAY, 150)
    assert clock.retention_now == NOW + 150 - 30 * DAY
    assert clock.trusted == NOW + 150


jumps = st.lists(
    st.tuples(st.floats(-60 * 365 * DAY, 60 * 365 * DAY), st.floats(0, TRUST_AFTER_S / 2)),
    max_size=10,
)


@given(jumps)
def test_retention_is_never_ahead_of_the_steady_clock(steps: list[tuple[float, float]]) -> None:
    clock = opened()
    steady = 0.0
    for step, seconds in steps:
        for wrong in (step, 0.0):
            steady += seconds + 1
            clock.read(NOW + steady + wrong, steady)
    late = STEP_S * (2 * len(steps) + 1)
    assert clock.retention_now <= NOW + steady + late
    assert clock.trusted >= NOW + steady - late


def test_late_timestamps_of_a_wrong_clock_are_corrected() -> None:
    clock = opened()
    for number in range(JUMPS_REMEMBERED_MAX + 1):
        run(clock, 1000 * number, 1000 * number + 100)
        clock.read(NOW + 1000 * number + 150 + (number + 40) * DAY, 1000 * number + 150)
    run(clock, 10_000, 10_100)
    now = NOW + 10_100
    assert clock.now == now
    for number in range(1, JUMPS_REMEMBERED_MAX + 1):
        assert clock.correct(now - 30 + (number + 40) * DAY) == pytest.approx(now - 30)
    # The first jump is forgotten, and timestamps later than that belong to no jump.
    assert clock.correct(now - 30 + 40 * DAY) == now
    assert clock.correct(now - LATE_MAX_S - 1 + 41 * DAY) == now


def test_a_short_pause_is_accepted_and_a_long_one_is_a_jump() -> None:
    state = ClockState(NOW - 5 * DAY, NOW, TRUST_AFTER_S / 2)
    clock = opened(NOW + REST_MAX_S, state)
    assert clock.trusted == NOW - 5 * DAY + REST_MAX_S
    assert clock.state.agreed_s == TRUST_AFTER_S / 2
    clock = opened(NOW + REST_MAX_S + 1, state)
    assert clock.trusted == NOW - 5 * DAY
    assert clock.state.agreed_s == 0.0
    assert clock.now == NOW + REST_MAX_S + 1


def test_a_clock_behind_the_history_is_not_followed_until_it_is_set() -> None:
    clock = opened(NOW - 1000 * DAY, ClockState(NOW, NOW, TRUST_AFTER_S))
    assert clock.now == NOW - STEP_S
    clock.read(NOW - 1000 * DAY + 10, 10)
    assert clock.correct(NOW - 1000 * DAY + 10) == pytest.approx(NOW - STEP_S + 10)
    clock.read(NOW + 5 * DAY, 20)
    assert clock.now == NOW + 5 * DAY
    assert clock.retention_now == NOW + 20


def test_the_state_is_saved_at_intervals() -> None:
    clock = opened()
    assert clock.state_to_save() == ClockState(NOW, NOW, 0.0)
    clock.mark_saved()
    clock.read(NOW + 10, 10)
    assert clock.state_to_save() is None
    clock.read(NOW + 700, 700)
    assert clock.state_to_save() == ClockState(NOW + 700, NOW + 700, 700)


def test_jumps_since_a_time_are_detected() -> None:
    clock = opened()
    run(clock, 0, 100)
    assert clock.no_jump_since(NOW + 50)
    assert clock.no_jump_since(NOW - 50)
    clock.read(NOW + 150 + 3600, 150)
    assert not clock.no_jump_since(NOW + 50)
    assert not clock.no_jump_since(NOW + 150 + 3600)
    run(clock, 200, 500)
    assert not clock.no_jump_since(NOW + 50)
    # It may be a timestamp of the wrong clock.
    assert not clock.no_jump_since(NOW + 400)
    run(clock, 550, 5000)
    assert clock.no_jump_since(NOW + 4500)


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 40 * DAY, STEP_S + 1, -STEP_S - 1])
def test_the_clock_of_a_shared_store_counts_and_not_that_of_the_machine(ahead: float) -> None:
    clock = HistoryClock()
    clock.open(NOW, 0.0, None, NOW + ahead)
    clock.read(NOW + 100, 100.0, NOW + 100 + ahead)
    assert clock.now == clock.retention_now == NOW + 100
    assert clock.exact_since == float("inf")  # each timestamp is looked at
    assert clock.own_ahead_s == ahead
    # Another gateway has the right time, also for what it sends again.
    for age_s in (0.0, 2.0, 50.0):
        if abs(age_s + ahead) > STEP_S:
            assert clock.correct(NOW + 100 - age_s) == NOW + 100 - age_s
    # The machine has stamped this itself.
    assert clock.correct(NOW + 99 + ahead) == NOW + 99
    assert not clock.no_jump_since(NOW)
    clock.read(NOW + 200, 200.0, NOW + 200)
    assert clock.correct(NOW + 150) == NOW + 150
    assert clock.own_ahead_s == 0.0


def test_a_machine_whose_clock_differs_little_records_timestamps_unchanged() -> None:
    clock = HistoryClock()
    clock.open(NOW, 0.0, None, NOW + STEP_S)
    assert clock.exact_since == CLOCK_SET_S
    assert clock.correct(NOW + FUTURE_MAX_S) == NOW + FUTURE_MAX_S
    assert clock.no_jump_since(NOW)
