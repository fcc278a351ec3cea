# SPDX-License-Identifier: BSD-3-Clause
"""The pauses between attempts to connect: one policy, with the figures of each caller. Pure."""

import random
from typing import Final

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
"""Interval between attempts to connect: doubled with each failure, from the first up to this."""
STEADY_S: Final = 10.0
"""A connection that lasted this long counts as a success: the next pause is the first one again."""
STEADY_LINK_S: Final = 2.0
"""The same for the link of a gateway: the brokers of a cluster may be ended one after another, and
each of them keeps the link for some seconds only."""
JITTER: Final = 0.5
"""The part of a pause that is random, so that clients which lost the same server do not return at
the same moment."""
_DOUBLINGS_MAX: Final = 30
_SHARED_RNG: Final = random.Random()  # noqa: S311 - it only spreads load
"""One generator for all: each takes 3 kB, and a gateway has a policy for each of its clients."""


class Backoff:
    """Report each outcome; `failed` returns the pause before the next attempt.

    The pause doubles with each failure, from `first_s` to `limit_s`. It is `first_s` again after a
    connection that lasted `steady_s`. `now` is in seconds, on any clock that never goes back.
    """

    __slots__ = (
        *("_connected_at", "_failures", "_first_s", "_jitter", "_limit_s", "_rng", "_steady_s"),
    )

    def __init__(
        self,
        *,
        first_s: float = PAUSE_FIRST_S,
        limit_s: float = PAUSE_MAX_S,
        steady_s: float = STEADY_S,
        jitter: float = JITTER,
        rng: random.Random | None = None,
    ) -> None:
        """`jitter`: 0 for fixed pauses, up to 1 for pauses that may be 0."""
        self._first_s = first_s
        self._limit_s = limit_s
        self._steady_s = steady_s
        self._jitter = jitter
        self._rng = rng or _SHARED_RNG
        self._failures = 0
        self._connected_at: float | None = None

    def connected(self, *, now: float) -> None:
        """The attempt succeeded."""
        self._connected_at = now

    def is_steady(self, *, now: float) -> bool:
        """Whether there is a connection that has lasted `steady_s`."""
        return self._connected_at is not None and now - self._connected_at >= self._steady_s

    def failed(self, *, now: float) -> float:
        """The attempt failed, or the connection was lost. Returns seconds until the next attempt.

        At least `1 - jitter` of the pause.
        """
        if self.is_steady(now=now):
            self._failures = 0
        self._connected_at = None
        pause_s = min(self._limit_s, self._first_s * 2.0 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        return pause_s * self._rng.uniform(1.0 - self._jitter, 1.0)
