# SPDX-License-Identifier: BSD-3-Clause
"""The messages that subscribers with one scope receive. Pure.

A node enters or leaves a scope when people change its tags, or when another gateway takes it. For a
subscriber, the node then appears, or goes offline and is forgotten.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from pyaiot.accounts.scopes import PERSONAL_RESOURCES, Scope
from pyaiot.broker.deliveries import ToAll, forgotten
from pyaiot.broker.resource_types import everything_of
from pyaiot.broker.state import NodeTable
from pyaiot.messages import (
    GatewayState,
    Ignored,
    NodeForgotten,
    NodeLeft,
    Reading,
    RegisteredNode,
    ToClient,
)
from pyaiot.registry.record import NodeRecord

VIEWS_MAX: Final = 100
"""Largest number of different scopes, and filters by tag or gateway, of connected clients. A client
with a further one is answered 503, or closed with 1013, because each costs time for each
message."""


class ScopedView:
    """The nodes of one scope, shared by its subscribers."""

    def __init__(self, scope: Scope, nodes: NodeTable, records: Mapping[str, NodeRecord]) -> None:
        self.scope = scope
        self.subscribers = 0
        self._nodes = nodes
        self._records = records
        self._uids: set[str] | None = None
        """The nodes in the scope; None: all."""
        self._sequence = 0
        """Of the last node whose messages were filtered."""
        self.refresh()

    def refresh(self) -> None:
        """Check all nodes again: the view is new, or the registry was loaded."""
        self._sequence = self._nodes.sequence
        if not self.scope.has_all_nodes:
            self._uids = {uid for uid, record in self._records.items() if self._includes(record)}

    @property
    def uids(self) -> AbstractSet[str] | None:
        """The nodes in the scope; None: all."""
        return self._uids

    def sees(self, uid: str) -> bool:
        return self._uids is None or uid in self._uids

    def online(self) -> int:
        """Online nodes in the scope."""
        if self._uids is None:
            return len(self._nodes) - self._nodes.waiting
        found = map(self._nodes.get, self._uids)
        return sum(node is not None and not node.is_waiting for node in found)

    def shown(self, message: ToClient) -> ToClient | None:
        """The visible part of a message; None if the scope hides all of it."""
        match message:
            case GatewayState(name=name):
                return message if self.scope.has_gateway(name) else None
            case Ignored():
                return None  # its topic may contain the name of a node outside the scope
            case Reading(uid=uid, resource=resource):
                if self.scope.hides_personal and resource in PERSONAL_RESOURCES:
                    return None
                return message if self.sees(uid) else None
            case RegisteredNode(uid=uid):
                if not self.sees(uid):
                    return None
                return without_personal(message) if self.scope.hides_personal else message
        uid = getattr(message, "uid", "")
        return message if not uid or self.sees(uid) else None

    def filtered(self, deliveries: Sequence[ToAll]) -> list[ToAll]:
        """The messages for the subscribers, with those about nodes that enter and leave the
        scope."""
        found: list[ToAll] = []
        for delivery in deliveries:
            message = delivery.message
            if isinstance(message, RegisteredNode) and self._uids is not None:
                found += self._registered(delivery, message, self._uids)
            else:
                shown = self.shown(message)
                if shown is not None:
                    found.append(_of(delivery, shown))
                if isinstance(message, NodeForgotten) and self._uids is not None:
                    self._uids.discard(message.uid)
            self._sequence = max(self._sequence, delivery.sequence)
        return found

    def _registered(
        self, delivery: ToAll, message: RegisteredNode, uids: set[str]
    ) -> Iterator[ToAll]:
        """Handle a node that may have entered or left the scope."""
        uid, was_seen = message.uid, message.uid in uids
        node = self._nodes.get(uid)
        # The `new` of a node that has just appeared follows.
        is_known = node is not None and not node.is_waiting and node.sequence <= self._sequence
        if self.scope.includes(message.tags, message.gateway):
            uids.add(uid)
            shown = self.shown(message)
            if shown is not None:
                yield _of(delivery, shown)
            if node is not None and not was_seen:
                described = everything_of(node)
                if described is not None and not node.is_waiting:
                    yield ToAll(described, node.sequence, is_registry=True)
            if node is not None and is_known and not was_seen:
                known: list[ToClient] = [node.appeared, *node.readings.values()]
                for state in known:
                    if self.shown(state) is not None:
                        yield ToAll(state, node.sequence)
        elif was_seen:
            uids.discard(uid)
            if node is not None and is_known:
                yield ToAll(NodeLeft(uid=uid), node.sequence)
            yield forgotten(uid)

    def _includes(self, record: NodeRecord) -> bool:
        return self.scope.includes(record.annotations.tags, record.gateway)


def without_personal(message: RegisteredNode) -> RegisteredNode:
    """The record without the notes of people and the address of the device."""
    values = tuple(it for it in message.values if it.resource not in PERSONAL_RESOURCES)
    return msgspec.structs.replace(message, notes="", values=values)


def _of(delivery: ToAll, shown: ToClient) -> ToAll:
    if shown is delivery.message:
        return delivery
    return ToAll(shown, delivery.sequence, delivery.is_registry)
