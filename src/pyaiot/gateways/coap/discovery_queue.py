# SPDX-License-Identifier: BSD-3-Clause
"""Nodes whose resources are to be discovered. Those that wait cost no task."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

RUNNING_MAX: Final = 2000
"""Discoveries that run at the same time: enough that unresponsive nodes do not delay others. Each
takes about 10 kB. Further nodes wait, the oldest first."""

Start: TypeAlias = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a task with this name."""


class DiscoveryQueue:
    """Runs at most one discovery of a node at a time."""

    def __init__(self, discover: Callable[[str], Coroutine[Any, Any, None]], start: Start) -> None:
        """`discover` discovers the node with that uid."""
        self._discover = discover
        self._start = start
        self._running: dict[str, bool] = {}
        """uids whose discovery runs, and whether it must run once more after that."""
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def add(self, uid: str) -> None:
        """Discover this node when there is room; once more, if its discovery runs already."""
        if uid in self._running:
            self._running[uid] = True
        else:
            self._waiting[uid] = None
            self._begin()

    def forget(self, uid: str) -> None:
        """The node left: it no longer waits."""
        self._waiting.pop(uid, None)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < RUNNING_MAX:
            uid, _ = self._waiting.popitem(last=False)
            self._running[uid] = True
            self._start(self._until_done(uid), f"discovery of {uid}")

    async def _until_done(self, uid: str) -> None:
        try:
            while self._running[uid]:
                self._running[uid] = False
                await self._discover(uid)
        finally:
            del self._running[uid]
        # Not after a cancellation: then the gateway ends.
        self._begin()
