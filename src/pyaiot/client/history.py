# SPDX-License-Identifier: BSD-3-Clause
"""Queries of the history over the HTTP API of a broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

import aiohttp
import msgspec
from yarl import URL

from pyaiot.client.address import BrokerAddress, path
from pyaiot.client.connection import FORBIDDEN, UNAUTHORIZED
from pyaiot.client.errors import ApiProblem, TooManyRows
from pyaiot.client.rows import Row, Rows
from pyaiot.client.session import login_needed, no_broker
from pyaiot.errors import LinkLost

PAGE_ROWS: Final = 5_000
"""Rows per request. Larger results are fetched page by page."""
ROWS_MAX: Final = 1_000_000
"""Rows of one result, all of which are in memory. Beyond, `TooManyRows` is raised."""
ANSWER_LIMIT_S: Final = 60.0
"""Longest pause in an answer. Then the connection is lost."""

Moment: TypeAlias = float | str | datetime
"""Unix time in seconds, a date and time (local without an offset), or an age: `-90s`, `-15m`,
`-1h`, `-7d`."""
ExportFormat: TypeAlias = Literal["csv", "ndjson", "senml", "arrow"]


class _Page(msgspec.Struct):
    readings: list[Row]
    next: str | None = None


class _ProblemDocument(msgspec.Struct):
    """The used fields of a problem document (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""


_page: Final = msgspec.json.Decoder(_Page)
_problem: Final = msgspec.json.Decoder(_ProblemDocument)


class HistoryClient:
    """Queries. Each raises `OperatorError` if the broker does not answer or refuses."""

    def __init__(self, session: aiohttp.ClientSession, address: BrokerAddress) -> None:
        self._session = session
        self._address = address

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
        async with await self._get(path(*names), query) as answer:
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
        async with await self._get(url_path, query) as answer:
            try:
                body = await answer.read()
                return await asyncio.to_thread(_page.decode, body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the answer was interrupted") from error
            except msgspec.MsgspecError as error:
                raise no_broker(self._address, "it does not answer with history rows") from error

    async def _get(self, url_path: str, query: Mapping[str, str]) -> aiohttp.ClientResponse:
        """A successful answer, which the caller closes. Raises `OperatorError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=ANSWER_LIMIT_S)
        try:
            # Already encoded: keeps encoded slashes in names.
            answer = await self._session.get(
                _url(self._address, url_path), params=dict(query), timeout=timeout
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise no_broker(self._address, error) from error
        if answer.status != 200:
            async with answer:
                raise await _refusal(answer)
        return answer


async def _refusal(answer: aiohttp.ClientResponse) -> Exception:
    if answer.status == UNAUTHORIZED:
        return login_needed()
    try:
        problem = _problem.decode(await answer.read())
    except (msgspec.MsgspecError, aiohttp.ClientError, OSError, TimeoutError):
        problem = _ProblemDocument()
    if answer.status == FORBIDDEN and not problem.title:
        problem = _ProblemDocument(title="it does not accept this host name")
    reason = ": ".join(part.rstrip(".") for part in (problem.title, problem.detail) if part)
    kind = problem.type.partition("#problem-")[2]
    return ApiProblem(
        f"The broker refuses ({answer.status}): {reason or 'it records no history'}.",
        status=answer.status,
        kind=kind,
    )


def _url(address: BrokerAddress, url_path: str) -> URL:
    return URL(address.http_url + url_path, encoded=True)


def _range(start: Moment | None, end: Moment | None) -> dict[str, str]:
    bounds = {"from": start, "to": end}
    return {name: _moment(value) for name, value in bounds.items() if value is not None}


def _moment(value: Moment) -> str:
    if isinstance(value, datetime):
        return f"{value.timestamp():.6f}"
    return value if isinstance(value, str) else f"{value:.6f}"
