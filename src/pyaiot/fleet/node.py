# SPDX-License-Identifier: BSD-3-Clause
"""What virtual nodes of all protocols have in common. Pure."""

from abc import ABC, abstractmethod
from typing import Final

from pyaiot.fleet.ledger import Series

RESOURCE: Final = "reading"
"""The resource whose values are counted. No node lists it, so that no discovery reads it too."""
WAITING_MAX: Final = 12
"""Readings of one node that wait for their acknowledgement. Beyond, it makes none."""
TRIES_MAX: Final = 10
"""How often a reading is sent that is refused for now. Then its node gives it up."""


class VirtualNode(ABC):
    """A node of the fleet. `now` is in seconds, on a clock that never goes back."""

    def __init__(self, uid: str, series: Series) -> None:
        self.uid = uid
        self.series = series
        self.waiting: dict[int, int] = {}
        """Readings without an acknowledgement, and how often each was sent; the oldest first."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether its gateway took it in."""

    @abstractmethod
    def _say(self, number: int, *, now: float) -> bool:
        """Send a reading. Whether it left the node."""

    def read(self, *, now: float) -> None:
        """A reading is due."""
        if not self.is_connected or len(self.waiting) >= WAITING_MAX:
            self.series.account.skipped += 1
            return
        number = self.series.send(now=now)
        self.waiting[number] = 1
        if not self._say(number, now=now):
            self._give_up(number)

    def _acknowledged(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.acknowledge(number)

    def _refused(self, number: int, why: str, *, for_now: bool) -> bool:
        """Whether the node shall send it again, later."""
        self.series.account.refusals[why] += 1
        tries = self.waiting.get(number)
        if tries is None:
            return False
        if not for_now or tries >= TRIES_MAX:
            self._give_up(number)
            return False
        self.waiting[number] = tries + 1
        return True

    def _give_up(self, number: int) -> None:
        if self.waiting.pop(number, None) is not None:
            self.series.abandon(number)
