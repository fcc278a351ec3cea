# SPDX-License-Identifier: BSD-3-Clause
"""Events of nodes that the broker may not have: they are sent again on the next link. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from pyaiot.backlog import cost
from pyaiot.messages import Checkpoint, NodeEvent, Reading, ReadingsDropped

EVENTS_MAX: Final = 50_000
"""Events that a gateway keeps until the broker confirms them. Beyond, the oldest is dropped; lost
readings are told by a gap."""
COST_MAX: Final = 32 * 1024 * 1024
"""Bytes of these events. Beyond, the same."""


class Unconfirmed:
    """Events in order, and the readings that had to be dropped.

    A checkpoint is sent behind events; the broker sends it back when it has them for good.
    """

    def __init__(self, *, events_max: int = EVENTS_MAX, cost_max: int = COST_MAX) -> None:
        self.dropped = 0
        """Readings that were dropped, ever. The broker may have got some of them."""
        self._events_max = events_max
        self._cost_max = cost_max
        self._events: deque[tuple[NodeEvent, int]] = deque()
        self._cost = 0
        self._added = 0
        """Events, ever: the number of the latest one."""
        self._asked = 0
        """The number of the latest checkpoint."""
        self._gap: ReadingsDropped | None = None
        self._gap_at = 0
        """The number of the event that was dropped last."""

    def __iter__(self) -> Iterator[NodeEvent]:
        return (event for event, _ in self._events)

    def add(self, event: NodeEvent) -> None:
        """Keep an event. Beyond the limits, the oldest are dropped."""
        its_cost = cost(event)
        self._events.append((event, its_cost))
        self._cost += its_cost
        self._added += 1
        while len(self._events) > self._events_max or self._cost > self._cost_max:
            self._drop_oldest()

    def checkpoint(self) -> Checkpoint | None:
        """To be sent behind everything that was added; None if there was one already."""
        if self._asked == self._added:
            return None
        self._asked = self._added
        return Checkpoint(number=self._asked)

    def confirm(self, checkpoint: Checkpoint) -> None:
        """The broker has what was sent before this checkpoint."""
        if checkpoint.number > self._asked:
            return
        while self._events and self._added - len(self._events) < checkpoint.number:
            self._cost -= self._events.popleft()[1]
        if self._gap_at <= checkpoint.number:
            self._gap = None

    def linked_anew(self) -> None:
        """What was asked on the link before is not answered any more."""
        self._asked = -1 if self._events or self._gap else self._added

    def gap(self) -> ReadingsDropped | None:
        """Readings that were dropped and never confirmed, to be told before the events."""
        return self._gap

    def _drop_oldest(self) -> None:
        event, its_cost = self._events.popleft()
        self._cost -= its_cost
        if isinstance(event, Reading):
            self.dropped += 1
            self._gap_at = self._added - len(self._events)
            gap = self._gap or ReadingsDropped(ts=event.ts, until=event.ts, lost=0)
            self._gap = ReadingsDropped(
                ts=gap.ts, until=max(gap.until, event.ts), lost=gap.lost + 1
            )
