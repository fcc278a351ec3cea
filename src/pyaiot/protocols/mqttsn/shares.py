# SPDX-License-Identifier: BSD-3-Clause
"""How many bytes the clients of a gateway may hold in all, and those of one host of these. Pure."""

from typing import Final

ENTRY_BYTES: Final = 256
"""What a topic, a filter or a message counts for besides its own bytes."""


class Budget:
    """Bytes that may be held at once, within those of a parent."""

    def __init__(self, bytes_max: int, parent: "Budget | None" = None) -> None:
        self.bytes_max = bytes_max
        self.used = 0
        self._parent = parent

    def has_room_for(self, size: int) -> bool:
        if self.used + size > self.bytes_max:
            return False
        return self._parent is None or self._parent.has_room_for(size)

    def add(self, size: int) -> None:
        """Count it, whether there is room or not; negative to give back."""
        self.used += size
        if self._parent is not None:
            self._parent.add(size)


class Account:
    """What one client holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.used = 0

    def take(self, size: int) -> bool:
        """Whether there is room; it is taken then."""
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
        """The client is on another host: it holds what it holds there."""
        self._budget.add(-self.used)
        budget.add(self.used)
        self._budget = budget

    def close(self) -> None:
        self.give_back(self.used)
