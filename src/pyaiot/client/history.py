# SPDX-License-Identifier: BSD-3-Clause
"""Queries of the history over the HTTP API of a broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

import aiohttp
import msgspec

from pyaiot.client.address import path
from pyaiot.client.api import HttpApi
from pyaiot.client.errors import TooManyRows
from pyaiot.client.rows import Row, Rows
from pyaiot.errors import LinkLost

PAGE_ROWS: Final = 5_000
"""Rows per request. Larger results are fetched page by page."""
ROWS_MAX: Final = 1_000_000
"""Rows of one result, all of which are in memory. Beyond, `TooManyRows` is raised."""

Moment: TypeAlias = float | str | datetime
"""Unix time in seconds, a date and time (local without an offset), or an age: `-90s`, `-15m`,
`-1h`, `-7d`."""
ExportFormat: TypeAlias = Literal["csv", "ndjson", "senml", "arrow"]


class _Page(msgspec.Struct):
    readings: list[Row]
    next: str | None = None


_page: Final = msgspec.json.Decoder(_Page)


class HistoryClient:
    """Queries. Each raises `OperatorError` if the broker does not answer or refuses."""

    def __init__(self, api: HttpApi) -> None:
        self._api = api

    async def rows(
        self,
        uid: str,
        resource: str,
        *,
        start: Moment | None,
        end: Moment | None,
        every_s: int | None,
        agg: str | None,
        limit: int | None,
        tz: str | None = None,
    ) -> Rows:
        """See `Client.history`."""
        query = _range(start, end)
        if every_s is not None:
            query |= {"every": str(every_s)} | ({} if agg is None else {"agg": agg})
            query |= {} if tz is None else {"tz": tz}
            return Rows(uid, resource, (await self._page(uid, resource, query)).readings)
        if limit is not None:
            query["order"] = "newest"
        rows: list[Row] = []
        while True:
            rest = (ROWS_MAX + 1 if limit is None else limit) - len(rows)
            page = await self._page(uid, resource, query | {"limit": str(min(PAGE_ROWS, rest))})
            rows += page.readings
            if page.next is None or len(rows) == limit:
                break
            if len(rows) > ROWS_MAX:
                raise TooManyRows(
                    f"There are more than {ROWS_MAX:,} rows: narrow the range, widen the step, or"
                    " export."
                )
            query["cursor"] = page.next
        return Rows(uid, resource, rows if limit is None else rows[::-1])

    async def stream(
        self, names: tuple[str, ...], query: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        """The body of an answer in pieces. Raises `LinkLost` if the transfer is interrupted."""
        async with await self._api.open("GET", path(*names), query) as answer:
            try:
                async for piece in answer.content.iter_any():
                    yield piece
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the transfer was interrupted; the data is incomplete") from error

    def export(
        self,
        form: ExportFormat,
        *,
        start: Moment | None,
        end: Moment | None,
        uid: str | None,
        resource: str | None,
    ) -> AsyncIterator[bytes]:
        """See `Client.export`."""
        query = _range(start, end) | {"format": form}
        if uid is not None:
            query["uid"] = uid
        if resource is not None:
            query["resource"] = resource
        return self.stream(("export",), query)

    async def _page(self, uid: str, resource: str, query: Mapping[str, str]) -> _Page:
        url_path = path("nodes", uid, "resources", resource, "history")
        body = await self._api.read("GET", url_path, query)
        return await asyncio.to_thread(self._api.decode, _page, body, "history rows")


def _range(start: Moment | None, end: Moment | None) -> dict[str, str]:
    bounds = {"from": start, "to": end}
    return {name: _moment(value) for name, value in bounds.items() if value is not None}


def _moment(value: Moment) -> str:
    if isinstance(value, datetime):
        return f"{value.timestamp():.6f}"
    return value if isinstance(value, str) else f"{value:.6f}"
