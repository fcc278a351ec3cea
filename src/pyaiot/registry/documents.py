# SPDX-License-Identifier: BSD-3-Clause
"""What people and services keep beside the nodes: rules of alerts, alerts, saved views. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from pyaiot.errors import Refused

DOCUMENTS_MAX: Final = 20_000
"""Documents of all kinds. One more is refused."""
DOCUMENT_SIZE_MAX: Final = 64 * 1024
"""Bytes of one document as UTF-8. A larger one is refused."""

Document: TypeAlias = tuple[str, str, str | None]
"""Kind, key and JSON text; None removes it."""


class Documents:
    """JSON texts by kind and key, and which of them are not written yet."""

    def __init__(self) -> None:
        self._bodies: dict[str, dict[str, str]] = {}
        self._unwritten: dict[tuple[str, str], None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._bodies.values()))

    def of(self, kind: str) -> Mapping[str, str]:
        """The documents of a kind by their key."""
        return self._bodies.get(kind, {})

    def load(self, documents: Iterable[Document]) -> None:
        """Add the documents of a store. Those that were set meanwhile stay."""
        for kind, key, body in documents:
            if body is not None and (kind, key) not in self._unwritten:
                self._bodies.setdefault(kind, {}).setdefault(key, body)

    def check(self, documents: Iterable[Document]) -> None:
        """Raises `Refused` if there are too many, or one is too large."""
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
        """Take over documents that are stored."""
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
        """Some unwritten documents. If the store fails, pass them to `not_written`."""
        keys = list(self._unwritten)[:most]
        for key in keys:
            del self._unwritten[key]
        return [(kind, key, self.of(kind).get(key)) for kind, key in keys]

    def not_written(self, documents: Iterable[Document]) -> None:
        """These are still to be written."""
        self._unwritten.update(dict.fromkeys((kind, key) for kind, key, _ in documents))

    def write_again(self) -> None:
        """All are still to be written: the store was replaced."""
        for kind, bodies in self._bodies.items():
            self._unwritten.update(dict.fromkeys((kind, key) for key in bodies))
