# SPDX-License-Identifier: BSD-3-Clause
"""What virtual nodes sent, what was acknowledged, and what a client of the broker saw. Pure.

Readings of a node are numbered from 1, and the number is the value. `now` is in seconds, on a clock
that never goes back.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from pyaiot.fleet.lateness import Lateness

OPEN_MAX: Final = 1_000_000
"""Readings of the whole fleet that were sent and not seen. With so many, it sends no more."""


class Account:
    """The sums of some nodes. Those that end in `ed` only grow."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.nodes = 0
        self.sent = 0
        self.acknowledged = 0
        self.seen = 0
        self.duplicates = 0
        """Seen again, without the state that a client is told when it joins."""
        self.strangers = 0
        """Values that came for one of our nodes and that it never sent."""
        self.skipped = 0
        """Readings that were due and not made: no connection, or too many unacknowledged."""
        self.connections = 0
        """How often nodes came in, the first time included."""
        self.refusals: Counter[str] = Counter()
        """What the gateway answered instead of an acknowledgement."""
        self.superseded = 0
        self.lost = 0
        self.lateness = Lateness()
        self.longest_gap_s = 0.0
        """The longest time between two readings that were seen, of all nodes together."""
        self._seen_at: float | None = None

    def see(self, now: float) -> None:
        """Something arrived, on time or not."""
        if self._seen_at is not None:
            self.longest_gap_s = max(self.longest_gap_s, now - self._seen_at)
        self._seen_at = now

    @property
    def undecided(self) -> int:
        """Neither acknowledged, nor seen, nor superseded: nobody promised anything."""
        return self.sent - self.seen - self.superseded - self.lost

    def add(self, other: "Account") -> None:
        """Make this the sum of both, and the longest gap the longer one."""
        for name in (
            *("nodes", "sent", "acknowledged", "seen", "duplicates", "strangers", "skipped"),
            *("connections", "superseded", "lost"),
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refusals.update(other.refusals)
        self.lateness.merge(other.lateness)
        self.longest_gap_s = max(self.longest_gap_s, other.longest_gap_s)


class Series:
    """The readings of one node."""

    __slots__ = (
        *("account", "_abandoned", "_latest_acknowledged", "_latest_seen", "_sent"),
        *("_unacknowledged", "_unseen"),
    )

    def __init__(self, account: Account) -> None:
        account.nodes += 1
        self.account = account
        self._sent = 0
        self._latest_acknowledged = 0
        self._latest_seen = 0
        self._unseen: dict[int, float] = {}
        """When each reading was sent that was not seen."""
        self._unacknowledged: set[int] = set()
        self._abandoned: set[int] = set()
        """Those of the unacknowledged for which their node waits no more."""

    @property
    def is_settled(self) -> bool:
        """Whether the node waits for nothing, and its latest acknowledged reading was seen."""
        waits = len(self._unacknowledged) > len(self._abandoned)
        return not waits and self._latest_acknowledged <= self._latest_seen

    @property
    def unseen(self) -> int:
        """Readings that were not seen."""
        return len(self._unseen)

    def send(self, *, now: float) -> int:
        """The number of the next reading, which leaves its node now."""
        self._sent += 1
        self._unseen[self._sent] = now
        self._unacknowledged.add(self._sent)
        self.account.sent += 1
        return self._sent

    def acknowledge(self, number: int) -> None:
        """The protocol's own word that the reading was accepted. Repeated, it changes nothing."""
        if number in self._unacknowledged:
            self._unacknowledged.remove(number)
            self._abandoned.discard(number)
            self._latest_acknowledged = max(self._latest_acknowledged, number)
            self.account.acknowledged += 1

    def abandon(self, number: int) -> None:
        """Its node does not wait for the acknowledgement any more."""
        if number in self._unacknowledged:
            self._abandoned.add(number)
            self._forget(number)

    def see(self, number: int, *, now: float, is_state: bool = False) -> None:
        """A client got this value. `is_state`: as part of what it is told when it joins."""
        sent_at = self._unseen.pop(number, None)
        if sent_at is not None:
            self.account.seen += 1
            self.account.see(now)
            self.account.lateness.add(now - sent_at)
            self._latest_seen = max(self._latest_seen, number)
            self._forget(number)
        elif not 1 <= number <= self._sent:
            self.account.strangers += 1
        elif not is_state:
            self.account.duplicates += 1

    def _forget(self, number: int) -> None:
        """Seen, and nobody waits for its acknowledgement: no reason to remember it."""
        if number in self._abandoned and number not in self._unseen:
            self._abandoned.remove(number)
            self._unacknowledged.remove(number)

    def verdicts(self) -> tuple[int, int]:
        """How many are superseded, and how many are lost, if nothing more comes."""
        superseded = lost = 0
        for number in self._unseen:
            if number < self._latest_seen:
                superseded += 1
            elif number not in self._unacknowledged:
                lost += 1
        return superseded, lost


class Ledger:
    """The series of all nodes, by uid, and an account for each protocol."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self.accounts: dict[str, Account] = {}

    def add_node(self, uid: str, protocol: str) -> Series:
        account = self.accounts.setdefault(protocol, Account(protocol))
        series = self._series[uid] = Series(account)
        return series

    def see(self, uid: str, data: object, *, now: float, is_state: bool = False) -> None:
        """A client got a value of the counted resource. Other people's nodes are passed over."""
        series = self._series.get(uid)
        if series is not None:
            number = int(data) if isinstance(data, str) and data.isdecimal() else 0
            series.see(number, now=now, is_state=is_state)

    @property
    def is_full(self) -> bool:
        accounts = self.accounts.values()
        return sum(account.sent - account.seen for account in accounts) >= OPEN_MAX

    @property
    def unsettled(self) -> int:
        """Nodes for which something is still to be waited for."""
        return sum(not series.is_settled for series in self._series.values())

    @property
    def unseen(self) -> int:
        """Readings of all nodes that were not seen."""
        return sum(series.unseen for series in self._series.values())

    def close(self) -> None:
        """Count what is superseded and what is lost: nothing more is waited for."""
        for account in self.accounts.values():
            account.superseded = account.lost = 0
        for series in self._series.values():
            superseded, lost = series.verdicts()
            series.account.superseded += superseded
            series.account.lost += lost

    def total(self) -> Account:
        """The sum of all protocols."""
        return summed(self.accounts.values())


def summed(accounts: Iterable[Account]) -> Account:
    total = Account("all")
    for account in accounts:
        total.add(account)
    return total
