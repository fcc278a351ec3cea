# SPDX-License-Identifier: BSD-3-Clause
"""The part of all readings that a subscriber needs, and the uids of the other nodes. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from pyaiot.broker.deliveries import ToAll
from pyaiot.messages import NodesSeen, Reading, Subscription

SEEN_S: Final = 5.0
"""Interval at which subscribers to a part of the readings get the uids of the other nodes that sent
readings. It bounds the delay of the time when a node was last seen."""
SEEN_UIDS_MAX: Final = 1000
"""Largest number of nodes in one message `seen`. More are sent in several messages."""


class WantedReadings:
    """The nodes and resources of a subscription to a part of the readings."""

    __slots__ = ("named", "uids")

    def __init__(self, uids: Iterable[str], named: Iterable[str]) -> None:
        self.uids = frozenset(uids)
        self.named = frozenset(named)

    @classmethod
    def of(cls, request: Subscription) -> "WantedReadings | None":
        """None: all readings."""
        if request.readings_of is None and request.readings_named is None:
            return None
        return cls(request.readings_of or (), request.readings_named or ())

    def includes(self, reading: Reading) -> bool:
        return reading.uid in self.uids or reading.resource in self.named

    def chosen(self, index: "ReadingIndex") -> list[ToAll]:
        """The messages of a batch that are not readings, and the wanted readings, in order."""
        places = index.places(self.uids)
        for name in index.by_name.keys() & self.named:
            places += index.by_name[name]
        return [index.deliveries[place] for place in sorted(set(places))]


class ReadingIndex:
    """The positions of the readings of each node and resource in a batch.

    Made once for all subscribers: one that shows 50 of 10,000 nodes does not examine all readings.
    """

    __slots__ = ("by_name", "by_uid", "deliveries", "others")

    def __init__(self, deliveries: Sequence[ToAll]) -> None:
        self.deliveries = deliveries
        self.by_uid: dict[str, list[int]] = {}
        self.by_name: dict[str, list[int]] = {}
        self.others: list[int] = []
        for place, delivery in enumerate(deliveries):
            message = delivery.message
            if isinstance(message, Reading):
                self.by_uid.setdefault(message.uid, []).append(place)
                self.by_name.setdefault(message.resource, []).append(place)
            else:
                self.others.append(place)

    def places(self, uids: AbstractSet[str]) -> list[int]:
        """Places of the readings of these nodes, and of all other messages. Unordered."""
        if len(uids) < len(self.by_uid):
            known = [uid for uid in uids if uid in self.by_uid]
        else:
            known = [uid for uid in self.by_uid if uid in uids]
        found = list(self.others)
        for uid in known:
            found += self.by_uid[uid]
        return found

    def of_nodes(self, uids: AbstractSet[str]) -> list[ToAll]:
        """The readings of these nodes, and all other messages, in their order."""
        return [self.deliveries[place] for place in sorted(self.places(uids))]


def seen(uids: Iterable[str], ts: float) -> Iterator[NodesSeen]:
    """Messages with all of these nodes."""
    ordered = sorted(uids)
    for first in range(0, len(ordered), SEEN_UIDS_MAX):
        yield NodesSeen(uids=tuple(ordered[first : first + SEEN_UIDS_MAX]), ts=ts)
