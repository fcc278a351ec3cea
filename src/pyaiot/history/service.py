# SPDX-License-Identifier: BSD-3-Clause
"""A store with the one who writes it and those who ask it, for as long as a service runs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from pyaiot.history import metrics
from pyaiot.history.recorder import COMMIT_INTERVAL_S, Recorder
from pyaiot.history.store import History, Store
from pyaiot.metrics import Sample

CATCH_UP_LIMIT_S: Final = 2.0
"""How long `caught_up` waits for the recorder."""


class HistoryService:
    """What a service that keeps history holds. Made at once, opened by `running`."""

    def __init__(self, store: Store) -> None:
        """On the running loop."""
        self.recorder = Recorder(store)
        """For the broker, to be heard."""
        self.history: History = store.history()
        """For the doors, to ask."""
        self._store = store

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record what is heard, and answer; both end with the block. Raises `OperatorError`."""
        self._store.claim()
        try:
            self.recorder.start()
            try:
                await asyncio.to_thread(self.recorder.wait_tried)
                yield
            finally:
                await asyncio.to_thread(self.recorder.close)
                await self.history.close()
        finally:
            self._store.release()

    async def check(self) -> str:
        """What keeps it from recording, or nothing. For `/readyz`."""
        return self.recorder.problem()

    def measure(self) -> Iterable[Sample]:
        """What there is to measure here."""
        return metrics.measure(self.recorder)

    async def caught_up(self, messages: int, since: float | None = None) -> bool:
        """Wait until so many messages to everybody, and the commands until now, are kept or lost.

        False if that takes too long, or if the wall clock jumped after the Unix time `since`.
        """
        recorder = self.recorder
        heard = messages + recorder.commands_heard
        try:
            async with asyncio.timeout(CATCH_UP_LIMIT_S):
                while recorder.recorded + recorder.dropped < heard:  # noqa: ASYNC110
                    # The recorder has a thread of its own, and tells nobody.
                    await asyncio.sleep(COMMIT_INTERVAL_S)
        except TimeoutError:
            return False
        return since is None or recorder.clock.ran_evenly_since(since)
