# SPDX-License-Identifier: BSD-3-Clause
"""Those who ask a history database: connections on a thread of their own.

A thread, so that making rows of many answers never holds up the loop of the road.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.history.paging import SHORT_ROWS_MAX, Span, Steps
from pyaiot.history.postgres import queries
from pyaiot.history.postgres.writer import connect, describe
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

CONNECTIONS_MAX: Final = 4
"""Wide questions that the server answers at the same time. Others wait."""
SHORT_CONNECTIONS_MAX: Final = 2
"""Short questions that it answers at the same time, beside the wide ones. Others wait."""

CLOSE_LIMIT_S: Final = 2.0
"""How long the server may take to give up a question. Then the connection is cut."""

T = TypeVar("T")


class _NotShort(Exception):
    """A question took longer than short ones may."""


class PostgresHistory:
    """`History` of a database. Connections are made when they are needed, and kept."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open = 0
        self._open_wide = 0
        # Of the thread's loop:
        self._idle: list[Any] = []
        self._free: dict[bool, asyncio.Semaphore] = {}
        """Connections that may be taken, for wide questions and for short ones."""

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
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    async def _ask(self, question: Callable[[Any], Awaitable[T]], *, wide: bool = False) -> T:
        """The answer, of the connections for short questions first if it is not known to be
        wide.
        """
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                if not wide:
                    with contextlib.suppress(_NotShort):
                        return await self._ask_of(question, wide=False)
                return await self._ask_of(question, wide=True)
        except TimeoutError:
            raise TooSlow(f"the question took longer than {QUERY_LIMIT_S:.0f} s") from None

    async def _ask_of(self, question: Callable[[Any], Awaitable[T]], *, wide: bool) -> T:
        if (self._open_wide if wide else self._open - self._open_wide) >= QUERIES_MAX:
            raise TooSlow(f"{QUERIES_MAX} questions to the history are open already")
        self._open += 1
        self._open_wide += wide
        try:
            # Cancelled with whoever waits for it, which the server is told.
            return await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._answer(question, wide=wide), self._running())
            )
        finally:
            self._open -= 1
            self._open_wide -= wide

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._free = {
                True: asyncio.Semaphore(CONNECTIONS_MAX),
                False: asyncio.Semaphore(SHORT_CONNECTIONS_MAX),
            }
            self._thread = threading.Thread(
                target=self._serve, args=(self._loop,), name="history reader", daemon=True
            )
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the thread: until `close` stops the loop."""
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            for db in self._idle:
                db.terminate()
            self._idle.clear()
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()

    async def _answer(self, question: Callable[[Any], Awaitable[T]], *, wide: bool) -> T:
        """On the thread's loop."""
        async with self._free[wide]:
            db = None
            try:
                db = self._idle.pop() if self._idle else await connect(self._url)
                try:
                    async with asyncio.timeout(None if wide else SHORT_LIMIT_S):
                        answer = await question(db)
                except TimeoutError:
                    raise _NotShort from None
            except (asyncpg.DataError, UnicodeError, OverflowError) as error:
                if db is not None:
                    db.terminate()
                raise BadQuery("no name and no time is like that") from error
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if db is not None:
                    db.terminate()
                raise StoreError(describe(self._name, error)) from error
            except BaseException:
                if db is not None:
                    # Waits until the server has heard that nobody waits for the answer.
                    with contextlib.suppress(TimeoutError, OSError, asyncpg.InterfaceError):
                        await db.close(timeout=CLOSE_LIMIT_S)
                raise
            self._idle.append(db)
            return answer
