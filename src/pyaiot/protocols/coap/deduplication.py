# SPDX-License-Identifier: BSD-3-Clause
"""Deduplication of posts: a duplicate is answered, and counts once. Pure; `now` in seconds.

A duplicate is the same datagram, byte by byte, from the same address (RFC 7252 section 4.5 compares
address and message ID only). A board without a random generator starts with the same message IDs
and tokens after each reboot, so that its first datagrams look like old ones. Time and its `reset`
distinguish them.
"""

from collections import deque
from collections.abc import Hashable
from typing import Final

CON_WINDOW_S: Final = 60.0
"""How long Confirmable posts are remembered. MAX_TRANSMIT_SPAN of RFC 7252 section 4.8.2 is 45 s,
plus 15 s latency. EXCHANGE_LIFETIME (247 s) allows 100 s latency, and would treat the posts of a
board that was power-cycled as duplicates."""
NON_WINDOW_S: Final = 5.0
"""The same for Non-confirmable posts. Only the network duplicates them, within a short time."""
RESET_WINDOW_S: Final = 2.0
"""The same for a Non-confirmable `reset`: a later one is another boot."""
POSTS_MAX: Final = 100_000
"""Posts of each kind that are remembered. Beyond that, the oldest is forgotten: a duplicate of it
would count again."""
_FORGET_MAX: Final = 4
"""Expired posts that are removed with each new one: a bounded number, but more than are added."""


class DuplicateFilter:
    """The posts of one kind that counted within the last `window_s`."""

    def __init__(self, window_s: float, *, posts_max: int = POSTS_MAX) -> None:
        self._window_s = window_s
        self._posts_max = posts_max
        self._counted_at: dict[int, float] = {}
        """By hash: 64 bits of a randomised hash instead of a kilobyte."""
        self._in_order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._in_order)

    def has(self, post: Hashable, *, now: float) -> bool:
        """Whether this post is a duplicate."""
        counted_at = self._counted_at.get(hash(post))
        return counted_at is not None and now - counted_at < self._window_s

    def add(self, post: Hashable, *, now: float) -> None:
        """Remember a post that counts. `has` must have returned False for it."""
        self.add_if_new(hash(post), now)

    def add_if_new(self, post: int, now: float) -> bool:
        """Remember a post by its hash, unless it is a duplicate. Returns whether it is new."""
        counted_at, in_order = self._counted_at, self._in_order
        known_at = counted_at.get(post)
        if known_at is not None and now - known_at < self._window_s:
            return False
        if in_order and (
            len(in_order) >= self._posts_max
            or now - counted_at.get(in_order[0], now) >= self._window_s
        ):
            self._forget_oldest(now)
        counted_at[post] = now
        in_order.append(post)
        return True

    def remove_latest(self) -> None:
        """Forget the post that was added last: it does not count after all."""
        self._counted_at.pop(self._in_order.pop(), None)

    def _forget_oldest(self, now: float) -> None:
        counted_at, in_order = self._counted_at, self._in_order
        for _ in range(_FORGET_MAX):
            if not in_order:
                break
            oldest_at = counted_at.get(in_order[0], now)
            if now - oldest_at < self._window_s and len(in_order) < self._posts_max:
                break
            counted_at.pop(in_order.popleft(), None)
