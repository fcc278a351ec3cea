# SPDX-License-Identifier: BSD-3-Clause
"""Resources of nodes that are observed (RFC 7641) or polled. Pure.

`now` is the loop's time in seconds. The caller reads what `handle_timer` returns, and reports the
outcome: `receive_response` or `handle_failure`.
"""

import heapq
import itertools
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Final, Generic, TypeVar

import msgspec

from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.observe import NotificationNumber

OBSERVATIONS_PER_NODE_MAX: Final = 64
"""Largest number of resources of one node that are observed or polled. Further ones are read once,
at discovery."""
OBSERVATIONS_MAX: Final = 200_000
"""The same for all nodes together."""
MAX_AGE_LIMIT_S: Final = 86_400.0
"""Longest Max-Age of a notification that is honoured. After it the node is queried again."""
AGAIN_MIN_S: Final = 30.0
"""Delay after a failure before the next attempt. It is doubled with each further failure."""
AGAIN_MAX_S: Final = 3600.0
"""The longest time between two attempts."""
FLOOD_MAX: Final = 100
"""Number of consecutive notifications above the rate limit of a node that ends an observation."""
_EXTRA_S: Final = (5.0, 15.0)
"""RFC 7641 section 3.3.1: a client registers again this long after Max-Age has passed without a
notification."""

P = TypeVar("P")


class Observation(msgspec.Struct, Generic[P], eq=False):
    """A resource of a node. `path` is percent-encoded, with `/` first and its query."""

    uid: str
    resource: str
    path: str
    peer: P
    token: bytes
    observes: bool
    """Whether the node is requested to send notifications."""
    due_at: float
    accept: int | None = None
    """The Content-Format to request."""
    known: NotificationNumber | None = None
    """The last notification; None if no observation is established."""
    failures: int = 0
    too_fast: int = 0
    queued_at: float = 0.0
    ended: bool = False
    """Whether the observation was cancelled: later notifications are ignored."""
    registering: int = 0
    """Number of requests with its token that wait for a response, which may look like a
    notification."""


class ResponseKind(Enum):
    """The relation of a response to previous ones."""

    FRESH = "fresh"
    STALE = "stale"
    """A newer notification was received before it."""
    ERROR = "error"


class Observations(Generic[P]):
    """All resources that are observed or polled."""

    def __init__(self, *, poll_s: float, random: Random, next_token: Callable[[], bytes]) -> None:
        """`poll_s` 0: resources that are not observable are read once."""
        self._poll_s = poll_s
        self._random = random
        self._next_token = next_token
        self._of_node: dict[str, dict[str, Observation[P]]] = {}
        self._by_token: dict[bytes, Observation[P]] = {}
        self._due: list[tuple[float, int, Observation[P]]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._by_token)

    def add(
        self,
        uid: str,
        resource: str,
        path: str,
        peer: P,
        *,
        observable: bool,
        now: float,
        accept: int | None = None,
    ) -> Observation[P] | None:
        """Observe or poll a resource, which the caller reads now. Returns None if it is not
        observed, because it is not observable or a limit is reached."""
        self._remove(uid, path)
        if not observable and not self._poll_s:
            return None
        of_node = self._of_node.get(uid, {})
        if len(of_node) >= OBSERVATIONS_PER_NODE_MAX or len(self._by_token) >= OBSERVATIONS_MAX:
            return None
        token = self._next_token()
        observation = Observation(
            uid, resource, path, peer, token, observable, now + AGAIN_MIN_S, accept
        )
        self._of_node.setdefault(uid, of_node)[path] = observation
        self._by_token[token] = observation
        self._queue(observation)
        return observation

    def by_token(self, token: bytes) -> Observation[P] | None:
        return self._by_token.get(token)

    def of_node(self, uid: str) -> list[Observation[P]]:
        return list(self._of_node.get(uid, {}).values())

    def receive_response(
        self,
        observation: Observation[P],
        code: int,
        number: int | None,
        max_age_s: float,
        *,
        now: float,
    ) -> ResponseKind:
        """Process a response or a notification."""
        if number is not None and code < Code.BAD_REQUEST:
            sequence = NotificationNumber(number, now)
            if observation.known is not None and not observation.known.is_followed_by(sequence):
                return ResponseKind.STALE
            self.receive_next(observation, sequence, max_age_s)
            return ResponseKind.FRESH
        # Section 4.2: after an error, or without the option, the observation has ended.
        observation.known = None
        if code != Code.CONTENT:
            self._retry_later(observation, now)
            return ResponseKind.ERROR
        if observation.observes:
            self._retry_later(observation, now)
        else:
            observation.failures = 0
            self._poll_later(observation, now)
        return ResponseKind.FRESH

    def notified(self, token: bytes, peer: P) -> Observation[P] | None:
        """The observation whose notification has this token; None if it is not established, or if
        this may be the response to a request."""
        observation = self._by_token.get(token)
        if (
            observation is None
            or observation.known is None
            or observation.registering
            or (observation.peer is not peer and observation.peer != peer)
        ):
            return None
        return observation

    def receive_next(
        self, observation: Observation[P], sequence: NotificationNumber, max_age_s: float
    ) -> None:
        """Process a notification that is newer than `observation.known`."""
        observation.known = sequence
        observation.failures = 0
        extra_s = self._random.uniform(*_EXTRA_S)
        observation.due_at = sequence.at + min(max_age_s, MAX_AGE_LIMIT_S) + extra_s
        self._queue(observation)

    def handle_failure(self, observation: Observation[P], *, now: float) -> None:
        """The node did not answer, or reset it."""
        observation.known = None
        self._retry_later(observation, now)

    def too_fast(self, observation: Observation[P], *, now: float) -> bool:
        """A notification was refused. Returns whether to end the observation with a reset."""
        observation.too_fast += 1
        if observation.too_fast < FLOOD_MAX:
            return False
        observation.too_fast = 0
        self.handle_failure(observation, now=now)
        return True

    def handle_timer(self, *, now: float) -> list[Observation[P]]:
        """The resources to read now. Report each with `receive_response` or `handle_failure`."""
        found = []
        while self._due and self._due[0][0] <= now:
            queued_at, _, observation = heapq.heappop(self._due)
            if observation.ended or observation.queued_at != queued_at:
                continue
            observation.queued_at = 0.0
            if observation.due_at > now:
                self._queue(observation)  # a notification arrived meanwhile
                continue
            observation.due_at = now + AGAIN_MAX_S
            self._queue(observation)
            found.append(observation)
        return found

    def get_timer(self) -> float | None:
        """The loop's time at which to call `handle_timer`."""
        return self._due[0][0] if self._due else None

    def forget(self, uid: str) -> list[Observation[P]]:
        """The node left, or rebooted: its observations, which have ended."""
        ended = list(self._of_node.pop(uid, {}).values())
        for observation in ended:
            self._end(observation)
        return ended

    def _remove(self, uid: str, path: str) -> None:
        observation = self._of_node.get(uid, {}).pop(path, None)
        if observation is not None:
            self._end(observation)

    def _end(self, observation: Observation[P]) -> None:
        observation.ended = True
        del self._by_token[observation.token]

    def _retry_later(self, observation: Observation[P], now: float) -> None:
        wait_s = min(AGAIN_MIN_S * 2**observation.failures, AGAIN_MAX_S)
        observation.failures = min(observation.failures + 1, 16)
        if self._poll_s:
            wait_s = min(wait_s, max(self._poll_s, AGAIN_MIN_S))
        observation.due_at = now + wait_s * self._random.uniform(0.8, 1.2)
        self._queue(observation)

    def _poll_later(self, observation: Observation[P], now: float) -> None:
        # Randomised, so that nodes that appeared together are not always polled together.
        observation.due_at = now + self._poll_s * self._random.uniform(0.8, 1.2)
        self._queue(observation)

    def _queue(self, observation: Observation[P]) -> None:
        """At most one entry per observation is current. A later due time is found when it is
        due."""
        if observation.queued_at and observation.queued_at <= observation.due_at:
            return
        observation.queued_at = observation.due_at
        heapq.heappush(self._due, (observation.due_at, next(self._numbers), observation))
