# SPDX-License-Identifier: BSD-3-Clause
"""The registry of a running broker: edits by people, and when the store is opened and written.

Reports of gateways are written a few seconds later on a thread, and never delay a reading. Edits
are on disk before they take effect. A store that fails is reopened; until then edits are refused
and everything else continues to work.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from pyaiot.errors import ProtocolError, Refused
from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.online_nodes import OnlineNodes
from pyaiot.registry.plans import PlanBook
from pyaiot.registry.record import Edit, NodeRecord, edited_row
from pyaiot.registry.refusals import NotStored, StaleRevision, UnknownNode, check_revision
from pyaiot.registry.registry import Registry
from pyaiot.registry.store import RegistryStore, RegistryStoreError, write_rows
from pyaiot.registry.store_writer import StoreWriter
from pyaiot.registry.turns import TURN_NODES_MAX, in_turns, in_turns_until_done, repeat_if_stale
from pyaiot.registry.views import ViewBook

WRITE_INTERVAL_S: Final = 1.0
"""Interval between writes of nodes that appeared, went offline or rebooted."""
_EARLY_S: Final = 0.01
"""Timers may call by this much too early."""
VALUES_INTERVAL_S: Final = 5.0
"""Interval between writes of latest values and last-seen times. The store is checked after each,
even if nothing had to be written.
"""
OPEN_LIMIT_S: Final = 5.0
"""How long the start of a service waits for its registry. After that it starts without it."""
RETRY_S: Final = 5.0
"""Interval between attempts to open a store that failed."""
EDIT_LIMIT_S: Final = 10.0
"""How long an edit may take to be on disk. After that it is refused, although it may still be
stored.
"""
EDITS_WAITING_MAX: Final = 1000
"""Edits that wait for earlier ones. Further ones are refused."""
CLOSE_LIMIT_S: Final = 1.0
"""Time for writing changes when the service stops. Changes that are not written by then are lost.
"""

T = TypeVar("T")

log = logging.getLogger(__name__)


class RegistryService:
    """Runs the registry. The constructor opens nothing; `running` does. Must be used on the
    broker's event loop.
    """

    def __init__(
        self,
        registry: Registry,
        nodes: OnlineNodes,
        store: RegistryStore | None,
        *,
        unix_time: Callable[[], float],
    ) -> None:
        """`store` None: the registry is kept in memory only."""
        self.registry = registry
        self.documents = Documents()
        """Alert rules, alerts, saved views and floor plans. Complete when `loaded` is set."""
        self.views = ViewBook(self.documents, self.put_documents)
        self.plans = PlanBook(self.documents, self.put_documents)
        self.loaded = asyncio.Event()
        """Set when the store has been read for the first time; at once if there is no store."""
        self.failures = 0
        """Failures of the store since the start."""
        self.edits = 0
        """Nodes that people edited, forgot or restored since the start."""
        self._nodes = nodes
        self._store = store
        self._writer = StoreWriter(registry, self.documents, nodes, store)
        self._name = "" if store is None else store.name
        self._unix_time = unix_time
        self._edit_lock = asyncio.Lock()
        """Held from the start of an edit until it is applied, so that the next edit sees its
        result.
        """
        self._edits_waiting = 0
        self._is_open = False
        if store is None:
            self.loaded.set()
        self._open_attempted = asyncio.Event()
        self._problem = "" if store is None else "is not open yet"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Context manager: load the registry, and write changes until the block ends."""
        with self._writer.running():
            writing = asyncio.create_task(self._run(), name="registry")
            try:
                if self._store is not None:
                    await self._wait_opened()
                yield
            finally:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writing
                await self._write_last()

    @property
    def written(self) -> int:
        """Nodes whose observations were written, since the start."""
        return self._writer.written

    @property
    def problem(self) -> str:
        """Why the registry is not stored; empty if it is."""
        return self._problem

    async def check(self) -> str:
        """For `/readyz`: `problem`."""
        return self._problem

    # -- edits of people --------------------------------------------------------------------------

    async def edit(self, uid: str, edit: Edit, *, revision: int | None = None) -> NodeRecord:
        """Edit a node. The edit is on disk when this returns. Raises the same errors as
        `Registry.edited`, `RegistryFull`, `NotStored`.
        """

        async def once() -> NodeRecord:
            async with self._editing():
                changed = self.registry.edited(uid, edit, revision=revision)
                return (await self._make_edits([changed]))[0]

        return await once() if revision is not None else await repeat_if_stale(once)

    async def edit_many(self, uids: Iterable[str], edit: Edit) -> list[NodeRecord]:
        """Edit several nodes. Unknown ones are skipped. Raises the same errors as `edit`; then no
        node was edited.
        """
        async with self._editing():
            changed = [
                self.registry.edited(uid, edit)
                async for uid in in_turns(uids)
                if self.registry.get(uid) is not None
            ]
            return await self._make_edits(changed)

    async def provision(self, edits: Iterable[tuple[str, Edit]]) -> list[NodeRecord]:
        """Add nodes that may not have been seen yet, or edit them: all or none."""
        async with self._editing():
            changed: dict[str, NodeRecord] = {}
            async for uid, edit in in_turns(edits):
                if uid in changed:
                    raise ProtocolError(f"the node {uid!r} is listed twice")
                changed[uid] = self.registry.provisioned(uid, edit)
            return await self._make_edits(list(changed.values()))

    async def forget(self, uid: str, now: float, *, revision: int | None = None) -> NodeRecord:
        """Remove an offline node, or a new one that waits. `now` is the time of the event loop.

        Raises `UnknownNode`, `StaleRevision`, `Refused` if the node is online, `NotStored`.
        """
        async with self._editing():
            record = self.registry.get(uid)
            if record is None:
                raise UnknownNode(f"there is no node {uid[:64]!r}")
            check_revision(record, revision)
            if record.is_online and record.admission == "accepted":
                raise Refused(
                    f"{record.name} is online and would come back at once: ban it instead"
                )
            if not await self._forget([record], now):
                raise Refused(f"{record.name} has come online")
            return record

    async def forget_many(self, uids: Iterable[str], now: float) -> list[NodeRecord]:
        """Remove several nodes. Unknown and online ones are skipped. Raises `NotStored`."""
        async with self._editing():
            found = [it for it in map(self.registry.get, uids) if it is not None]
            return await self._forget([it for it in found if it.state != "online"], now)

    async def restore(self, uid: str, now: float) -> NodeRecord:
        """Restore a removed node. Raises `UnknownNode`, `RegistryFull`, `NotStored`. A node that
        has reappeared gets its annotations back.
        """
        async with self._editing():
            record = self.registry.forgotten(uid, now)
            self.registry.check_room([record])
            if self.registry.get(uid) is None:
                await self._store_whole([record])
            else:
                await self._store_edits([record])
            self.edits += 1
            return self._nodes.people_restored(record)

    async def put_documents(self, documents: Sequence[Document]) -> None:
        """Set or delete documents. They are on disk when this returns. Raises `Refused`,
        `NotStored`.
        """
        async with self._editing():
            self.documents.check(documents)
            await self._call_store(partial(write_rows, documents=documents))
            self.documents.set(documents)

    async def read_documents_again(self) -> None:
        """Take over the documents that other brokers of a cluster have stored."""
        while self._store is not None and self._is_open:
            before = self.documents.version
            try:
                found = await self._writer.call(lambda store: store.documents())
            except RegistryStoreError as error:
                self._failed(error)
                return
            if self.documents.version == before:
                self.documents.load_again(found)
                return

    @asynccontextmanager
    async def _editing(self) -> AsyncIterator[None]:
        """Serialises edits. Raises `NotStored` if too many wait."""
        if self._edits_waiting >= EDITS_WAITING_MAX:
            raise NotStored(f"{EDITS_WAITING_MAX} edits of nodes wait already")
        self._edits_waiting += 1
        try:
            async with self._edit_lock:
                yield
        finally:
            self._edits_waiting -= 1

    async def _forget(self, records: Sequence[NodeRecord], now: float) -> list[NodeRecord]:
        """Remove the nodes that have not come online since. Raises `NotStored`."""
        uids = [record.uid for record in records]
        if not uids:
            return []
        for uid in uids:
            # Otherwise a pending write could store it again after its removal.
            self.registry.unwritten.forgets(uid)
        try:
            await self._call_store(partial(write_rows, removed=uids))
        except NotStored:
            for uid in uids:
                self.registry.unwritten.observed(uid)
            raise
        forgotten = []
        returned = []
        async for record in in_turns(records):
            try:
                self._nodes.people_forgot(record.uid, now)
                forgotten.append(record)
            except UnknownNode:
                pass  # a newcomer that left
            except Refused:
                returned.append(record)
        if returned:
            await self._store_whole(returned)
        self.edits += len(forgotten)
        return forgotten

    async def _make_edits(self, changed: Sequence[NodeRecord]) -> list[NodeRecord]:
        if not changed:
            return []
        self.registry.check_room(changed)
        await self._store_edits(changed)
        edited = [self._nodes.people_edited(it) async for it in in_turns(changed)]
        self.edits += len(edited)
        return edited

    async def _store_edits(self, changed: Sequence[NodeRecord]) -> None:
        # Of a node that has just appeared, the rest is written with it.
        unwritten = self.registry.unwritten.of(record.uid for record in changed)
        observed = self._writer.observed(unwritten)

        def write(store: RegistryStore) -> None:
            write_rows(store, observed=observed, edited=[edited_row(it) for it in changed])

        await self._store_again(changed, write)

    async def _store_whole(self, records: Sequence[NodeRecord]) -> None:
        observed = self._writer.observed(records)
        edited = [edited_row(record) for record in records]
        await self._store_again(records, partial(write_rows, observed=observed, edited=edited))

    async def _store_again(
        self, records: Sequence[NodeRecord], work: Callable[[RegistryStore], None]
    ) -> None:
        """Store nodes again, some of which may just have been removed. Raises `NotStored`."""
        # Otherwise their removal could be carried out after this.
        removed = self.registry.unwritten.take_back_removed(record.uid for record in records)
        try:
            await self._call_store(work)
        except (NotStored, StaleRevision):
            self.registry.unwritten.not_written((), removed)
            raise

    async def _call_store(self, work: Callable[[RegistryStore], T]) -> T | None:
        """Raises `NotStored`."""
        if self._store is None:
            return None
        if not self._is_open:
            raise NotStored(f"the registry {self._problem}")
        try:
            async with asyncio.timeout(EDIT_LIMIT_S):
                return await self._writer.call(work)
        except TimeoutError as error:
            # Its state is unknown now: it is reopened and written completely.
            failure = RegistryStoreError(f"{self._name} did not answer within {EDIT_LIMIT_S:.0f} s")
            self._failed(failure)
            raise NotStored(f"the registry {failure}") from error
        except RegistryStoreError as error:
            self._failed(error)
            raise NotStored(f"the registry {error}") from error

    # -- writing --------------------------------------------------------------------------------

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        values_at = clock() + VALUES_INTERVAL_S
        open_at = clock()
        while True:
            if not self._is_open and self._store is not None and clock() >= open_at:
                await self._open()
                self._open_attempted.set()
                open_at = clock() + RETRY_S
            # At multiples of it, as other checks: an idle process wakes up less often.
            early_s = (clock() + _EARLY_S) % WRITE_INTERVAL_S - _EARLY_S
            await asyncio.sleep(WRITE_INTERVAL_S - early_s)
            is_time_of_values = clock() >= values_at
            if is_time_of_values:
                await self._collect_values()
                values_at = clock() + VALUES_INTERVAL_S
            try:
                if self._is_open:
                    await self._writer.write()
                    if is_time_of_values:
                        await self._writer.call(lambda store: store.check())
                else:
                    # After the next opening, the store is compared with the registry.
                    self.registry.unwritten.drop_removed()
            except RegistryStoreError as error:
                self._failed(error)
            await in_turns_until_done(partial(self.registry.encode_leftover, TURN_NODES_MAX))

    async def _wait_opened(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_LIMIT_S):
                await self._open_attempted.wait()

    async def _open(self) -> None:
        try:
            records = await self._writer.call(lambda store: store.open())
            documents = await self._writer.call(lambda store: store.documents())
            if self.loaded.is_set():
                await self._writer.reconcile(records, documents)
        except RegistryStoreError as error:
            self._failed(error)
            return
        if not self.loaded.is_set():
            self.documents.load(documents)
            self._nodes.registry_loaded(records)
            self.loaded.set()
        self._is_open, self._problem = True, ""
        log.info("registry: %d nodes in %s", len(self.registry), self._name)

    async def _collect_values(self) -> None:
        now = self._unix_time()
        async for uid in in_turns(self._nodes.take_touched_uids()):
            record = self.registry.get(uid)
            readings = self._nodes.readings_of(uid)
            if record is not None and readings:
                times = (reading.ts for reading in readings if reading.ts <= now)
                record.last_seen = max(record.last_seen, max(times, default=0.0))
                self.registry.unwritten.observed(uid)
        self.registry.unwritten.observe_seen()

    async def _write_last(self) -> None:
        if self._is_open:
            await self._collect_values()
            with contextlib.suppress(TimeoutError, RegistryStoreError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._writer.write()
        if self._store is not None:
            await self._writer.call(lambda store: store.close())

    def _failed(self, error: RegistryStoreError) -> None:
        self.failures += 1
        self._is_open = False
        if str(error) != self._problem:
            self._problem = str(error)
            log.error("the registry is not stored: %s", error)
