# SPDX-License-Identifier: BSD-3-Clause
"""Queues nodes for the discovery of their resources. Waiting nodes cost no task."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from pyaiot.gateways.coap.host_turns import HostTurns

RUNNING_MAX: Final = 2000
"""Largest number of discoveries that run at the same time: enough that unresponsive nodes do not
delay others. Each takes about 10 kB. Further nodes wait."""
RUNNING_PER_HOST_MAX: Final = 500
"""The same for the nodes of one host. Further ones wait, and nodes of other hosts come first."""

Start: TypeAlias = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a task with this name."""


class DiscoveryQueue:
    """Runs at most one discovery of a node at a time."""

    def __init__(self, discover: Callable[[str], Coroutine[Any, Any, None]], start: Start) -> None:
        """`discover` discovers the node with that uid."""
        self._discover = discover
        self._start = start
        self._running: dict[str, bool] = {}
        """Uids whose discovery runs, and whether it must run again after that."""
        self._turns: HostTurns[str] = HostTurns(RUNNING_MAX, RUNNING_PER_HOST_MAX)

    def add(self, uid: str, host: str) -> None:
        """Discover this node when there is room. If its discovery already runs, it runs again."""
        if uid in self._running:
            self._running[uid] = True
        else:
            self._turns.add(uid, host)
            self._begin()

    def forget(self, uid: str) -> None:
        """The node left: it no longer waits."""
        self._turns.remove(uid)

    def _begin(self) -> None:
        while (turn := self._turns.begin()) is not None:
            uid, host = turn
            self._running[uid] = True
            self._start(self._until_done(uid, host), f"discovery of {uid}")

    async def _until_done(self, uid: str, host: str) -> None:
        try:
            while self._running[uid]:
                self._running[uid] = False
                await self._discover(uid)
        finally:
            del self._running[uid]
            self._turns.end(host)
        # Not after a cancellation: the gateway ends then.
        self._begin()
