# SPDX-License-Identifier: BSD-3-Clause
"""Places for questions to the history: a share for each client, so that none takes all.

A client is a session, or an address where nobody signs in.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from pyaiot.history.store import QUERY_LIMIT_S
from pyaiot.web.problems import ProblemError
from pyaiot.web.sign_in import PROGRAM

SHORT_PLACES_PER_CLIENT: Final = 32
"""Short questions of one client that are open at once. One more: 503."""
WIDE_PLACES_PER_CLIENT: Final = 8
"""Wide questions of one client that are open at once. One more: 503."""
WIDE_AT_ONCE_PER_CLIENT: Final = 2
"""Of these, so many are answered at the same time. Others wait."""


class _Share:
    """What one client has open."""

    def __init__(self) -> None:
        self.short = 0
        self.wide = 0
        self.turns = asyncio.Semaphore(WIDE_AT_ONCE_PER_CLIENT)


class Places:
    """Who has how many questions open."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def place(self, client: str, *, wide: bool) -> AsyncIterator[None]:
        """A place for one question, for as long as the block. Raises `ProblemError` if all of the
        client's are taken, or if its turn does not come in time.
        """
        share = self._shares.setdefault(client, _Share())
        if wide:
            if share.wide >= WIDE_PLACES_PER_CLIENT:
                raise _busy(WIDE_PLACES_PER_CLIENT, "wide ")
            share.wide += 1
        else:
            if share.short >= SHORT_PLACES_PER_CLIENT:
                raise _busy(SHORT_PLACES_PER_CLIENT, "")
            share.short += 1
        try:
            if not wide:
                yield
                return
            try:
                async with asyncio.timeout(QUERY_LIMIT_S):
                    await share.turns.acquire()
            except TimeoutError:
                raise ProblemError(
                    503, "too-slow", "your other questions took too long", retry_after_s=5
                ) from None
            try:
                yield
            finally:
                share.turns.release()
        finally:
            if wide:
                share.wide -= 1
            else:
                share.short -= 1
            if not share.wide and not share.short:
                self._shares.pop(client, None)


def client_of(request: web.Request) -> str:
    """Whose places a request takes."""
    return request.get(PROGRAM) or f"at {request.remote}"


def _busy(places: int, kind: str) -> ProblemError:
    return ProblemError(
        503, "busy", f"{places} {kind}questions of yours are open already", retry_after_s=1
    )
