# SPDX-License-Identifier: BSD-3-Clause
"""The state that a broker keeps about another one. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from pyaiot.broker.cluster_state import PeerState
from pyaiot.cluster.packets import LEVEL, Beacon, ClusterItem, CurrentValues, Interest
from pyaiot.cluster.streams import IncomingStream, OutgoingStream
from pyaiot.messages import Reading, Receipt

INCOMPATIBLE_MAX: Final = 64
"""Brokers whose packets cannot be understood, of which it is known that they are there. Further
ones are ignored."""
CLOCK_MAX_S: Final = 10.0
"""Beyond this, the clocks of two brokers differ. It is logged and shown."""
BEACONS_COMPARED: Final = 5
"""Beacons in a row that must show a difference. Those that waited for a broker are late."""
RECEIPTS_KEPT_S: Final = 10.0
RECEIPTS_KEPT_MAX: Final = 10_000
"""Receipts that are repeated with a snapshot: their maximum age and number. A lost receipt beyond
these limits ends as `timeout`.
"""


class OtherBroker(msgspec.Struct):
    """Another broker."""

    beacon: Beacon
    """Its latest beacon."""
    incoming: IncomingStream
    seen_at: float = 0.0
    """When its last packet arrived."""
    outgoing: OutgoingStream = msgspec.field(default_factory=OutgoingStream)
    gateways: dict[int, int] = msgspec.field(default_factory=dict)
    """Our numbers for its gateways, by its own numbers."""
    interest: Interest = msgspec.field(default_factory=lambda: Interest(number=0))
    """Our nodes whose values it needs."""
    watched: frozenset[str] = frozenset()
    """`interest.uids`."""
    named: frozenset[str] = frozenset()
    """`interest.resources`."""
    values_sent: int = 0
    """Number of its latest `Interest` whose values were sent."""
    values_number: int = 0
    """Number of our latest `Interest` whose values it has sent."""
    lost_at: float | None = None
    """When its last packet arrived, if it is lost. It is forgotten later."""
    unseen: set[str] | None = None
    """Nodes that its unfinished snapshot has not contained so far."""
    unseen_gateways: set[int] = msgspec.field(default_factory=set)
    refused: int = 0
    """Claims that were ignored: too many, or of an unknown gateway."""
    items: list[ClusterItem] = msgspec.field(default_factory=list)
    """Items to be sent to this broker only."""
    jobs: deque[Iterator[ClusterItem]] = msgspec.field(default_factory=deque)
    """Snapshots for this broker only, made while they are sent."""
    receipts: deque[tuple[float, Receipt]] = msgspec.field(default_factory=deque)
    """Receipts that were sent recently."""

    differences: deque[float] = msgspec.field(
        default_factory=lambda: deque(maxlen=BEACONS_COMPARED)
    )
    """Its clock minus ours, of its last beacons, each too small by the time on the way."""

    @property
    def ahead_s(self) -> float:
        """Seconds by which its clock is ahead of ours, at least; 0: not known to differ."""
        if len(self.differences) < BEACONS_COMPARED:
            return 0.0
        found = min(self.differences, key=abs)
        return found if abs(found) > CLOCK_MAX_S else 0.0

    def state(self, now: float) -> PeerState:
        joined = "online" if self.is_complete else "joining"
        return _state_of(
            self.beacon,
            state="lost" if self.lost_at is not None else joined,
            silent_s=now - self.seen_at,
            lag_s=now - self.incoming.confirmed_at,
            ahead_s=self.ahead_s,
        )

    @property
    def run(self) -> str:
        return self.beacon.sender

    @property
    def is_complete(self) -> bool:
        """Whether its complete state has been received."""
        return self.lost_at is None and self.unseen is None and self.incoming.next_number > 0

    @property
    def needs_seen(self) -> bool:
        """Whether to send which nodes sent readings: it does not get all of them."""
        return self.outgoing.is_active and self.interest.seen and not self.interest.everything

    def set_interest(self, interest: Interest) -> tuple[list[str], list[str]]:
        """Returns the nodes, and the resources of other nodes, whose values it does not have yet.
        Not those of before, if it needed everything: it has them."""
        before, self.interest = self.interest, interest
        watched, self.watched = self.watched, frozenset(interest.uids)
        named, self.named = self.named, frozenset(interest.resources)
        added = self.watched if before.everything else self.watched - watched
        return sorted(added), [] if before.everything else sorted(self.named - named)

    def needs(self, uid: str) -> bool:
        return self.interest.everything or uid in self.watched

    def part_of(self, item: ClusterItem) -> ClusterItem | None:
        """What it needs of this item; None: nothing."""
        if type(item) is Reading:
            needed = self.needs(item.uid) or item.resource in self.named
            return item if needed else None
        if type(item) is not CurrentValues or self.needs(item.uid):
            return item
        readings = tuple(it for it in item.readings if it.resource in self.named)
        return CurrentValues(uid=item.uid, readings=readings, is_part=True) if readings else None

    def keep_receipt(self, receipt: Receipt, now: float) -> None:
        self.receipts.append((now, receipt))
        while self.receipts and (
            len(self.receipts) > RECEIPTS_KEPT_MAX or now - self.receipts[0][0] > RECEIPTS_KEPT_S
        ):
            self.receipts.popleft()

    def end_outgoing(self) -> None:
        """The broker is lost: nothing is sent until it requests a stream again."""
        self.outgoing.end()
        self.items.clear()
        self.jobs.clear()


class IncompatibleBrokers:
    """Brokers of the cluster whose version is too old or too new to understand them."""

    def __init__(self) -> None:
        self._beacons: dict[str, tuple[Beacon, float]] = {}

    def receive(self, beacon: Beacon, now: float) -> bool:
        """Whether this is one, and not a broker that is understood."""
        if abs(beacon.level - LEVEL) <= 1:
            return False
        if beacon.leaves:
            self._beacons.pop(beacon.sender, None)
        elif len(self._beacons) < INCOMPATIBLE_MAX or beacon.sender in self._beacons:
            self._beacons[beacon.sender] = beacon, now
        return True

    def forget_before(self, at: float) -> None:
        """Forget those that have sent nothing since then."""
        for run, (_beacon, seen_at) in list(self._beacons.items()):
            if seen_at < at:
                del self._beacons[run]

    def states(self, now: float) -> Iterator[PeerState]:
        for beacon, seen_at in self:
            yield _state_of(beacon, state="incompatible", silent_s=now - seen_at, lag_s=0.0)

    def __iter__(self) -> Iterator[tuple[Beacon, float]]:
        """The last beacon of each, and when it arrived."""
        return iter(self._beacons.values())


def _state_of(beacon: Beacon, **more: Any) -> PeerState:
    return PeerState(
        name=beacon.name,
        address=beacon.url,
        version=beacon.version,
        nodes=beacon.nodes,
        gateways=beacon.gateways,
        clients=beacon.clients,
        readings=sum(beacon.readings.values()),
        **more,
    )


def refusal(beacon: Beacon) -> str:
    """Why nothing is exchanged with this broker, as a sentence for people."""
    step = "newer" if beacon.level > LEVEL else "older"
    return (
        f"{beacon.name} has version {beacon.version or 'unknown'}, which is too much {step}: it has"
        f" level {beacon.level} of the packets between brokers, and this one level {LEVEL}."
        " Neighbouring levels work together: upgrade one release after the other."
    )
