# SPDX-License-Identifier: BSD-3-Clause
"""Packs changes at this broker into frames for the others. Pure.

Changes are collected. A flush sends them as one frame to each broker, encoded once for all brokers
that need the same values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeGuard

from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.cluster.packets import (
    ITEMS_PER_FRAME_MAX,
    SEEN_UIDS_MAX,
    ClusterItem,
    CurrentValues,
    FrameHeader,
    Interest,
    NodeClaim,
    Release,
    SnapshotEnd,
    ValuesSent,
    encode_items,
    frame,
)
from pyaiot.cluster.peer import OtherBroker
from pyaiot.messages import NodeDescribed, NodeLeft, Reading
from pyaiot.registry.record import NodeRecord

FRAME_SIZE_MAX: Final = 512 * 1024
"""Largest size of the items of a frame in bytes. More items are split into several frames."""
JOB_FRAMES_PER_TURN: Final = 4
"""Frames of snapshots that are made at once for each broker."""
GATHERED_MAX: Final = 100_000
"""Largest number of items collected for one flush. Beyond it, streams restart with snapshots,
which contain only the latest values.
"""

Packet = tuple[str, bytes]
"""The packet, and the run id of the broker to send it to; empty: all."""


class Released:
    """A node that was released; the reason follows a moment later."""

    __slots__ = ("is_claimed", "record", "uid")

    def __init__(self, uid: str, record: NodeRecord, *, is_claimed: bool) -> None:
        """`is_claimed`: by another broker."""
        self.uid = uid
        self.record = record
        self.is_claimed = is_claimed


class Outgoing:
    """Collects items and packs them into frames."""

    def __init__(
        self,
        run: str,
        nodes: NodeTable,
        claims: Callable[[], Mapping[str, NodeClaim]],
        wake: Callable[[bool], None],
    ) -> None:
        """`claims`: those of this broker; the mapping may change. `wake`: called when there is
        something to send, with whether it is more than readings.
        """
        self._run = run
        self._nodes = nodes
        self._claims = claims
        self._wake = wake
        self._gathered: list[ClusterItem | Released] = []
        self.seen: set[str] = set()
        """Nodes that sent readings since the last `add_seen`, if another broker needs to know."""
        self.frames = 0
        self.items = 0
        self.overflows = 0
        """Number of restarts of all streams because there was too much to send."""

    @property
    def has_items(self) -> bool:
        return bool(self._gathered)

    def add(self, item: ClusterItem | Released) -> None:
        is_reading = type(item) is Reading
        if not (is_reading and self._gathered):
            self._wake(not is_reading)
        self._gathered.append(item)

    def flush(self, peers: Sequence[OtherBroker]) -> Iterator[Packet]:
        """The collected items, for all brokers that requested a stream."""
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, []
        receivers = [peer for peer in peers if peer.outgoing.is_active]
        if len(gathered) > GATHERED_MAX:
            self.overflows += 1
            for peer in receivers:
                peer.end_outgoing()  # each asks again at the next beacon
            return
        items = [_sent(item) for item in gathered]
        if any(peer.needs_seen for peer in receivers):
            self.seen.update(it.uid for it in items if type(it) is Reading)
        shared: dict[bool, list[bytes]] = {}
        for peer in receivers:
            everything, nothing = peer.interest.everything, not (peer.watched or peer.named)
            if not everything and not nothing:
                bodies = pack([it for it in map(peer.part_of, items) if it is not None])
            elif everything in shared:
                bodies = shared[everything]
            else:
                wanted = items if everything else [it for it in items if not is_value(it)]
                bodies = shared[everything] = pack(wanted)
            for body in bodies:
                yield self._packet(peer, body)
        self.items += len(items)

    def add_seen(self, peers: Iterable[OtherBroker]) -> None:
        """Report which nodes sent readings to the brokers that requested it."""
        uids, self.seen = sorted(self.seen), set()
        chunks = [uids[at : at + SEEN_UIDS_MAX] for at in range(0, len(uids), SEEN_UIDS_MAX)]
        for peer in peers:
            if peer.needs_seen:
                number = peer.values_sent
                peer.items += [ValuesSent(number=number, seen=tuple(chunk)) for chunk in chunks]

    def for_one(self, peer: OtherBroker) -> Iterator[Packet]:
        """The items for this broker only."""
        if not peer.outgoing.is_active:
            return
        yield from self.items_for(peer)
        for _ in range(JOB_FRAMES_PER_TURN):
            if not peer.jobs:
                return
            chunk = self._next_chunk(peer)
            for body in pack(chunk):
                yield self._packet(peer, body)

    def items_for(self, peer: OtherBroker) -> Iterator[Packet]:
        """`for_one` without a snapshot."""
        items, peer.items = peer.items, []
        for body in pack(items):
            yield self._packet(peer, body)

    def _next_chunk(self, peer: OtherBroker) -> list[ClusterItem]:
        items: list[ClusterItem] = []
        weight = 0
        for item in peer.jobs[0]:
            items.append(item)
            weight += 1 + (len(item.readings) if type(item) is CurrentValues else 0)
            if type(item) is ValuesSent:
                peer.values_sent = item.number
            if weight >= ITEMS_PER_FRAME_MAX:
                return items
        peer.jobs.popleft()
        return items

    def snapshot(self, peer: OtherBroker) -> Iterator[ClusterItem]:
        """The nodes of this broker, each in the state in which it is sent."""
        for uid in list(self._claims()):
            claim, node = self._claims().get(uid), self._nodes.get(uid)
            if claim is None or node is None:
                continue
            yield claim
            if node.record.described:
                yield NodeDescribed(uid=uid, types=dict(node.record.described), complete=True)
            if not node.is_waiting:
                yield from filter(None, map(peer.part_of, values_of(node)))
        yield SnapshotEnd()
        # It has the values with its snapshot.
        yield ValuesSent(number=peer.interest.number)

    def values(
        self, uids: Iterable[str], resources: Sequence[str], interest: Interest
    ) -> Iterator[ClusterItem]:
        """The values of these nodes, and of these resources of all nodes, as far as they belong to
        this broker.
        """
        for uid in uids:
            node = self._nodes.get(uid)
            if node is not None and uid in self._claims() and not node.is_waiting:
                yield from values_of(node)
        for uid in list(self._claims()) if resources else ():
            node = self._nodes.get(uid)
            if node is None or uid not in self._claims() or node.is_waiting:
                continue
            found = tuple(node.readings[it] for it in resources if it in node.readings)
            if found:
                yield CurrentValues(uid=uid, readings=found, is_part=True)
        yield ValuesSent(number=interest.number)

    def _packet(self, peer: OtherBroker, body: bytes) -> Packet:
        stream = peer.outgoing
        header = FrameHeader(
            sender=self._run, generation=stream.generation, number=stream.take_number()
        )
        self.frames += 1
        return peer.run, frame(header, body)


def is_value(item: ClusterItem) -> TypeGuard[Reading | CurrentValues]:
    """Whether the item is sent only to brokers that need the values of the node."""
    return type(item) is Reading or type(item) is CurrentValues


def values_of(node: KnownNode) -> list[ClusterItem]:
    """All values of a node, in parts if they are too large for a frame."""
    readings = tuple(node.readings.values())
    whole = CurrentValues(uid=node.uid, readings=readings)
    if len(readings) <= 16 or len(encode_items([whole])) <= FRAME_SIZE_MAX // 2:
        return [whole]
    return [CurrentValues(uid=node.uid, readings=(it,), is_part=True) for it in readings]


def pack(items: Sequence[ClusterItem]) -> list[bytes]:
    """The encoded items in order, in parts that fit into a frame."""
    if not items:
        return []
    if len(items) <= ITEMS_PER_FRAME_MAX:
        body = encode_items(items)
        if len(body) <= FRAME_SIZE_MAX or len(items) == 1:
            return [body]
    half = (len(items) + 1) // 2
    return [*pack(items[:half]), *pack(items[half:])]


def _sent(item: ClusterItem | Released) -> ClusterItem:
    if not isinstance(item, Released):
        return item
    reason = item.record.reason
    left = NodeLeft(uid=item.uid)
    known = reason if reason in ("silent", "left", "gateway lost") else left.reason
    return Release(
        uid=item.uid,
        ts=item.record.last_seen,
        reason=known,  # type: ignore[arg-type]
        is_claimed=item.is_claimed,
    )
