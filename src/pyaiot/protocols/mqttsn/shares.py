# SPDX-License-Identifier: BSD-3-Clause
"""Byte quotas: for all clients of a gateway, for the clients of a host, for a client. Pure."""

from typing import Final

ENTRY_BYTES: Final = 256
"""Bytes that a topic, a topic filter or a message counts in addition to its text."""


class Budget:
    """A limit on bytes in use, which may be part of a larger one."""

    def __init__(self, bytes_max: int, parent: "Budget | None" = None) -> None:
        self.bytes_max = bytes_max
        self.used = 0
        self._parent = parent

    def has_room_for(self, size: int) -> bool:
        if self.used + size > self.bytes_max:
            return False
        return self._parent is None or self._parent.has_room_for(size)

    def add(self, size: int) -> None:
        """Count bytes without a check; a negative number gives them back."""
        self.used += size
        if self._parent is not None:
            self._parent.add(size)


class Account:
    """The bytes that one client uses of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.used = 0

    def take(self, size: int) -> bool:
        """Take the bytes if there is room. Returns whether there was."""
        if not self._budget.has_room_for(size):
            return False
        self.used += size
        self._budget.add(size)
        return True

    def has_room_for(self, size: int) -> bool:
        return self._budget.has_room_for(size)

    def give_back(self, size: int) -> None:
        self.used -= size
        self._budget.add(-size)

    def move(self, budget: Budget) -> None:
        """Move the used bytes to the budget of another host."""
        self._budget.add(-self.used)
        budget.add(self.used)
        self._budget = budget

    def close(self) -> None:
        self.give_back(self.used)
