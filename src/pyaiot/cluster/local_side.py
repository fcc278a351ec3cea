# SPDX-License-Identifier: BSD-3-Clause
"""What this broker sends to the others: its gateways, its nodes, and which values it
needs. Pure.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from pyaiot.broker.connected_gateway import ConnectedGateway
from pyaiot.broker.deliveries import Delivery, ToAll
from pyaiot.broker.router import Router
from pyaiot.broker.state import KnownNode
from pyaiot.cluster.claims import ClaimTable
from pyaiot.cluster.outgoing import Outgoing, Released, values_of
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import (
    RESOURCES_OF_INTEREST_MAX,
    UIDS_OF_INTEREST_MAX,
    ClusterItem,
    DocumentSet,
    Edited,
    Forgotten,
    GatewayGone,
    GatewayItem,
    Interest,
    NodeClaim,
)
from pyaiot.messages import GatewayState, NodeDescribed, NodeReset, Reading, ToClient
from pyaiot.registry.documents import Document
from pyaiot.registry.record import NodeRecord, edited_row

COUNTED_MAX: Final = 1000
"""Gateways of which a beacon has the number of readings. Others have 0."""


class LocalSide:
    """Observes the router of this broker and queues its changes."""

    def __init__(
        self, run: str, router: Router, nodes: OwnedNodes, directory: ClaimTable, out: Outgoing
    ) -> None:
        self.interest = Interest(number=0)
        """Nodes whose values this broker needs."""
        self.gateways: dict[int, GatewayItem] = {}
        """The gateways of this broker, as last sent to the others."""
        self.unsettled: set[str] = set()
        """Nodes that left this broker while another one claims them."""
        self.run = run
        self.directory = directory
        self._router = router
        self._nodes = nodes
        self._out = out
        nodes.observer = self

    def node_owned(self, node: KnownNode) -> None:
        own = self.directory.of(self.run).get(node.uid)
        term = self.directory.next_term(node.uid, besides=self.run)
        claim = NodeClaim(
            uid=node.uid,
            gateway=node.gateway,
            term=max(term, own.term if own else 0),
            ts=node.appeared_at,
            secured=node.record.secured,
            is_waiting=node.is_waiting,
        )
        if claim == own or not self.directory.set(self.run, claim):
            return
        if node.gateway not in self.gateways:
            self.gateways_changed()
        if own is None and not node.readings:
            self._out.add(msgspec.structs.replace(claim, is_new=True))
        else:
            # The gateway reconnected from another broker, whose values others may not have
            # received.
            self._out.add(claim)
            for item in values_of(node):
                self._out.add(item)

    def node_released(self, node: KnownNode) -> None:
        if self.directory.remove(self.run, node.uid) is not None:
            is_claimed = self.directory.owner(node.uid) is not None
            self._out.add(Released(node.uid, node.record, is_claimed=is_claimed))
            if is_claimed:
                self.unsettled.add(node.uid)

    def published(self, message: ToClient) -> None:
        """This message of a gateway of this broker is sent to all clients."""
        match message:
            case Reading() | NodeReset():
                self._out.add(message)
            case NodeDescribed(uid=uid):
                node = self._nodes.get(uid)
                if node is not None and node.gateway >= 0:
                    types = dict(node.record.described)
                    self._out.add(NodeDescribed(uid=uid, types=types, complete=True))
            case GatewayState():
                self.gateways_changed()
            case _:
                pass  # claims state who owns a node

    def announced(self, gateway: int, ts: float) -> list[Delivery]:
        """A gateway has reported all its nodes and values. Values of earlier links that it did not
        report no longer exist.
        """
        deliveries: list[Delivery] = []
        moved = self._nodes.moved.pop(gateway, {})
        if (known := self._router.gateways.get(gateway)) is not None and known.group:
            return deliveries  # it asks the nodes that it takes over, and they have time to answer
        for uid, before in moved.items():
            node = self._nodes.get(uid)
            if node is None or node.gateway != gateway:
                continue
            stale = [it.resource for it in before if node.readings.get(it.resource) is it]
            for resource in stale:
                del node.readings[resource]
            if stale and not node.is_waiting:
                deliveries.append(ToAll(NodeReset(uid=uid, ts=ts), node.sequence))
                deliveries += [ToAll(it, node.sequence) for it in node.readings.values()]
        return deliveries

    def gateways_changed(self) -> None:
        """Gateways of this broker were linked, identified themselves, are disconnected, or are
        lost.
        """
        present = {
            number: _item(number, gateway)
            for number, gateway in self._router.gateways.items()
            if number >= 0
        }
        for number, item in present.items():
            if self.gateways.get(number) != item:
                self._out.add(item)
        for number in self.gateways.keys() - present.keys():
            self._out.add(GatewayGone(number=number))
            self._nodes.moved.pop(number, None)
        self.gateways = present

    def readings(self) -> dict[int, int]:
        """Readings of each gateway of this broker, for the beacon."""
        gateways = ((number, self._router.gateways.get(number)) for number in self.gateways)
        counted = {number: its.readings for number, its in gateways if its and its.readings}
        return dict(islice(counted.items(), COUNTED_MAX))

    def edited(self, record: NodeRecord) -> None:
        """A node was edited at this broker."""
        self._out.add(_edit(record))

    def forgotten(self, uid: str) -> None:
        """A node was removed from the registry at this broker."""
        self._out.add(Forgotten(uid=uid))

    def documents_set(self, documents: Iterable[Document]) -> None:
        """Documents beside the registry were set or removed here."""
        for kind, key, body in documents:
            self._out.add(DocumentSet(kind=kind, key=key, body=body))

    def edits(self) -> Iterator[ClusterItem]:
        """All annotations of nodes."""
        for record in list(self._router.registry.records.values()):
            if record.is_edited:
                yield _edit(record)

    def set_interest(
        self, uids: Iterable[str] | None, resources: Iterable[str] = (), *, seen: bool = False
    ) -> int:
        """Set the nodes whose values the clients of this broker need; None: all. `resources`: those
        of other nodes that they need, too. `seen`: they need to know which nodes sent readings.
        Returns the number to wait for: see `has_values`.
        """
        before = self.interest
        after = Interest(number=before.number, everything=True)
        if uids is not None:
            wanted, named = tuple(sorted(set(uids))), tuple(sorted(set(resources)))
            if len(wanted) <= UIDS_OF_INTEREST_MAX and len(named) <= RESOURCES_OF_INTEREST_MAX:
                after = Interest(number=before.number, uids=wanted, resources=named, seen=seen)
        if after != before:
            self.interest = msgspec.structs.replace(after, number=before.number + 1)
            self._out.add(self.interest)
        return self.interest.number


def _edit(record: NodeRecord) -> Edited:
    uid, *row = edited_row(record)
    return Edited(uid=uid, row=row)


def _item(number: int, gateway: ConnectedGateway) -> GatewayItem:
    hello = gateway.hello
    return GatewayItem(
        number=number,
        name=gateway.name,
        protocol=gateway.protocol,
        version=hello.version if hello else "",
        instance=hello.instance if hello else "",
        group=hello.group if hello else "",
        identity=gateway.identity.name,
        has_token=gateway.identity.has_token,
        linked_at=hello.clock if hello else None,
        is_away=gateway.is_away,
    )
