# SPDX-License-Identifier: BSD-3-Clause
"""Those who ask a history file: read-only connections on threads of their own."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from pyaiot.history.paging import SHORT_ROWS_MAX, Span, Steps
from pyaiot.history.sqlite import queries
from pyaiot.history.sqlite.writer import describe, file_identity, open_reader
from pyaiot.history.store import (
    QUERIES_MAX,
    QUERY_LIMIT_S,
    ROWS_MAX,
    SHORT_LIMIT_S,
    BadQuery,
    BucketRow,
    Chunk,
    CommandRow,
    EventKind,
    EventRow,
    LastRow,
    Page,
    ReadingRow,
    StoreError,
    TooSlow,
)

READERS_MAX: Final = 4
"""Wide questions that are answered at the same time. Others wait."""
SHORT_READERS_MAX: Final = 2
"""Short questions that are answered at the same time, beside the wide ones. Others wait."""
_STEPS: Final = 20_000
"""Steps of SQLite, some 2 ms, after which a short question looks at the time."""

T = TypeVar("T")


class _Job:
    """One question on its way: given up from the loop, answered on a thread."""

    def __init__(self, limit_s: float | None) -> None:
        """`limit_s`: how long a thread may take for it; None: as long as somebody waits."""
        self.is_over = False
        """It took longer."""
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._given_up = False

    def begin(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if self._given_up:
                raise TooSlow("nobody waits for the answer any more")
            self._db = db
        if self._limit_s is not None:
            until = time.monotonic() + self._limit_s

            def ask_on() -> bool:
                self.is_over = time.monotonic() > until
                return self.is_over

            db.set_progress_handler(ask_on, _STEPS)

    def end(self) -> None:
        with self._lock:
            db, self._db = self._db, None
        if db is not None:
            db.set_progress_handler(None, 0)

    def give_up(self) -> None:
        """Nobody waits any more: what runs ends within microseconds."""
        with self._lock:
            self._given_up = True
            if self._db is not None:
                self._db.interrupt()


class _NotShort(Exception):
    """A question took longer than short ones may."""


class SqliteHistory:
    """`History` of a file. Each reader has a connection, made when it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wide = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="history reader")
        self._short = ThreadPoolExecutor(SHORT_READERS_MAX, thread_name_prefix="history short")
        self._idle: list[tuple[sqlite3.Connection, object]] = []
        """Connections that nobody uses, each with the identity of its file."""
        self._jobs: set[_Job] = set()
        """All that are open; of these, the wide ones:"""
        self._wide_jobs: set[_Job] = set()

    async def last(
        self, uid: str | None = None, *, limit: int = ROWS_MAX, cursor: str | None = None
    ) -> Page[LastRow]:
        return await self._ask(
            lambda db: queries.last(db, uid, limit, cursor),
            wide=uid is None and limit > SHORT_ROWS_MAX,
        )

    async def readings(
        self,
        uid: str,
        resource: str,
        *,
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[ReadingRow]:
        span = Span.of(start, end, limit, newest_first=newest_first)
        return await self._ask(
            lambda db: queries.readings(db, uid, resource, span, cursor), wide=span.is_wide
        )

    async def buckets(
        self,
        uid: str,
        resource: str,
        *,
        start: float,
        end: float,
        step_s: int,
        limit: int = ROWS_MAX,
    ) -> list[BucketRow]:
        return await self._ask(
            lambda db: queries.buckets(db, uid, resource, start, end, step_s, limit),
            wide=Steps.of(start, end, step_s).is_wide,
        )

    async def export(
        self,
        *,
        uid: str | None = None,
        resource: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> AsyncIterator[Chunk]:
        # Each part is a question of its own: no lock and no old state of the file is held while
        # the reader of the export takes its time.
        span = Span.of(start, end, ROWS_MAX)
        position: tuple[str, str, int] | None = ("", "", -1)
        while position is not None:
            after = position
            chunks, position = await self._ask(
                lambda db, after=after: queries.export(db, uid, resource, span, after),  # type: ignore[misc]
                wide=True,
            )
            for chunk in chunks:
                yield chunk

    async def events(
        self,
        *,
        uid: str | None = None,
        kinds: Sequence[EventKind] = (),
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[EventRow]:
        span = Span.of(start, end, limit, newest_first=newest_first)
        return await self._ask(
            lambda db: queries.events(db, uid, kinds, span, cursor),
            wide=span.is_wide_filtered(filtered=bool(uid or kinds)),
        )

    async def commands(
        self,
        *,
        uid: str | None = None,
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[CommandRow]:
        span = Span.of(start, end, limit, newest_first=newest_first)
        return await self._ask(
            lambda db: queries.commands(db, uid, span, cursor),
            wide=span.is_wide_filtered(filtered=bool(uid)),
        )

    async def close(self) -> None:
        for job in list(self._jobs):
            job.give_up()
        for threads in (self._short, self._wide):
            await asyncio.to_thread(threads.shutdown)
        for db, _ in self._idle:
            db.close()
        self._idle.clear()

    async def _ask(self, question: Callable[[sqlite3.Connection], T], *, wide: bool = False) -> T:
        """The answer, of the readers of short questions first if it is not known to be wide."""
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                if not wide:
                    with contextlib.suppress(_NotShort):
                        return await self._ask_of(self._short, question)
                return await self._ask_of(self._wide, question)
        except TimeoutError:
            raise TooSlow(f"the question took longer than {QUERY_LIMIT_S:.0f} s") from None

    async def _ask_of(
        self, threads: ThreadPoolExecutor, question: Callable[[sqlite3.Connection], T]
    ) -> T:
        wide = threads is self._wide
        its_kind = len(self._wide_jobs) if wide else len(self._jobs) - len(self._wide_jobs)
        if its_kind >= QUERIES_MAX:
            raise TooSlow(f"{QUERIES_MAX} questions to the history are open already")
        job = _Job(None if wide else SHORT_LIMIT_S)
        self._jobs.add(job)
        if wide:
            self._wide_jobs.add(job)
        answer = threads.submit(self._answer, job, question)
        answer.add_done_callback(lambda _: None)
        waiting = asyncio.wrap_future(answer)
        try:
            return await asyncio.shield(waiting)
        finally:
            if not waiting.done():
                job.give_up()
                # What the thread says of being interrupted interests nobody.
                waiting.add_done_callback(lambda done: done.exception())
            self._jobs.discard(job)
            self._wide_jobs.discard(job)

    def _answer(self, job: _Job, question: Callable[[sqlite3.Connection], T]) -> T:
        """On a thread."""
        db: sqlite3.Connection | None = None
        file: object = None
        try:
            db, file = self._connection()
            job.begin(db)
            try:
                answer = question(db)
            finally:
                job.end()
        except sqlite3.Error as error:
            if db is not None:
                db.close()
            if job.is_over:
                raise _NotShort from error
            raise StoreError(describe(self._path, error)) from error
        except BaseException as error:
            if db is not None:
                self._idle.append((db, file))
            if isinstance(error, UnicodeError | OverflowError):
                raise BadQuery("no name and no time is like that") from error
            raise
        self._idle.append((db, file))
        return answer

    def _connection(self) -> tuple[sqlite3.Connection, object]:
        """To the file that is there now, with its identity."""
        file = file_identity(self._path)
        while self._idle:
            db, its_file = self._idle.pop()
            if its_file == file:
                return db, file
            db.close()
        return open_reader(self._path), file
