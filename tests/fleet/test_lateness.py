# SPDX-License-Identifier: BSD-3-Clause
"""The histogram of durations, against the sorted durations themselves."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.fleet.lateness import CLASSES_MAX, SHORTEST_S, STEP, Lateness

DURATIONS = st.lists(st.floats(0.0, 4000.0), min_size=1, max_size=200)


@given(DURATIONS, st.floats(0.1, 100.0))
def test_percentile_is_exact_to_a_step(durations: list[float], percent: float) -> None:
    it = Lateness()
    for duration in durations:
        it.add(duration)
    exact = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]
    found = it.percentile(percent)
    assert found >= exact * (1 - 1e-9) or exact <= SHORTEST_S
    assert found <= max(exact, SHORTEST_S) * STEP * (1 + 1e-9)
    assert it.longest_s == max(durations)


@given(DURATIONS, DURATIONS)
def test_merging_equals_adding_all_durations(one: list[float], other: list[float]) -> None:
    parts = [Lateness(), Lateness()]
    whole = Lateness()
    for part, durations in zip(parts, (one, other), strict=True):
        for duration in durations:
            part.add(duration)
            whole.add(duration)
    parts[0].merge(parts[1])
    assert parts[0].count == whole.count
    assert [parts[0].percentile(p) for p in (1, 50, 99, 100)] == [
        whole.percentile(p) for p in (1, 50, 99, 100)
    ]


def test_percentile_without_durations_is_0() -> None:
    assert Lateness().percentile(99) == 0.0


def test_days_count_in_the_last_class() -> None:
    it = Lateness()
    it.add(1e6)
    assert it.percentile(50) >= 3600
    assert SHORTEST_S * STEP**CLASSES_MAX > 3600
