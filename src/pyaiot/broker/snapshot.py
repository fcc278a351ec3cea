# SPDX-License-Identifier: BSD-3-Clause
"""What a subscriber gets before live messages: the state of all nodes, or what it missed. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pyaiot.backlog import cost
from pyaiot.broker.registry_view import RegistryView
from pyaiot.broker.resource_types import everything_of, everything_stated
from pyaiot.broker.scoped_view import ScopedView
from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.messages import ToClient

if TYPE_CHECKING:
    from pyaiot.registry.record import NodeRecord

CHUNK_MESSAGES: Final = 1000
CHUNK_COST_MAX: Final = 128 * 1024
"""Messages and their bytes per write to a subscriber that joins or is behind. Others get a turn
between two writes, and the buffer of a socket that nobody reads holds at most this above
`BUFFER_LOW`."""
SNAPSHOT_NODE_COST: Final = 8
"""Bytes per node of a snapshot that is being sent: a reference."""


class Snapshot:
    """Progress through the nodes that existed when the client joined."""

    __slots__ = (
        *("count", "end_sequence", "index", "nodes", "records", "registry", "rest"),
        "sent_sequence",
    )

    def __init__(
        self,
        nodes: NodeTable,
        uids: frozenset[str] | None,
        registry: RegistryView | None,
        view: ScopedView | None,
    ) -> None:
        """`uids` None: all nodes. Else only these are looked at: there may be 100,000 others.

        `registry` None: without the records of the registry. `view` None: without a scope.
        """
        self.nodes: list[KnownNode] = list(nodes) if uids is None else _select(nodes, uids)
        self.registry = registry
        self.records: list[NodeRecord] = [] if registry is None else registry.not_online(uids)
        """Records that are still to be sent, of nodes that are not online. The next one is last."""
        self.count = len(nodes) - nodes.waiting if view is None else view.online()
        self.index = 0
        """Of the next node."""
        self.rest: list[ToClient] = []
        """Messages of the current node that are still to be sent, the next one last."""
        self.sent_sequence = 0
        """Of the current node."""
        self.end_sequence = nodes.sequence

    def take_record(self) -> Sequence[ToClient]:
        """What the registry has of the next node that is not online; nothing if it is needless."""
        record = self.records.pop()
        if self.registry is None or self.registry.is_sent_by_now(record):
            return ()
        described = everything_stated(record)
        message = self.registry.message(record)
        return (message,) if described is None else (message, described)

    def state_of(self, node: KnownNode) -> Sequence[ToClient]:
        """The messages about an online node, in order."""
        if self.registry is None:
            return (node.appeared, *node.readings.values())
        described = everything_of(node)
        types = () if described is None else (described,)
        message = self.registry.message(node.record)
        return (message, *types, node.appeared, *node.readings.values())

    def still_covers(self, sequence: int) -> bool:
        """A node with this sequence is still to be sent, then with its latest state."""
        return self.sent_sequence < sequence <= self.end_sequence


class Replay:
    """Messages from before the subscriber connected, to be sent before all others."""

    __slots__ = ("cost", "is_loaded", "messages")

    def __init__(self) -> None:
        self.messages: deque[ToClient] = deque()
        self.cost = 0
        self.is_loaded = False
        """Until then nothing is sent."""

    def load(self, messages: Iterable[ToClient]) -> None:
        self.messages.extend(messages)
        self.cost = sum(map(cost, self.messages))
        self.is_loaded = True

    def take(self) -> list[ToClient]:
        taken: list[ToClient] = []
        size = 0
        while self.messages and len(taken) < CHUNK_MESSAGES and size < CHUNK_COST_MAX:
            taken.append(self.messages.popleft())
            size += cost(taken[-1])
        self.cost -= size
        return taken


def _select(nodes: NodeTable, uids: frozenset[str]) -> list[KnownNode]:
    found = (nodes.get(uid) for uid in uids)
    return sorted((node for node in found if node is not None), key=lambda node: node.sequence)
