# SPDX-License-Identifier: BSD-3-Clause
"""What nodes left unanswered, to be asked again at a sign of life. Pure.

`now` is the loop's time in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyaiot.protocols.link_format import CoreLink

RETRY_MIN_S: Final = 2.0
"""After a node left something unanswered, readings before this do not make it be asked again;
twice as long after each further time. An `alive` does at once."""
RETRY_MAX_S: Final = 30.0
"""The longest such time."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What one node left unanswered."""

    links: tuple[CoreLink, ...] | None
    """The resources; None: its list of resources."""
    times: int
    again_at: float


class UnansweredRequests:
    """The nodes that have left something unanswered."""

    def __init__(self) -> None:
        self._of_node: dict[str, Unanswered] = {}

    def __len__(self) -> int:
        return len(self._of_node)

    def __contains__(self, uid: str) -> bool:
        return uid in self._of_node

    def is_due(self, uid: str, *, now: float) -> bool:
        """Whether a node that posts a reading now is to be asked again."""
        found = self._of_node.get(uid)
        return found is not None and now >= found.again_at

    def take(self, uid: str) -> Unanswered | None:
        """What to ask of this node; it is being asked from now on."""
        return self._of_node.pop(uid, None)

    def add(
        self, uid: str, links: Sequence[CoreLink] | None, before: Unanswered | None, *, now: float
    ) -> None:
        """The node left this unanswered. `before`: what `take` returned for this attempt."""
        times = 0 if before is None else before.times
        wait_s = min(RETRY_MIN_S * 2**times, RETRY_MAX_S)
        kept = None if links is None else tuple(links)
        self._of_node[uid] = Unanswered(kept, min(times + 1, 16), now + wait_s)

    def forget(self, uid: str) -> None:
        """The node left, or begins anew."""
        self._of_node.pop(uid, None)
