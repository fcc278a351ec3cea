# SPDX-License-Identifier: BSD-3-Clause
"""The messages that a subscriber gets before live ones: all nodes, or a replay. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pyaiot.backlog import cost
from pyaiot.broker.registry_view import RegistryView
from pyaiot.broker.resource_types import everything_of, everything_stated
from pyaiot.broker.scoped_view import ScopedView
from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.broker.state_parts import StateForm, StateParts
from pyaiot.messages import ToClient

if TYPE_CHECKING:
    from pyaiot.registry.record import NodeRecord

CHUNK_MESSAGES: Final = 1000
CHUNK_COST_MAX: Final = 128 * 1024
"""Messages, and their bytes, in one write to a subscriber that joins or is behind. Other
subscribers get a turn between two writes, and the buffer of a socket whose peer reads nothing
exceeds `BUFFER_LOW` by at most this."""
SNAPSHOT_NODE_COST: Final = 8
"""Bytes for each node of a snapshot that is being sent: a reference."""


class Snapshot:
    """Iterates over the nodes that existed when the client joined."""

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
        """`uids` None: all nodes; otherwise only these are visited: there may be 100,000 others.
        `registry` None: without records of the registry. `view` None: without a scope."""
        self.nodes: list[KnownNode] = list(nodes) if uids is None else _select(nodes, uids)
        self.registry = registry
        self.records: list[NodeRecord] = [] if registry is None else registry.not_online(uids)
        """Records of offline nodes that are still to be sent. The next one is last."""
        self.count = len(nodes) - nodes.waiting if view is None else view.online()
        self.index = 0
        """Of the next node."""
        self.rest: list[ToClient] = []
        """Messages of the current node that are still to be sent. The next one is last."""
        self.sent_sequence = 0
        """Of the current node."""
        self.end_sequence = nodes.sequence

    def take(self, shown: Callable[[Iterable[ToClient]], list[ToClient]]) -> list[ToClient]:
        """The next messages, limited in number and size. `shown` leaves out some."""
        messages: list[ToClient] = []
        size = 0
        while len(messages) < CHUNK_MESSAGES and size < CHUNK_COST_MAX:
            if self.rest:
                message = self.rest.pop()
                messages.append(message)
                size += cost(message)
            elif (node := self._next_node()) is not None:
                self.rest = shown(reversed(self._state_of(node)))
            elif self.records:
                found = shown(self._take_record())
                messages += found
                size += sum(map(cost, found))
            else:
                break
        return messages

    def take_encoded(self, form: StateForm, shared: StateParts) -> list[bytes]:
        """The next nodes, limited in number and size, in a form that clients share. A node that is
        too large for it is left in `rest`."""
        parts: list[bytes] = []
        size = count = 0
        while count < CHUNK_MESSAGES and size < CHUNK_COST_MAX:
            node = self._next_node()
            if node is None:
                break
            encoded = shared.encoded(node, form)
            if encoded is None:
                self.rest = self._state_of(node)[::-1]
                break
            if registered := self._registered(node):
                parts.append(form.encode(registered))
                size += len(parts[-1])
            parts.append(encoded)
            size += len(encoded)
            count += 1 + len(node.readings)
        return parts

    def removed(self, sees: Callable[[str], bool]) -> int:
        """The nodes that were removed in the meantime and are visible to the client."""
        return sum(
            node.is_removed
            and not node.is_waiting
            and node.sequence <= self.end_sequence
            and sees(node.uid)
            for node in self.nodes
        )

    def _next_node(self) -> KnownNode | None:
        """The next node to send; None if there are no more."""
        while self.index < len(self.nodes):
            node = self.nodes[self.index]
            self.index += 1
            if node.sequence > self.end_sequence:
                continue  # accepted in the meantime: it was sent as a node that appeared
            self.sent_sequence = node.sequence
            if not node.is_removed and not node.is_waiting:
                return node
        return None

    def _take_record(self) -> Sequence[ToClient]:
        """The record of the next offline node; nothing if it is not needed."""
        record = self.records.pop()
        if self.registry is None or self.registry.is_sent_by_now(record):
            return ()
        described = everything_stated(record)
        message = self.registry.message(record)
        return (message,) if described is None else (message, described)

    def _registered(self, node: KnownNode) -> list[ToClient]:
        """The record of an online node."""
        if self.registry is None:
            return []
        described = everything_of(node)
        message = self.registry.message(node.record)
        return [message] if described is None else [message, described]

    def _state_of(self, node: KnownNode) -> list[ToClient]:
        """The messages about an online node, in order."""
        return [*self._registered(node), node.appeared, *node.readings.values()]

    def still_covers(self, sequence: int) -> bool:
        """Whether a node with this sequence is still to be sent; it is then sent with its latest
        state."""
        return self.sent_sequence < sequence <= self.end_sequence


class Replay:
    """Messages from before the subscriber connected, which are sent before all others."""

    __slots__ = ("cost", "is_loaded", "messages")

    def __init__(self) -> None:
        self.messages: deque[ToClient] = deque()
        self.cost = 0
        self.is_loaded = False
        """Until this is called, nothing is sent."""

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
