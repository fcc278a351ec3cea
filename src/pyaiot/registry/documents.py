# SPDX-License-Identifier: BSD-3-Clause
"""Stores documents beside the nodes: alert rules, alerts, saved views, floor plans. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from pyaiot.errors import Refused

DOCUMENTS_MAX: Final = 20_000
"""Largest number of documents, of all kinds together. Further ones are refused."""
DOCUMENT_SIZE_MAX: Final = 64 * 1024
"""Largest size of one document, in bytes of UTF-8. Larger ones are refused."""

Document: TypeAlias = tuple[str, str, str | None]
"""Kind, key and JSON text; None deletes the document."""


class Documents:
    """JSON texts by kind and key. Keeps track of those that are not written yet."""

    def __init__(self) -> None:
        self._bodies: dict[str, dict[str, str]] = {}
        self._unwritten: dict[tuple[str, str], None] = {}
        self.changed_here: list[Callable[[Sequence[Document]], None]] = []
        """Called with documents that this broker has set."""
        self.changed_elsewhere: list[Callable[[frozenset[str]], None]] = []
        """Called with the kinds of documents that another broker of the cluster has set."""
        self.version = 0
        """Increases with each change."""

    def __len__(self) -> int:
        return sum(map(len, self._bodies.values()))

    def of(self, kind: str) -> Mapping[str, str]:
        """The documents of one kind, by key."""
        return self._bodies.get(kind, {})

    def load(self, documents: Iterable[Document]) -> None:
        """Add the documents of a store. Documents that were set before this call are kept."""
        for kind, key, body in documents:
            if body is not None and (kind, key) not in self._unwritten:
                self._bodies.setdefault(kind, {}).setdefault(key, body)

    def check(self, documents: Iterable[Document]) -> None:
        """Raises `Refused` if a document is too large, or there would be too many."""
        added = 0
        for kind, key, body in documents:
            if body is None:
                continue
            added += key not in self.of(kind)
            if len(body.encode()) > DOCUMENT_SIZE_MAX:
                raise Refused(f"it has more than {DOCUMENT_SIZE_MAX} bytes")
        if added and len(self) + added > DOCUMENTS_MAX:
            raise Refused(f"there are {DOCUMENTS_MAX} documents already")

    def set(self, documents: Iterable[Document]) -> None:
        """Set documents that are already stored."""
        some = list(documents)
        self._set(some)
        for observer in self.changed_here:
            observer(some)

    def set_elsewhere(self, documents: Iterable[Document]) -> None:
        """Set documents that another broker of the cluster has set. That broker stores them."""
        some = list(documents)
        self._set(some)
        for observer in self.changed_elsewhere:
            observer(frozenset(kind for kind, _, _ in some))

    def load_again(self, documents: Iterable[Document]) -> None:
        """Take over a store that other brokers write, too. Documents that are not written yet are
        kept."""
        stored = {(kind, key): body for kind, key, body in documents}
        here = {(kind, key): it for kind, some in self._bodies.items() for key, it in some.items()}
        keys = [it for it in {**stored, **here} if it not in self._unwritten]
        changed = [(*it, stored.get(it)) for it in keys if stored.get(it) != here.get(it)]
        if changed:
            self.set_elsewhere(changed)

    def _set(self, documents: Iterable[Document]) -> None:
        self.version += 1
        for kind, key, body in documents:
            if body is None:
                self._bodies.get(kind, {}).pop(key, None)
            else:
                self._bodies.setdefault(kind, {})[key] = body
            self._unwritten.pop((kind, key), None)

    def set_later(self, documents: Iterable[Document]) -> None:
        """Set documents that are written with the next changes of nodes. Raises `Refused`."""
        some = list(documents)
        self.check(some)
        self.set(some)
        self._unwritten.update(dict.fromkeys((kind, key) for kind, key, _ in some))

    def take_unwritten(self, most: int) -> list[Document]:
        """Take some unwritten documents. If writing fails, pass them to `not_written`."""
        keys = list(self._unwritten)[:most]
        for key in keys:
            del self._unwritten[key]
        return [(kind, key, self.of(kind).get(key)) for kind, key in keys]

    def not_written(self, documents: Iterable[Document]) -> None:
        """Queue these documents again."""
        self._unwritten.update(dict.fromkeys((kind, key) for kind, key, _ in documents))

    def write_again(self) -> None:
        """Queue all documents to be written, because the store was replaced."""
        for kind, bodies in self._bodies.items():
            self._unwritten.update(dict.fromkeys((kind, key) for key in bodies))
