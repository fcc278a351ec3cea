# SPDX-License-Identifier: BSD-3-Clause
"""Whether every part works: asked once for everybody who wants to know at the same time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

Check: TypeAlias = Callable[[], Awaitable[str]]
"""A round trip through a part of the system. Returns what is wrong, or nothing."""

ANSWER_AGE_MAX_S: Final = 0.5
"""An answer counts for so long. Who asks meanwhile, or while the parts are being asked, gets the
same."""
CHECK_LIMIT_S: Final = 5.0
"""A part that does not answer within this does not work."""


class Readiness:
    """`own` and `others` by the name of the part; more may come later."""

    def __init__(
        self, own: Mapping[str, Check], others: Mapping[str, Check] = MappingProxyType({})
    ) -> None:
        self._own = own
        self._others = others
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._answer: dict[str, str] = {}
        self._answered_at: float | None = None

    async def problems(self) -> dict[str, str]:
        """What is wrong with each part; empty where nothing is."""
        loop = asyncio.get_running_loop()
        if self._answered_at is not None and loop.time() - self._answered_at < ANSWER_AGE_MAX_S:
            return self._answer
        if self._asking is None:
            self._asking = loop.create_task(self._ask(), name="readiness")
        # Who leaves does not take the answer from the others.
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> dict[str, str]:
        try:
            checks = {**self._own, **self._others}
            answers = await asyncio.gather(*map(_problem, checks.values()))
            self._answer = dict(zip(checks, answers, strict=True))
            self._answered_at = asyncio.get_running_loop().time()
            return self._answer
        finally:
            self._asking = None


async def _problem(check: Check) -> str:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_LIMIT_S):
            return await check()
    return f"no answer in {CHECK_LIMIT_S:.0f} s"
