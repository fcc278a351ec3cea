# SPDX-License-Identifier: BSD-3-Clause
"""The history pauses before the disk is full, and records again when there is space."""

import logging
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.history import disk_space, recorder
from pyaiot.history.disk_space import CHECK_INTERVAL_S, RESUME_FACTOR, DiskSpace
from pyaiot.history.recorder import Recorder
from pyaiot.history.store import RetentionPolicy
from pyaiot.history.stores import store_at
from pyaiot.messages import Reading
from tests.history.files import FOR_EVER, HOUR, history_file
from tests.history.recorders import until
from tests.history.test_recorder import events, rows, send_readings

MB = 1_000_000
LIMIT_MB = 100


class Disk:
    free = 1000 * MB
    looks = 0
    is_there = True

    def __call__(self) -> int:
        self.looks += 1
        if not self.is_there:
            raise OSError(5, "Input/output error")
        return self.free


def test_it_pauses_below_the_limit_and_resumes_with_a_quarter_more() -> None:
    disk, now = Disk(), 0.0
    space = DiskSpace(disk, pause_below_mb=LIMIT_MB)
    for free, pauses in (
        (LIMIT_MB, False),
        (LIMIT_MB - 1, True),
        (LIMIT_MB + 1, True),
        (LIMIT_MB * RESUME_FACTOR - 1, True),
        (LIMIT_MB * RESUME_FACTOR, False),
        (LIMIT_MB + 1, False),
    ):
        disk.free, now = int(free * MB), now + CHECK_INTERVAL_S
        assert bool(space.problem(now)) is pauses, free


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 3)), max_size=50))
def test_one_pause_has_one_sentence_and_the_free_space_is_read_once_a_second(
    steps: list[tuple[int, float]],
) -> None:
    disk, now = Disk(), 0.0
    space = DiskSpace(disk, pause_below_mb=LIMIT_MB)
    problems = set()
    for free, later in steps:
        disk.free, now = free * MB, now + later
        problems.add(space.problem(now))
    assert disk.looks <= now / CHECK_INTERVAL_S + 1
    assert len(problems - {""}) <= 1


def test_free_space_that_is_unknown_pauses_nothing() -> None:
    disk = Disk()
    disk.is_there, disk.free = False, 0
    assert DiskSpace(disk, pause_below_mb=LIMIT_MB).problem(1.0) == ""


def test_space_of_deleted_rows_counts_while_half_of_the_limit_is_free() -> None:
    disk, now = Disk(), 0.0
    space = DiskSpace(disk, pause_below_mb=LIMIT_MB)
    for free, reusable, pauses in (
        (60, 39, True),
        (60, 64, True),
        (60, 65, False),
        (60, 40, False),
        (60, 39, True),
        (50, 75, False),
        (49, 1000, True),  # the write-ahead log would fill the disk
        (125, 0, False),
    ):
        disk.free, now = free * MB, now + CHECK_INTERVAL_S
        problem = space.problem(now, partial(int, reusable * MB))
        assert bool(problem) is pauses, (free, reusable)


def test_history_that_fills_its_disk_resumes_in_the_space_of_rows_that_retention_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "CHECK_INTERVAL_S", 0.0)
    monkeypatch.setattr(recorder, "CHECK_INTERVAL_S", 0.01)
    # Longer than the recorder needs to see that the disk is full.
    monkeypatch.setattr(recorder, "RETENTION_INTERVAL_S", 0.3)
    keep = RetentionPolicy(readings_days=1.0, minutes_days=1.0, hours_days=1.0, events_days=1.0)
    with history_file(tmp_path, keep) as file:
        file.readings("old", [(n, "x" * 1000) for n in range(800)])
    full = file.path.stat().st_size
    store = store_at(str(file.path), keep)
    store.claim()
    disk = Disk()
    disk.free = 600_000  # of one megabyte, and that is how it stays
    under_test = Recorder(
        store,
        disk=DiskSpace(disk, pause_below_mb=1),
        unix_time=lambda: HOUR + 3 * 86_400,
    )
    under_test.start()
    try:
        until(lambda: "is paused" in under_test.problem())
        for number in range(10):
            ts = HOUR + 3 * 86_400
            under_test.message_published(Reading.received("n", "new", number, ts))
        until(lambda: under_test.recorded == 10)
        assert under_test.problem() == ""
        assert under_test.overflowed == 0
    finally:
        under_test.close()
        store.release()
    assert file.path.stat().st_size <= full


def test_nothing_is_written_while_it_is_paused_and_the_queue_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(disk_space, "CHECK_INTERVAL_S", 0.0)
    monkeypatch.setattr(recorder, "CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(recorder, "QUEUE_MAX", 50)
    path, disk = tmp_path / "history.db", Disk()
    store = store_at(str(path), FOR_EVER)
    store.claim()
    under_test = Recorder(store, disk=DiskSpace(disk, pause_below_mb=LIMIT_MB))
    under_test.start()
    try:
        until(lambda: not under_test.problem())
        send_readings(under_test, 10)
        until(lambda: under_test.recorded == 10)
        disk.free = 0
        send_readings(under_test, 60)
        until(lambda: "is paused: less than 100 MB are free" in under_test.problem())
        assert (under_test.waiting, under_test.overflowed) == (50, 10)
        assert rows(path) == 10
        disk.free = 1000 * MB
        until(lambda: under_test.recorded == 60)
        assert under_test.problem() == ""
    finally:
        under_test.close()
        store.release()
    (gap,) = [event for event in events(path) if event.kind == "gap"]
    assert gap.lost == 10
    assert "is paused" in gap.detail
    assert [it.getMessage() for it in caplog.records if "the history is" in it.getMessage()] == [
        "the history is paused: less than 100 MB are free on its disk (history.free_mb)",
        "the history is recorded again",
    ]


def test_it_ends_in_time_while_it_is_paused(tmp_path: Path) -> None:
    path, disk = tmp_path / "history.db", Disk()
    disk.free = 0
    store = store_at(str(path), FOR_EVER)
    store.claim()
    under_test = Recorder(store, disk=DiskSpace(disk, pause_below_mb=LIMIT_MB))
    under_test.start()
    until(lambda: "not open" not in under_test.problem())
    send_readings(under_test, 3)
    until(lambda: "is paused" in under_test.problem())
    under_test.close()
    store.release()
    assert rows(path) == 3  # the last ones are written: the system is ending
