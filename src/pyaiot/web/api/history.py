# SPDX-License-Identifier: BSD-3-Clause
"""Readings, steps, exports, events and commands from the history.

Queries run on the threads of the store and are cancelled when their client disconnects.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import tzinfo
from typing import Final, TypeVar

from aiohttp import hdrs, web

from pyaiot.broker.broker import Broker
from pyaiot.errors import ProtocolError
from pyaiot.history.paging import SHORT_ROWS_MAX, Span, Steps
from pyaiot.history.store import (
    ROWS_MAX,
    BucketRow,
    Chunk,
    EventRow,
    Page,
    StoreError,
    TooSlow,
)
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.web.api.export_formats import FormatWriter, format_writer, stored_readings
from pyaiot.web.api.exports import closing, in_order, without_personal
from pyaiot.web.api.history_queries import HistoryQueries, check_scope, store_problems
from pyaiot.web.api.history_schemas import (
    Events,
    Readings,
    StoredCommand,
    StoredCommands,
    StoredEvent,
    StoredReading,
)
from pyaiot.web.api.local_days import DAY_S, days_of, part_step_s, time_zone
from pyaiot.web.api.nodes import includes, sees
from pyaiot.web.api.parameters import (
    CommandsQuery,
    EventsQuery,
    ExportQuery,
    HistoryQuery,
)
from pyaiot.web.api.responses import HEADERS, encode, json_response, while_connected
from pyaiot.web.client_access import access_of, quota_owner_of
from pyaiot.web.problems import ProblemError

EXPORTS_MAX: Final = 4
"""Largest number of exports to one client at the same time. A further one is answered 503."""
EXPORTS_TOTAL_MAX: Final = 16
"""Largest number of exports to all clients at the same time. A further one is answered 503."""
STALL_LIMIT_S: Final = 30.0
"""An export is aborted if its client reads nothing for this long."""
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
    """The handlers of the history."""

    def __init__(
        self, broker: Broker, queries: HistoryQueries, unix_time: Callable[[], float]
    ) -> None:
        self._broker = broker
        self._queries = queries
        self._unix_time = unix_time
        self._exports: Counter[str] = Counter()
        """Number of running exports of each client."""
        self._failures = RateLimitedLog(log)

    async def history(self, request: web.Request, query: HistoryQuery) -> web.StreamResponse:
        check_scope(self._broker, request, request.match_info["uid"], request.match_info["name"])
        format_name = query.format or _accepted(
            request, ("json", "csv", "ndjson", "senml", "arrow")
        )
        if query.agg is not None and query.every is None:
            raise ProblemError(400, "bad-request", "agg requires every")
        streamed = format_name != "json"
        if (streamed or query.every is not None) and (query.cursor or query.order == "newest"):
            raise ProblemError(400, "bad-request", "only readings as JSON have pages and an order")
        if query.every is not None:
            return await self._steps(request, query, format_name)
        if not streamed:
            return await self._readings(request, query)
        if query.limit is not None:
            raise ProblemError(400, "bad-request", "only readings as JSON have pages")
        now = self._unix_time()
        chunks = self._queries.reader.export(
            uid=request.match_info["uid"],
            resource=request.match_info["name"],
            start=query.start(now),
            end=query.end(now),
        )
        return await self._stream(request, chunks, format_writer(format_name))

    async def export(self, request: web.Request, query: ExportQuery) -> web.StreamResponse:
        format_name = query.format or _accepted(request, ("csv", "ndjson", "senml", "arrow"))
        now = self._unix_time()
        check_scope(self._broker, request, query.uid, query.resource)

        def chunks_of(uid: str | None) -> AsyncIterator[Chunk]:
            return self._queries.reader.export(
                uid=uid, resource=query.resource, start=query.start(now), end=query.end(now)
            )

        scope = access_of(request).scope
        chunks = chunks_of(query.uid)
        if query.uid is None and not scope.has_all_nodes:
            # Select in the store: the scope may have 3 of 100,000 nodes.
            records = self._broker.router.registry.records.values()
            uids = sorted(record.uid for record in records if includes(scope, record))
            chunks = in_order(map(chunks_of, uids))
        if scope.hides_personal:
            chunks = without_personal(chunks)
        return await self._stream(request, chunks, format_writer(format_name))

    async def events(self, request: web.Request, query: EventsQuery) -> web.StreamResponse:
        check_scope(self._broker, request, query.uid)
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        start, end = query.start(now), query.end(now)
        page = await self._queries.run(
            request,
            self._queries.reader.events(
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
            StoredEvent(
                ts=row.ts,
                kind=row.kind,
                uid=row.uid,
                gateway=row.gateway,
                detail=row.detail,
                until=row.until,
                lost=row.lost,
            )
            for row in _rows(page, query.limit)
            if self._sees_event(request, row)
        ]
        return json_response(await _encode(Events(events=events, next=page.cursor)))

    async def commands(self, request: web.Request, query: CommandsQuery) -> web.StreamResponse:
        check_scope(self._broker, request, query.uid)
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        start, end = query.start(now), query.end(now)
        page = await self._queries.run(
            request,
            self._queries.reader.commands(
                uid=query.uid,
                start=start,
                end=end,
                newest_first=query.order == "newest",
                limit=limit,
                cursor=query.cursor,
            ),
            wide=lambda: Span.of(start, end, limit).is_wide_filtered(filtered=bool(query.uid)),
        )
        # A payload may be a secret, such as the code of a lock; names of users are personal data.
        may_command = access_of(request).may_command
        commands = [
            StoredCommand(
                ts=row.ts,
                uid=row.uid,
                resource=row.resource,
                who=row.who if may_command else None,
                payload=row.payload if may_command else None,
                state=row.state,
                detail=row.detail,
                elapsed_ms=row.elapsed_ms,
            )
            for row in _rows(page, query.limit)
            if sees(self._broker, request, row.uid)
        ]
        return json_response(await _encode(StoredCommands(commands=commands, next=page.cursor)))

    def _sees_event(self, request: web.Request, row: EventRow) -> bool:
        if row.uid:
            return sees(self._broker, request, row.uid)
        gateways = access_of(request).scope.gateways
        return not gateways or not row.gateway or row.gateway in gateways

    async def _readings(self, request: web.Request, query: HistoryQuery) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        now = self._unix_time()
        limit = query.limit or ROWS_MAX
        page = await self._queries.run(
            request,
            self._queries.reader.readings(
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
        response = Readings(
            uid=uid, resource=resource, readings=stored_readings(rows), next=page.cursor
        )
        return json_response(await _encode(response))

    async def _steps(
        self, request: web.Request, query: HistoryQuery, format_name: str
    ) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        now = self._unix_time()
        start, end = query.start(now), query.end(now)
        if start is None or query.every is None:
            raise ProblemError(400, "bad-request", "every requires from")
        end = now if end is None else end
        tz = _time_zone(query)
        step_s = query.every if tz is None else part_step_s(start, end, tz)
        buckets = await self._queries.run(
            request,
            self._queries.reader.buckets(
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
        if format_name == "json":
            response = Readings(uid=uid, resource=resource, readings=steps, next=None)
            return json_response(await _encode(response))
        writer = format_writer(format_name, aggregates if len(aggregates) > 1 else ())
        body = writer.head() + writer.steps(uid, resource, steps) + writer.tail()
        return web.Response(body=body, headers=_headers(writer))

    async def _stream(
        self, request: web.Request, chunks: AsyncIterator[Chunk], writer: FormatWriter
    ) -> web.StreamResponse:
        client = quota_owner_of(request)
        if self._exports[client] >= EXPORTS_MAX or self._exports.total() >= EXPORTS_TOTAL_MAX:
            raise ProblemError(
                503,
                "busy",
                f"{self._exports[client]} exports of this client are running",
                retry_after_s=5,
            )
        self._exports[client] += 1
        try:
            # The first part is made before the response, so that a failure is a problem document.
            with store_problems():
                first = await while_connected(request, anext(chunks, None))
            response = web.StreamResponse(headers=_headers(writer))
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._write(request, response, writer, first, chunks)
            return response
        finally:
            self._exports[client] -= 1
            if not self._exports[client]:
                del self._exports[client]
            async with closing(chunks):
                pass

    async def _write(
        self,
        request: web.Request,
        response: web.StreamResponse,
        writer: FormatWriter,
        chunk: Chunk | None,
        chunks: AsyncIterator[Chunk],
    ) -> None:
        transport = request.transport
        closed = access_of(request).opened(lambda _reason: transport.abort() if transport else None)
        try:
            await response.write(writer.head())
            while chunk is not None:
                if not sees(self._broker, request, chunk.uid):
                    raise ConnectionError("a node has left the scope of its client")
                # On a thread: thousands of rows would block the loop for milliseconds.
                text = await asyncio.to_thread(writer.rows, chunk.uid, chunk.resource, chunk.rows)
                async with asyncio.timeout(STALL_LIMIT_S):
                    await response.write(text)
                chunk = await while_connected(request, anext(chunks, None))
            await response.write(writer.tail())
            await response.write_eof()
        except (StoreError, TooSlow, TimeoutError, ConnectionError) as error:
            # The stream is cut without its end, so that the client knows that it is incomplete.
            self._failures.warning(
                "an export was aborted: %s",
                str(error) or "its client reads nothing",
                now=asyncio.get_running_loop().time(),
            )
            if request.transport is not None:
                request.transport.abort()
        finally:
            closed()


def _rows(page: Page[R], limit: int | None) -> list[R]:
    """The page if there is a limit; otherwise all rows, or the problem `too-many-rows`."""
    with store_problems():
        return page.rows if limit is not None else page.whole()


def _time_zone(query: HistoryQuery) -> tzinfo | None:
    if query.tz is None:
        return None
    if query.every != DAY_S:
        raise ProblemError(400, "bad-request", f"tz requires every={DAY_S}")
    try:
        return time_zone(query.tz)
    except ProtocolError as error:
        raise ProblemError(400, "bad-request", str(error)) from error


def _step(bucket: BucketRow, aggregates: tuple[str, ...]) -> StoredReading:
    first = aggregates[0]
    value = float(getattr(bucket, first))
    # A count has no unit.
    unit = "" if first == "count" else bucket.unit
    if len(aggregates) == 1:
        return StoredReading(bucket.ts, value, unit)
    more = {name: getattr(bucket, name) for name in aggregates}
    return StoredReading(bucket.ts, value, unit, **more)


async def _encode(response: object) -> bytes:
    # 100,000 rows take tens of milliseconds.
    return await asyncio.to_thread(encode, response)


def _accepted(request: web.Request, offered: tuple[str, ...]) -> str:
    """The format that `Accept` prefers; the first one by default (RFC 9110 section 12.5.1)."""
    best, best_quality = offered[0], 0.0
    for part in ",".join(request.headers.getall(hdrs.ACCEPT, ())).split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        name = _FORMATS.get(media_type)
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with contextlib.suppress(ValueError):
                    quality = float(parameter[2:])
        if name in offered and quality > best_quality:
            best, best_quality = name, quality
    return best


def _headers(writer: FormatWriter) -> dict[str, str]:
    charset = "; charset=utf-8" if writer.content_type.startswith("text/") else ""
    return {
        **HEADERS,
        hdrs.CONTENT_TYPE: writer.content_type + charset,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="pyaiot.{writer.suffix}"',
    }
