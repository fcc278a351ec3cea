# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames between two brokers, over a network that loses, delays and duplicates packets.
Pure.

The receiver requests a stream and chooses its generation. The sender answers with a snapshot, and
then sends changes. A missing frame ends the generation, and the receiver requests the next one. A
stream therefore needs no acknowledgements and no retransmission buffer.
"""

from typing import Final

REQUEST_INTERVAL_S: Final = 1.0
"""How long a receiver waits for the first frame of a generation before it requests another one."""
REQUEST_INTERVAL_MAX_S: Final = 4.0
"""Longest interval between requests: it is doubled after each attempt."""
REORDER_S: Final = 0.5
REORDER_FRAMES_MAX: Final = 32
"""How long, and by how many frames, a frame may be late. After that it is missing."""


class OutgoingStream:
    """The stream to one broker."""

    def __init__(self) -> None:
        self.generation = -1
        self.is_active = False
        """Whether the receiver has requested it. Otherwise nothing is sent."""
        self.next_number = 0

    def receive_request(self, generation: int) -> bool:
        """Begin a generation with a snapshot. Returns False for an outdated request."""
        if generation <= self.generation:
            return False
        self.generation, self.next_number, self.is_active = generation, 0, True
        return True

    def end(self) -> None:
        """The receiver is lost. It sends a request when it is back."""
        self.is_active = False

    def take_number(self) -> int:
        """The number of the next frame."""
        self.next_number += 1
        return self.next_number - 1


class IncomingStream:
    """The stream from one broker."""

    def __init__(self, now: float) -> None:
        self.generation = 0
        self.next_number = 0
        self.is_broken = False
        """A frame is missing, so another generation is needed."""
        self.confirmed_at = now
        """When the stream was last known to be complete."""
        self._early: dict[int, bytes] = {}
        """Frames received after a missing one."""
        self._sent = 0
        """Frames known to have been sent."""
        self._behind_since: float | None = None
        self._requested_at: float | None = None
        self._interval_s = REQUEST_INTERVAL_S

    def receive(
        self, generation: int, number: int, body: bytes, now: float
    ) -> list[tuple[int, bytes]]:
        """Add a frame. Returns the frames to apply now, in order, with their numbers."""
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
        """Handle the position in a beacon; None: the sender does not send this stream."""
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
        if self.next_number != self._sent and self._behind_since is None:
            self._behind_since = now
        if len(self._early) > REORDER_FRAMES_MAX:
            self.is_broken = True

    def sender_returned(self) -> None:
        """The sender is back: request a stream soon."""
        self._interval_s = REQUEST_INTERVAL_S

    def request_due(self, now: float) -> bool:
        """Whether to request a generation now."""
        if self._behind_since is not None and now - self._behind_since > REORDER_S:
            self.is_broken = True
        if self.next_number and not self.is_broken:
            return False
        return self._requested_at is None or now - self._requested_at >= self._interval_s

    def requested(self, generation: int, now: float) -> None:
        """Record that this generation was requested."""
        if self._requested_at is not None and self.next_number == 0:
            self._interval_s = min(REQUEST_INTERVAL_MAX_S, self._interval_s * 2)
        self.generation, self.next_number, self.is_broken = generation, 0, False
        self._sent, self._behind_since = 0, None
        self._early.clear()
        self._requested_at = now
