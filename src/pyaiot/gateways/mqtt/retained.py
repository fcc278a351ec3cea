# SPDX-License-Identifier: BSD-3-Clause
"""Retained values of nodes that are not known to be online. Pure.

A broker sends retained messages once, right after the subscription; the node may publish later.
"""

from typing import Final

from pyaiot.gateways.live_node import RESOURCES_MAX

RETAINED_MAX: Final = 10_000
"""Largest number of retained values that are held for nodes that are not online yet. Further ones
are dropped."""
RETAINED_PER_NODE_MAX: Final = RESOURCES_MAX
"""The same for one node."""
RETAINED_SIZE_MAX: Final = 4 * 1024 * 1024
"""Largest total size of the held values with their names, in bytes. A value beyond it is
dropped."""
RETAINED_HOLD_S: Final = 300.0
"""How long retained values are held for a node. Then they are dropped."""


class RetainedValues:
    """Payloads as received, by node and resource."""

    def __init__(self) -> None:
        self._by_uid: dict[str, dict[str, bytes]] = {}
        self._count = 0
        self.size = 0
        """Bytes of the payloads with their names."""

    def __len__(self) -> int:
        return self._count

    def add(self, uid: str, resource: str, payload: bytes) -> bool:
        """Hold a value. Returns False at a limit; the value is then dropped."""
        values = self._by_uid.get(uid, {})
        size = _size(uid, resource, payload)
        old = values.get(resource)
        if old is not None:
            size -= _size(uid, resource, old)
        elif self._count >= RETAINED_MAX or len(values) >= RETAINED_PER_NODE_MAX:
            return False
        if self.size + size > RETAINED_SIZE_MAX:
            return False
        self._by_uid[uid] = values
        values[resource] = payload
        self._count += old is None
        self.size += size
        return True

    def take(self, uid: str) -> dict[str, bytes]:
        """Remove and return the values of a node."""
        values = self._by_uid.pop(uid, {})
        self._count -= len(values)
        self.size -= sum(_size(uid, resource, payload) for resource, payload in values.items())
        return values

    def clear(self) -> None:
        self._by_uid.clear()
        self._count = self.size = 0


def _size(uid: str, resource: str, payload: bytes) -> int:
    return len(uid) + len(resource) + len(payload)
