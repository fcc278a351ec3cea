# SPDX-License-Identifier: BSD-3-Clause
"""What a reader has not had yet: bounded, with the readings conflated to the latest. Pure."""

import itertools
import sys
from typing import Final, Generic, TypeVar

from pyaiot.errors import PyaiotError
from pyaiot.messages import Message, Reading, encode

ENTRY_COST: Final = 250
"""Bytes that one waiting message costs besides its text: itself, a key, a table slot."""
_LETTER_SIZE: Final = 4
"""Bytes of a character at most, here and in UTF-8."""
_ESCAPE_SIZE: Final = 6
"""Bytes of a character at most in JSON: `\\u0000`."""
_SHORT_LENGTH: Final = 32
"""Text of at most so many characters is not measured but taken for the worst."""

M = TypeVar("M", bound=Message)


class BacklogFull(PyaiotError):
    """The reader is too far behind: end its link. It gets everything when it comes back."""


class Backlog(Generic[M]):
    """Messages in order. Beyond `plain_max`, a reading replaces the waiting one of its resource.

    Everything that is not a reading is kept. Beyond `cost_max` bytes, `BacklogFull`.
    """

    __slots__ = ("_cost", "_cost_max", "_count", "_entries", "_plain_max", "conflated")

    def __init__(self, *, cost_max: int, plain_max: int = 0) -> None:
        self._entries: dict[int | tuple[str, str], tuple[M, int]] = {}
        """Messages and what each costs."""
        self._cost = 0
        self._cost_max = cost_max
        self._plain_max = plain_max
        self._count = 0
        self.conflated = 0
        """Readings that a later one of the same resource replaced, ever."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def cost(self) -> int:
        """Bytes of what waits."""
        return self._cost

    def add(self, message: M) -> None:
        """Append a message. Raises `BacklogFull`, and then holds nothing more."""
        key: int | tuple[str, str]
        if isinstance(message, Reading) and len(self._entries) >= self._plain_max:
            key = (message.uid, message.resource)
            waiting = self._entries.pop(key, None)
            if waiting is not None:
                # Appended anew below: the order among a node's messages must stay true.
                self._cost -= waiting[1]
                self.conflated += 1
        else:
            self._count += 1
            key = self._count
        message_cost = cost(message)
        if self._cost + message_cost > self._cost_max:
            behind = len(self._entries)
            self._entries.clear()
            self._cost = 0
            raise BacklogFull(f"too slow: {behind} messages behind")
        self._entries[key] = message, message_cost
        self._cost += message_cost

    def take(self, count_max: int, cost_max: int = sys.maxsize) -> list[M]:
        """The oldest messages, which are then no longer here.

        At most `count_max`, and no more once they cost `cost_max` bytes together.
        """
        taken = []
        taken_cost = 0
        for message, message_cost in itertools.islice(self._entries.values(), count_max):
            taken.append(message)
            taken_cost += message_cost
            if taken_cost >= cost_max:
                break
        if len(taken) == len(self._entries):
            self._entries.clear()
        else:
            for key in list(itertools.islice(self._entries, len(taken))):
                del self._entries[key]
        self._cost -= taken_cost
        return taken


def cost(message: Message) -> int:
    """Bytes that a message holds while it waits, or takes on the wire: the more, about."""
    if isinstance(message, Reading):
        data = message.data
        names = _LETTER_SIZE * (len(message.uid) + len(message.resource))
        if isinstance(data, str) and len(data) <= _SHORT_LENGTH:
            return ENTRY_COST + names + _ESCAPE_SIZE * len(data)
        return ENTRY_COST + names + _value_cost(data)
    text = len(getattr(message, "uid", "")) + len(getattr(message, "detail", ""))
    return ENTRY_COST + _LETTER_SIZE * max(0, text - _SHORT_LENGTH)


def _value_cost(value: object) -> int:
    if isinstance(value, str):
        # Beside one emoji every letter takes as much as it; escapes are longer on the wire.
        return max(sys.getsizeof(value), len(encode(value)))
    size = 0
    values = [value]
    while values:
        item = values.pop()
        size += sys.getsizeof(item)
        if isinstance(item, dict):
            values += item.keys()
            values += item.values()
        elif isinstance(item, list):
            values += item
    return size
