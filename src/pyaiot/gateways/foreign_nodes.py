# SPDX-License-Identifier: BSD-3-Clause
"""The nodes that the broker refused to a gateway because another gateway owns them. Pure.

`now` is the loop's time in seconds.
"""

from typing import Final

CLAIM_AGAIN_S: Final = 10.0
"""Delay before a node of another gateway is claimed again."""
FOREIGN_S: Final = CLAIM_AGAIN_S + 2.0
"""How long the broker is assumed to refuse the node after such a refusal: until it is claimed
again, and the broker has answered."""


class ForeignNodes:
    """Remembers the refusals. The broker does not report when it accepts a node."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        """For each node, the time until which the broker is assumed to refuse it."""

    def refused(self, uid: str, *, now: float) -> None:
        """The broker refused a message about this node. Call `forget` when the node leaves."""
        self.until[uid] = now + FOREIGN_S

    def remaining_s(self, uid: str, *, now: float) -> float:
        """Seconds for which the broker is assumed to refuse this node; 0: it accepts it."""
        if not self.until:
            return 0.0
        until = self.until.get(uid)
        if until is None:
            return 0.0
        if until <= now:
            del self.until[uid]
            return 0.0
        return until - now

    def forget(self, uid: str) -> None:
        self.until.pop(uid, None)
