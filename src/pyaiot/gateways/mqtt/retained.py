# SPDX-License-Identifier: BSD-3-Clause
"""Retained values of nodes that have shown no sign of life yet. Pure.

A broker sends retained messages once, right after the subscription, and the node may speak later.
"""

from typing import Final

from pyaiot.gateways.live_nodes import RESOURCES_MAX

RETAINED_MAX: Final = 10_000
"""Retained values that are held for nodes that may still speak. One more is dropped."""
RETAINED_PER_NODE_MAX: Final = RESOURCES_MAX
"""The same of one node."""
RETAINED_SIZE_MAX: Final = 4 * 1024 * 1024
"""Bytes of retained values that are held, with their names. What does not fit is dropped."""
RETAINED_HOLD_S: Final = 300.0
"""Seconds after which retained values are dropped whose node did not speak."""


class RetainedValues:
    """Payloads as they came, by node and resource."""

    def __init__(self) -> None:
        self._by_uid: dict[str, dict[str, bytes]] = {}
        self._count = 0
        self.size = 0
        """Bytes, by about."""

    def __len__(self) -> int:
        return self._count

    def add(self, uid: str, resource: str, payload: bytes) -> bool:
        """Hold a value. Returns False, and holds it not, at a limit."""
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
        """The values of a node, which are then no longer here."""
        values = self._by_uid.pop(uid, {})
        self._count -= len(values)
        self.size -= sum(_size(uid, resource, payload) for resource, payload in values.items())
        return values

    def clear(self) -> None:
        self._by_uid.clear()
        self._count = self.size = 0


def _size(uid: str, resource: str, payload: bytes) -> int:
    return len(uid) + len(resource) + len(payload)
