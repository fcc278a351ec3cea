# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes of the registry are meant: by state, tag, gateway, protocol, room or text. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pyaiot.registry.record import NodeRecord

ADMITTED: Final = frozenset({"online", "offline"})


@dataclass(frozen=True, slots=True)
class NodeFilter:
    """Each condition that is set must hold. One of the values of a condition is enough."""

    uids: frozenset[str] | None = None
    states: frozenset[str] | None = ADMITTED
    tags: frozenset[str] | None = None
    gateways: frozenset[str] | None = None
    protocols: frozenset[str] | None = None
    """Names of protocols in lower case."""
    rooms: frozenset[str] | None = None
    words: tuple[str, ...] = ()
    """Casefolded words that must all occur in uid, label, room, tags or notes."""

    @staticmethod
    def words_of(text: str) -> tuple[str, ...]:
        return tuple(text.casefold().split())

    def matches(self, record: NodeRecord) -> bool:
        added = record.annotations
        return (
            (self.states is None or record.state in self.states)
            and (self.uids is None or record.uid in self.uids)
            and (self.gateways is None or record.gateway in self.gateways)
            and (self.protocols is None or record.protocol.lower() in self.protocols)
            and (self.rooms is None or added.room in self.rooms)
            and (self.tags is None or not self.tags.isdisjoint(added.tags))
            and (not self.words or _has_words(record, self.words))
        )


def frozen(values: Iterable[str] | None) -> frozenset[str] | None:
    """A set of these values; None stays None: any value matches."""
    return None if values is None else frozenset(values)


def _has_words(record: NodeRecord, words: tuple[str, ...]) -> bool:
    added = record.annotations
    text = "\n".join((record.uid, added.label, added.room, *added.tags, added.notes)).casefold()
    return all(word in text for word in words)
