# SPDX-License-Identifier: BSD-3-Clause
"""The node table of a clustered broker: reports which nodes its own gateways have. Pure."""

from typing import TYPE_CHECKING, Protocol

from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.registry.record import NodeRecord

if TYPE_CHECKING:
    from pyaiot.messages import Reading


class OwnershipObserver(Protocol):
    def node_owned(self, node: KnownNode) -> None:
        """A gateway of this broker has the node. May be repeated."""
        ...

    def node_released(self, node: KnownNode) -> None:
        """No gateway of this broker has the node any more."""
        ...


class OwnedNodes(NodeTable):
    """A node table in which gateways with negative numbers are linked to other brokers."""

    def __init__(self) -> None:
        super().__init__()
        self.observer: OwnershipObserver | None = None
        self.moved: dict[int, dict[str, tuple[Reading, ...]]] = {}
        """Nodes of gateways that reconnected from another broker, with their previous values,
        until the gateway has reported all current ones.
        """

    def add(self, gateway: int, record: NodeRecord, *, ts: float) -> KnownNode:
        node = super().add(gateway, record, ts=ts)
        if gateway >= 0 and self.observer is not None:
            self.observer.node_owned(node)
        return node

    def accept(self, node: KnownNode) -> None:
        super().accept(node)
        if node.gateway >= 0 and self.observer is not None:
            self.observer.node_owned(node)

    def remove(self, uid: str) -> None:
        node = self.get(uid)
        super().remove(uid)
        if node is not None and node.gateway >= 0 and self.observer is not None:
            self.observer.node_released(node)

    def move(self, node: KnownNode, gateway: int) -> None:
        was_owned = node.gateway >= 0
        super().move(node, gateway)
        if gateway >= 0 and node.readings:
            self.moved.setdefault(gateway, {})[node.uid] = tuple(node.readings.values())
        if self.observer is None:
            return
        if gateway >= 0:
            self.observer.node_owned(node)
        elif was_owned:
            self.observer.node_released(node)
