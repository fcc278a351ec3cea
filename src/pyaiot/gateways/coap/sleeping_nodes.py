# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that hear requests only after they spoke: who wants something of them waits for that."""

import asyncio
from collections.abc import Iterable
from typing import Final

ANY_NODE: Final = "*"
"""In the list of nodes that sleep: every node."""
AWAKE_S: Final = 2.0
"""So long after it spoke, a node that sleeps is taken to hear. Commands wait for the next time."""


class SleepingNodes:
    """The nodes that sleep, by configuration, and who waits for them."""

    def __init__(self, uids: Iterable[str], loop: asyncio.AbstractEventLoop) -> None:
        self._uids = frozenset(uids)
        self._loop = loop
        self._last_seen: dict[str, float] = {}
        self._events: dict[str, asyncio.Event] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids or ANY_NODE in self._uids

    def set_awake(self, uid: str) -> None:
        """The node is awake: whoever waits for it goes on."""
        if self._uids and uid in self:
            self._last_seen[uid] = self._loop.time()
            self._wake(uid)

    def forget(self, uid: str) -> None:
        """The node has left. Whoever waits for it goes on, in vain."""
        self._last_seen.pop(uid, None)
        self._wake(uid)

    async def until_awake(self, uid: str) -> None:
        """Return at once, or when the node speaks next. Who waits has a deadline of his own."""
        last_seen = self._last_seen.get(uid, float("-inf"))
        if uid in self and self._loop.time() - last_seen > AWAKE_S:
            await self._events.setdefault(uid, asyncio.Event()).wait()

    def _wake(self, uid: str) -> None:
        event = self._events.pop(uid, None)
        if event is not None:
            event.set()
