# SPDX-License-Identifier: BSD-3-Clause
"""A store with its recorder and its reader, during the lifetime of a service."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from pyaiot.history import metrics
from pyaiot.history.disk_space import DiskSpace
from pyaiot.history.progress import RecordedMarks
from pyaiot.history.recorder import COMMIT_INTERVAL_S, Recorder
from pyaiot.history.store import Store
from pyaiot.metrics import Sample

if TYPE_CHECKING:
    from pyaiot.history.reader import HistoryReader

CATCH_UP_LIMIT_S: Final = 2.0
"""How long `caught_up` waits for the recorder."""
JUMP_S: Final = 3600.0
"""How long `recorded_until` is unknown after a jump of the calendar clock."""


class HistoryService:
    """The history of a service. The constructor opens nothing; `running` does."""

    def __init__(self, store: Store, disk: DiskSpace | None = None) -> None:
        """Must be called on the running loop. `disk`: the disk of the store, if it is on this
        machine."""
        self.recorder = Recorder(store, disk=disk)
        """Records what the broker publishes."""
        self.history: HistoryReader = store.history()
        """Answers queries."""
        self._store = store
        self._marks = RecordedMarks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record and answer queries until the block ends. Raises `OperatorError`."""
        self._store.claim()
        try:
            self.recorder.start()
            try:
                await asyncio.to_thread(self.recorder.wait_opened)
                yield
            finally:
                await asyncio.to_thread(self.recorder.close)
                await self.history.close()
        finally:
            self._store.release()

    async def check(self) -> str:
        """Why nothing is recorded; empty if messages are recorded. For `/readyz`."""
        return self.recorder.problem()

    def collect(self) -> Iterable[Sample]:
        """The samples for `/metrics`."""
        return metrics.collect(self.recorder)

    def recorded_until(self, messages: int, now: float) -> float:
        """Messages published before this time are recorded or lost; 0 if unknown, or if the
        calendar clock jumped in the last hour, so that times in the history may differ.

        `messages`: the number of publications at `now`. Call it regularly.
        """
        recorder = self.recorder
        until = self._marks.note(
            messages + recorder.commands_received, recorder.recorded + recorder.dropped, now
        )
        return until if recorder.clock.no_jump_since(time.time() - JUMP_S) else 0.0

    async def caught_up(self, messages: int, since: float | None = None) -> bool:
        """Wait until `messages` publications and all previous commands are recorded or lost.
        Returns False if that takes longer than `CATCH_UP_LIMIT_S`, or if the wall clock jumped
        after the Unix time `since`."""
        recorder = self.recorder
        received = messages + recorder.commands_received
        try:
            async with asyncio.timeout(CATCH_UP_LIMIT_S):
                while recorder.recorded + recorder.dropped < received:  # noqa: ASYNC110
                    # The recorder runs on its own thread and sends no notification.
                    await asyncio.sleep(COMMIT_INTERVAL_S)
        except TimeoutError:
            return False
        return since is None or recorder.clock.no_jump_since(since)
