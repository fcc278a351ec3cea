# SPDX-License-Identifier: BSD-3-Clause
"""Downsampling and retention: results are the same before and after."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pyaiot.history.sqlite import retention
from pyaiot.history.store import BadQuery, BucketRow, RetentionPolicy
from pyaiot.messages import NodeReset, Reading
from tests.history.files import HOUR, File, history_file, query_store

DAY = 86_400.0


def buckets(file: File, start: float, end: float, step_s: int) -> list[BucketRow]:
    rows: list[BucketRow] = query_store(
        file.path,
        lambda h: h.buckets("n", "t", start=HOUR + start, end=HOUR + end, step_s=step_s),
    )
    return rows


def by_hand(values: list[tuple[float, float]], step_s: int) -> list[tuple[Any, ...]]:
    """Begin, min, mean, max, count and last of each step, of sorted values."""
    steps: dict[float, list[float]] = {}
    for at, value in values:
        steps.setdefault((HOUR + at) // step_s * step_s, []).append(value)
    return [
        (begin, min(its), pytest.approx(fmean(its)), max(its), len(its), its[-1])
        for begin, its in sorted(steps.items())
    ]


def plain(rows: list[BucketRow]) -> list[tuple[float, ...]]:
    return [(row.ts, row.min, row.mean, row.max, row.count, row.last) for row in rows]


def some_values(seconds: int, count: int) -> list[tuple[float, float]]:
    chance = random.Random(seconds)
    times = sorted({round(chance.uniform(0, seconds), 3) for _ in range(count)})
    return [(at, round(chance.uniform(-50, 50), 2)) for at in times]


@pytest.mark.parametrize("step_s", [1, 7, 60, 120, 300, 3600, 7200, 86_400])
def test_steps_are_the_same_before_during_and_after_downsampling(
    tmp_path: Path, step_s: int
) -> None:
    values = some_values(4 * 3600, 3000)
    expected = by_hand(values, step_s)
    with history_file(tmp_path) as file:
        file.readings("t", values)
        assert plain(buckets(file, 0, 4 * 3600, step_s)) == expected
        # Advance half an hour at a time, with one step of retention or all of them.
        for half_hours in range(10):
            file.now = HOUR + half_hours * 1800
            file.writer.run_retention(file.now)
            assert plain(buckets(file, 0, 4 * 3600, step_s)) == expected
            file.run_retention()
            assert plain(buckets(file, 0, 4 * 3600, step_s)) == expected
        assert file.count("stale") == 0
        assert file.count("minute") == len(by_hand(values, 60))
        assert file.count("hour") == 4


def test_a_late_reading_changes_its_minute_and_its_hour(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(1, 1.0), (2, 2.0)])
        file.now = HOUR + 7200
        file.run_retention()
        file.readings("t", [(1.5, 10.0)])  # the gateway's clock is two hours behind
        for _ in range(2):
            (minute,) = buckets(file, 0, 60, 60)
            (hour,) = buckets(file, 0, 3600, 3600)
            assert (minute.max, minute.count, minute.last) == (10.0, 3, 2.0)
            assert (hour.max, hour.count, hour.last) == (10.0, 3, 2.0)
            file.run_retention()
        file.readings("t", [(3, 4.0)])
        file.run_retention()
        (minute,) = buckets(file, 0, 60, 60)
        assert (minute.count, minute.last) == (4, 4.0)


def test_nodes_with_clocks_an_hour_apart_are_independent(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        for second in range(0, 4 * 3600, 20):
            file.now = HOUR + second
            for uid, behind in (("right", 0), ("behind", 3600), ("ahead", -3600)):
                file.write(Reading.received(uid, "t", second, file.now - behind))
            if second % 600 == 0:
                file.run_retention()
        file.now += 7200
        file.run_retention()
        for uid in ("right", "behind", "ahead"):
            rows = query_store(file.path, lambda h, uid=uid: h.readings(uid, "t")).whole()
            assert [row.number for row in rows] == list(range(0, 4 * 3600, 20))
            steps = query_store(
                file.path,
                lambda h, uid=uid: h.buckets(
                    uid, "t", start=HOUR - 7200, end=HOUR + 5 * 3600, step_s=3600
                ),
            )
            assert [step.count for step in steps] == [180] * 4
            # A reading cannot be from the future: it gets its arrival time.
            assert steps[0].ts == (HOUR - 3600 if uid == "behind" else HOUR)


def test_units_are_not_mixed_and_texts_are_not_aggregated(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        values = [(0, "1°C"), (1, "3°C"), (2, "hot"), (3, "1000hPa"), (4, True), (5, "5°C")]
        file.readings("t", values)
        for _ in range(2):
            by_unit = {row.unit: row for row in buckets(file, 0, 60, 60)}
            assert set(by_unit) == {"Cel", "hPa"}
            assert (by_unit["Cel"].count, by_unit["Cel"].mean, by_unit["Cel"].last) == (3, 3.0, 5.0)
            file.now = HOUR + 7200
            file.run_retention()


def test_the_largest_numbers_have_a_mean(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(0, 1.7e308), (1, 1.7e308), (61, -1.7e308), (62, -1.7e308)])
        for _ in range(2):
            (hour,) = buckets(file, 0, 3600, 3600)
            assert (hour.min, hour.max, hour.count) == (-1.7e308, 1.7e308, 4)
            assert hour.min <= hour.mean <= hour.max
            file.now = HOUR + 3 * 3600
            file.run_retention()


def test_a_day_on_which_the_clocks_change_has_25_hours(tmp_path: Path) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    day = datetime(2025, 10, 26, tzinfo=berlin)
    next_day = (day + timedelta(days=1)).replace(tzinfo=berlin)
    start, end = day.timestamp(), next_day.timestamp()
    with history_file(tmp_path) as file:
        file.now = end + 7200
        file.write(
            *(
                Reading.received("n", "t", int(ts - start), ts)
                for ts in map(float, range(int(start), int(end), 600))
            )
        )
        file.run_retention()
        rows = query_store(file.path, lambda h: h.readings("n", "t", start=start, end=end)).whole()
        hours = query_store(
            file.path, lambda h: h.buckets("n", "t", start=start, end=end, step_s=3600)
        )
    assert [row.number for row in rows] == list(range(0, 25 * 3600, 600))
    assert [hour.count for hour in hours] == [6] * 25
    # The hour from two to three occurs twice.
    walls = [datetime.fromtimestamp(hour.ts, UTC).astimezone(berlin).hour for hour in hours]
    assert walls == [0, 1, 2, 2, *range(3, 24)]


def test_steps_contain_the_start_and_the_time_just_before_the_end(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(at, at) for at in range(0, 300, 30)])
        assert [row.ts - HOUR for row in buckets(file, 61, 181, 60)] == [60, 120, 180]
        assert [row.ts - HOUR for row in buckets(file, 60, 180, 60)] == [60, 120]


@pytest.mark.parametrize("step_s", [0, -60])
def test_a_step_is_at_least_a_second(tmp_path: Path, step_s: int) -> None:
    with history_file(tmp_path) as file, pytest.raises(BadQuery, match="step"):
        buckets(file, 0, 60, step_s)


def test_old_readings_are_deleted_and_their_minutes_stay(tmp_path: Path) -> None:
    with history_file(tmp_path, RetentionPolicy(1.0, 3.0, 5.0, 2.0)) as file:
        for day in range(7):
            file.now = HOUR + day * DAY
            file.write(NodeReset(uid="n", ts=file.now))
            file.readings("t", [(day * DAY + at, day) for at in range(0, 120, 10)])
            file.now += 7200
            file.run_retention()
        start, end = -DAY, 8 * DAY
        raw = query_store(file.path, lambda h: h.readings("n", "t")).whole()
        assert {row.number for row in raw} == {6}
        assert {row.last for row in buckets(file, start, end, 60)} == {4, 5, 6}
        assert {row.last for row in buckets(file, start, end, 3600)} == {2, 3, 4, 5, 6}
        assert file.count("event") == 2


def test_minutes_are_kept_at_least_as_long_as_readings(tmp_path: Path) -> None:
    with history_file(tmp_path, RetentionPolicy(None, 1.0, 1.0, None)) as file:
        file.readings("t", [(0, 1)])
        file.now = HOUR + 100 * DAY
        file.run_retention()
        assert [file.count(table) for table in ("reading", "minute", "hour")] == [1, 1, 1]


def test_deletion_works_in_short_steps_and_removes_empty_series(tmp_path: Path) -> None:
    with history_file(tmp_path, RetentionPolicy(1.0, 1.0, 1.0, 1.0)) as file:
        count = retention.ROWS_PER_STEP * 2 + 10
        file.readings("t", [(at / 1000, at) for at in range(count)])
        for number in range(retention.SERIES_PER_STEP + 5):
            file.readings(f"r{number}", [(0, number)])
        file.now = HOUR + 3 * DAY
        left = [count]
        while file.writer.run_retention(file.now):
            left.append(file.count("reading WHERE series = 1"))
        assert all(before - after <= retention.ROWS_PER_STEP for before, after in pairwise(left))
        assert [file.count(table) for table in ("reading", "minute", "hour", "series")] == [0] * 4
        # The writer does not use the ids of deleted series.
        file.readings("t", [(3 * DAY, 1)])
        assert len(query_store(file.path, lambda h: h.readings("n", "t")).rows) == 1


def test_nothing_to_do_is_one_short_step(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.readings("t", [(0, 1)])
        file.now = HOUR + 7200
        file.run_retention()
        assert file.run_retention() == 1
