# SPDX-License-Identifier: BSD-3-Clause
"""The changes of the registry that are still to be written to its store. Pure."""

import itertools
from collections.abc import Iterable, Mapping

from pyaiot.registry.record import NodeRecord


class Unwritten:
    """Nodes whose observed part changed, and nodes to be removed from the store."""

    def __init__(self, records: Mapping[str, NodeRecord]) -> None:
        """`records`: those of the registry, as they are at each time."""
        self._records = records
        self._observed: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        """Nodes of which only the last-seen time changed."""
        self._removed: dict[str, None] = {}

    @property
    def count(self) -> int:
        return len(self._observed) + len(self._seen) + len(self._removed)

    def observed(self, uid: str) -> None:
        """The observed part of this node changed."""
        self._observed[uid] = None

    def seen(self, uid: str) -> None:
        """Only the last-seen time of the node changed. It is written with the next values."""
        self._seen[uid] = None

    def observe_seen(self) -> None:
        """Nodes for which `seen` was called are to be written, too."""
        self._observed |= self._seen
        self._seen = {}

    def remove(self, record: NodeRecord) -> None:
        """The node is no longer in the registry."""
        self.forgets(record.uid)
        if record.is_stored:
            self._removed[record.uid] = None

    def forgets(self, uid: str) -> None:
        """The node is about to be removed: its changes are not written."""
        self._observed.pop(uid, None)
        self._seen.pop(uid, None)

    def is_back(self, uid: str) -> None:
        """The node is in the registry again."""
        self._removed.pop(uid, None)

    def of(self, uids: Iterable[str]) -> list[NodeRecord]:
        """The nodes whose observed part is still to be written."""
        return [
            self._records[uid] for uid in uids if uid in self._observed and uid in self._records
        ]

    def take_observed(self, count: int) -> list[NodeRecord]:
        """At most `count` nodes whose observed part changed."""
        taken: list[NodeRecord] = []
        while self._observed and len(taken) < count:
            uid = next(iter(self._observed))
            del self._observed[uid]
            record = self._records.get(uid)
            if record is not None and record.is_stored:
                taken.append(record)
        if not self._observed:
            self._observed = {}  # an emptied table keeps its size: after a burst, it is large
        return taken

    def take_removed(self, count: int) -> list[str]:
        """At most `count` uids to remove from the store."""
        taken = list(itertools.islice(self._removed, count))
        for uid in taken:
            del self._removed[uid]
        return taken

    def take_back_removed(self, uids: Iterable[str]) -> list[str]:
        """These nodes are about to be stored again: those of them that were to be removed."""
        return [uid for uid in uids if self._removed.pop(uid, True) is None]

    def drop_removed(self) -> None:
        """There is no store from which nodes are to be removed."""
        self._removed.clear()

    def not_written(self, records: Iterable[NodeRecord], removed: Iterable[str]) -> None:
        """The store failed: these changes are to be written later."""
        for record in records:
            if self._records.get(record.uid) is record:
                self._observed[record.uid] = None
        for uid in removed:
            if uid not in self._records:
                self._removed[uid] = None
