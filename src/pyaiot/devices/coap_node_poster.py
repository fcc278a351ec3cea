# SPDX-License-Identifier: BSD-3-Clause
"""What a simulated CoAP node says by itself, to its gateway. Pure.

It posts that it has booted, that it is alive, and each reading of its sensors.
"""

import random
from collections import deque
from collections.abc import Iterator
from typing import Final

from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.schedule import Schedule, next_due
from pyaiot.protocols.coap_message import CoapMessage, build_options
from pyaiot.protocols.coap_numbers import (
    ACK_RANDOM_FACTOR,
    ACK_TIMEOUT_S,
    MAX_RETRANSMIT,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)

# What a board's memory allows.
UNACKNOWLEDGED_MAX: Final = 16  # CON posts under way; beyond, a post is not made at all
TOKENS_MAX: Final = 32  # of our last posts, to know their separate responses; the oldest goes


class CoapNodePoster:
    """Call `boot` first. Send what `posts_to_send` gives, and call it again at `next_wake`.

    `values` is the text of each resource, shared with the server of the node: the readings are
    written to it. `now` is in seconds, on any clock that never goes back.
    """

    def __init__(
        self,
        config: CoapNodeConfig,
        *,
        uid: str,
        values: dict[str, str],
        message_ids: Iterator[int],
        rng: random.Random,
    ) -> None:
        self._uid = uid
        self._values = values
        self._message_ids = message_ids
        self._rng = rng
        self._confirmable = config.confirmable
        self._alive_period_s = config.alive_period_s
        self._alive_due = 0.0
        self._sensors = Schedule(config, rng)
        values.update(self._sensors.read_all())
        self._outbox: list[bytes] = []
        self._unacknowledged: dict[int, _Unacknowledged] = {}
        self._tokens: deque[bytes] = deque(maxlen=TOKENS_MAX)

    def boot(self, *, now: float) -> None:
        """Start, or start again with no post in memory."""
        self._outbox.clear()
        self._unacknowledged.clear()
        self._tokens.clear()
        self._post("alive", f"reset:{self._uid}", now)
        self._post("alive", f"alive:{self._uid}", now)
        self._alive_due = now + self._alive_period_s
        self._sensors.start(now=now)

    @property
    def next_wake(self) -> float:
        """When `posts_to_send` has something to do again, if nothing is received before."""
        return min(
            (
                self._alive_due,
                self._sensors.next_due,
                *(post.due for post in self._unacknowledged.values()),
            )
        )

    def posts_to_send(self, *, now: float) -> list[bytes]:
        if now >= self._alive_due:
            self._alive_due = next_due(self._alive_due, self._alive_period_s, now)
            self._post("alive", f"alive:{self._uid}", now)
        for resource, text in self._sensors.read_due(now=now).items():
            self._values[resource] = text
            self.post_value(resource, now=now)
        self._retransmit(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def post_value(self, resource: str, *, now: float) -> None:
        """Tell the gateway the value that the resource has now."""
        self._post("server", f"{resource}:{self._values[resource]}", now)

    def receive_acknowledgement(self, message_id: int) -> None:
        """An ACK or RST has come: the post with this message id, if any, is not repeated."""
        self._unacknowledged.pop(message_id, None)

    def receive_separate_response(self, token: bytes) -> bool:
        """Whether it answers one of the last posts, which has then arrived and is not repeated.

        RFC 7252 section 5.2.2: the acknowledgement itself may have been lost.
        """
        if token not in self._tokens:
            return False
        for message_id, post in list(self._unacknowledged.items()):
            if post.token == token:
                del self._unacknowledged[message_id]
        return True

    def _post(self, path: str, text: str, now: float) -> None:
        if self._confirmable and len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            return
        message = CoapMessage(
            MessageType.CON if self._confirmable else MessageType.NON,
            Code.POST,
            next(self._message_ids),
            self._rng.randbytes(2),
            build_options(
                (OptionNumber.URI_PATH, path), (OptionNumber.CONTENT_FORMAT, ContentFormat.TEXT)
            ),
            text.encode(),
        )
        data = message.to_bytes()
        self._tokens.append(message.token)
        if self._confirmable:
            wait_s = ACK_TIMEOUT_S * self._rng.uniform(1.0, ACK_RANDOM_FACTOR)
            post = _Unacknowledged(data, message.token, wait_s, now)
            self._unacknowledged[message.message_id] = post
        self._outbox.append(data)

    def _retransmit(self, now: float) -> None:
        """RFC 7252 section 4.2. Boards send several at once, whatever NSTART says (4.7)."""
        for message_id, post in list(self._unacknowledged.items()):
            if now < post.due:
                continue
            if post.repeats_left == 0:
                del self._unacknowledged[message_id]
                continue
            post.repeats_left -= 1
            post.wait_s *= 2.0
            post.due = now + post.wait_s
            self._outbox.append(post.data)


class _Unacknowledged:
    """A CON post that waits for its acknowledgement."""

    __slots__ = ("data", "due", "repeats_left", "token", "wait_s")

    def __init__(self, data: bytes, token: bytes, wait_s: float, now: float) -> None:
        self.data = data
        self.token = token
        self.wait_s = wait_s
        self.due = now + wait_s
        self.repeats_left = MAX_RETRANSMIT
