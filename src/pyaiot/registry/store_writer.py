# SPDX-License-Identifier: BSD-3-Clause
"""Writes the registry to its store, on a thread of the store. The store has nodes and documents."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.online_nodes import OnlineNodes
from pyaiot.registry.record import NodeRecord, edited_row, observed_row
from pyaiot.registry.registry import Registry
from pyaiot.registry.store import ObservedNode, RegistryStore, write_rows

BATCH_MAX: Final = 500
"""Nodes per transaction. Four times as many delayed readings by 60 ms."""

T = TypeVar("T")


class StoreWriter:
    """What a store has and what it lacks. Each coroutine raises `RegistryStoreError`."""

    def __init__(
        self,
        registry: Registry,
        documents: Documents,
        nodes: OnlineNodes,
        store: RegistryStore | None,
    ) -> None:
        """`store` None: the registry is kept in memory only, and no coroutine may be called."""
        self.written = 0
        """Nodes whose observations were written, since the start."""
        self._registry = registry
        self._documents = documents
        self._nodes = nodes
        self._store = store
        self._executor: ThreadPoolExecutor | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Context manager: the thread of the store runs."""
        with ThreadPoolExecutor(1, "registry") as self._executor:
            yield

    async def call(self, work: Callable[[RegistryStore], T]) -> T:
        """Call the store on its thread, in the order of the calls."""
        if self._store is None:
            raise RuntimeError("the registry has no store")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, work, self._store)

    async def write(self) -> None:
        """Write all changes, in transactions of limited size."""
        unwritten = self._registry.unwritten
        while True:
            removed = unwritten.take_removed(BATCH_MAX)
            records = unwritten.take_observed(BATCH_MAX)
            documents = self._documents.take_unwritten(BATCH_MAX)
            if not removed and not records and not documents:
                return
            observed = self.observed(records)
            try:
                await self.call(
                    partial(write_rows, observed=observed, removed=removed, documents=documents)
                )
            except BaseException:
                unwritten.not_written(records, removed)
                self._documents.not_written(documents)
                raise
            self.written += len(records)

    async def reconcile(self, records: Sequence[NodeRecord], documents: Sequence[Document]) -> None:
        """The store was lost and came back with these contents, perhaps empty."""
        if self._store is not None and self._store.is_shared and (records or documents):
            # Other brokers may have changed it meanwhile.
            self._documents.load_again(documents)
            await self._write_newer({it.uid: it.revision for it in records})
            return
        await self._remove_unknown(records)
        gone = [it for it in documents if it[1] not in self._documents.of(it[0])]
        self._documents.not_written(gone)
        self._documents.write_again()
        await self._write_newer({})

    def observed(self, records: Sequence[NodeRecord]) -> list[ObservedNode]:
        """The rows of nodes, and their values that are not encoded yet."""
        return [self._observed(record) for record in records]

    async def _remove_unknown(self, records: Sequence[NodeRecord]) -> None:
        """Delete nodes from the store that were removed while it was closed."""
        uids = [it.uid for it in records if self._registry.get(it.uid) is None]
        for start in range(0, len(uids), BATCH_MAX):
            some = uids[start : start + BATCH_MAX]
            await self.call(partial(write_rows, removed=some))

    async def _write_newer(self, stored: Mapping[str, int]) -> None:
        """Write the nodes that are not stored with these revisions, or later ones."""
        known = self._registry.records.values()
        records = [it for it in known if it.is_stored and it.revision > stored.get(it.uid, -1)]
        for start in range(0, len(records), BATCH_MAX):
            some = records[start : start + BATCH_MAX]
            edited = [edited_row(record) for record in some]
            await self.call(partial(write_rows, observed=self.observed(some), edited=edited))

    def _observed(self, record: NodeRecord) -> ObservedNode:
        readings = self._nodes.readings_of(record.uid)
        values = self._registry.values_of(record) if readings is None else readings
        return observed_row(record), values
