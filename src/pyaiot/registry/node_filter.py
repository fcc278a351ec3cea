# SPDX-License-Identifier: BSD-3-Clause
"""Selects nodes of the registry by state, tag, gateway, protocol, room or text. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pyaiot.registry.record import NodeRecord

ADMITTED: Final = frozenset({"online", "offline"})


class NodeFilter(msgspec.Struct, frozen=True):
    """A node matches if it meets every condition that is set. A condition is met by any of its
    values.
    """

    uids: frozenset[str] | None = None
    states: frozenset[str] | None = ADMITTED
    tags: frozenset[str] | None = None
    gateways: frozenset[str] | None = None
    protocols: frozenset[str] | None = None
    """Protocol names in lower case."""
    rooms: frozenset[str] | None = None
    words: tuple[str, ...] = ()
    """Case-folded words. All of them must occur in uid, label, room, tags or notes."""
    searches_notes: bool = True
    """False: do not search the notes, because the client may not see them."""

    @staticmethod
    def words_of(text: str) -> tuple[str, ...]:
        return tuple(text.casefold().split())

    def matches(self, record: NodeRecord) -> bool:
        return bool(self.select([record]))

    def select(self, records: Sequence[NodeRecord]) -> Sequence[NodeRecord]:
        """The records that match. Evaluates one condition after the other, which is fast for many
        records.
        """
        if self.uids is not None:
            records = [it for it in records if it.uid in self.uids]
        if self.tags is not None:
            tags = self.tags
            records = [it for it in records if not tags.isdisjoint(it.annotations.tags)]
        if self.rooms is not None:
            records = [it for it in records if it.annotations.room in self.rooms]
        if self.gateways is not None:
            records = [it for it in records if it.gateway in self.gateways]
        if self.words:
            records = [
                it for it in records if _has_words(it, self.words, notes=self.searches_notes)
            ]
        if self.protocols is not None:
            records = [it for it in records if it.protocol.lower() in self.protocols]
        if self.states is not None:
            records = [it for it in records if it.state in self.states]
        return records


def frozen(values: Iterable[str] | None) -> frozenset[str] | None:
    """A set of these values; None (any value matches) remains None."""
    return None if values is None else frozenset(values)


def _has_words(record: NodeRecord, words: tuple[str, ...], *, notes: bool) -> bool:
    added = record.annotations
    texts = (record.uid, added.label, added.room, *added.tags, added.notes if notes else "")
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)
