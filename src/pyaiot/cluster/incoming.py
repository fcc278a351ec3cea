# SPDX-License-Identifier: BSD-3-Clause
"""Applies items from other brokers to the router of this one. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from pyaiot.broker.deliveries import Delivery, ToOneClient
from pyaiot.broker.router import Router
from pyaiot.cluster.claims import ClaimTable
from pyaiot.cluster.packets import (
    ClusterItem,
    CurrentValues,
    DocumentSet,
    Edited,
    Forgotten,
    GatewayGone,
    GatewayItem,
    Interest,
    NodeClaim,
    Order,
    Release,
    SnapshotEnd,
    ValuesSent,
)
from pyaiot.cluster.peer import OtherBroker
from pyaiot.cluster.remote_nodes import RemoteNodes
from pyaiot.messages import (
    Command,
    LeftReason,
    NodeDescribed,
    NodeReset,
    Reading,
    Receipt,
)

if TYPE_CHECKING:
    from pyaiot.registry.documents import Document

MOVE_GRACE_S: Final = 5.0
"""How long a node stays online whose earlier owner released it, until the claim of the next one
arrives. The two brokers send in their own time, and the stream of a broker that has just joined
begins a moment after it has its first nodes."""


class Values(Protocol):
    """Exchanges values with other brokers."""

    @property
    def own_interest(self) -> Interest:
        """What this broker needs."""

    def interested(self, peer: OtherBroker, interest: Interest) -> None: ...


class Incoming:
    """Applies the items of other brokers."""

    def __init__(
        self,
        run: str,
        router: Router,
        directory: ClaimTable,
        remote: RemoteNodes,
        peers: Mapping[str, OtherBroker],
        values: Values,
    ) -> None:
        """`peers`: the other brokers by run id; the mapping may change."""
        self._run = run
        self._router = router
        self._directory = directory
        self._remote = remote
        self._peers = peers
        self._values = values
        self._moving: dict[str, float] = {}
        """Nodes whose earlier owner released them because of a claim that has not arrived here, and
        the time until which they stay online."""
        self._ended: set[int] = set()
        """Gateways that have ended while such nodes were still placed at them: our numbers."""
        self.seen: set[str] = set()
        """See `ClusterMember.take_seen`."""
        self.documents: list[Document] = []
        """That other brokers have set, and that were not taken over yet."""

    def begin(self, peer: OtherBroker) -> None:
        """Begin a snapshot: gateways and nodes that it does not contain no longer exist."""
        peer.unseen = set(self._directory.of(peer.run))
        peer.unseen_gateways = set(peer.gateways)

    def receive(
        self, peer: OtherBroker, items: Sequence[ClusterItem], now: float, ts: float
    ) -> list[Delivery]:
        """Apply the items of a frame."""
        if set(map(type, items)) == {Reading}:  # most frames
            return list(self._readings(peer, items))  # type: ignore[arg-type]
        deliveries: list[Delivery] = []
        readings: list[Reading] = []
        for item in items:
            if type(item) is Reading:
                readings.append(item)
                continue
            if readings:
                deliveries += self._readings(peer, readings)
                readings = []
            deliveries += self._receive_one(peer, item, now, ts)
        if readings:
            deliveries += self._readings(peer, readings)
        return deliveries

    def _receive_one(
        self, peer: OtherBroker, item: ClusterItem, now: float, ts: float
    ) -> Sequence[Delivery]:
        match item:
            case NodeClaim():
                return self._claim(peer, item, ts)
            case Release(uid=uid, reason=reason, is_claimed=is_claimed):
                if self._directory.remove(peer.run, uid) is None:
                    return ()
                return self._released(uid, reason, now, ts, is_claimed=is_claimed)
            case CurrentValues(uid=uid, readings=values, is_part=is_part):
                number = self._number_of(peer, uid)
                if number is None:
                    return ()
                return self._remote.values(number, uid, values, ts, is_part=is_part)
            case NodeReset(uid=uid):
                number = self._number_of(peer, uid)
                return () if number is None else self._remote.reset(number, item)
            case NodeDescribed(uid=uid):
                number = self._number_of(peer, uid)
                return () if number is None else self._remote.described(number, item)
            case Receipt():
                return self._remote.receipt(tuple(peer.gateways.values()), item, now)
            case Order():
                return self._order(peer, item, now)
            case _:
                return self._receive_state(peer, item, now, ts)

    def _receive_state(
        self, peer: OtherBroker, item: ClusterItem, now: float, ts: float
    ) -> Sequence[Delivery]:
        match item:
            case GatewayItem(number=number):
                known = peer.gateways.get(number)
                peer.gateways[number], deliveries = self._remote.gateway(
                    known, item, peer.beacon.name, ts
                )
                self._remote.stamp(peer.gateways[number], peer.beacon.clock, now)
                peer.unseen_gateways.discard(number)
                return deliveries
            case GatewayGone(number=number):
                ours = peer.gateways.pop(number, None)
                return () if ours is None else self._gateway_gone(ours, now, ts)
            case Interest():
                self._values.interested(peer, item)
                return ()
            case ValuesSent(number=number, seen=uids):
                peer.values_number = number
                self.seen |= self._directory.of(peer.run).keys() & uids
                return ()
            case Edited():
                return self._remote.edited(item, ts, is_greater=peer.run > self._run)
            case Forgotten(uid=uid):
                return self._remote.forgotten(uid, now)
            case DocumentSet():
                self.documents.append((item.kind, item.key, item.body))
                return ()
            case SnapshotEnd():
                return self._end(peer, now, ts)
            case _:
                return ()  # a reading: those are gathered

    def _claim(self, peer: OtherBroker, claim: NodeClaim, ts: float) -> Sequence[Delivery]:
        is_new = claim.is_new
        if is_new:
            claim = msgspec.structs.replace(claim, is_new=False)
        if claim.gateway not in peer.gateways or not self._directory.set(peer.run, claim):
            peer.refused += 1
            return ()
        if peer.unseen is not None:
            peer.unseen.discard(claim.uid)
        deliveries = self.settle(claim.uid, "left", ts, peer)
        number = peer.gateways[claim.gateway]
        if is_new:
            return [*deliveries, *self._remote.values(number, claim.uid, (), ts, is_part=False)]
        interest = self._values.own_interest
        if interest.everything or claim.uid in interest.uids:
            return deliveries  # all its values follow
        return [*deliveries, *self._remote.drop_values(number, claim.uid, ts)]

    def _order(self, peer: OtherBroker, order: Order, now: float) -> Sequence[Delivery]:
        """A client of the other broker sent a command to a node of this one."""
        timeout_s = order.timeout_s
        if order.not_after is not None:
            timeout_s = min(timeout_s, order.not_after - now)
        client = f"@{peer.run}"
        if timeout_s <= 0:
            late = Receipt(id=order.id, state="timeout", detail="it arrived after its deadline")
            return (ToOneClient(late, client),)
        command = Command(
            id=order.id,
            uid=order.uid,
            resource=order.resource,
            payload=order.payload,
            timeout_s=timeout_s,
        )
        return self._router.from_client(client, command, now=now, is_broker=True)

    def _readings(self, peer: OtherBroker, readings: Sequence[Reading]) -> Sequence[Delivery]:
        numbers = peer.gateways.values()
        if len(numbers) == 1:
            return self._remote.readings(next(iter(numbers)), readings)
        deliveries: list[Delivery] = []
        of_gateway: dict[int, list[Reading]] = {}
        claims = self._directory.of(peer.run)
        for reading in readings:
            claim = claims.get(reading.uid)
            if claim is not None:
                of_gateway.setdefault(claim.gateway, []).append(reading)
        for gateway, found in of_gateway.items():
            if gateway in peer.gateways:
                deliveries += self._remote.readings(peer.gateways[gateway], found)
        return deliveries

    def _number_of(self, peer: OtherBroker, uid: str) -> int | None:
        """Our number for the gateway named in a claim."""
        claim = self._directory.of(peer.run).get(uid)
        return None if claim is None else peer.gateways.get(claim.gateway)

    def _released(
        self, uid: str, reason: LeftReason, now: float, ts: float, *, is_claimed: bool
    ) -> Sequence[Delivery]:
        """The owner of a node released it. `is_claimed`: a claim of another broker may follow."""
        if is_claimed and self._directory.owner(uid) is None:
            self._moving[uid] = now + MOVE_GRACE_S
            return ()
        return self.settle(uid, reason, ts)

    def _gateway_gone(self, number: int, now: float, ts: float) -> Sequence[Delivery]:
        """A gateway of another broker has ended. Nodes that move from it to another one stay for
        now, and the gateway with them."""
        uids = self._router.nodes.uids_of(number)
        if self._moving.keys().isdisjoint(uids):
            return self._remote.gateway_lost(number, now, ts)
        self._ended.add(number)
        deliveries = list(self._remote.gateway_away(number, now))
        for uid in uids:
            if uid not in self._moving:
                deliveries += self._remote.left(uid, "gateway lost", ts)
        return deliveries

    def _is_shared(self, peer: OtherBroker, claim: NodeClaim | None) -> bool:
        """Whether the gateway of a claim shares its nodes with others."""
        number = None if claim is None else peer.gateways.get(claim.gateway)
        return number is not None and bool(self._router.gateways[number].group)

    def end_moves(self, now: float, ts: float) -> list[Delivery]:
        """Nodes whose claim has not arrived go offline. Call it a few times a second."""
        late = [uid for uid, until in self._moving.items() if now >= until]
        deliveries = [delivery for uid in late for delivery in self.settle(uid, "left", ts)]
        ended, self._ended = self._ended, set()
        for number in ended:
            deliveries += self._gateway_gone(number, now, ts)
        return deliveries

    def settle(
        self, uid: str, reason: LeftReason, ts: float, claimed_by: OtherBroker | None = None
    ) -> Sequence[Delivery]:
        """Update the router after the claims of a node changed."""
        self._moving.pop(uid, None)
        owner = self._directory.owner(uid)
        if owner is None:
            return self._remote.left(uid, reason, ts)
        peer = self._peers.get(owner.run)
        if peer is None:
            return ()  # of this broker
        number = peer.gateways.get(owner.claim.gateway)
        if number is None:
            return ()
        if peer is not claimed_by and not self._remote.has(number, uid):
            # Values that this broker sent while another one owned the node were not applied.
            peer.incoming.is_broken = True
        return self._remote.place(number, owner.claim, ts)

    def _end(self, peer: OtherBroker, now: float, ts: float) -> Sequence[Delivery]:
        """The snapshot is complete."""
        deliveries: list[Delivery] = []
        for uid in peer.unseen or ():
            # A release may have been lost with the frames before the snapshot.
            is_shared = self._is_shared(peer, self._directory.remove(peer.run, uid))
            deliveries += self._released(uid, "left", now, ts, is_claimed=is_shared)
        peer.unseen = None
        for number in peer.unseen_gateways:
            deliveries += self._gateway_gone(peer.gateways.pop(number), now, ts)
        peer.unseen_gateways = set()
        return deliveries

    def forget(
        self, peer: OtherBroker, now: float, ts: float, *, kept: AbstractSet[int] = frozenset()
    ) -> Sequence[Delivery]:
        """Remove a broker that is lost permanently, or all of its gateways but those `kept`: their
        nodes go offline, unless another broker has claimed them.
        """
        gone = peer.gateways.keys() - kept
        if kept and not gone:
            return ()
        deliveries: list[Delivery] = []
        claims = self._directory.of(peer.run)
        uids = [uid for uid, claim in claims.items() if claim.gateway not in kept]
        if kept:
            for uid in uids:
                self._directory.remove(peer.run, uid)
        else:
            self._directory.forget(peer.run)
        for uid in uids:
            deliveries += self.settle(uid, "gateway lost", ts)
        for number in sorted(gone):
            deliveries += self._gateway_gone(peer.gateways.pop(number), now, ts)
        return deliveries
