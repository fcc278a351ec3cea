# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames between two brokers, over a network that loses, delays and duplicates. Pure.

The receiver asks for a stream and chooses its generation; the sender answers with a snapshot and
then sends what changes. A frame that is missing ends the generation: the receiver asks for the next
one. So a stream needs no acknowledgements and no buffer of what was sent.
"""

from typing import Final

REQUEST_INTERVAL_S: Final = 1.0
"""How long a receiver waits for the first frame of a generation before it asks for another one."""
REQUEST_INTERVAL_MAX_S: Final = 4.0
"""The same after several attempts: the interval is doubled with each, up to this."""
REORDER_S: Final = 0.5
REORDER_FRAMES_MAX: Final = 32
"""How long, and with how many frames after it, a frame may be late. Then it is missing."""


class OutgoingStream:
    """To one broker."""

    def __init__(self) -> None:
        self.generation = -1
        self.is_active = False
        """The receiver has asked for it. Otherwise nothing is sent."""
        self.next_number = 0

    def receive_request(self, generation: int) -> bool:
        """Begin a generation with a snapshot. False: the request is an old one."""
        if generation <= self.generation:
            return False
        self.generation, self.next_number, self.is_active = generation, 0, True
        return True

    def end(self) -> None:
        """The receiver is lost. It asks again when it is back."""
        self.is_active = False

    def take_number(self) -> int:
        """The number of the frame that is sent next."""
        self.next_number += 1
        return self.next_number - 1


class IncomingStream:
    """From one broker."""

    def __init__(self, now: float) -> None:
        self.generation = 0
        self.next_number = 0
        self.is_broken = False
        """A frame is missing: another generation is needed."""
        self.confirmed_at = now
        """When it was last known to be complete."""
        self._early: dict[int, bytes] = {}
        """Frames after one that has not arrived."""
        self._sent = 0
        """Frames that the sender has sent, as far as is known."""
        self._behind_since: float | None = None
        self._requested_at: float | None = None
        self._interval_s = REQUEST_INTERVAL_S

    def receive(
        self, generation: int, number: int, body: bytes, now: float
    ) -> list[tuple[int, bytes]]:
        """The frames to be applied now, in order, with their numbers."""
        if generation != self.generation or self.is_broken or number < self.next_number:
            return []  # of before, or a duplicate
        self._early[number] = body
        self._sent = max(self._sent, number + 1)
        ready = []
        while self.next_number in self._early:
            ready.append((self.next_number, self._early.pop(self.next_number)))
            self.next_number += 1
        if ready:
            self._behind_since = None
            self.confirmed_at = now
            self._interval_s = REQUEST_INTERVAL_S
        self._check(now)
        return ready

    def receive_position(self, position: tuple[int, int] | None, now: float) -> None:
        """The position that the sender reports; None: it does not send this stream."""
        if self.is_broken or self.next_number == 0:
            return  # a request is on the way
        if position is None:
            self.is_broken = True
        elif position[0] == self.generation:
            self._sent = max(self._sent, position[1])
            if position[1] == self.next_number:
                self.confirmed_at = now
            self._check(now)

    def _check(self, now: float) -> None:
        """Frames may be late."""
        if self.next_number == self._sent:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        if len(self._early) > REORDER_FRAMES_MAX:
            self.is_broken = True

    def sender_returned(self) -> None:
        """The sender is back: ask again soon."""
        self._interval_s = REQUEST_INTERVAL_S

    def request_due(self, now: float) -> bool:
        """Whether to ask for a generation now."""
        if self._behind_since is not None and now - self._behind_since > REORDER_S:
            self.is_broken = True
        if self.next_number and not self.is_broken:
            return False
        return self._requested_at is None or now - self._requested_at >= self._interval_s

    def requested(self, generation: int, now: float) -> None:
        """This generation was asked for."""
        if self._requested_at is not None and self.next_number == 0:
            self._interval_s = min(REQUEST_INTERVAL_MAX_S, self._interval_s * 2)
        self.generation, self.next_number, self.is_broken = generation, 0, False
        self._sent, self._behind_since = 0, None
        self._early.clear()
        self._requested_at = now
