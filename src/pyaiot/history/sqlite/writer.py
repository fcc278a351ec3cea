# SPDX-License-Identifier: BSD-3-Clause
"""The only connection that writes a history file."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot.history.clock import ClockState
from pyaiot.history.rows import MICROSECONDS, NewReading, WriteBatch
from pyaiot.history.series_index import LateRow, SeriesIndex, candidate_times
from pyaiot.history.sqlite.free_memory import give_back_free_memory
from pyaiot.history.sqlite.retention import SqliteRetention
from pyaiot.history.sqlite.schema import migrate
from pyaiot.history.store import RetentionPolicy, RowsRefused, StoreError, StoreReplaced

BUSY_LIMIT_S: Final = 2.0
"""How long to wait while another program has locked the file."""
WAL_PAGES: Final = 4000
"""Size of the write-ahead log, in pages of 4 kB, at which they are moved into the file."""
CACHE_KIB: Final = 8 * 1024
"""Memory for pages of the file while rows are written."""
IDLE_STEPS: Final = 6
"""Number of steps of retention without a reading, an event or a command in between, after which the
memory for pages is returned to the system: one minute."""

# One statement for many rows. Single inserts would take and release the GIL for each row, and wait
# for the busy event loop each time.
_ROWS_AT_ONCE: Final = (512, 64, 8, 1)
_INSERT: Final = {
    rows: "INSERT OR IGNORE INTO reading VALUES " + ",".join(["(?,?,?,?)"] * rows)  # noqa: S608
    for rows in _ROWS_AT_ONCE
}
_COLUMNS: Final = 4

_FIND_READING: Final = """
    SELECT 1 FROM series AS s JOIN reading AS r ON r.series = s.id
    WHERE s.uid = ? AND s.resource = ? AND r.at = ?
"""
_FIND_EVENT: Final = "SELECT 1 FROM event WHERE at = ? AND kind = ?"


class SqliteWriter:
    """Writes batches, each in one transaction that is on disk when `write` returns."""

    def __init__(self, path: Path, keep: RetentionPolicy, *, run: str) -> None:
        """Open or create the file. `run` identifies the commands of this process.

        Raises `StoreError`.
        """
        self._path = path
        self._names = str(path), f"{path}-wal"
        """Of the database and of its write-ahead log."""
        self._run = run
        self._index = SeriesIndex()
        self._keep = keep
        with self._translated_errors():
            self._db = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None)
            try:
                # A reader sees the last commit and blocks nothing. A commit is one write and one
                # fsync of the log.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
                self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                migrate(self._db)
            except BaseException:
                self._db.close()
                raise
        self._opened_files = self._files()
        self._last_written: tuple[str, tuple[object, ...], int] | None = None
        """The last row: a query that finds it, its values and its time."""
        self._retention = SqliteRetention(self._db, keep)
        self._idle_steps = 0
        """Number of steps of retention since the last write."""

    def write(self, batch: WriteBatch, now: float) -> None:
        """Commit the batch in one transaction. Raises `StoreError` or `RowsRefused`."""
        self._idle_steps = 0
        with self._translated_errors():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                if batch.readings:
                    self._write_readings(batch.readings, now)
                if batch.events or batch.commands:
                    self._write_rest(batch)
                self._db.execute("COMMIT")
            except BaseException:
                self._index.clear()
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                raise
        # Checked after the commit: the file may have been deleted just before it.
        if problem := self.location_problem():
            raise StoreReplaced(problem)

    def run_retention(self, now: float, *, retention_now: float | None = None) -> bool:
        """Do one short step. Raises `StoreError`."""
        with self._translated_errors():
            step = self._retention.step(now, now if retention_now is None else retention_now)
        self._index.minutes_built(step.built)
        self._index.forget(step.deleted)
        self._index.forget_idle(now)
        if not step.more:
            self._give_back_cache()
        return step.more

    def _give_back_cache(self) -> None:
        """Return the memory for pages to the system when nothing is being written. Raises
        `StoreError`."""
        self._idle_steps += 1
        if self._idle_steps == IDLE_STEPS:
            with self._translated_errors():
                self._db.execute("PRAGMA shrink_memory")
            give_back_free_memory()

    def location_problem(self) -> str:
        if self._files() == self._opened_files:
            return ""
        return f"{self._path}: the file was deleted or replaced while it was written"

    def reusable_bytes(self) -> int:
        with self._translated_errors():
            (pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
            (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def verify(self, retention_now: float) -> None:
        """Raises `StoreError`."""
        if problem := self.location_problem():
            raise StoreReplaced(problem)
        if self._last_written is None:
            return
        query, values, at = self._last_written
        oldest = self._keep.oldest(retention_now)
        if at < max(oldest.readings, oldest.events) * MICROSECONDS:
            return
        # A new connection has no cached pages.
        with self._translated_errors(), contextlib.closing(open_reader(self._path)) as db:
            found = db.execute(query, values).fetchone()
        if found is None:
            raise StoreReplaced(f"{self._path}: rows that were written no longer exist")

    def _files(self) -> list[tuple[int, int] | None]:
        """The identities of the database and of its write-ahead log."""
        return [file_identity(name) for name in self._names]

    def clock_state(self) -> ClockState | None:
        """The saved state; for an older file, the time of the newest row."""
        with self._translated_errors():
            saved = self._db.execute("SELECT trusted, wall, agreed_s FROM clock").fetchone()
            if saved is not None:
                return ClockState(*saved)
            (newest,) = self._db.execute(
                "SELECT max(at) FROM (SELECT max(at) AS at FROM event UNION ALL"
                " SELECT (SELECT max(at) FROM reading WHERE series = s.id) FROM series AS s)"
            ).fetchone()
        return None if newest is None else ClockState.of_newest(newest / MICROSECONDS)

    def server_time(self) -> float | None:
        """Always None: a file has no clock."""
        return None

    def save_clock(self, state: ClockState) -> None:
        """Raises `StoreError`."""
        with self._translated_errors():
            self._db.execute(
                "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)",
                (state.trusted, state.wall, state.agreed_s),
            )

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _write_readings(self, readings: list[NewReading], now: float) -> None:
        keys, units = self._index.missing(readings)
        for key in keys:
            self._learn(key)
        for unit in units:
            self._learn_unit(unit)
        oldest = int(self._keep.oldest(now).readings * MICROSECONDS)
        rows, late, marks = self._index.rows(readings, oldest)
        position = 0
        for at_once in _ROWS_AT_ONCE:
            size = at_once * _COLUMNS
            while len(rows) - position >= size:
                self._db.execute(_INSERT[at_once], rows[position : position + size])
                position += size
        for row in late:
            self._write_late(row)
        if rows:
            at = rows[-3]
            self._last_written = _FIND_READING, (*self._index.last_key, at), int(at)
        if marks:
            self._db.executemany("INSERT OR IGNORE INTO stale VALUES (60, ?, ?)", marks)

    def _write_late(self, row: LateRow) -> None:
        """Insert a reading whose time may be used already, unless an equal reading exists."""
        series, at, value, unit = row
        for moment in candidate_times(at):
            if self._db.execute(_INSERT[1], (series, moment, value, unit)).rowcount:
                return
            select = "SELECT value FROM reading WHERE series = ? AND at = ?"
            (other,) = self._db.execute(select, (series, moment)).fetchone()
            if other == value and type(other) is type(value):
                return

    def _write_rest(self, batch: WriteBatch) -> None:
        self._db.executemany(
            "INSERT INTO event (at, kind, uid, gateway, detail, until, lost)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(e.at, e.kind, e.uid, e.gateway, e.detail, e.until, e.lost) for e in batch.events],
        )
        if batch.events and not batch.readings:
            event = batch.events[-1]
            self._last_written = _FIND_EVENT, (event.at, event.kind), event.at
        self._db.executemany(
            "INSERT INTO command (at, run, number, uid, resource, payload, client, who, client_id,"
            " state, detail, elapsed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run, number) DO UPDATE SET client_id = excluded.client_id,"
            " state = excluded.state, detail = excluded.detail, elapsed_ms = excluded.elapsed_ms",
            [
                (
                    *(c.at, self._run, c.number, c.uid, c.resource, c.payload, c.client),
                    *(c.who, c.client_id, c.state, c.detail, c.elapsed_ms),
                )
                for c in batch.commands
            ],
        )

    def _learn(self, key: tuple[str, str]) -> None:
        """Look up a resource; insert it if it is missing."""
        select = "SELECT id FROM series WHERE uid = ? AND resource = ?"
        row = self._db.execute(select, key).fetchone()
        if row is None:
            self._db.execute("INSERT INTO series (uid, resource) VALUES (?, ?)", key)
            row = self._db.execute(select, key).fetchone()
        latest = self._db.execute(
            "SELECT at, value FROM reading WHERE series = ? ORDER BY at DESC LIMIT 1", row
        ).fetchone()
        self._index.learn(row[0], key, *(latest or (0, "")))

    def _learn_unit(self, name: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO unit (name) VALUES (?)", (name,))
        (unit,) = self._db.execute("SELECT id FROM unit WHERE name = ?", (name,)).fetchone()
        self._index.units[name] = int(unit)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn SQLite errors into `StoreError` or `RowsRefused`."""
        try:
            yield
        except (sqlite3.DataError, sqlite3.IntegrityError, UnicodeError, OverflowError) as error:
            raise RowsRefused(f"{self._path}: rows are left out: {error!r}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(describe(self._path, error)) from error
        except StoreError as error:
            raise StoreError(f"{self._path}: {error}") from error


def file_identity(path: str | Path) -> tuple[int, int] | None:
    """The identity of the file at a path, which differs from that of a replacement. None: the file
    does not exist.

    While the file is open, no other file gets its inode number.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - after each commit: a Path takes longer
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection. Raises `sqlite3.Error`."""
    # Not `immutable`, and it never creates the file: the writer does.
    return sqlite3.connect(
        path.absolute().as_uri() + "?mode=ro",
        uri=True,
        timeout=BUSY_LIMIT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def describe(path: Path, error: Exception) -> str:
    """The problem with the file, and its remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return f"{path}: the disk is full"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path}: another program has locked the file"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"{path}: the file is damaged: move it away, and a new one is created ({error})"
        case _:
            return f"{path}: {error}"
