# SPDX-License-Identifier: BSD-3-Clause
"""Sleeping nodes, which receive requests only shortly after they sent something."""

import asyncio
from collections.abc import Iterable
from typing import Final

ANY_NODE: Final = "*"
"""Represents all nodes in the list of sleeping nodes."""
AWAKE_S: Final = 2.0
"""How long a sleeping node stays awake after it sent something. Later commands wait until it sends
again."""


class SleepingNodes:
    """The configured sleeping nodes, and the commands that wait for them."""

    def __init__(self, uids: Iterable[str], loop: asyncio.AbstractEventLoop) -> None:
        self._uids = frozenset(uids)
        self._loop = loop
        self._last_seen: dict[str, float] = {}
        self._events: dict[str, asyncio.Event] = {}

    def __bool__(self) -> bool:
        """Whether any node sleeps."""
        return bool(self._uids)

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids or ANY_NODE in self._uids

    def set_awake(self, uid: str) -> None:
        """The node is awake: commands that wait for it continue."""
        if self._uids and uid in self:
            self._last_seen[uid] = self._loop.time()
            self._wake(uid)

    def forget(self, uid: str) -> None:
        """The node has left: commands that wait for it continue, and fail."""
        self._last_seen.pop(uid, None)
        self._wake(uid)

    async def until_awake(self, uid: str) -> None:
        """Return when the node is awake. The caller limits the wait."""
        last_seen = self._last_seen.get(uid, float("-inf"))
        if uid in self and self._loop.time() - last_seen > AWAKE_S:
            await self._events.setdefault(uid, asyncio.Event()).wait()

    def _wake(self, uid: str) -> None:
        event = self._events.pop(uid, None)
        if event is not None:
            event.set()
