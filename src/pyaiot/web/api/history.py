# SPDX-License-Identifier: BSD-3-Clause
"""What was: readings, steps, exports, events and commands out of the history.

The questions run on the threads of the store, and are given up when their client leaves.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from pyaiot.errors import ProtocolError
from pyaiot.history.paging import SHORT_ROWS_MAX, Span, Steps
from pyaiot.history.store import (
    ROWS_MAX,
    BadQuery,
    BucketRow,
    Chunk,
    History,
    Page,
    StoreError,
    TooManyRows,
    TooSlow,
)
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.web.api.export_formats import Form, form_of, stored
from pyaiot.web.api.local_days import DAY_S, days_of, part_s, zone
from pyaiot.web.api.parameters import CommandsQuery, EventsQuery, ExportQuery, HistoryQuery
from pyaiot.web.api.query_quota import Places, client_of
from pyaiot.web.api.responses import HEADERS, encode, json_answer, while_present
from pyaiot.web.api.schemas import (
    Event,
    Events,
    Readings,
    StoredCommand,
    StoredCommands,
    StoredReading,
)
from pyaiot.web.problems import ProblemError
from pyaiot.web.sign_in import MAY_COMMAND

EXPORTS_MAX: Final = 4
"""Streams of readings to one client at the same time. One more: 503."""
EXPORTS_TOTAL_MAX: Final = 16
"""Streams of readings to all clients. One more: 503."""
STALL_LIMIT_S: Final = 30.0
"""An export whose client takes nothing for so long is cut off."""
_FORMATS: Final = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/senml+json": "senml",
    "application/vnd.apache.arrow.stream": "arrow",
}

R = TypeVar("R")

log = logging.getLogger(__name__)


class HistoryApi:
    """The handlers."""

    def __init__(self, history: History | None, unix_time: Callable[[], float]) -> None:
        """`history` None: none is kept, and everybody is told so."""
        self._given = history
        self._unix_time = unix_time
        self._exports: Counter[str] = Counter()
        """Of each client."""
        self._places = Places()
        self._failures = RateLimitedLog(log)

    async def history(self, request: web.Request, query: HistoryQuery) -> web.StreamResponse:
        form = query.format or _accepted(request, ("json", "csv", "ndjson", "senml", "arrow"))
        if query.agg is not None and query.every is None:
            raise ProblemError(400, "bad-request", "agg wants every")
        streamed = form != "json"
        if (streamed or query.every is not None) and (query.cursor or query.order == "newest"):
            raise ProblemError(400, "bad-request", "only readings as JSON come in pages and orders")
        if query.every is not None:
            return await self._steps(request, query, form)
        if not streamed:
            return await self._readings(request, query)
        if query.limit is not None:
            raise ProblemError(400, "bad-request", "only readings as JSON come in pages")
        now = self._unix_time()
        chunks = self._history.export(
            uid=request.match_info["uid"],
            resource=request.match_info["name"],
            start=query.start(now),
            end=query.end(now),
        )
        return await self._stream(request, chunks, form_of(form))

    async def export(self, request: web.Request, query: ExportQuery) -> web.StreamResponse:
        form = query.format or _accepted(request, ("csv", "ndjson", "senml", "arrow"))
        now = self._unix_time()
        chunks = self._history.export(
            uid=query.uid, resource=query.resource, start=query.start(now), end=query.end(now)
        )
        return await self._stream(request, chunks, form_of(form))

    async def events(self, request: web.Request, query: EventsQuery) -> web.StreamResponse:
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        start, end = query.start(now), query.end(now)
        page = await self._ask(
            request,
            self._history.events(
                uid=query.uid,
                kinds=query.kind or (),
                start=start,
                end=end,
                newest_first=query.order == "newest",
                limit=limit,
                cursor=query.cursor,
            ),
            wide=lambda: Span.of(start, end, limit).is_wide_filtered(
                filtered=bool(query.uid or query.kind)
            ),
        )
        events = [
            Event(
                ts=row.ts,
                kind=row.kind,
                uid=row.uid,
                gateway=row.gateway,
                detail=row.detail,
                until=row.until,
                lost=row.lost,
            )
            for row in _rows(page, query.limit)
        ]
        return json_answer(await _encoded(Events(events=events, next=page.cursor)))

    async def commands(self, request: web.Request, query: CommandsQuery) -> web.StreamResponse:
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        start, end = query.start(now), query.end(now)
        page = await self._ask(
            request,
            self._history.commands(
                uid=query.uid,
                start=start,
                end=end,
                newest_first=query.order == "newest",
                limit=limit,
                cursor=query.cursor,
            ),
            wide=lambda: Span.of(start, end, limit).is_wide_filtered(filtered=bool(query.uid)),
        )
        # A payload may be the code of a lock.
        may_command = request.get(MAY_COMMAND, True)
        commands = [
            StoredCommand(
                ts=row.ts,
                uid=row.uid,
                resource=row.resource,
                payload=row.payload if may_command else None,
                state=row.state,
                detail=row.detail,
                elapsed_ms=row.elapsed_ms,
            )
            for row in _rows(page, query.limit)
        ]
        return json_answer(await _encoded(StoredCommands(commands=commands, next=page.cursor)))

    @property
    def _history(self) -> History:
        if self._given is None:
            raise ProblemError(
                404, "no-history", "start the broker without --history off to have one"
            )
        return self._given

    async def _readings(self, request: web.Request, query: HistoryQuery) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        page = await self._ask(
            request,
            self._history.readings(
                uid,
                resource,
                start=query.start(now),
                end=query.end(now),
                newest_first=query.order == "newest",
                limit=limit,
                cursor=query.cursor,
            ),
            wide=lambda: limit > SHORT_ROWS_MAX,
        )
        rows = _rows(page, query.limit)
        answer = Readings(uid=uid, resource=resource, readings=stored(rows), next=page.cursor)
        return json_answer(await _encoded(answer))

    async def _steps(
        self, request: web.Request, query: HistoryQuery, form_name: str
    ) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        now = self._unix_time()
        start, end = query.start(now), query.end(now)
        if start is None or query.every is None:
            raise ProblemError(400, "bad-request", "every wants from")
        end = now if end is None else end
        tz = _zone(query)
        step_s = query.every if tz is None else part_s(start, end, tz)
        buckets = await self._ask(
            request,
            self._history.buckets(
                uid,
                resource,
                start=start,
                end=end,
                step_s=step_s,
                limit=ROWS_MAX if tz else query.limit or ROWS_MAX,
            ),
            wide=lambda: Steps.of(start, end, step_s).is_wide,
        )
        if tz is not None:
            buckets = days_of(buckets, tz)
            if query.limit is not None and len(buckets) > query.limit:
                raise ProblemError(
                    413, "too-many-rows", f"there are {len(buckets)} days: narrow the range"
                )
        aggregates = query.aggregates
        steps = [_step(bucket, aggregates) for bucket in buckets]
        if form_name == "json":
            answer = Readings(uid=uid, resource=resource, readings=steps, next=None)
            return json_answer(await _encoded(answer))
        form = form_of(form_name, aggregates if len(aggregates) > 1 else ())
        body = form.head() + form.steps(uid, resource, steps) + form.tail()
        return web.Response(body=body, headers=_headers(form))

    async def _ask(
        self, request: web.Request, question: Coroutine[Any, Any, R], *, wide: Callable[[], bool]
    ) -> R:
        """The answer, as soon as its client has a place for such a question."""
        try:
            with _told():
                place = self._places.place(client_of(request), wide=wide())
                return await while_present(request, _asked(place, question))
        finally:
            question.close()  # where it was refused before it was asked

    async def _stream(
        self, request: web.Request, chunks: AsyncIterator[Chunk], form: Form
    ) -> web.StreamResponse:
        client = client_of(request)
        if self._exports[client] >= EXPORTS_MAX or self._exports.total() >= EXPORTS_TOTAL_MAX:
            raise ProblemError(
                503,
                "busy",
                f"{self._exports[client]} exports of yours are running",
                retry_after_s=5,
            )
        self._exports[client] += 1
        try:
            # What is wrong with the question is told before there is an answer.
            with _told():
                first = await while_present(request, anext(chunks, None))
            response = web.StreamResponse(headers=_headers(form))
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._write(request, response, form, first, chunks)
            return response
        finally:
            self._exports[client] -= 1
            if not self._exports[client]:
                del self._exports[client]
            with contextlib.suppress(AttributeError):  # an iterator that is no generator
                await chunks.aclose()  # type: ignore[attr-defined]

    async def _write(
        self,
        request: web.Request,
        response: web.StreamResponse,
        form: Form,
        chunk: Chunk | None,
        chunks: AsyncIterator[Chunk],
    ) -> None:
        try:
            await response.write(form.head())
            while chunk is not None:
                # On a thread: thousands of rows would hold up the road for milliseconds.
                text = await asyncio.to_thread(form.rows, chunk.uid, chunk.resource, chunk.rows)
                async with asyncio.timeout(STALL_LIMIT_S):
                    await response.write(text)
                chunk = await while_present(request, anext(chunks, None))
            await response.write(form.tail())
            await response.write_eof()
        except (StoreError, TooSlow, TimeoutError, ConnectionError) as error:
            # There is no end of the stream, so that nobody takes this for everything.
            self._failures.warning(
                "an export broke off: %s",
                str(error) or "its client reads nothing",
                now=asyncio.get_running_loop().time(),
            )
            if request.transport is not None:
                request.transport.abort()


async def _asked(place: AbstractAsyncContextManager[None], question: Coroutine[Any, Any, R]) -> R:
    async with place:
        return await question


def _rows(page: Page[R], limit: int | None) -> list[R]:
    """What was asked for: a page, or all there is."""
    with _told():
        return page.rows if limit is not None else page.whole()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the store says of a question, as problems."""
    try:
        yield
    except BadQuery as error:
        raise ProblemError(400, "bad-request", str(error)) from error
    except TooManyRows as error:
        raise ProblemError(413, "too-many-rows", str(error)) from error
    except TooSlow as error:
        raise ProblemError(503, "too-slow", str(error), retry_after_s=5) from error
    except StoreError as error:
        raise ProblemError(503, "history-unavailable", str(error), retry_after_s=5) from error


def _zone(query: HistoryQuery) -> ZoneInfo | None:
    if query.tz is None:
        return None
    if query.every != DAY_S:
        raise ProblemError(400, "bad-request", f"tz wants every={DAY_S}: its days")
    try:
        return zone(query.tz)
    except ProtocolError as error:
        raise ProblemError(400, "bad-request", str(error)) from error


def _step(bucket: BucketRow, aggregates: tuple[str, ...]) -> StoredReading:
    first = aggregates[0]
    value = float(getattr(bucket, first))
    # How many there are has no unit.
    unit = "" if first == "count" else bucket.unit
    if len(aggregates) == 1:
        return StoredReading(bucket.ts, value, unit)
    more = {name: getattr(bucket, name) for name in aggregates}
    return StoredReading(bucket.ts, value, unit, **more)


async def _encoded(answer: object) -> bytes:
    # 100,000 rows take tens of milliseconds.
    return await asyncio.to_thread(encode, answer)


def _accepted(request: web.Request, offered: tuple[str, ...]) -> str:
    """The form that `Accept` prefers, else the first of those offered (RFC 9110 section 12.5.1)."""
    best, best_quality = offered[0], 0.0
    for part in ",".join(request.headers.getall(hdrs.ACCEPT, ())).split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        form = _FORMATS.get(media_type)
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with contextlib.suppress(ValueError):
                    quality = float(parameter[2:])
        if form in offered and quality > best_quality:
            best, best_quality = form, quality
    return best


def _headers(form: Form) -> dict[str, str]:
    charset = "; charset=utf-8" if form.content_type.startswith("text/") else ""
    return {
        **HEADERS,
        hdrs.CONTENT_TYPE: form.content_type + charset,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="pyaiot.{form.suffix}"',
    }
