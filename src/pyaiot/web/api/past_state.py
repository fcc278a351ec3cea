# SPDX-License-Identifier: BSD-3-Clause
"""`GET /api/history/state`: the nodes at a past time."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from pyaiot.accounts.scopes import PERSONAL_RESOURCES, Scope
from pyaiot.broker.broker import Broker
from pyaiot.history.paging import SHORT_ROWS_MAX
from pyaiot.history.store import LastRow, StateAt
from pyaiot.web.api.history_queries import HistoryQueries, check_scope
from pyaiot.web.api.history_schemas import PastNode, PastState
from pyaiot.web.api.nodes import sees
from pyaiot.web.api.parameters import StateQuery
from pyaiot.web.api.responses import encode, json_response
from pyaiot.web.api.schemas import LatestReading
from pyaiot.web.client_access import access_of


class PastStateApi:
    """The handler of the state at a past time."""

    def __init__(
        self, broker: Broker, queries: HistoryQueries, unix_time: Callable[[], float]
    ) -> None:
        self._broker = broker
        self._queries = queries
        self._unix_time = unix_time

    async def state(self, request: web.Request, query: StateQuery) -> web.StreamResponse:
        """`GET /api/history/state`."""
        check_scope(self._broker, request, query.uid)
        at = query.time(self._unix_time())
        moment = await self._queries.run(
            request,
            self._queries.reader.state_at(
                at, uid=query.uid, limit=query.limit, cursor=query.cursor
            ),
            wide=lambda: query.uid is None and query.limit > SHORT_ROWS_MAX,
        )
        seen = {row.uid for row in moment.states if sees(self._broker, request, row.uid)}
        scope = access_of(request).scope

        def body() -> bytes:
            nodes = [node for node in past_nodes(moment, scope) if node.uid in seen]
            return encode(
                PastState(
                    ts=at,
                    was_recorded=moment.was_recorded,
                    nodes=nodes,
                    next=moment.values.cursor,
                )
            )

        # On a thread: thousands of rows would block the loop for milliseconds.
        return json_response(await asyncio.to_thread(body))


def past_nodes(moment: StateAt, scope: Scope) -> list[PastNode]:
    """The nodes of a page, without resources that the scope hides."""
    readings: dict[str, list[LatestReading]] = {row.uid: [] for row in moment.states}
    for row in moment.values.rows:
        if not (scope.hides_personal and row.resource in PERSONAL_RESOURCES):
            readings[row.uid].append(_latest(row))
    return [
        PastNode(
            uid=row.uid,
            state=None if row.kind is None else "offline" if row.kind == "left" else "online",
            since=row.ts,
            reason=row.detail,
            resources=readings[row.uid],
        )
        for row in moment.states
    ]


def _latest(row: LastRow) -> LatestReading:
    reading = row.reading
    return LatestReading(
        name=row.resource,
        data=reading.data if reading.number is None else reading.number,
        value=reading.number,
        unit=reading.unit,
        ts=reading.ts,
    )
