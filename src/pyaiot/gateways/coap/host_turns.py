# SPDX-License-Identifier: BSD-3-Clause
"""Limits how many items run at the same time, in total and for each host. Pure."""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class HostTurns(Generic[T]):
    """Items that wait for their turn. Hosts take turns, each with its oldest item."""

    def __init__(self, running_max: int, per_host_max: int) -> None:
        self._running_max = running_max
        self._per_host_max = per_host_max
        self._running_on: Counter[str] = Counter()
        self._running = 0
        self._waiting_on: dict[str, OrderedDict[T, None]] = {}
        self._host_of: dict[T, str] = {}
        """The host of each waiting item."""
        self._next_hosts: OrderedDict[str, None] = OrderedDict()
        """Hosts that have a waiting item, and room for it."""

    def add(self, item: T, host: str) -> None:
        """Add a waiting item, unless it waits already. If it waits at another host, move it."""
        if self._host_of.get(item, host) != host:
            self.remove(item)
        self._host_of[item] = host
        self._waiting_on.setdefault(host, OrderedDict())[item] = None
        self._consider(host)

    def remove(self, item: T) -> None:
        """The item no longer waits."""
        host = self._host_of.pop(item, None)
        if host is None:
            return
        waiting = self._waiting_on[host]
        del waiting[item]
        if not waiting:
            del self._waiting_on[host]
            self._next_hosts.pop(host, None)

    def begin(self) -> tuple[T, str] | None:
        """The next item to run, and its host; None if none may run. Call `end` afterwards."""
        if self._running >= self._running_max or not self._next_hosts:
            return None
        host, _ = self._next_hosts.popitem(last=False)
        item = next(iter(self._waiting_on[host]))
        self.remove(item)
        self._running += 1
        self._running_on[host] += 1
        self._consider(host)
        return item, host

    def end(self, host: str) -> None:
        """An item of this host has ended."""
        self._running -= 1
        self._running_on[host] -= 1
        if not self._running_on[host]:
            del self._running_on[host]
        self._consider(host)

    def _consider(self, host: str) -> None:
        if host in self._waiting_on and self._running_on[host] < self._per_host_max:
            self._next_hosts.setdefault(host)
