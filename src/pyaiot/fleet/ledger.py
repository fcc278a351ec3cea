# SPDX-License-Identifier: BSD-3-Clause
"""Readings of virtual nodes: sent, acknowledged, and seen by a client of the broker. Pure.

Readings of a node are numbered from 1, and the number is the value. `now` is in seconds, on a
monotonic clock.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from pyaiot.fleet.lateness import Lateness

OPEN_MAX: Final = 1_000_000
"""Readings of the fleet that were sent and not seen. At the limit the run ends."""


class Tally:
    """The counters of a group of nodes."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.nodes = 0
        self.sent = 0
        self.acknowledged = 0
        self.seen = 0
        self.duplicates = 0
        """Seen again, not counting the state that a client receives when it joins."""
        self.unexpected = 0
        """Values received for a node of the fleet that the node did not send."""
        self.skipped = 0
        """Readings skipped: the node was not connected, or too many were unacknowledged."""
        self.connections = 0
        """Connections of all nodes, including the first of each."""
        self.refusals: Counter[str] = Counter()
        """Number of refusals by the answer of the gateway."""
        self.superseded = 0
        self.lost = 0
        self.lateness = Lateness()
        self.longest_gap_s = 0.0
        """Longest time between two readings seen, over all nodes."""
        self._seen_at: float | None = None

    def see(self, now: float) -> None:
        """Record that a reading was seen."""
        if self._seen_at is not None:
            self.longest_gap_s = max(self.longest_gap_s, now - self._seen_at)
        self._seen_at = now

    @property
    def undecided(self) -> int:
        """Readings neither acknowledged, seen nor superseded. They are not counted as lost."""
        return self.sent - self.seen - self.superseded - self.lost

    def add(self, other: "Tally") -> None:
        """Add the counters of another tally. The longest gap is the longer of both."""
        for name in (
            *("nodes", "sent", "acknowledged", "seen", "duplicates", "unexpected", "skipped"),
            *("connections", "superseded", "lost"),
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refusals.update(other.refusals)
        self.lateness.merge(other.lateness)
        self.longest_gap_s = max(self.longest_gap_s, other.longest_gap_s)


class ReadingSeries:
    """The readings of one node."""

    __slots__ = (
        *("tally", "_abandoned", "_latest_acknowledged", "_latest_seen", "_sent"),
        *("_unacknowledged", "_unseen"),
    )

    def __init__(self, tally: Tally) -> None:
        tally.nodes += 1
        self.tally = tally
        self._sent = 0
        self._latest_acknowledged = 0
        self._latest_seen = 0
        self._unseen: dict[int, float] = {}
        """Time sent, by the number of each unseen reading."""
        self._unacknowledged: set[int] = set()
        self._abandoned: set[int] = set()
        """Unacknowledged readings that the node has given up."""

    @property
    def is_settled(self) -> bool:
        """Whether no acknowledgement is pending and the latest acknowledged reading was seen."""
        pending = len(self._unacknowledged) > len(self._abandoned)
        return not pending and self._latest_acknowledged <= self._latest_seen

    @property
    def unseen(self) -> int:
        """Number of readings that were not seen."""
        return len(self._unseen)

    def send(self, *, now: float) -> int:
        """Record the next reading as sent. Its number."""
        self._sent += 1
        self._unseen[self._sent] = now
        self._unacknowledged.add(self._sent)
        self.tally.sent += 1
        return self._sent

    def acknowledge(self, number: int) -> None:
        """Record the acknowledgement of the protocol. Idempotent."""
        if number in self._unacknowledged:
            self._unacknowledged.remove(number)
            self._abandoned.discard(number)
            self._latest_acknowledged = max(self._latest_acknowledged, number)
            self.tally.acknowledged += 1

    def abandon(self, number: int) -> None:
        """Record that the node has given up waiting for the acknowledgement."""
        if number in self._unacknowledged:
            self._abandoned.add(number)
            self._forget(number)

    def see(self, number: int, *, now: float, is_state: bool = False) -> None:
        """Record that a client received a value. `is_state`: in the state sent after its join."""
        sent_at = self._unseen.pop(number, None)
        if sent_at is not None:
            self.tally.seen += 1
            self.tally.see(now)
            self.tally.lateness.add(now - sent_at)
            self._latest_seen = max(self._latest_seen, number)
            self._forget(number)
        elif not 1 <= number <= self._sent:
            self.tally.unexpected += 1
        elif not is_state:
            self.tally.duplicates += 1

    def _forget(self, number: int) -> None:
        """Forget a reading that was seen and whose acknowledgement is not awaited."""
        if number in self._abandoned and number not in self._unseen:
            self._abandoned.remove(number)
            self._unacknowledged.remove(number)

    def verdicts(self) -> tuple[int, int]:
        """Numbers of superseded and of lost readings, if no more are received."""
        superseded = lost = 0
        for number in self._unseen:
            if number < self._latest_seen:
                superseded += 1
            elif number not in self._unacknowledged:
                lost += 1
        return superseded, lost


class Ledger:
    """The readings of all nodes, and a tally for each protocol."""

    def __init__(self) -> None:
        self._series: dict[str, ReadingSeries] = {}
        self.tallies: dict[str, Tally] = {}

    def add_node(self, uid: str, protocol: str) -> ReadingSeries:
        tally = self.tallies.setdefault(protocol, Tally(protocol))
        series = self._series[uid] = ReadingSeries(tally)
        return series

    def see(self, uid: str, data: object, *, now: float, is_state: bool = False) -> None:
        """Record that a client received a value. Nodes outside the fleet are ignored."""
        series = self._series.get(uid)
        if series is not None:
            number = int(data) if isinstance(data, str) and data.isdecimal() else 0
            series.see(number, now=now, is_state=is_state)

    @property
    def is_full(self) -> bool:
        tallies = self.tallies.values()
        return sum(tally.sent - tally.seen for tally in tallies) >= OPEN_MAX

    @property
    def unsettled(self) -> int:
        """Number of nodes that are not settled."""
        return sum(not series.is_settled for series in self._series.values())

    @property
    def unseen(self) -> int:
        """Number of unseen readings of all nodes."""
        return sum(series.unseen for series in self._series.values())

    def close(self) -> None:
        """Count superseded and lost readings. Call it when no more readings are awaited."""
        for tally in self.tallies.values():
            tally.superseded = tally.lost = 0
        for series in self._series.values():
            superseded, lost = series.verdicts()
            series.tally.superseded += superseded
            series.tally.lost += lost

    def total(self) -> Tally:
        """The sum of all protocols."""
        return summed(self.tallies.values())


def summed(tallies: Iterable[Tally]) -> Tally:
    total = Tally("all")
    for tally in tallies:
        total.add(tally)
    return total
