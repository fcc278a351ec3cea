# SPDX-License-Identifier: BSD-3-Clause
"""Queries of a history database: connections in a separate thread.

The thread converts large results, which would block the event loop of the service.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.history.postgres import queries
from pyaiot.history.postgres.writer import connect, describe
from pyaiot.history.reader import INVALID_ARGUMENT, HistoryReader, NotShort
from pyaiot.history.store import SHORT_LIMIT_S, BadQuery, StoreError

CONNECTIONS_MAX: Final = 4
"""Largest number of wide queries that run at the same time. Others wait."""
SHORT_CONNECTIONS_MAX: Final = 2
"""Largest number of short queries that run at the same time, in addition to the wide ones. Others
wait."""

CLOSE_LIMIT_S: Final = 2.0
"""How long the server may take to cancel a query. After that the connection is aborted."""

T = TypeVar("T")


class PostgresReader(HistoryReader):
    """`History` of a database. Connections are opened when needed, and reused."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(queries)
        self._url = url
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Used on the thread's event loop:
        self._idle: list[Any] = []
        self._free: dict[bool, asyncio.Semaphore] = {}
        """Permits for connections, for wide and for short queries."""

    async def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    async def _run(self, query: Callable[[Any], Awaitable[T]], *, wide: bool) -> T:
        # Cancelling the task that waits here also cancels the query in the server.
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._execute(query, wide=wide), self._running())
        )

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
        """Runs in the thread until `close` stops the loop."""
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

    async def _execute(self, query: Callable[[Any], Awaitable[T]], *, wide: bool) -> T:
        """Runs on the thread's event loop."""
        async with self._free[wide]:
            db = None
            try:
                db = self._idle.pop() if self._idle else await connect(self._url)
                try:
                    async with asyncio.timeout(None if wide else SHORT_LIMIT_S):
                        result = await query(db)
                except TimeoutError:
                    raise NotShort from None
            except (asyncpg.DataError, UnicodeError, OverflowError) as error:
                if db is not None:
                    db.terminate()
                raise BadQuery(INVALID_ARGUMENT) from error
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if db is not None:
                    db.terminate()
                raise StoreError(describe(self._name, error)) from error
            except BaseException:
                if db is not None:
                    # Waits until the server has received the cancellation.
                    with contextlib.suppress(TimeoutError, OSError, asyncpg.InterfaceError):
                        await db.close(timeout=CLOSE_LIMIT_S)
                raise
            self._idle.append(db)
            return result
