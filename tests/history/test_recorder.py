# SPDX-License-Identifier: BSD-3-Clause
"""The recorder: it records messages, and counts and reports those that it cannot record."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyaiot.errors import OperatorError
from pyaiot.history import recorder as recorder_module
from pyaiot.history.recorder import Recorder
from pyaiot.history.sqlite import writer
from pyaiot.history.sqlite.file import SqliteFile
from pyaiot.history.store import EventRow
from pyaiot.messages import Command, NodeAppeared, Reading, Receipt
from tests.history.files import FOR_EVER, query_store
from tests.history.recorders import retry_soon, running_recorder, until
from tests.time_limits import Stopwatch


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_soon(monkeypatch)
    monkeypatch.setattr(writer, "BUSY_LIMIT_S", 0.01)


def recording(path: Path) -> contextlib.AbstractContextManager[Recorder]:
    return running_recorder(SqliteFile(path, FOR_EVER))


def send_readings(recorder: Recorder, count: int, size: int = 1) -> None:
    for number in range(count):
        ts = 1_700_000_000.0 + number
        recorder.message_published(Reading(uid="n", resource="r", data=f"{number:x>{size}}", ts=ts))


def events(path: Path) -> list[EventRow]:
    rows: list[EventRow] = query_store(path, lambda h: h.events()).whole()
    return rows


def rows(path: Path) -> int:
    return len(query_store(path, lambda h: h.readings("n", "r")).whole())


def test_messages_are_committed_and_commits_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.db"
    store = SqliteFile(path, FOR_EVER)
    store.claim()
    reported: list[int] = []
    recorder = Recorder(store, committed=reported.append)
    recorder.start()
    send_readings(recorder, 3000)
    command = Command(id="1", uid="n", resource="led", payload="1", client="c")
    recorder.command_sent(command, 1_700_000_000.0)
    recorder.command_ended(command, Receipt(id="x", state="sent"), 1_700_000_001.0)
    until(lambda: recorder.recorded == 3002)
    assert recorder.problem() == ""
    assert reported[-1] == 3002
    assert rows(path) == 3000
    assert [row.state for row in query_store(path, lambda h: h.commands()).whole()] == ["sent"]
    recorder.close()
    store.release()
    assert [event.kind for event in events(path)] == ["started", "stopped"]


def test_the_queue_is_written_at_the_end(tmp_path: Path) -> None:
    with recording(tmp_path / "history.db") as recorder:
        send_readings(recorder, 10_000)
    assert recorder.recorded == 10_000
    assert rows(tmp_path / "history.db") == 10_000


def test_drops_of_a_full_queue_are_counted_and_recorded_as_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 100)
    path = tmp_path / "history.db"
    with recording(path) as recorder:
        until(lambda: not recorder.problem())
        with locked(path):
            send_readings(recorder, 1)
            until(recorder.problem)
            assert "another program has locked the file" in recorder.problem()
            before = time.time()
            send_readings(recorder, 150)
            assert recorder.waiting == 100
            assert recorder.dropped == 50
            assert recorder.problem().endswith("; 50 messages lost so far")
        until(lambda: recorder.recorded == 101)
        until(lambda: not recorder.problem())
    (gap,) = [event for event in events(path) if event.kind == "gap"]
    assert gap.lost == 50
    assert gap.until is not None
    assert before - 1 <= gap.ts <= gap.until <= time.time()
    assert "locked" in gap.detail


def test_long_values_fill_the_queue_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_COST_MAX", 1_000_000)
    path = tmp_path / "history.db"
    with recording(path) as recorder:
        until(lambda: not recorder.problem())
        with locked(path):
            send_readings(recorder, 100, size=60_000)
            assert 15 <= recorder.waiting <= 20
            assert recorder.dropped > 70
        until(lambda: recorder.recorded + recorder.dropped == 100)
        # The queue has space again.
        dropped = recorder.dropped
        send_readings(recorder, 10, size=60_000)
        assert recorder.dropped == dropped


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds a write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_short_lock_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with recording(path) as recorder:
        send_readings(recorder, 10)
        until(lambda: recorder.recorded == 10)
        with locked(path):
            send_readings(recorder, 20)
            until(recorder.problem)
        until(lambda: recorder.recorded == 30)
        assert recorder.dropped == 0
    assert [event.kind for event in events(path)] == ["started", "started", "stopped"]


def test_a_damaged_file_is_reported_and_recording_continues_when_it_is_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 10)
    path = tmp_path / "history.db"
    path.write_bytes(b"this was a history once " * 1000)
    with recording(path) as recorder:
        send_readings(recorder, 25)
        until(lambda: "damaged" in recorder.problem())
        assert "move it away" in recorder.problem()
        assert recorder.dropped == 15
        path.rename(tmp_path / "damaged")
        until(lambda: recorder.recorded == 10)
    (gap,) = [event for event in events(path) if event.kind == "gap"]
    assert (gap.lost, "damaged" in gap.detail) == (15, True)
    assert rows(path) == 10


def test_damage_during_writes_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with recording(path) as recorder:
        send_readings(recorder, 5000)
        until(lambda: recorder.recorded == 5000)
        checkpoint(path)
        with path.open("r+b") as file:
            for page in range(1, path.stat().st_size // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 4096)
        recorder.message_published(NodeAppeared(uid="other"))
        send_readings(recorder, 5000)
        until(lambda: "damaged" in recorder.problem())


def checkpoint(path: Path) -> None:
    """Move the log into the file and invalidate cached pages."""
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.execute("CREATE TABLE other (x)")
    other.commit()
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    second = SqliteFile(path, FOR_EVER)
    with recording(path), pytest.raises(OperatorError, match="by another Pyaiot"):
        second.claim()
    second.claim()
    second.release()


def test_a_folder_that_cannot_be_created_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteFile(tmp_path / "file" / "history.db", FOR_EVER)
    with pytest.raises(OperatorError, match=r"cannot be written: .*--history off"):
        store.claim()


def test_a_quiet_recorder_commits_within_the_interval(tmp_path: Path) -> None:
    with recording(tmp_path / "history.db") as recorder:
        until(lambda: not recorder.problem())
        for _ in range(5):
            before = recorder.recorded
            send_readings(recorder, 1)
            watch = Stopwatch()
            until(lambda before=before: recorder.recorded > before)  # type: ignore[misc]
            # The interval, and a commit on a disk that other programs use too.
            assert watch.elapsed_s < 5.0


def test_a_full_disk_is_reported_and_recording_continues_when_there_is_space(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 100)
    path = small_disk / "history.db"
    ballast = small_disk / "ballast"
    with recording(path) as recorder:
        until(lambda: not recorder.problem())
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        send_readings(recorder, 100, size=500)
        until(recorder.problem)
        assert "the disk is full" in recorder.problem()
        send_readings(recorder, 300, size=500)
        lost = recorder.dropped
        assert lost >= 200
        # Existing rows are readable while nothing can be written.
        assert [event.kind for event in events(path)][:1] == ["started"]
        ballast.unlink()
        until(lambda: recorder.recorded + recorder.dropped == 400)
        until(lambda: not recorder.problem())
    (gap,) = [event for event in events(path) if event.kind == "gap"]
    assert (gap.lost, "full" in gap.detail) == (lost, True)
    assert rows(path) <= recorder.recorded == 400 - lost


def test_recording_uses_at_most_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MESSAGES_PER_S", 1000.0)
    monkeypatch.setattr(recorder_module, "BATCH_MAX", 100)
    with recording(tmp_path / "history.db") as recorder:
        until(lambda: not recorder.problem())
        began = time.monotonic()
        send_readings(recorder, 400)
        until(lambda: recorder.recorded == 400)
        # Three pauses of a tenth of a second between four batches.
        assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("data", ["1", "x" * 300, 1.5, {"a": ["b" * 300]}])
@pytest.mark.parametrize("count", [1, 5, 6, 12])
def test_readings_together_are_queued_as_one_by_one(
    data: object, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 8)
    monkeypatch.setattr(recorder_module, "QUEUE_COST_MAX", 4000)
    store = SqliteFile(tmp_path / "history.db", FOR_EVER)
    together, single = Recorder(store), Recorder(store)
    before = Reading(uid="n", resource="r", data="0")
    readings = [before, *(Reading(uid=f"n{it}", resource="r", data=data) for it in range(count))]
    for recorder in (together, single):
        recorder.message_published(before)
    together.readings_published(readings)
    for reading in readings:
        single.message_published(reading)
    assert together._queue == single._queue
    assert len(together._queue) <= 8
    assert together.overflowed == single.overflowed == 2 + count - len(single._queue)


def test_rows_that_a_store_refuses_are_left_out_and_recorded_as_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH_MAX", 1)
    path = tmp_path / "history.db"
    with recording(path) as recorder:
        until(lambda: not recorder.problem())
        # Gateways refuse such a name. If one did not, it would block everything else.
        recorder.message_published(
            Reading(uid="\ud800", resource="r", data="x", ts=1_700_000_000.0)
        )
        send_readings(recorder, 3)
        until(lambda: recorder.recorded == 3)
        assert recorder.dropped == 1
    (gap,) = [event for event in events(path) if event.kind == "gap"]
    assert gap.lost == 1
