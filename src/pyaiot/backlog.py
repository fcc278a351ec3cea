# SPDX-License-Identifier: BSD-3-Clause
"""A bounded queue for one receiver that conflates readings to the latest. Pure."""

import itertools
import sys
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from pyaiot.errors import PyaiotError
from pyaiot.messages import (
    Message,
    NodeDescribed,
    NodesSeen,
    Reading,
    RegisteredNode,
    UidsSecured,
    encode,
)

ENTRY_COST: Final = 250
"""Bytes of one waiting message besides its text: the object, its key, its slot in the table."""
_LETTER_SIZE: Final = 4
"""Most bytes of a character, in memory and in UTF-8."""
_ESCAPE_SIZE: Final = 6
"""Most bytes of a character in JSON: `\\u0000`."""
_SHORT_LENGTH: Final = 32
"""Texts of up to this many characters are not measured: the worst case is assumed."""

M = TypeVar("M", bound=Message)


class BacklogFull(PyaiotError):
    """The receiver is too far behind: close its link. It gets the state when it reconnects."""


class Backlog(Generic[M]):
    """Messages in order. Beyond `plain_max`, a reading replaces the waiting one of its resource.

    Other messages are never replaced. Beyond `cost_max` bytes, only the latest reading of each
    resource is kept until the backlog is empty; if that is not enough, `add` raises `BacklogFull`.
    """

    __slots__ = (
        *("_cost", "_cost_max", "_count", "_entries", "_latest_only", "_plain_max"),
        "conflated",
    )

    def __init__(self, *, cost_max: int, plain_max: int = 0) -> None:
        self._entries: dict[int | tuple[str, str], tuple[M, int]] = {}
        """Messages and the cost of each."""
        self._cost = 0
        self._cost_max = cost_max
        self._plain_max = plain_max
        self._count = 0
        self._latest_only = False
        self.conflated = 0
        """Readings that a later one of the same resource replaced, since the start."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def cost(self) -> int:
        """Bytes that wait."""
        return self._cost

    def add(self, message: M) -> None:
        """Append a message. Raises `BacklogFull` at the limit, and is empty then."""
        self._add(message, cost(message))

    def _add(self, message: M, message_cost: int) -> None:
        if self._cost + message_cost > self._cost_max and not self._latest_only:
            self._keep_latest()
        key: int | tuple[str, str]
        if isinstance(message, Reading) and (
            self._latest_only or len(self._entries) >= self._plain_max
        ):
            key = (message.uid, message.resource)
            waiting = self._entries.pop(key, None)
            if waiting is not None:
                # Appended again below: the messages of a node must stay in order.
                self._cost -= waiting[1]
                self.conflated += 1
        else:
            self._count += 1
            key = self._count
        if self._cost + message_cost > self._cost_max:
            behind = len(self._entries)
            self._entries.clear()
            self._latest_only = False
            self._cost = 0
            raise BacklogFull(f"too slow: {behind} messages behind")
        self._entries[key] = message, message_cost
        self._cost += message_cost

    def _keep_latest(self) -> None:
        """Remove all readings but the latest of each resource, which keeps its place."""
        self._latest_only = True
        kept: list[tuple[int | tuple[str, str], tuple[M, int]]] = []
        seen: set[tuple[str, str]] = set()
        for key, entry in reversed(self._entries.items()):
            message = entry[0]
            if isinstance(message, Reading):
                resource = message.uid, message.resource
                if resource in seen:
                    self._cost -= entry[1]
                    self.conflated += 1
                    continue
                seen.add(resource)
                kept.append((resource, entry))
            else:
                kept.append((key, entry))
        self._entries = dict(reversed(kept))

    def add_all(self, messages: Sequence[M], costs: Sequence[int]) -> None:
        """Append messages, each with its `cost`. Raises `BacklogFull` as `add` does."""
        count = len(messages)
        total = sum(costs)
        is_plain = len(self._entries) + count <= self._plain_max and not self._latest_only
        if not is_plain or self._cost + total > self._cost_max:
            for message, message_cost in zip(messages, costs, strict=True):
                self._add(message, message_cost)
            return
        first = self._count + 1
        self._count += count
        self._cost += total
        keys = range(first, first + count)
        self._entries.update(zip(keys, zip(messages, costs, strict=True), strict=True))

    def take(self, count_max: int, cost_max: int = sys.maxsize) -> list[M]:
        """Remove and return the oldest messages.

        At most `count_max`, and no more once they cost `cost_max` bytes together.
        """
        if len(self._entries) <= count_max and self._cost <= cost_max:
            everything = [message for message, _ in self._entries.values()]
            self._entries.clear()
            self._latest_only = False
            self._cost = 0
            return everything
        taken = []
        taken_cost = 0
        for message, message_cost in itertools.islice(self._entries.values(), count_max):
            taken.append(message)
            taken_cost += message_cost
            if taken_cost >= cost_max:
                break
        if len(taken) == len(self._entries):
            self._entries.clear()
            self._latest_only = False
        else:
            for key in list(itertools.islice(self._entries, len(taken))):
                del self._entries[key]
        self._cost -= taken_cost
        return taken


_NUMBERS: Final = frozenset({int, float})


def cost(message: Message) -> int:
    """Approximate bytes of a message in memory or on the wire, whichever is more."""
    if isinstance(message, Reading):
        data = message.data
        names = _LETTER_SIZE * (len(message.uid) + len(message.resource))
        if isinstance(data, str) and len(data) <= _SHORT_LENGTH:
            return ENTRY_COST + names + _ESCAPE_SIZE * len(data)
        if type(data) in _NUMBERS:
            return ENTRY_COST + names + sys.getsizeof(data)
        return ENTRY_COST + names + _value_cost(data)
    if isinstance(message, RegisteredNode | NodeDescribed | NodesSeen | UidsSecured):
        return ENTRY_COST + len(encode(message))
    text = len(getattr(message, "uid", "")) + len(getattr(message, "detail", ""))
    return ENTRY_COST + _LETTER_SIZE * max(0, text - _SHORT_LENGTH)


def costs(messages: Sequence[Message]) -> list[int]:
    """The `cost` of each message. The usual reading, with a short text, is written out."""
    return [
        ENTRY_COST
        + _LETTER_SIZE * (len(message.uid) + len(message.resource))
        + _ESCAPE_SIZE * len(message.data)
        if type(message) is Reading
        and type(message.data) is str
        and len(message.data) <= _SHORT_LENGTH
        else cost(message)
        for message in messages
    ]


def _value_cost(value: object) -> int:
    if isinstance(value, str):
        # One emoji makes every character as large as itself; escapes are longer on the wire.
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
