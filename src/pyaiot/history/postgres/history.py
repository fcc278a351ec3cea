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

from pyaiot.history.paging import Span
from pyaiot.history.postgres import questions
from pyaiot.history.postgres.writer import connect, describe
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

CONNECTIONS_MAX: Final = 4
"""Questions that the server answers at the same time. Others wait."""

CLOSE_LIMIT_S: Final = 2.0
"""How long the server may take to give up a question. Then the connection is cut."""

T = TypeVar("T")


class PostgresHistory:
    """`History` of a database. Connections are made when they are needed, and kept."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open = 0
        # Of the thread's loop:
        self._idle: list[Any] = []
        self._free: asyncio.Semaphore | None = None

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
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    async def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        if self._open >= QUERIES_MAX:
            raise TooSlow(f"{QUERIES_MAX} questions to the history are open already")
        self._open += 1
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                # Cancelled with whoever waits for it, which the server is told.
                return await asyncio.wrap_future(
                    asyncio.run_coroutine_threadsafe(self._answer(question), self._running())
                )
        except TimeoutError:
            raise TooSlow(f"the question took longer than {QUERY_LIMIT_S:.0f} s") from None
        finally:
            self._open -= 1

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._free = asyncio.Semaphore(CONNECTIONS_MAX)
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

    async def _answer(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """On the thread's loop."""
        assert self._free is not None  # noqa: S101 - `_running` made it
        async with self._free:
            db = None
            try:
                db = self._idle.pop() if self._idle else await connect(self._url)
                answer = await question(db)
            except (asyncpg.DataError, UnicodeError, OverflowError) as error:
                if db is not None:
                    db.terminate()
                raise BadQuestion("no name and no time is like that") from error
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
