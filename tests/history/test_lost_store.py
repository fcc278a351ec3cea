# SPDX-License-Identifier: BSD-3-Clause
"""A store that is removed while it is written: noticed, recorded as a gap, and created again."""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pyaiot.history import recorder as recorder_module
from pyaiot.history.recorder import Recorder
from pyaiot.history.sqlite.file import SqliteFile
from pyaiot.history.store import EventRow, StoreError
from pyaiot.history.stores import store_at
from pyaiot.messages import Reading
from tests.history.files import FOR_EVER, open_reader, query_store, run
from tests.history.postgres_server import running_server
from tests.history.recorders import retry_soon, running_recorder, until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_soon(monkeypatch)


@contextlib.contextmanager
def recording(place: str) -> Iterator[Recorder]:
    with running_recorder(store_at(place, FOR_EVER)) as recorder:
        until(lambda: not recorder.problem())
        yield recorder


def send_readings(recorder: Recorder, *values: int) -> None:
    before = recorder.recorded
    for value in values:
        recorder.message_published(Reading.received("n", "r", value, time.time()))
    until(lambda: recorder.recorded >= before + len(values))


def numbers(path: Path) -> list[float]:
    return [row.number for row in query_store(path, lambda h: h.readings("n", "r")).whole()]


def gaps(path: Path) -> list[EventRow]:
    return [row for row in query_store(path, lambda h: h.events()).whole() if row.kind == "gap"]


def delete(path: Path) -> None:
    for file in path.parent.iterdir():
        if file.name.startswith(path.name) and not file.name.endswith(".lock"):
            file.unlink()


def delete_only_the_file(path: Path) -> None:
    path.unlink()


def delete_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved"))


def delete_the_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()
    path.with_name(path.name + "-shm").unlink()


def replace_by_an_empty_one(path: Path) -> None:
    other = path.with_name("other.db")
    with SqliteFileWriter(other):
        pass
    delete(path)
    other.rename(path)


class SqliteFileWriter:
    def __init__(self, path: Path) -> None:
        self._writer = SqliteFile(path, FOR_EVER).open_writer()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._writer.close()


@pytest.mark.parametrize(
    "taken",
    [delete, delete_only_the_file, delete_the_folder, move_away, replace_by_an_empty_one],
)
def test_a_removed_file_is_created_again_and_recording_continues(
    tmp_path: Path, taken: Callable[[Path], None]
) -> None:
    path = tmp_path / "deep" / "history.db"
    with recording(str(path)) as recorder:
        send_readings(recorder, *range(100))
        taken(path)
        assert "deleted or replaced" in recorder.problem()
        send_readings(recorder, *range(100, 1350))
        until(lambda: not recorder.problem())
        send_readings(recorder, 1350)
        assert numbers(path) == list(range(100, 1351))
        (gap,) = gaps(path)
        assert gap.lost == 100
        assert "deleted or replaced" in gap.detail
        assert gap.until is not None
        assert time.time() - 60 < gap.ts <= gap.until <= time.time()
    assert recorder.dropped == 0


def test_recording_continues_after_the_write_ahead_log_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with recording(str(path)) as recorder:
        send_readings(recorder, *range(100))
        delete_the_log(path)
        send_readings(recorder, *range(100, 200))
        until(lambda: not recorder.problem())
        send_readings(recorder, 200)
        assert numbers(path)[-101:] == list(range(100, 201))
        assert len(gaps(path)) == 1


def test_a_removed_file_of_an_idle_service_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "RETENTION_INTERVAL_S", 0.05)
    path = tmp_path / "history.db"
    with recording(str(path)) as recorder:
        send_readings(recorder, 1)
        path.unlink()
        until(path.exists)
        until(lambda: not recorder.problem())
        assert len(gaps(path)) == 1


def test_readers_use_the_current_file(tmp_path: Path) -> None:
    path = tmp_path / "history.db"

    async def run_query() -> list[list[float]]:
        found = []
        async with open_reader(path) as history:
            with recording(str(path)) as recorder:
                for value in range(2):
                    send_readings(recorder, value)
                    rows = (await history.readings("n", "r")).rows
                    found.append([row.number for row in rows])
                    delete(path)
                with contextlib.suppress(StoreError):  # for a moment there is no file
                    await history.last()
        return found

    assert run(run_query()) == [[0], [1]]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM series", "DELETE FROM reading", "DROP TABLE reading"]
)
def test_deleted_rows_are_detected(
    tmp_path: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "RETENTION_INTERVAL_S", 0.05)
    path = tmp_path / "history.db"
    with recording(str(path)) as recorder:
        send_readings(recorder, *range(10))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute(statement)
        other.close()
        if "DROP" in statement:
            until(recorder.problem)
            assert "no such table" in recorder.problem()
            return
        until(lambda: gaps(path))
        send_readings(recorder, 10, 11)
        assert numbers(path)[-2:] == [10, 11]


def test_a_lock_file_that_is_deleted_is_locked_again(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with recording(str(path)) as recorder:
        delete(path)
        path.with_name("history.db.lock").unlink()
        send_readings(recorder, 1)
        second = SqliteFile(path, FOR_EVER)
        with pytest.raises(Exception, match="by another Pyaiot"):
            second.claim()


@pytest.mark.parametrize("statement", ["DROP SCHEMA pyaiot CASCADE", "TRUNCATE series, reading"])
def test_an_emptied_database_is_created_again(
    statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "RETENTION_INTERVAL_S", 0.05)

    async def execute(url: str) -> None:
        db = await asyncpg.connect(url, server_settings={"search_path": "pyaiot"})
        while True:
            # The server may choose either of two transactions that wait for each other.
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                await db.execute(statement)
                break
        await db.close()

    async def run_query(url: str, query: Any) -> Any:
        history = store_at(url, FOR_EVER).history()
        try:
            return await query(history)
        finally:
            await history.close()

    with running_server() as server, recording(server.url) as recorder:
        send_readings(recorder, *range(10))
        run(execute(server.url))
        until(lambda: recorder.failures)
        until(lambda: not recorder.problem())
        send_readings(recorder, 10, 11)
        rows = run(run_query(server.url, lambda h: h.readings("n", "r"))).rows
        assert [row.number for row in rows] == [10, 11]

        def gaps() -> list[int]:
            events = run(run_query(server.url, lambda h: h.events())).rows
            return [event.lost for event in events if event.kind == "gap"]

        until(gaps)  # recorded after the readings, on a busy machine a moment later
        assert gaps() == [10]
