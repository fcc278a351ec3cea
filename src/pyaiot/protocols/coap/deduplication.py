# SPDX-License-Identifier: BSD-3-Clause
"""Which posts came before: a repetition is answered, and counts once. Pure; `now` in seconds.

A true repetition is the same datagram, byte by byte, from the same address (RFC 7252 section 4.5
looks at address and message ID alone). A board without a random generator begins with the same
message IDs and tokens after each reboot, so that its old datagrams come again as new ones. What
tells them apart is time, and that it says `reset`.
"""

from collections import deque
from collections.abc import Hashable
from typing import Final

CON_WINDOW_S: Final = 60.0
"""MAX_TRANSMIT_SPAN of RFC 7252 section 4.8.2 is 45 s: a Confirmable post is not sent again after
that. With 15 s for the way. EXCHANGE_LIFETIME (247 s) allows 100 s for the way, and would take the
posts of a board that was switched off and on for repetitions."""
NON_WINDOW_S: Final = 5.0
"""Nobody repeats a Non-confirmable post; only the network doubles it, and soon."""
RESET_WINDOW_S: Final = 2.0
"""The same for `reset`: after that it is another boot."""
POSTS_MAX: Final = 100_000
"""Posts that are remembered, of each kind. Beyond, the oldest is forgotten: it would count twice
if it came again."""
_FORGET_MAX: Final = 4
"""Old posts that are forgotten with each new one: more than come, and few at a time."""


class DuplicateFilter:
    """Posts of one kind that counted within the last `window_s`."""

    def __init__(self, window_s: float, *, posts_max: int = POSTS_MAX) -> None:
        self._window_s = window_s
        self._posts_max = posts_max
        self._counted_at: dict[int, float] = {}
        """By hash: 64 bits of a hash that nobody outside knows, instead of a kilobyte."""
        self._in_order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._in_order)

    def has(self, post: Hashable, *, now: float) -> bool:
        """Whether this post counted a moment ago."""
        counted_at = self._counted_at.get(hash(post))
        return counted_at is not None and now - counted_at < self._window_s

    def add(self, post: Hashable, *, now: float) -> None:
        """It counts, and was not there."""
        counted_at, in_order = self._counted_at, self._in_order
        for _ in range(_FORGET_MAX):
            if not in_order:
                break
            oldest_at = counted_at.get(in_order[0], now)
            if now - oldest_at < self._window_s and len(in_order) < self._posts_max:
                break
            counted_at.pop(in_order.popleft(), None)
        key = hash(post)
        counted_at[key] = now
        in_order.append(key)
