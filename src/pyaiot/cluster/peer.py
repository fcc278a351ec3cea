# SPDX-License-Identifier: BSD-3-Clause
"""What a broker keeps of another one. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pyaiot.cluster.packets import Beacon, ClusterItem, Interest
from pyaiot.cluster.streams import IncomingStream, OutgoingStream
from pyaiot.messages import Receipt

RECEIPTS_KEPT_S: Final = 10.0
RECEIPTS_KEPT_MAX: Final = 10_000
"""Receipts that are sent again with a snapshot, by age and number. A receipt that is lost beyond
that ends as `timeout`."""


@dataclass(slots=True)
class OtherBroker:
    """Another broker."""

    beacon: Beacon
    """The latest one."""
    incoming: IncomingStream
    seen_at: float = 0.0
    """When its last packet arrived."""
    outgoing: OutgoingStream = field(default_factory=OutgoingStream)
    gateways: dict[int, int] = field(default_factory=dict)
    """Our numbers of its gateways, by its own."""
    interest: Interest = field(default_factory=lambda: Interest(number=0))
    """Those of our nodes whose values it needs."""
    watched: frozenset[str] = frozenset()
    """`interest.uids`."""
    values_number: int = 0
    """It has sent the values of our `Interest` with this number."""
    lost_at: float | None = None
    """When its last packet, if it is lost; it is forgotten later."""
    unseen: set[str] | None = None
    """Nodes that its snapshot, which has not ended, has not named so far."""
    unseen_gateways: set[int] = field(default_factory=set)
    refused: int = 0
    """Claims that were not taken: too many, or of an unknown gateway."""
    items: list[ClusterItem] = field(default_factory=list)
    """For this broker only, to be sent."""
    jobs: deque[Iterator[ClusterItem]] = field(default_factory=deque)
    """Snapshots for this broker only, which are made while they are sent."""
    receipts: deque[tuple[float, Receipt]] = field(default_factory=deque)
    """Receipts that were sent recently."""

    @property
    def run(self) -> str:
        return self.beacon.sender

    @property
    def is_complete(self) -> bool:
        """Its whole state is known."""
        return self.lost_at is None and self.unseen is None and self.incoming.next_number > 0

    def needs(self, uid: str) -> bool:
        return self.interest.everything or uid in self.watched

    def keep_receipt(self, receipt: Receipt, now: float) -> None:
        self.receipts.append((now, receipt))
        while self.receipts and (
            len(self.receipts) > RECEIPTS_KEPT_MAX or now - self.receipts[0][0] > RECEIPTS_KEPT_S
        ):
            self.receipts.popleft()

    def end_outgoing(self) -> None:
        """It is lost: nothing is sent until it asks again."""
        self.outgoing.end()
        self.items.clear()
        self.jobs.clear()
