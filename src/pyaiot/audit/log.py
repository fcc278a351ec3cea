# SPDX-License-Identifier: BSD-3-Clause
"""The audit log of a running broker.

`record` only queues an entry. A thread writes queued entries every half second, so that no
command, edit or reading waits for the disk. If the disk fails, everything else continues to work;
entries are kept up to a limit, and the problem is shown in `/readyz`, in the metrics and, once, in
the log.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from pyaiot.audit.entry import (
    COMMAND,
    GATEWAY_ACTIONS,
    SERIES,
    THIS_PROCESS,
    AuditEntry,
    Principal,
    entries,
)
from pyaiot.audit.files import AuditFilter
from pyaiot.audit.refusals import RefusalShares
from pyaiot.errors import PyaiotError, reason_of
from pyaiot.transport.connection_table import principal_of

FLUSH_INTERVAL_S: Final = 0.5
"""Interval between writes. A kill -9 or a power failure loses the entries of this time."""
ENTRIES_WAITING_MAX: Final = 10_000
"""Largest number of entries that are kept while the disk fails. Further ones are
lost and counted.
"""
RETRY_S: Final = 5.0
"""Interval between attempts to write after a failure."""
EXPIRY_INTERVAL_S: Final = 3600.0
"""Interval of the check for entries older than the limit of days. A file is removed after two
checks that found it too old.
"""
CLOSE_LIMIT_S: Final = 1.0
"""Time for writing entries when the service stops. Entries that are not written by
then are lost.
"""
QUERIES_WAITING_MAX: Final = 8
"""Queries that wait for the running one. Further ones are refused."""
log = logging.getLogger(__name__)


class AuditBusy(PyaiotError):
    """Too many queries wait."""


class AuditStore(Protocol):
    """Interface of `AuditFiles` and `AuditDatabase`. Methods raise `OSError`."""

    def append(self, entries: Iterable[AuditEntry]) -> None: ...

    def check(self) -> None: ...

    def remove_expired(self, now: float, clock: float, /, *, pause_s: float) -> None: ...

    def page(
        self, wanted: AuditFilter, limit: int, cursor: str = ""
    ) -> tuple[list[AuditEntry], str | None]: ...

    def close(self) -> None: ...


class AuditLog:
    """The audit log. The constructor opens nothing; `running` does. Must be used on the broker's
    event loop.
    """

    def __init__(
        self,
        files: AuditStore | None,
        *,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`files` None: nothing is recorded. `clock` is monotonic."""
        self.recorded = 0
        """Entries written since the start."""
        self.lost = 0
        """Entries lost since the start, because too many were queued."""
        self.failures = 0
        """Failed attempts to write since the start."""
        self.shares = RefusalShares(clock())
        self._files = files
        self._unix_time = unix_time
        self._clock = clock
        self._waiting: list[AuditEntry] = []
        self._writing = 0
        """Entries that the thread is writing."""
        self._lost_unreported = 0
        self._wanted = asyncio.Event()
        self._problem = ""
        self._executor: ThreadPoolExecutor | None = None
        self._query_lock = asyncio.Lock()
        self._queries = 0

    @property
    def is_on(self) -> bool:
        return self._files is not None

    @property
    def waiting(self) -> int:
        """Number of entries that are not written yet."""
        return len(self._waiting) + self._writing

    @property
    def problem(self) -> str:
        """Why entries cannot be written; empty if they can."""
        return self._problem

    async def check(self) -> str:
        """For `/readyz`: `problem`."""
        return self._problem

    def record(
        self,
        principal: Principal,
        action: str,
        result: str = "ok",
        *,
        uids: Iterable[str] = (),
        resource: str = "",
        detail: str = "",
    ) -> None:
        """Queue the entry of an action. Never blocks and never raises."""
        if self._files is None:
            return
        suppressed = 0
        if _is_unlimited(action, result):
            key = f"{principal.who} {principal_of(principal.address)}"
            before = self.shares.take(key, self._clock())
            if before is None:
                return
            suppressed = before
        made = list(
            entries(
                *(principal, action, result),
                ts=self._unix_time(),
                uids=uids,
                resource=resource,
                detail=detail,
                suppressed=suppressed,
            )
        )
        room = max(0, ENTRIES_WAITING_MAX - self.waiting)
        self._waiting += made[:room]
        if len(made) > room:
            self.lost += len(made) - room
            self._lost_unreported += len(made) - room
        self._wanted.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Context manager: write entries until the block ends."""
        if self._files is None:
            yield
            return
        with ThreadPoolExecutor(1, "audit") as self._executor:
            await self._attempt(self._files.check)
            tasks = [
                asyncio.create_task(self._write_for_ever(), name="audit log"),
                asyncio.create_task(self._remove_expired(), name="retention of the audit log"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_LIMIT_S):
                        await self._write()
                # A database has its own event loop, which runs in that thread only.
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._executor, self._files.close)

    async def page(
        self, wanted: AuditFilter, limit: int, cursor: str
    ) -> tuple[list[AuditEntry], str | None]:
        """See `AuditFiles.page`. Queued entries are written first. Raises `OSError`,
        `AuditBusy`.
        """
        if self._files is None:
            return [], None
        if self._queries > QUERIES_WAITING_MAX:
            raise AuditBusy(f"{QUERIES_WAITING_MAX} queries of the audit log wait already")
        self._queries += 1
        try:
            async with self._query_lock:
                await self._write()
                return await asyncio.to_thread(self._files.page, wanted, limit, cursor)
        finally:
            self._queries -= 1

    async def _write_for_ever(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(FLUSH_INTERVAL_S)
            self._wanted.clear()
            if not await self._write():
                await asyncio.sleep(RETRY_S)
                self._wanted.set()

    async def _write(self) -> bool:
        """Write queued entries. Returns False if they cannot be written; they remain queued."""
        files = self._files
        if files is None or self._executor is None or not self._waiting:
            return True
        batch, self._waiting = self._waiting, []
        lost, self._lost_unreported = self._lost_unreported, 0
        if lost:
            detail = f"{lost} entries were lost before this one"
            batch += entries(THIS_PROCESS, "audit", "failed", ts=self._unix_time(), detail=detail)
        self._writing += len(batch)
        unwritten: list[AuditEntry] = []
        for series in SERIES:
            # One series at a time, so that a series that was written is not written again if the
            # next one fails.
            some = [entry for entry in batch if entry.series == series]
            if some and not await self._attempt(partial(files.append, some)):
                unwritten += some
        self._writing -= len(batch)
        self.recorded += len(batch) - len(unwritten)
        self._waiting = unwritten + self._waiting
        return not unwritten

    async def _remove_expired(self) -> None:
        files = self._files
        assert files is not None  # noqa: S101 - only started with files
        while True:
            now, clock = self._unix_time(), self._clock()
            pause_s = EXPIRY_INTERVAL_S * 0.9
            await self._attempt(partial(files.remove_expired, now, clock, pause_s=pause_s))
            await asyncio.sleep(EXPIRY_INTERVAL_S)

    async def _attempt(self, work: Callable[[], None]) -> bool:
        """Run work on the thread. Returns False if the disk failed."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            self.failures += 1
            if not self._problem:
                log.error("the audit log cannot be written: %s", reason_of(error))  # noqa: TRY400
            self._problem = f"cannot be written: {reason_of(error)}"
            return False
        if self._problem:
            log.info("the audit log is written again")
            self._problem = ""
        return True


def _is_unlimited(action: str, result: str) -> bool:
    """Whether no other limit applies to this action of the principal. Then its entries are limited
    here.
    """
    if action == COMMAND:
        return result == "forbidden"
    return result != "ok" or action in GATEWAY_ACTIONS
