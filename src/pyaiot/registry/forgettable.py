# SPDX-License-Identifier: BSD-3-Clause
"""Which offline nodes are forgotten to make room, and in which order. Pure."""

from collections import OrderedDict
from typing import Final

OFFLINE_MAX: Final = 100_000
"""Offline nodes that nobody edited; the setting `registry.offline_max`. Beyond: the one that has
been offline for longest is forgotten."""
OFFLINE_OF_GATEWAY_SHARE: Final = 0.5
"""The share of these that the nodes of one gateway keep when there is no room. A gateway with more
loses its own oldest one; one with fewer loses none to it."""


class Forgettable:
    """Offline nodes that nobody edited, the first one to go offline first, also by gateway."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._gateway_of: OrderedDict[str, str] = OrderedDict()
        """The gateway of each node."""
        self._lines: dict[str, OrderedDict[str, None]] = {}
        """The nodes of each gateway."""

    def __len__(self) -> int:
        return len(self._gateway_of)

    def __contains__(self, uid: str) -> bool:
        return uid in self._gateway_of

    def add(self, uid: str, gateway: str) -> None:
        """Append a node that is not in line."""
        self._gateway_of[uid] = gateway
        self._lines.setdefault(gateway, OrderedDict())[uid] = None

    def discard(self, uid: str) -> None:
        """Take a node out of the line, if it is in it."""
        gateway = self._gateway_of.pop(uid, None)
        if gateway is None:
            return
        line = self._lines[gateway]
        del line[uid]
        if not line:
            del self._lines[gateway]

    def excess(self, gateway: str) -> str | None:
        """The node to forget after one of `gateway` was added; None if there is room."""
        if len(self) <= self._most:
            return None
        line = self._lines[gateway]
        if len(line) > self._most * OFFLINE_OF_GATEWAY_SHARE:
            return next(iter(line))
        largest = max(self._lines.values(), key=len)
        if len(largest) > self._most * OFFLINE_OF_GATEWAY_SHARE:
            return next(iter(largest))
        return next(iter(self._gateway_of))
