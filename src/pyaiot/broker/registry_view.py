# SPDX-License-Identifier: BSD-3-Clause
"""The records of the registry in the form in which clients get them. Pure."""

from pyaiot.broker.state import NodeTable
from pyaiot.messages import RegisteredNode
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.registry import Registry


class RegistryView:
    """The part of the registry that a subscriber needs."""

    def __init__(self, registry: Registry, nodes: NodeTable) -> None:
        self._registry = registry
        self._nodes = nodes

    def message(self, record: NodeRecord) -> RegisteredNode:
        """The record of a node for clients, with the values of a waiting newcomer."""
        node = self._nodes.get(record.uid)
        if node is None or not node.is_waiting:
            return self._registry.message(record)
        return self._registry.message(record, tuple(node.readings.values()))

    def not_online(self, uids: frozenset[str] | None) -> list[NodeRecord]:
        """The records of nodes that are offline, waiting or banned, in reverse order.

        `uids`: only these nodes.
        """
        records = self._registry.records
        if uids is None:
            found = list(records.values())
        else:
            found = [records[uid] for uid in uids if uid in records]
        return [record for record in reversed(found) if record.state != "online"]

    def is_sent_by_now(self, record: NodeRecord) -> bool:
        """Whether the node is now online or forgotten: all subscribers were informed in the
        meantime."""
        return record.state == "online" or self._registry.get(record.uid) is not record
