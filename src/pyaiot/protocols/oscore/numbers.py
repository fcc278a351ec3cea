# SPDX-License-Identifier: BSD-3-Clause
"""Sequence numbers of one context: those to send, and those received (RFC 8613). Pure."""

from collections import deque
from typing import Final, NamedTuple

REPLAY_WINDOW: Final = 64
"""Number of received sequence numbers that are remembered individually. Lower ones count as
received (section 7.4 has 32)."""


class SequenceNumbers:
    """The sender sequence numbers of reserved blocks. Each is used once (section 7.2.1).

    A block is reserved in storage before it is added here, so a number is not reused after the
    process was killed (Appendix B.1.1).
    """

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, int]] = deque()
        self.left = 0

    def add(self, first: int, end: int) -> None:
        """Add the reserved numbers from `first` up to, but not including, `end`."""
        if first < end:
            self._blocks.append((first, end))
            self.left += end - first

    def take(self) -> int | None:
        """A number that was never used; None if no reserved number is left."""
        if not self._blocks:
            return None
        first, end = self._blocks.popleft()
        if first + 1 < end:
            self._blocks.appendleft((first + 1, end))
        self.left -= 1
        return first


class Received(NamedTuple):
    """The state of a replay window. It is stored to continue after a restart."""

    highest: int = -1
    """The highest received number; -1 if there is none."""
    below: int = 0
    """Bit n: `highest` - n was received."""


def received_up_to(number: int) -> Received:
    """The state in which only higher numbers are new."""
    return Received(number, (1 << REPLAY_WINDOW) - 1)


class ReplayWindow:
    """The received sequence numbers (section 7.4)."""

    __slots__ = ("_below", "_highest")

    def __init__(self, received: Received | None = None) -> None:
        """`received` None: no message was received yet."""
        self._highest, self._below = received or Received()

    @property
    def received(self) -> Received:
        return Received(self._highest, self._below)

    def is_new(self, number: int) -> bool:
        """Whether a message with this number may be accepted."""
        age = self._highest - number
        return age < 0 or (age < REPLAY_WINDOW and not self._below >> age & 1)

    def add(self, number: int) -> None:
        """Mark a number as received. Only after its message was decrypted."""
        age = self._highest - number
        if age >= 0:
            self._below |= 1 << age
        else:
            self._below = (self._below << min(-age, REPLAY_WINDOW) | 1) & (1 << REPLAY_WINDOW) - 1
            self._highest = number
