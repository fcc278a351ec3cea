# SPDX-License-Identifier: BSD-3-Clause
"""Queries of a history: the interface, limits and two classes of queries, for all stores."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from types import ModuleType
from typing import Any, Final

from pyaiot.history.paging import SHORT_ROWS_MAX, Span, Steps
from pyaiot.history.store import (
    QUERIES_MAX,
    QUERY_LIMIT_S,
    ROWS_MAX,
    BucketRow,
    Chunk,
    CommandRow,
    EventKind,
    EventRow,
    LastRow,
    Page,
    ReadingRow,
    StateAt,
    TooSlow,
)

INVALID_ARGUMENT: Final = "a name or a time is not valid"


class NotShort(Exception):
    """A query took longer than `SHORT_LIMIT_S`: run it again as a wide one."""


class HistoryReader(ABC):
    """Queries of a store. A subclass runs them on its connections.

    It belongs to one event loop, which it never blocks. Every method may raise `StoreError`,
    `TooSlow`, `BadQuery` and, for a `limit` above `ROWS_MAX`, `TooManyRows`. Cancelling the task of
    a query also cancels it in the store.
    """

    def __init__(self, queries: ModuleType) -> None:
        """`queries` has one function for each query. Its first argument is a connection."""
        self._queries = queries
        self._open = {True: 0, False: 0}
        """Numbers of open queries: wide, and short."""

    async def last(
        self, uid: str | None = None, *, limit: int = ROWS_MAX, cursor: str | None = None
    ) -> Page[LastRow]:
        """The latest recorded reading of each resource, of one node or of all, by uid and
        resource."""
        page: Page[LastRow] = await self._query(
            lambda db: self._queries.last(db, uid, None, limit, cursor),
            wide=uid is None and limit > SHORT_ROWS_MAX,
        )
        return page

    async def state_at(
        self,
        at: float,
        *,
        uid: str | None = None,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> StateAt:
        """The state at a time, of one node or of all: the last earlier reading of each resource, as
        far back as readings are kept, and the last event of each node, if any.

        A page has at most `limit` readings; the states are those of its nodes.
        """
        moment: StateAt = await self._query(
            lambda db: self._queries.state_at(db, uid, at, limit, cursor),
            wide=uid is None and limit > SHORT_ROWS_MAX,
        )
        return moment

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
        """Readings of one resource by time."""
        span = Span.of(start, end, limit, newest_first=newest_first)
        page: Page[ReadingRow] = await self._query(
            lambda db: self._queries.readings(db, uid, resource, span, cursor), wide=span.is_wide
        )
        return page

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
        """The numbers of one resource for each step that has any.

        Steps are counted from the epoch in UTC and are complete: the first contains `start`, the
        last one the time just before `end`. They are computed from the coarsest suitable table:
        steps of whole hours or minutes reach back as far as the retention of those, others as far
        as readings. Raises `TooManyRows`.
        """
        rows: list[BucketRow] = await self._query(
            lambda db: self._queries.buckets(db, uid, resource, start, end, step_s, limit),
            wide=Steps.of(start, end, step_s).is_wide,
        )
        return rows

    async def export(
        self,
        *,
        uid: str | None = None,
        resource: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> AsyncIterator[Chunk]:
        """All readings in the range, by uid, resource and time, in constant memory.

        Readings that are recorded in the meantime may be included. Close the iterator if you stop
        early.
        """
        # Each part is a separate query: the store holds no lock and no snapshot while the receiver
        # of the export is slow.
        span = Span.of(start, end, ROWS_MAX)
        position: tuple[str, str, int] | None = ("", "", -1)
        while position is not None:
            after = position
            part: tuple[list[Chunk], tuple[str, str, int] | None] = await self._query(
                lambda db, after=after: self._queries.export(db, uid, resource, span, after),  # type: ignore[misc]
                wide=True,
            )
            chunks, position = part
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
        """Events by time. Empty `kinds`: all kinds."""
        span = Span.of(start, end, limit, newest_first=newest_first)
        page: Page[EventRow] = await self._query(
            lambda db: self._queries.events(db, uid, kinds, span, cursor),
            wide=span.is_wide_filtered(filtered=bool(uid or kinds)),
        )
        return page

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
        """Commands and their receipts, by the time at which they were issued."""
        span = Span.of(start, end, limit, newest_first=newest_first)
        page: Page[CommandRow] = await self._query(
            lambda db: self._queries.commands(db, uid, span, cursor),
            wide=span.is_wide_filtered(filtered=bool(uid)),
        )
        return page

    @abstractmethod
    async def close(self) -> None:
        """Cancel running queries and close the connections."""

    @abstractmethod
    async def _run(self, query: Callable[[Any], Any], *, wide: bool) -> Any:
        """Run a query on a connection. If cancelled, it also ends the work in the store. Raises
        `NotShort` if `wide` is false and the query exceeds `SHORT_LIMIT_S`."""

    async def _query(self, query: Callable[[Any], Any], *, wide: bool = False) -> Any:
        """The result of a query. Unless the query is known to be wide, it is first run as a short
        one."""
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                if not wide:
                    with contextlib.suppress(NotShort):
                        return await self._admit(query, wide=False)
                return await self._admit(query, wide=True)
        except TimeoutError:
            raise TooSlow(f"the query took longer than {QUERY_LIMIT_S:.0f} s") from None

    async def _admit(self, query: Callable[[Any], Any], *, wide: bool) -> Any:
        """Run a query; raise `TooSlow` if `QUERIES_MAX` queries of its class are open."""
        if self._open[wide] >= QUERIES_MAX:
            raise TooSlow(f"{QUERIES_MAX} queries of the history are open already")
        self._open[wide] += 1
        try:
            return await self._run(query, wide=wide)
        finally:
            self._open[wide] -= 1
