# SPDX-License-Identifier: BSD-3-Clause
"""The interface of the stores of the registry. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from pyaiot.errors import PyaiotError
from pyaiot.messages import Reading
from pyaiot.registry.documents import Document
from pyaiot.registry.last_values import (
    NO_VALUES,
    VALUES_MAX,
    VALUES_OF_NODE_MAX,
    VALUES_SMALL,
    encode_values,
)
from pyaiot.registry.record import NodeRecord, RecordRow, record_of

ObservedNode: TypeAlias = tuple[RecordRow, tuple[Reading, ...] | bytes]
"""A row of `observed_row`, and the values of the node, encoded or still to be encoded."""


CHECKED_NODES: Final = 8
"""Nodes of a store that are read back at each check."""


class RegistryStoreError(PyaiotError):
    """The registry cannot be stored now. The text has the reason; a retry may succeed."""


class Changes(msgspec.Struct, frozen=True):
    """What is written in one transaction: removals first."""

    observed: Sequence[RecordRow] = ()
    """Rows of `observed_row`. What people edited stays."""
    edited: Sequence[RecordRow] = ()
    """Rows of `edited_row`. What was observed stays."""
    removed: Sequence[str] = ()
    """Uids."""
    documents: Sequence[Document] = ()


class Loading:
    """Turns the rows of a store into records. However large it is, their values fit into memory."""

    def __init__(self) -> None:
        self.records: list[NodeRecord] = []
        self._large = 0

    def add(self, rows: Iterable[RecordRow]) -> None:
        """Add rows of `COLUMNS`. Raises the same errors as `record_of`.

        Of the nodes that were added last, values beyond the limit are left out.
        """
        for row in rows:
            record = record_of(row)
            size = len(record.values)
            if size > VALUES_SMALL:
                if size > VALUES_OF_NODE_MAX or self._large + size > VALUES_MAX:
                    record.values = NO_VALUES
                else:
                    self._large += size
            self.records.append(record)


class RegistryStore(Protocol):
    """A store in use by one thread at a time. Only this process writes it."""

    name: str
    """For people, without a password."""
    is_shared: bool
    """Whether the other brokers of a cluster write it, too."""

    def open(self) -> list[NodeRecord]:
        """Open or create it, and return all records. May be repeated.

        Raises `RegistryStoreError`.
        """
        ...

    def documents(self) -> list[Document]:
        """All documents of the open store. Raises `RegistryStoreError`."""
        ...

    def write(self, changes: Changes) -> None:
        """Write the changes; they are on disk when it returns. Raises `RegistryStoreError`."""
        ...

    def check(self) -> None:
        """Read back what was written. Raises `RegistryStoreError` if it is no longer there."""
        ...

    def close(self) -> None:
        """Close it, if it is open. It may be opened again."""
        ...


class WrittenNodes:
    """Some nodes that a store must have, with their revisions.

    Each node that is online is written every few seconds, also into a store that was emptied; but
    then its revision is 0 there.
    """

    def __init__(self) -> None:
        self._revisions: dict[str, int] = {}

    @property
    def uids(self) -> list[str]:
        return list(self._revisions)

    def read(self, records: Sequence[NodeRecord]) -> None:
        """These are all nodes of the store."""
        some = [record for record in records if record.is_edited] or records
        self._revisions = {
            record.uid: record.revision for record in some[:: len(some) // CHECKED_NODES + 1]
        }

    def written(self, changes: Changes) -> None:
        """The store has these changes."""
        for uid in changes.removed:
            self._revisions.pop(uid, None)
        for uid, _, revision, *_ in changes.edited:
            if uid in self._revisions or self._makes_room():
                self._revisions[uid] = revision
        for uid, *_ in changes.observed[:CHECKED_NODES]:
            if len(self._revisions) < CHECKED_NODES:
                self._revisions.setdefault(uid, 0)

    def check(self, rows: Iterable[tuple[str, int]]) -> None:
        """The store has these revisions of `uids`. Raises `RegistryStoreError`."""
        if dict(rows) != self._revisions:
            raise RegistryStoreError("nodes that were written are no longer there")

    def _makes_room(self) -> bool:
        """For a node that people edited: those that nobody edited count less."""
        if len(self._revisions) < CHECKED_NODES:
            return True
        for uid, revision in self._revisions.items():
            if not revision:
                del self._revisions[uid]
                return True
        return False


def upsert(columns: tuple[str, ...], parameter: str = "?") -> str:
    """A statement that inserts a node, or updates only these columns of it.

    `parameter` is the form of a parameter: `{}` in it is its number.
    """
    names = ("uid", *columns)
    values = ", ".join(parameter.format(n) for n in range(1, len(names) + 1))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return (
        f"INSERT INTO node ({', '.join(names)}) VALUES ({values})"  # noqa: S608 - our constants
        f" ON CONFLICT (uid) DO UPDATE SET {updates}"
    )


def write_rows(
    store: RegistryStore,
    *,
    observed: Sequence[ObservedNode] = (),
    edited: Sequence[RecordRow] = (),
    removed: Sequence[str] = (),
    documents: Sequence[Document] = (),
) -> None:
    """Write in one transaction, on the thread of the store. Raises `RegistryStoreError`."""
    rows = [
        (*row, (values if isinstance(values, bytes) else encode_values(values)).decode())
        for row, values in observed
    ]
    store.write(Changes(observed=rows, edited=edited, removed=removed, documents=documents))
