# SPDX-License-Identifier: BSD-3-Clause
"""A wall clock that jumps, ahead or back, deletes nothing and hides nothing, in either store."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from pyaiot.history import recorder as recorder_module
from pyaiot.history.recorder import Recorder
from pyaiot.history.store import RetentionPolicy
from pyaiot.history.stores import store_at
from pyaiot.messages import Command, NodeAppeared, Reading, Receipt
from tests.history.files import exported, run
from tests.history.postgres_server import Server, drop_schema, running_server
from tests.history.recorders import retry_soon, running_recorder, until

DAY: Final = 86_400.0
NOW: Final = 1_900_000_000.0
KEEP: Final = RetentionPolicy(30.0, 30.0, 30.0, 30.0)
STEPS: Final = {
    "400 days ahead": 400 * DAY,
    "12 years ahead": 12 * 365 * DAY,
    "an hour ahead": 3600.0,
    "an hour back": -3600.0,
    "90 days back": -90 * DAY,
    "1971": -NOW + 365 * DAY,
    "before 1970": -NOW - 30 * DAY,
}


class Clocks:
    """A wall clock that can be set, and a monotonic clock."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.step = 0.0
        self.passed = 0.0
        """Seconds by which both clocks were advanced."""

    def wall(self) -> float:
        return NOW + self.steady() - self.began + self.step

    def steady(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "history.db")
    server: Server = request.getfixturevalue("server")
    drop_schema(server.url, "pyaiot")
    return server.url


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_soon(monkeypatch)
    monkeypatch.setattr(recorder_module, "RETENTION_INTERVAL_S", 0.01)


@contextmanager
def recording(place: str, clocks: Clocks, keep: RetentionPolicy = KEEP) -> Iterator[Recorder]:
    times = {"unix_time": clocks.wall, "steady_time": clocks.steady}
    with running_recorder(store_at(place, keep), **times) as recorder:
        until(lambda: not recorder.problem())
        yield recorder


def query_store(place: str, query: Any) -> Any:
    async def run_query() -> Any:
        history = store_at(place, KEEP).history()
        try:
            return await query(history)
        finally:
            await history.close()

    return run(run_query())


def numbers(place: str, uid: str = "n") -> list[float]:
    chunks = query_store(place, lambda h: exported(h, uid=uid))
    return sorted(row.number for chunk in chunks for row in chunk.rows)


def send_readings(recorder: Recorder, ts: float, *values: int, uid: str = "n") -> None:
    for value in values:
        recorder.message_published(Reading.received(uid, "r", value, ts))


def retention_runs(recorder: Recorder, times: int = 3) -> None:
    """Wait for this number of retention runs."""
    for _ in range(times):
        until(lambda before=recorder.retention_runs: recorder.retention_runs > before)  # type: ignore[misc]


@pytest.mark.parametrize("step", list(STEPS))
def test_a_clock_that_is_wrong_for_a_while_deletes_nothing(place: str, step: str) -> None:
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        send_readings(recorder, NOW - 20 * DAY, 1)
        recorder.message_published(NodeAppeared(uid="n", ts=NOW - 20 * DAY))
        for number in range(2, 30):
            send_readings(recorder, clocks.wall(), number)
        until(lambda: recorder.recorded == 30)
        clocks.step = STEPS[step]
        for number in range(30, 60):
            send_readings(recorder, clocks.wall(), number)
        recorder.message_published(NodeAppeared(uid="m", ts=clocks.wall()))
        command = Command(id="1", uid="n", resource="led", payload="1", client="c")
        recorder.command_sent(command, clocks.wall())
        recorder.command_ended(command, Receipt(id="x", state="sent"), clocks.wall())
        until(lambda: recorder.recorded == 63)
        retention_runs(recorder)
        clocks.step = 0.0
        for number in range(60, 90):
            send_readings(recorder, clocks.wall(), number)
        until(lambda: recorder.recorded == 93)
        clocks.passed += 700  # beyond the next pass over all series
        retention_runs(recorder)
        assert recorder.dropped == 0
    assert numbers(place) == list(range(1, 90))
    nodes = [row.uid for row in query_store(place, lambda h: h.events()).whole() if row.uid]
    assert sorted(nodes) == ["m", "n"]
    (command_row,) = query_store(place, lambda h: h.commands()).whole()
    # Readings received meanwhile have the continued time.
    assert abs(command_row.ts - NOW) < 1000
    rows = query_store(place, lambda h: h.readings("n", "r")).whole()
    assert all(abs(row.ts - NOW) < 1000 for row in rows if row.number != 1)


@pytest.mark.parametrize("step", ["400 days ahead", "1971", "90 days back"])
def test_queued_messages_are_recorded_when_the_clock_is_set_back(
    place: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "COMMIT_INTERVAL_S", 0.3)
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 1)
        until(lambda: recorder.recorded == 1)
        send_readings(recorder, clocks.wall(), 2)
        clocks.step = STEPS[step]
        send_readings(recorder, clocks.wall(), 3)
        until(lambda: recorder.recorded == 3)
        send_readings(recorder, clocks.wall(), 4)
        clocks.step = 0.0
        until(lambda: recorder.recorded == 4)
        clocks.passed += 700
        retention_runs(recorder)
    assert numbers(place) == [1, 2, 3, 4]


def test_retention_continues_after_the_clock_was_corrected(place: str) -> None:
    clocks = Clocks()
    with recording(place, clocks, RetentionPolicy(1.0, 1.0, 1.0, 1.0)) as recorder:
        send_readings(recorder, NOW - 20 * 3600, 1)
        # A database drops whole weeks of readings, so that the event is checked.
        recorder.message_published(NodeAppeared(uid="old", ts=NOW - 20 * 3600))
        send_readings(recorder, clocks.wall(), 2)
        until(lambda: recorder.recorded == 3)
        clocks.step = 400 * DAY
        clocks.passed += 700
        retention_runs(recorder)
        clocks.step = 0.0
        clocks.passed += 700
        retention_runs(recorder)
        assert numbers(place) == [1, 2]
        clocks.passed += 10 * 3600
        send_readings(recorder, clocks.wall(), 3)
        retention_runs(recorder)
        until(lambda: not any(e.uid for e in query_store(place, lambda h: h.events()).whole()))


def test_a_clock_that_is_wrong_from_the_start_deletes_nothing(place: str) -> None:
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 1)
        until(lambda: recorder.recorded == 1)
    clocks.step = 400 * DAY
    for number in (2, 3):  # and again, after a restart with the same clock
        with recording(place, clocks) as recorder:
            send_readings(recorder, clocks.wall(), number)
            until(lambda: recorder.recorded == 1)
            clocks.passed += 7000
            retention_runs(recorder)
    assert numbers(place) == [1, 2, 3]


def forget_clock(place: str) -> None:
    """As in a history of a version that did not save the state of the clock."""
    if "://" not in place:
        with closing(sqlite3.connect(place)) as db, db:
            db.execute("DELETE FROM clock")
        return

    async def delete() -> None:
        db = await asyncpg.connect(place)
        await db.execute("DELETE FROM pyaiot.clock")
        await db.close()

    run(delete())


def test_the_newest_row_protects_a_history_without_a_saved_clock(place: str) -> None:
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 1)
        until(lambda: recorder.recorded == 1)
    forget_clock(place)
    clocks.step = 400 * DAY
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 2)
        until(lambda: recorder.recorded == 1)
        for _ in range(4):  # some runs compute minutes and hours first
            clocks.passed += 7000
            retention_runs(recorder)
    assert numbers(place) == [1, 2]


def test_a_clock_that_was_never_set_at_the_start_loses_nothing(place: str) -> None:
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 1)
        until(lambda: recorder.recorded == 1)
    clocks.step = STEPS["1971"]
    with recording(place, clocks) as recorder:
        send_readings(recorder, clocks.wall(), 2)
        until(lambda: recorder.recorded == 1)
        clocks.step = 0.0
        send_readings(recorder, clocks.wall(), 3)
        until(lambda: recorder.recorded == 2)
        clocks.passed += 7000
        retention_runs(recorder)
        send_readings(recorder, clocks.wall(), 4)
        until(lambda: recorder.recorded == 3)
    assert numbers(place) == [1, 2, 3, 4]
    rows = query_store(place, lambda h: h.readings("n", "r")).whole()
    assert all(abs(row.ts - NOW) < 8000 for row in rows)


def test_a_pause_of_a_month_is_accepted_after_a_day(place: str) -> None:
    clocks = Clocks()
    with recording(place, clocks, RetentionPolicy(None, None, None, 10.0)) as recorder:
        recorder.message_published(NodeAppeared(uid="old", ts=clocks.wall()))
        until(lambda: recorder.recorded == 1)
    clocks.passed += 30 * DAY
    with recording(place, clocks, RetentionPolicy(None, None, None, 10.0)) as recorder:
        send_readings(recorder, clocks.wall(), 1)
        retention_runs(recorder)
        assert any(e.uid for e in query_store(place, lambda h: h.events()).whole())
        clocks.passed += 2 * DAY
        retention_runs(recorder)
        until(lambda: not any(e.uid for e in query_store(place, lambda h: h.events()).whole()))


def test_two_readings_with_the_same_time_after_the_clock_was_set_back_are_both_stored(
    place: str,
) -> None:
    clocks = Clocks()
    with recording(place, clocks) as recorder:
        for value in range(5):
            send_readings(recorder, NOW - 100 + value, value)
        until(lambda: recorder.recorded == 5)
        for value in range(5):
            send_readings(recorder, NOW - 100 + value, 10 + value)
        until(lambda: recorder.recorded == 10)
        # Repeated by a gateway that reconnected, they are the same.
        for value in range(5):
            send_readings(recorder, NOW - 100 + value, 10 + value)
        until(lambda: recorder.recorded == 15)
    assert numbers(place) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
