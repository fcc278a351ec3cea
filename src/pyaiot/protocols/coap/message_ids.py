# SPDX-License-Identifier: BSD-3-Clause
"""Message IDs of requests (RFC 7252 section 4.4). Pure; `now` is the loop's time in seconds."""

from collections.abc import Hashable
from random import Random
from typing import Final

from pyaiot.protocols.coap.numbers import EXCHANGE_LIFETIME_S

PEERS_MAX: Final = 65_536
"""Peers whose last message ID is remembered. Beyond that, the half that was used longest ago gets
random ones again."""
FIRST_MESSAGE_ID: Final = 0x8000
"""Requests use message IDs from this. Those below are for responses; see `RESPONSE_IDS` in
protocols/coap/post.py."""
_COUNT: Final = 0x10000 - FIRST_MESSAGE_ID


class MessageIds:
    """Consecutive message IDs, from a random start for each peer.

    A peer cannot derive the message IDs of others from its own, and so cannot forge resets. An ID
    is not used again for `EXCHANGE_LIFETIME_S`; after that without a request, a peer is forgotten.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._recent: dict[Hashable, int] = {}
        """The last message IDs of peers with a request in the current generation."""
        self._earlier: dict[Hashable, int] = {}
        """The same of peers whose last request was in the previous generation."""
        self._changed_at = float("-inf")

    def __len__(self) -> int:
        return len(self._recent) + len(self._earlier)

    def next(self, peer: Hashable, *, now: float) -> int:
        """The message ID of the next request to this peer."""
        if self._is_over(now) or len(self._recent) >= PEERS_MAX // 2:
            self._change_generation(now)
        last = self._recent.get(peer)
        if last is None:
            last = self._earlier.pop(peer, None)
        number = self._random.randrange(_COUNT) if last is None else (last + 1) % _COUNT
        self._recent[peer] = number
        return FIRST_MESSAGE_ID + number

    def get_timer(self) -> float | None:
        """When to call `handle_timer`; None: there is nothing to forget."""
        return self._changed_at + EXCHANGE_LIFETIME_S if len(self) else None

    def handle_timer(self, *, now: float) -> None:
        """Forget the peers without a request for `EXCHANGE_LIFETIME_S`."""
        if self._is_over(now):
            self._change_generation(now)

    def _is_over(self, now: float) -> bool:
        return now - self._changed_at >= EXCHANGE_LIFETIME_S

    def _change_generation(self, now: float) -> None:
        self._earlier, self._recent = self._recent, {}
        self._changed_at = now
