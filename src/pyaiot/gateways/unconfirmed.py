# SPDX-License-Identifier: BSD-3-Clause
"""Events that the broker has not confirmed. They are sent again on the next link. Pure."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from pyaiot.backlog import costs
from pyaiot.messages import Checkpoint, NodeEvent, Reading, ReadingsDropped

EVENTS_MAX: Final = 50_000
"""Largest number of events that a gateway keeps until the broker confirms them. Beyond it the
oldest is dropped; a gap reports lost readings."""
COST_MAX: Final = 32 * 1024 * 1024
"""Largest total size of these events in bytes. Beyond it the oldest is dropped."""


class Unconfirmed:
    """Unconfirmed events in order, and the number of dropped readings.

    A checkpoint is sent after events. The broker returns it when it has stored them.
    """

    def __init__(self, *, events_max: int = EVENTS_MAX, cost_max: int = COST_MAX) -> None:
        self.dropped = 0
        """Number of readings that were dropped. The broker may have received some of them."""
        self._events_max = events_max
        self._cost_max = cost_max
        self._events: deque[tuple[NodeEvent, int]] = deque()
        self._cost = 0
        self._added = 0
        """Number of events, which is the number of the latest one."""
        self._checkpoint_sent = 0
        """The number of the latest checkpoint."""
        self._gap: ReadingsDropped | None = None
        self._gap_at = 0
        """The number of the last dropped event."""

    def __iter__(self) -> Iterator[NodeEvent]:
        return (event for event, _ in self._events)

    def add_all(self, events: Sequence[NodeEvent]) -> list[int]:
        """Keep events, in order. Beyond the limits the oldest are dropped. Returns the costs of the
        events."""
        event_costs = costs(events)
        self._events.extend(zip(events, event_costs, strict=True))
        self._cost += sum(event_costs)
        self._added += len(event_costs)
        while len(self._events) > self._events_max or self._cost > self._cost_max:
            self._drop_oldest()
        return event_costs

    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint to send after the latest event; None if it was already sent."""
        if self._checkpoint_sent == self._added:
            return None
        self._checkpoint_sent = self._added
        return Checkpoint(number=self._checkpoint_sent)

    @property
    def checkpoint_sent(self) -> int:
        """The number of the latest checkpoint."""
        return max(0, self._checkpoint_sent)

    def confirm(self, checkpoint: Checkpoint) -> None:
        """The broker has stored the events before this checkpoint."""
        if checkpoint.number > self._checkpoint_sent:
            return
        take = self._events.popleft
        confirmed = checkpoint.number - (self._added - len(self._events))
        self._cost -= sum([take()[1] for _ in range(min(confirmed, len(self._events)))])
        if self._gap_at <= checkpoint.number:
            self._gap = None

    def reset_checkpoint(self) -> None:
        """A new link: checkpoints of the previous one are no longer answered."""
        self._checkpoint_sent = -1 if self._events or self._gap else self._added

    def gap(self) -> ReadingsDropped | None:
        """The dropped, unconfirmed readings, to report before the events."""
        return self._gap

    def _drop_oldest(self) -> None:
        event, event_cost = self._events.popleft()
        self._cost -= event_cost
        if isinstance(event, Reading):
            self.dropped += 1
            self._gap_at = self._added - len(self._events)
            gap = self._gap or ReadingsDropped(ts=event.ts, until=event.ts, lost=0)
            self._gap = ReadingsDropped(
                ts=gap.ts, until=max(gap.until, event.ts), lost=gap.lost + 1
            )
