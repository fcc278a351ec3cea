# SPDX-License-Identifier: BSD-3-Clause
"""Chooses the offline node to remove when the registry is full. Pure."""

from collections import OrderedDict
from collections.abc import Iterator, Sized
from itertools import chain
from typing import Final

OFFLINE_MAX: Final = 100_000
"""Largest number of offline nodes without edits; the setting `registry.offline_max`. Beyond it,
the node that has been offline longest is removed.
"""
OFFLINE_OF_GATEWAY_SHARE: Final = 0.5
"""Share of these that each gateway is guaranteed. When the registry is full, a gateway that has
more loses its own oldest node, and a gateway that has less loses none.
"""


class Forgettable:
    """Offline nodes without edits, by gateway, in the order in which they went offline."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, OrderedDict[str, int]] = {}
        """Nodes by gateway, each with a sequence number."""
        self._count = 0
        self._added = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._lines.values())

    def add(self, uid: str, gateway: str) -> None:
        """Add a node of this gateway that is not in the queue."""
        self._count += 1
        self._added += 1
        self._lines.setdefault(gateway, OrderedDict())[uid] = self._added

    def discard(self, uid: str, gateway: str) -> None:
        """Remove a node of this gateway from the queue, if it is in it."""
        line = self._lines.get(gateway)
        if line is not None and line.pop(uid, 0):
            self._count -= 1
            if not line:
                del self._lines[gateway]

    def excess(self, gateway: str) -> str | None:
        """The node to remove after one of `gateway` was added; None if there is room."""
        if self._count <= self._most:
            return None
        line = self._lines[gateway]
        if not self._is_over_share(line):
            line = max(self._lines.values(), key=len)
        if not self._is_over_share(line):
            line = min(self._lines.values(), key=lambda it: next(iter(it.values())))
        return next(iter(line))

    def _is_over_share(self, line: Sized) -> bool:
        return len(line) > self._most * OFFLINE_OF_GATEWAY_SHARE
