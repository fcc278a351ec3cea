# SPDX-License-Identifier: BSD-3-Clause
"""Those who ask a history file: read-only connections on threads of their own."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from pyaiot.history.paging import Span
from pyaiot.history.sqlite import questions
from pyaiot.history.sqlite.writer import describe, file_identity, open_reader
from pyaiot.history.store import (
    QUERIES_MAX,
    QUERY_LIMIT_S,
    ROWS_MAX,
    BadQuestion,
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
"""Questions that are answered at the same time. Others wait."""

T = TypeVar("T")


class _Job:
    """One question on its way: given up from the loop, answered on a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._given_up = False

    def begin(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if self._given_up:
                raise TooSlow("nobody waits for the answer any more")
            self._db = db

    def end(self) -> None:
        with self._lock:
            self._db = None

    def give_up(self) -> None:
        """Nobody waits any more: what runs ends within microseconds."""
        with self._lock:
            self._given_up = True
            if self._db is not None:
                self._db.interrupt()


class SqliteHistory:
    """`History` of a file. Holds at most `READERS_MAX` connections, made when they are needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="history reader")
        self._idle: list[tuple[sqlite3.Connection, object]] = []
        """Connections that nobody uses, each with the identity of its file."""
        self._jobs: set[_Job] = set()

    async def last(
        self, uid: str | None = None, *, limit: int = ROWS_MAX, cursor: str | None = None
    ) -> Page[LastRow]:
        return await self._ask(lambda db: questions.last(db, uid, limit, cursor))

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
        return await self._ask(lambda db: questions.readings(db, uid, resource, span, cursor))

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
            lambda db: questions.buckets(db, uid, resource, start, end, step_s, limit)
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
                lambda db, after=after: questions.export(db, uid, resource, span, after)  # type: ignore[misc]
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
        return await self._ask(lambda db: questions.events(db, uid, kinds, span, cursor))

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
        return await self._ask(lambda db: questions.commands(db, uid, span, cursor))

    async def close(self) -> None:
        for job in list(self._jobs):
            job.give_up()
        await asyncio.to_thread(self._threads.shutdown)
        for db, _ in self._idle:
            db.close()
        self._idle.clear()

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if len(self._jobs) >= QUERIES_MAX:
            raise TooSlow(f"{QUERIES_MAX} questions to the history are open already")
        job = _Job()
        self._jobs.add(job)
        answer = self._threads.submit(self._answer, job, question)
        answer.add_done_callback(lambda _: None)
        waiting = asyncio.wrap_future(answer)
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                return await asyncio.shield(waiting)
        except TimeoutError:
            raise TooSlow(f"the question took longer than {QUERY_LIMIT_S:.0f} s") from None
        finally:
            if not waiting.done():
                job.give_up()
                # What the thread says of being interrupted interests nobody.
                waiting.add_done_callback(lambda done: done.exception())
            self._jobs.discard(job)

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
            raise StoreError(describe(self._path, error)) from error
        except BaseException as error:
            if db is not None:
                self._idle.append((db, file))
            if isinstance(error, UnicodeError | OverflowError):
                raise BadQuestion("no name and no time is like that") from error
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
