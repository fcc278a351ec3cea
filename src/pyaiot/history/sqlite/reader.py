# SPDX-License-Identifier: BSD-3-Clause
"""Queries of a history file: read-only connections, each used by one thread at a time."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from pyaiot.history.reader import INVALID_ARGUMENT, HistoryReader, NotShort
from pyaiot.history.sqlite import queries
from pyaiot.history.sqlite.writer import describe, file_identity, open_reader
from pyaiot.history.store import SHORT_LIMIT_S, BadQuery, StoreError, TooSlow

READERS_MAX: Final = 4
"""Largest number of wide queries that run at the same time. Others wait."""
SHORT_READERS_MAX: Final = 2
"""Largest number of short queries that run at the same time, in addition to the wide ones. Others
wait."""
_CHECK_STEPS: Final = 20_000
"""Virtual machine instructions of SQLite, about 2 ms, between two checks of the time."""

T = TypeVar("T")


class _Job:
    """One query: runs in a thread, and can be cancelled from the loop."""

    def __init__(self, limit_s: float | None) -> None:
        """`limit_s`: how long it may run in a thread; None: until it is cancelled."""
        self.timed_out = False
        """It exceeded `limit_s`."""
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._cancelled = False

    def begin(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if self._cancelled:
                raise TooSlow("the query was cancelled")
            self._db = db
        until = None if self._limit_s is None else time.monotonic() + self._limit_s

        def must_stop() -> bool:
            # `interrupt` has no effect before the statement has started.
            if until is not None:
                self.timed_out = time.monotonic() > until
            return self.timed_out or self._cancelled

        db.set_progress_handler(must_stop, _CHECK_STEPS)

    def end(self) -> None:
        with self._lock:
            db, self._db = self._db, None
        if db is not None:
            db.set_progress_handler(None, 0)

    def cancel(self) -> None:
        """A running query ends within microseconds."""
        with self._lock:
            self._cancelled = True
            if self._db is not None:
                self._db.interrupt()


class SqliteReader(HistoryReader):
    """`History` of a file. Connections are opened when needed, and reused."""

    def __init__(self, path: Path) -> None:
        super().__init__(queries)
        self._path = path
        self._wide = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="history reader")
        self._short = ThreadPoolExecutor(SHORT_READERS_MAX, thread_name_prefix="history short")
        self._idle: list[tuple[sqlite3.Connection, object]] = []
        """Idle connections, each with the identity of its file."""
        self._jobs: set[_Job] = set()
        """Queries that wait or run."""

    async def close(self) -> None:
        for job in list(self._jobs):
            job.cancel()
        for threads in (self._short, self._wide):
            await asyncio.to_thread(threads.shutdown)
        for db, _ in self._idle:
            db.close()
        self._idle.clear()

    async def _run(self, query: Callable[[sqlite3.Connection], T], *, wide: bool) -> T:
        job = _Job(None if wide else SHORT_LIMIT_S)
        self._jobs.add(job)
        result = (self._wide if wide else self._short).submit(self._execute, job, query)
        result.add_done_callback(lambda _: None)
        waiting = asyncio.wrap_future(result)
        try:
            return await asyncio.shield(waiting)
        finally:
            if not waiting.done():
                job.cancel()
                # Retrieve the exception of the interrupted thread, so that it is not logged.
                waiting.add_done_callback(lambda done: done.exception())
            self._jobs.discard(job)

    def _execute(self, job: _Job, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs in a thread."""
        db: sqlite3.Connection | None = None
        file: object = None
        try:
            db, file = self._connection()
            job.begin(db)
            try:
                result = query(db)
            finally:
                job.end()
        except sqlite3.Error as error:
            if db is not None:
                db.close()
            if job.timed_out:
                raise NotShort from error
            raise StoreError(describe(self._path, error)) from error
        except BaseException as error:
            if db is not None:
                self._idle.append((db, file))
            if isinstance(error, UnicodeError | OverflowError):
                raise BadQuery(INVALID_ARGUMENT) from error
            raise
        self._idle.append((db, file))
        return result

    def _connection(self) -> tuple[sqlite3.Connection, object]:
        """A connection to the file that exists now, and the identity of that file."""
        file = file_identity(self._path)
        while self._idle:
            db, its_file = self._idle.pop()
            if its_file == file:
                return db, file
            db.close()
        return open_reader(self._path), file
