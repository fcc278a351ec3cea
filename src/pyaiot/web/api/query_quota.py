# SPDX-License-Identifier: BSD-3-Clause
"""A quota of history queries for each client. It prevents one client from using all threads.

A client is a session, or an address without a session.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pyaiot.history.store import QUERY_LIMIT_S
from pyaiot.web.problems import ProblemError

SHORT_QUERIES_PER_CLIENT: Final = 32
"""Largest number of short queries that one client may have open. A further one is answered 503."""
WIDE_QUERIES_PER_CLIENT: Final = 8
"""Largest number of wide queries that one client may have open. A further one is answered 503."""
WIDE_RUNNING_PER_CLIENT: Final = 2
"""Largest number of wide queries of one client that run at the same time. Others wait."""


class _Share:
    """The open queries of one client."""

    def __init__(self) -> None:
        self.short = 0
        self.wide = 0
        self.running = asyncio.Semaphore(WIDE_RUNNING_PER_CLIENT)


class QueryQuota:
    """Counts the open queries of each client."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def slot(self, client: str, *, wide: bool) -> AsyncIterator[None]:
        """Hold a slot for one query until the block ends. Raises `ProblemError` if the client has
        too many open queries, or if the wait takes too long."""
        share = self._shares.setdefault(client, _Share())
        if wide:
            if share.wide >= WIDE_QUERIES_PER_CLIENT:
                raise _busy(WIDE_QUERIES_PER_CLIENT, "wide ")
            share.wide += 1
        else:
            if share.short >= SHORT_QUERIES_PER_CLIENT:
                raise _busy(SHORT_QUERIES_PER_CLIENT, "")
            share.short += 1
        try:
            if not wide:
                yield
                return
            try:
                async with asyncio.timeout(QUERY_LIMIT_S):
                    await share.running.acquire()
            except TimeoutError:
                raise ProblemError(
                    503,
                    "too-slow",
                    "the other queries of this client took too long",
                    retry_after_s=5,
                ) from None
            try:
                yield
            finally:
                share.running.release()
        finally:
            if wide:
                share.wide -= 1
            else:
                share.short -= 1
            if not share.wide and not share.short:
                self._shares.pop(client, None)


def _busy(open_queries: int, kind: str) -> ProblemError:
    return ProblemError(
        503,
        "busy",
        f"{open_queries} {kind}queries of this client are open already",
        retry_after_s=1,
    )
