# SPDX-License-Identifier: BSD-3-Clause
"""Nodes whose resources are to be discovered. Those that wait cost no task."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

RUNNING_MAX: Final = 2000
"""Discoveries that run at the same time: enough that unresponsive nodes do not delay others. Each
takes about 10 kB. Further nodes wait."""
RUNNING_PER_HOST_MAX: Final = 500
"""The same for the nodes of one host. Further ones wait, and nodes of other hosts come first."""

Start: TypeAlias = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a task with this name."""


class DiscoveryQueue:
    """Runs at most one discovery of a node at a time. Hosts take turns, each with its oldest."""

    def __init__(self, discover: Callable[[str], Coroutine[Any, Any, None]], start: Start) -> None:
        """`discover` discovers the node with that uid."""
        self._discover = discover
        self._start = start
        self._running: dict[str, bool] = {}
        """uids whose discovery runs, and whether it must run once more after that."""
        self._running_on: Counter[str] = Counter()
        self._waiting_on: dict[str, OrderedDict[str, None]] = {}
        """The uids that wait, by host."""
        self._host_of: dict[str, str] = {}
        """The host of each uid that waits."""
        self._next_hosts: OrderedDict[str, None] = OrderedDict()
        """Hosts with a node that waits, and room for it."""

    def add(self, uid: str, host: str) -> None:
        """Discover this node when there is room; once more, if its discovery runs already."""
        if uid in self._running:
            self._running[uid] = True
            return
        if self._host_of.get(uid, host) != host:
            self.forget(uid)  # it has moved
        self._host_of[uid] = host
        self._waiting_on.setdefault(host, OrderedDict())[uid] = None
        self._consider(host)
        self._begin()

    def forget(self, uid: str) -> None:
        """The node left: it no longer waits."""
        host = self._host_of.pop(uid, None)
        if host is None:
            return
        waiting = self._waiting_on[host]
        del waiting[uid]
        if not waiting:
            del self._waiting_on[host]
            self._next_hosts.pop(host, None)

    def _consider(self, host: str) -> None:
        if host in self._waiting_on and self._running_on[host] < RUNNING_PER_HOST_MAX:
            self._next_hosts.setdefault(host)

    def _begin(self) -> None:
        while self._next_hosts and len(self._running) < RUNNING_MAX:
            host, _ = self._next_hosts.popitem(last=False)
            uid = next(iter(self._waiting_on[host]))
            self.forget(uid)
            self._running[uid] = True
            self._running_on[host] += 1
            self._consider(host)
            self._start(self._until_done(uid, host), f"discovery of {uid}")

    async def _until_done(self, uid: str, host: str) -> None:
        try:
            while self._running[uid]:
                self._running[uid] = False
                await self._discover(uid)
        finally:
            del self._running[uid]
            self._running_on[host] -= 1
            if not self._running_on[host]:
                del self._running_on[host]
            self._consider(host)
        # Not after a cancellation: then the gateway ends.
        self._begin()
