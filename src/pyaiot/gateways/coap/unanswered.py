# SPDX-License-Identifier: BSD-3-Clause
"""Requests that nodes left unanswered, to be repeated at a sign of life. Pure.

`now` is the loop's time in seconds.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from pyaiot.protocols.link_format import CoreLink

RETRY_MIN_S: Final = 2.0
"""After an unanswered request, readings of the node trigger a retry no earlier than this; twice as
late after each further failure. An `alive` triggers it at once."""
RETRY_MAX_S: Final = 30.0
"""The longest time until readings trigger a retry."""


class Unanswered(msgspec.Struct, frozen=True):
    """The unanswered requests of one node."""

    links: tuple[CoreLink, ...] | None
    """The resources; None: the list of resources."""
    times: int
    again_at: float


class UnansweredRequests:
    """The nodes with unanswered requests."""

    def __init__(self) -> None:
        self._of_node: dict[str, Unanswered] = {}

    def __len__(self) -> int:
        return len(self._of_node)

    def __contains__(self, uid: str) -> bool:
        return uid in self._of_node

    def is_due(self, uid: str, *, now: float) -> bool:
        """Whether a reading of the node triggers a retry now."""
        found = self._of_node.get(uid)
        return found is not None and now >= found.again_at

    def take(self, uid: str) -> Unanswered | None:
        """Remove and return what to request from this node again."""
        return self._of_node.pop(uid, None)

    def add(
        self, uid: str, links: Sequence[CoreLink] | None, before: Unanswered | None, *, now: float
    ) -> None:
        """The node did not answer requests for these links. `before`: the result of `take` for this
        attempt."""
        times = 0 if before is None else before.times
        wait_s = min(RETRY_MIN_S * 2**times, RETRY_MAX_S)
        kept = None if links is None else tuple(links)
        self._of_node[uid] = Unanswered(kept, min(times + 1, 16), now + wait_s)

    def forget(self, uid: str) -> None:
        """The node left, or rebooted."""
        self._of_node.pop(uid, None)
