# SPDX-License-Identifier: BSD-3-Clause
"""Queries of the history and of the audit log over the HTTP API of a broker."""

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
"""Rows of one result, all of which are in memory. Beyond that, `TooManyRows` is raised."""
AUDIT_PAGE_ROWS: Final = 1000
"""Entries of the audit log per request. More are fetched page by page."""

Moment: TypeAlias = float | str | datetime
"""Unix time in seconds, a date and time (local without an offset), or an age: `-90s`, `-15m`,
`-1h`, `-7d`."""
ExportFormat: TypeAlias = Literal["csv", "ndjson", "senml", "arrow"]


class _Page(msgspec.Struct):
    readings: list[Row]
    next: str | None = None


_page: Final = msgspec.json.Decoder(_Page)


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log: who did what to which node."""

    ts: float
    """Unix time in seconds."""
    action: str
    """`command`, `sign-in`, `edit` and so on."""
    who: str
    """`user:NAME`, `token:NAME`, `gateway:NAME`, `invitation:ID`, `homeassistant`, `anonymous` or
    `local`."""
    address: str = msgspec.field(name="from", default="")
    """IP address, or `command line`; empty: a part of the broker."""
    result: str
    """`ok`, `refused` or `failed`; of a command, the state of its receipt."""
    uids: tuple[str, ...] = ()
    resource: str = ""
    detail: str = ""
    suppressed: int = 0
    """Refused attempts before this one that have no separate entries."""


class _AuditAnswer(msgspec.Struct):
    entries: list[AuditRow]
    next: str | None = None


_answer: Final = msgspec.json.Decoder(_AuditAnswer)


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
        query = time_range(start, end)
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
        query = time_range(start, end) | {"format": form}
        if uid is not None:
            query["uid"] = uid
        if resource is not None:
            query["resource"] = resource
        return self.stream(("export",), query)

    async def _page(self, uid: str, resource: str, query: Mapping[str, str]) -> _Page:
        url_path = path("nodes", uid, "resources", resource, "history")
        body = await self._api.read("GET", url_path, query)
        return await asyncio.to_thread(self._api.decode, _page, body, "history rows")


def time_range(start: Moment | None, end: Moment | None) -> dict[str, str]:
    """The query parameters of a range of time."""
    bounds = {"from": start, "to": end}
    return {name: _moment(value) for name, value in bounds.items() if value is not None}


def _moment(value: Moment) -> str:
    if isinstance(value, datetime):
        return f"{value.timestamp():.6f}"
    return value if isinstance(value, str) else f"{value:.6f}"


async def audit_rows(api: HttpApi, query: Mapping[str, str], limit: int) -> list[AuditRow]:
    """The newest `limit` entries, oldest first. Raises `OperatorError` or `LinkLost`."""
    rows: list[AuditRow] = []
    cursor: str | None = ""
    while cursor is not None and len(rows) < limit:
        page = {"limit": str(min(AUDIT_PAGE_ROWS, limit - len(rows)))}
        page |= {"cursor": cursor} if cursor else {}
        body = await api.read("GET", path("audit"), {**query, **page})
        answer = api.decode(_answer, body, "entries of its audit log")
        rows += answer.entries
        cursor = answer.next
    return rows[::-1]
