# SPDX-License-Identifier: BSD-3-Clause
"""Checks every part of the system. Concurrent requests share one round of checks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

Check: TypeAlias = Callable[[], Awaitable[str]]
"""A round trip through a part of the system. Returns the problem, or an empty string."""

ANSWER_AGE_MAX_S: Final = 0.5
"""How long results are reused. Requests that arrive during the checks wait for them."""
CHECK_LIMIT_S: Final = 5.0
"""A check that takes longer fails."""


class Readiness:
    """`own` and `others`: checks by the name of the part. Entries may be added to `others`
    later."""

    def __init__(
        self, own: Mapping[str, Check], others: Mapping[str, Check] = MappingProxyType({})
    ) -> None:
        self._own = own
        self._others = others
        self._checking: asyncio.Task[dict[str, str]] | None = None
        self._results: dict[str, str] = {}
        self._checked_at: float | None = None

    async def problems(self) -> dict[str, str]:
        """The problem of each part; empty for a part that works."""
        loop = asyncio.get_running_loop()
        if self._checked_at is not None and loop.time() - self._checked_at < ANSWER_AGE_MAX_S:
            return self._results
        if self._checking is None:
            self._checking = loop.create_task(self._run_checks(), name="readiness")
        # A request that is cancelled must not cancel the checks of the others.
        return await asyncio.shield(self._checking)

    async def close(self) -> None:
        """Cancel the checks that are running."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait({self._checking})

    async def _run_checks(self) -> dict[str, str]:
        try:
            checks = {**self._own, **self._others}
            results = await asyncio.gather(*map(_problem, checks.values()))
            self._results = dict(zip(checks, results, strict=True))
            self._checked_at = asyncio.get_running_loop().time()
            return self._results
        finally:
            self._checking = None


async def _problem(check: Check) -> str:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_LIMIT_S):
            return await check()
    return f"no answer in {CHECK_LIMIT_S:.0f} s"
