# SPDX-License-Identifier: BSD-3-Clause
"""Which offline nodes are forgotten to make room, and in which order. Pure."""

from collections import OrderedDict
from collections.abc import Iterator, Sized
from itertools import chain
from typing import Final

OFFLINE_MAX: Final = 100_000
"""Offline nodes that nobody edited; the setting `registry.offline_max`. Beyond that: the one that
has been offline for longest is forgotten."""
OFFLINE_OF_GATEWAY_SHARE: Final = 0.5
"""The share of these that the nodes of one gateway keep when there is no room. A gateway with more
loses its own oldest one; one with fewer loses none to it."""


class Forgettable:
    """Offline nodes that nobody edited, by gateway, the first one to go offline first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, OrderedDict[str, int]] = {}
        """By gateway, the nodes with a number that grows with each that is added."""
        self._count = 0
        self._added = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._lines.values())

    def add(self, uid: str, gateway: str) -> None:
        """Append a node of this gateway that is not in line."""
        self._count += 1
        self._added += 1
        self._lines.setdefault(gateway, OrderedDict())[uid] = self._added

    def discard(self, uid: str, gateway: str) -> None:
        """Take a node of this gateway out of the line, if it is in it."""
        line = self._lines.get(gateway)
        if line is not None and line.pop(uid, 0):
            self._count -= 1
            if not line:
                del self._lines[gateway]

    def excess(self, gateway: str) -> str | None:
        """The node to forget after one of `gateway` was added; None if there is room."""
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
