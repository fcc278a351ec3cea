# SPDX-License-Identifier: BSD-3-Clause
"""The state of all nodes of the broker. Pure."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from pyaiot.broker.deliveries import Delivery, ToAll
from pyaiot.errors import Refused
from pyaiot.messages import NodeAppeared, Reading
from pyaiot.registry.record import NodeRecord

if TYPE_CHECKING:
    from pyaiot.model import ResourceType

RESOURCES_MAX: Final = 264
"""Largest number of resources of one node: 256 of the device, and room for those that its gateway
adds (`ip`, `protocol`, …). Further ones are refused."""
NODES_MAX: Final = 1_000_000
"""Largest number of nodes of one broker. Further ones are refused."""
NODES_PER_GATEWAY_MAX: Final = 100_000
"""Largest number of nodes of one gateway. Further ones are refused, so that no gateway fills the
table alone."""
_NO_TYPES: Final[Mapping[str, "ResourceType"]] = MappingProxyType({})
"""Shared by most nodes."""


class KnownNode:
    """A node, the gateway connection that owns it, and its latest readings."""

    __slots__ = (
        *("appeared_at", "gateway", "is_removed", "is_waiting", "plain_gateway", "readings"),
        *("record", "sequence", "types", "uid", "units"),
    )

    def __init__(self, gateway: int, sequence: int, record: NodeRecord, *, ts: float) -> None:
        self.uid = record.uid
        self.record = record
        self.is_waiting = record.admission == "waiting"
        """Whether it still waits to be accepted: its messages are not sent to clients."""
        self.appeared_at = ts
        """Unix time."""
        self.gateway = gateway
        self.plain_gateway = gateway
        """The same if none of its readings needs a unit; otherwise -1."""
        self.sequence = sequence
        """Incremented with each node that appears. It shows the progress of sending the state to a
        joining client."""
        self.is_removed = False
        self.readings: dict[str, Reading] = {}
        self.types: Mapping[str, ResourceType] = _NO_TYPES
        """Types as clients know them, of the resources whose reading alone does not suggest the
        type."""
        self.units: dict[str, str] | None = None
        """Units that people or metadata state, by resource; None if there are none."""

    def set_units(self, units: dict[str, str]) -> None:
        """Units that people or metadata state, by resource."""
        self.units = units or None
        self.plain_gateway = -1 if units else self.gateway

    def with_unit(self, reading: Reading) -> Reading:
        """The reading. A number without a unit gets the stated unit of its resource."""
        if self.units is None or reading.unit or reading.number is None:
            return reading
        unit = self.units.get(reading.resource, "")
        return msgspec.structs.replace(reading, unit=unit) if unit else reading

    @property
    def appeared(self) -> NodeAppeared:
        """The message that it is online."""
        return NodeAppeared(
            uid=self.uid,
            ts=self.appeared_at,
            gateway=self.record.gateway,
            secured=self.record.secured,
        )


class NodeTable:
    """Nodes in the order in which they appeared. Each belongs to the connection of one gateway."""

    def __init__(self) -> None:
        self._by_uid: dict[str, KnownNode] = {}
        self._by_gateway: dict[int, dict[str, None]] = {}
        self.sequence = 0
        """The sequence of the last node that appeared."""
        self.touched: set[KnownNode] = set()
        """Nodes with a new reading since the set was replaced."""
        self.waiting = 0
        """Nodes that wait to be accepted."""

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[KnownNode]:
        return iter(self._by_uid.values())

    def get(self, uid: str) -> KnownNode | None:
        return self._by_uid.get(uid)

    def check_room(self, gateway: int) -> None:
        """Raises `Refused` if there is no room for a node of this gateway."""
        if len(self._by_uid) >= NODES_MAX:
            raise Refused(f"this broker holds at most {NODES_MAX} nodes")
        if len(self._by_gateway.get(gateway, ())) >= NODES_PER_GATEWAY_MAX:
            raise Refused(f"a gateway has at most {NODES_PER_GATEWAY_MAX} nodes")

    def add(self, gateway: int, record: NodeRecord, *, ts: float) -> KnownNode:
        """Add a new node that appeared at `ts`. Call `check_room` before."""
        self.sequence += 1
        node = KnownNode(gateway, self.sequence, record, ts=ts)
        self.waiting += node.is_waiting
        self._by_uid[node.uid] = node
        self._by_gateway.setdefault(gateway, {})[node.uid] = None
        return node

    def keep(self, node: KnownNode, reading: Reading) -> bool:
        """Store the latest reading, with its unit. Returns whether the resource is new. Raises
        `Refused` at the limit of resources."""
        readings = node.readings
        is_new = reading.resource not in readings
        if is_new and len(readings) >= RESOURCES_MAX:
            raise Refused(f"a node has at most {RESOURCES_MAX} resources")
        readings[reading.resource] = node.with_unit(reading)
        self.touched.add(node)
        return is_new

    def replace_known(
        self, gateway: int, readings: Iterator[Reading], deliveries: list[Delivery]
    ) -> Reading | None:
        """Store the latest readings of known resources, and append what clients get.

        Stops at a reading that it does not store, and returns it: the gateway does not own the
        node, the resource is new, or the reading may need one of the `units` of the node. None: all
        readings are stored.
        """
        by_uid, touched = self._by_uid, self.touched
        for reading in readings:
            node = by_uid.get(reading.uid)
            if node is None or (resource := reading.resource) not in (held := node.readings):
                return reading
            if node.plain_gateway != gateway and (node.gateway != gateway or not reading.unit):
                return reading
            held[resource] = reading
            touched.add(node)
            if not node.is_waiting:
                deliveries.append(ToAll(reading, node.sequence))
        return None

    def replace_leading(
        self, gateway: int, readings: Iterator[Reading]
    ) -> tuple[list[int], Reading | None]:
        """`replace_known`, which also stops at a reading that clients do not get.

        Returns the sequence of the node of each reading that was stored, and the one at which it
        stopped.
        """
        get, touch = self._by_uid.get, self.touched.add
        sequences: list[int] = []
        for reading in readings:
            node = get(reading.uid)
            if node is None or (resource := reading.resource) not in (held := node.readings):
                return sequences, reading
            if node.plain_gateway != gateway and (node.gateway != gateway or not reading.unit):
                return sequences, reading
            if node.is_waiting:
                return sequences, reading
            held[resource] = reading
            touch(node)
            sequences.append(node.sequence)
        return sequences, None

    def take_touched(self) -> set[KnownNode]:
        """The nodes with a new reading since the last call."""
        touched, self.touched = self.touched, set()
        return touched

    def accept(self, node: KnownNode) -> None:
        """Accept a waiting node. It is sent to clients as a node that appears now."""
        self.waiting -= node.is_waiting
        node.is_waiting = False
        self.sequence += 1
        node.sequence = self.sequence
        # The table is sorted by the sequence.
        self._by_uid[node.uid] = self._by_uid.pop(node.uid)

    def remove(self, uid: str) -> None:
        node = self._by_uid.pop(uid)
        node.is_removed = True
        self.waiting -= node.is_waiting
        self.touched.discard(node)
        owned = self._by_gateway[node.gateway]
        del owned[uid]
        if not owned:
            del self._by_gateway[node.gateway]

    def move(self, node: KnownNode, gateway: int) -> None:
        """Move the node to another link of the same gateway."""
        owned = self._by_gateway[node.gateway]
        del owned[node.uid]
        if not owned:
            del self._by_gateway[node.gateway]
        node.gateway = gateway
        node.set_units(node.units or {})
        self._by_gateway.setdefault(gateway, {})[node.uid] = None

    def count_of(self, gateway: int) -> int:
        """Number of nodes of a gateway."""
        return len(self._by_gateway.get(gateway, ()))

    def uids_of(self, gateway: int) -> list[str]:
        return list(self._by_gateway.get(gateway, ()))
