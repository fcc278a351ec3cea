# SPDX-License-Identifier: BSD-3-Clause
"""Runs history queries for clients: scope, quota, cancellation, problems."""

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from aiohttp import web

from pyaiot.accounts.scopes import PERSONAL_RESOURCES
from pyaiot.broker.broker import Broker
from pyaiot.history.reader import HistoryReader
from pyaiot.history.store import BadQuery, StoreError, TooManyRows, TooSlow
from pyaiot.web.api.nodes import sees
from pyaiot.web.api.query_quota import QueryQuota
from pyaiot.web.api.responses import while_connected
from pyaiot.web.client_access import access_of, quota_owner_of
from pyaiot.web.problems import ProblemError

R = TypeVar("R")


class HistoryQueries:
    """The history, and the quotas of clients."""

    def __init__(self, history: HistoryReader | None) -> None:
        """`history` None: there is no history, and all requests get the problem `no-history`."""
        self._reader = history
        self._quota = QueryQuota()

    @property
    def reader(self) -> HistoryReader:
        """Raises `ProblemError` if there is no history."""
        if self._reader is None:
            raise ProblemError(404, "no-history", "the broker runs with --history off")
        return self._reader

    async def run(
        self, request: web.Request, query: Coroutine[Any, Any, R], *, wide: Callable[[], bool]
    ) -> R:
        """Run a query, after a wait if the quota of the client requires it."""
        try:
            with store_problems():
                slot = self._quota.slot(quota_owner_of(request), wide=wide())
                return await while_connected(request, _in_slot(slot, query))
        finally:
            query.close()  # the quota may refuse it before it starts


def check_scope(
    broker: Broker, request: web.Request, uid: str | None, resource: str | None = None
) -> None:
    """Raise `ProblemError` for a node or resource that is not in the scope of the client."""
    if uid is not None and not sees(broker, request, uid):
        raise ProblemError(404, "unknown-node", f"there is no node {uid[:64]!r}")
    if access_of(request).scope.hides_personal and resource in PERSONAL_RESOURCES:
        raise ProblemError(404, "unknown-resource", "addresses are not shown without sign-in")


@contextlib.contextmanager
def store_problems() -> Iterator[None]:
    """Turn store errors into problems."""
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


async def _in_slot(slot: AbstractAsyncContextManager[None], query: Coroutine[Any, Any, R]) -> R:
    async with slot:
        return await query
