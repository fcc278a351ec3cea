# SPDX-License-Identifier: BSD-3-Clause
"""What a reader has not had yet: bounded, with the readings conflated to the latest. Pure."""

from typing import Final, Generic, TypeVar

from pyaiot.errors import PyaiotError
from pyaiot.messages import Message, Reading

ENTRY_COST: Final = 250
"""Bytes that one waiting message costs here besides its text: a key and a table slot."""


M = TypeVar("M", bound=Message)


class BacklogFull(PyaiotError):
    """The reader is too far behind: end its link. It gets everything when it comes back."""


class Backlog(Generic[M]):
    """Messages in order. Beyond `plain_max`, a reading replaces the waiting one of its resource.

    Everything that is not a reading is kept. Beyond `cost_max` bytes, `BacklogFull`.
    """

    __slots__ = ("_cost", "_cost_max", "_count", "_entries", "_plain_max", "conflated")

    def __init__(self, *, cost_max: int, plain_max: int = 0) -> None:
        self._entries: dict[int | tuple[str, str], M] = {}
        self._cost = 0
        self._cost_max = cost_max
        self._plain_max = plain_max
        self._count = 0
        self.conflated = 0
        """Readings that a later one of the same resource replaced, ever."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: M) -> None:
        """Append a message. Raises `BacklogFull`, and then holds nothing more."""
        key: int | tuple[str, str]
        if isinstance(message, Reading) and len(self._entries) >= self._plain_max:
            key = (message.uid, message.resource)
            waiting = self._entries.pop(key, None)
            if waiting is not None:
                # Appended anew below: the order among a node's messages must stay true.
                self._cost -= _cost(waiting)
                self.conflated += 1
        else:
            self._count += 1
            key = self._count
        cost = _cost(message)
        if self._cost + cost > self._cost_max:
            behind = len(self._entries)
            self._entries.clear()
            self._cost = 0
            raise BacklogFull(f"too slow: {behind} messages behind")
        self._entries[key] = message
        self._cost += cost

    def take(self, count_max: int) -> list[M]:
        """The oldest messages, at most `count_max`, which are then no longer here."""
        if len(self._entries) <= count_max:
            taken = list(self._entries.values())
            self._entries.clear()
            self._cost = 0
            return taken
        keys = [key for key, _ in zip(self._entries, range(count_max), strict=False)]
        taken = [self._entries.pop(key) for key in keys]
        self._cost -= sum(map(_cost, taken))
        return taken


def _cost(message: Message) -> int:
    if isinstance(message, Reading) and isinstance(message.data, str):
        return ENTRY_COST + len(message.data)
    return ENTRY_COST
