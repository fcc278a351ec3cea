# SPDX-License-Identifier: BSD-3-Clause
"""Decisions of people about nodes, from the broker: bans and offline timeouts. Pure."""

import heapq
from collections import OrderedDict
from typing import Final

BANNED_MAX: Final = 10_000
"""Largest number of banned nodes that a gateway remembers. Beyond it the oldest is forgotten: the
broker refuses it again and repeats the ban."""


class RulesOfNodes:
    """`now` and all times are the loop's time in seconds."""

    def __init__(self) -> None:
        self._banned: OrderedDict[str, None] = OrderedDict()
        self._timeout_s: dict[str, float] = {}
        """Offline timeouts of online nodes that have their own."""
        self._timer_at: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []
        """A heap. An entry is valid only if `_timer_at` has the same time."""

    def is_banned(self, uid: str) -> bool:
        return uid in self._banned

    def ban(self, uid: str) -> None:
        self._banned[uid] = None
        self._banned.move_to_end(uid)
        if len(self._banned) > BANNED_MAX:
            self._banned.popitem(last=False)

    def lift_ban(self, uid: str) -> None:
        self._banned.pop(uid, None)

    def timeout_of(self, uid: str) -> float | None:
        """The offline timeout of a node in seconds; None: that of its gateway."""
        return self._timeout_s.get(uid)

    def set_timeout(self, uid: str, timeout_s: float, *, last_seen: float) -> None:
        """Set the offline timeout of an online node; 0: that of its gateway."""
        if timeout_s:
            self._timeout_s[uid] = timeout_s
            self.check_again(uid, last_seen + timeout_s)
        else:
            self.forget(uid)

    def forget(self, uid: str) -> None:
        """Forget a node that has left, or no longer has its own timeout."""
        self._timeout_s.pop(uid, None)
        self._timer_at.pop(uid, None)

    def check_again(self, uid: str, at: float) -> None:
        """Let `next_due` return the node at this time."""
        self._timer_at[uid] = at
        heapq.heappush(self._timers, (at, uid))

    def get_timer(self) -> float | None:
        """The time at which `next_due` returns a node; None if there is none."""
        while self._timers and self._timer_at.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def next_due(self, now: float) -> str | None:
        """A node whose timeout must be checked: then call `check_again` or `forget`. None if there
        are no more now."""
        due = self.get_timer()
        if due is None or due > now:
            return None
        _, uid = heapq.heappop(self._timers)
        del self._timer_at[uid]
        return uid
