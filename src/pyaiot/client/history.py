# SPDX-License-Identifier: BSD-3-Clause
"""What was: questions to the HTTP API of a broker."""

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
"""Rows that are asked for at once. More are asked for page by page."""
ROWS_MAX: Final = 1_000_000
"""Rows of one answer, which are all in memory. More: `TooManyRows`."""
ANSWER_LIMIT_S: Final = 60.0
"""A broker that says nothing for so long has lost the connection."""

Moment: TypeAlias = float | str | datetime
"""Unix seconds, a time (one without an offset is local), or how long ago: `-90s`, `-15m`, `-1h`,
`-7d`."""
ExportFormat: TypeAlias = Literal["csv", "ndjson", "senml", "arrow"]


class _Page(msgspec.Struct):
    readings: list[Row]
    next: str | None = None


class _Problem(msgspec.Struct):
    """As much as is needed of a problem document (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""


_page: Final = msgspec.json.Decoder(_Page)
_problem: Final = msgspec.json.Decoder(_Problem)


class History:
    """The questions. Each raises `OperatorError` if there is no broker, or it refuses."""

    def __init__(self, session: aiohttp.ClientSession, place: BrokerAddress) -> None:
        self._session = session
        self._place = place

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
        asked = _range(start, end)
        if every_s is not None:
            asked |= {"every": str(every_s)} | ({} if agg is None else {"agg": agg})
            asked |= {} if tz is None else {"tz": tz}
            return Rows(uid, resource, (await self._page(uid, resource, asked)).readings)
        if limit is not None:
            asked["order"] = "newest"
        rows: list[Row] = []
        while True:
            rest = (ROWS_MAX + 1 if limit is None else limit) - len(rows)
            page = await self._page(uid, resource, asked | {"limit": str(min(PAGE_ROWS, rest))})
            rows += page.readings
            if page.next is None or len(rows) == limit:
                break
            if len(rows) > ROWS_MAX:
                raise TooManyRows(
                    f"There are more than {ROWS_MAX:,} rows: narrow the range, widen the step, or"
                    " export."
                )
            asked["cursor"] = page.next
        return Rows(uid, resource, rows if limit is None else rows[::-1])

    async def stream(
        self, words: tuple[str, ...], asked: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        """An answer of any length, piece by piece. Raises `LinkLost` if it breaks off."""
        async with await self._get(path(*words), asked) as answer:
            try:
                async for piece in answer.content.iter_any():
                    yield piece
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the transfer broke off, what came is not everything") from error

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
        asked = _range(start, end) | {"format": form}
        if uid is not None:
            asked["uid"] = uid
        if resource is not None:
            asked["resource"] = resource
        return self.stream(("export",), asked)

    async def _page(self, uid: str, resource: str, asked: Mapping[str, str]) -> _Page:
        where = path("nodes", uid, "resources", resource, "history")
        async with await self._get(where, asked) as answer:
            try:
                body = await answer.read()
                return await asyncio.to_thread(_page.decode, body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the answer broke off") from error
            except msgspec.MsgspecError as error:
                raise no_broker(self._place, "what answers is no history") from error

    async def _get(self, where: str, asked: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The good answer, which the caller closes. Raises `OperatorError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=ANSWER_LIMIT_S)
        try:
            # Already encoded: the slashes of a name stay what they are.
            answer = await self._session.get(
                _url(self._place, where), params=dict(asked), timeout=timeout
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise no_broker(self._place, error) from error
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
        problem = _Problem()
    if answer.status == FORBIDDEN and not problem.title:
        problem = _Problem(title="it does not go by that name")
    said = ": ".join(part.rstrip(".") for part in (problem.title, problem.detail) if part)
    kind = problem.type.partition("#problem-")[2]
    return ApiProblem(
        f"The broker refuses ({answer.status}): {said or 'it has no history to ask'}.",
        status=answer.status,
        kind=kind,
    )


def _url(place: BrokerAddress, where: str) -> URL:
    return URL(place.http_url + where, encoded=True)


def _range(start: Moment | None, end: Moment | None) -> dict[str, str]:
    found = {"from": start, "to": end}
    return {name: _moment(value) for name, value in found.items() if value is not None}


def _moment(value: Moment) -> str:
    if isinstance(value, datetime):
        return f"{value.timestamp():.6f}"
    return value if isinstance(value, str) else f"{value:.6f}"
