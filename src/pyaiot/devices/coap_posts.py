# SPDX-License-Identifier: BSD-3-Clause
"""Posts of a node to its gateway, on their way until acknowledged or given up. Pure."""

import math
import random
from collections.abc import Callable, Iterator
from typing import Final

from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import (
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


class CoapPosts:
    """Send what `to_send` gives, and call it again at `next_due`.

    `now` is in seconds, on any clock that never goes back. `gave_up` is called with the message id
    of a CON post that was repeated as often as RFC 7252 allows.
    """

    def __init__(
        self,
        *,
        confirmable: bool,
        message_ids: Iterator[int],
        rng: random.Random,
        gave_up: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._confirmable = confirmable
        self._message_ids = message_ids
        self._rng = rng
        self._gave_up = gave_up
        self._outbox: list[bytes] = []
        self._unacknowledged: dict[int, _Unacknowledged] = {}
        self._tokens: dict[bytes, int] = {}

    def clear(self) -> None:
        """A reboot: no post in memory."""
        self._outbox.clear()
        self._unacknowledged.clear()
        self._tokens.clear()

    @property
    def next_due(self) -> float:
        """When something is repeated, if nothing is received before."""
        return min((post.due for post in self._unacknowledged.values()), default=math.inf)

    def post(self, path: str, text: str, *, now: float) -> int | None:
        """The message id; None, and nothing is posted, if too many wait already."""
        if self._confirmable and len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            return None
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
        self._tokens.pop(message.token, None)
        self._tokens[message.token] = message.message_id
        if len(self._tokens) > TOKENS_MAX:
            del self._tokens[next(iter(self._tokens))]
        if self._confirmable:
            wait_s = ACK_TIMEOUT_S * self._rng.uniform(1.0, ACK_RANDOM_FACTOR)
            self._unacknowledged[message.message_id] = _Unacknowledged(data, wait_s, now)
        self._outbox.append(data)
        return message.message_id

    def to_send(self, *, now: float) -> list[bytes]:
        """New posts, and those to be repeated."""
        self._retransmit(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_acknowledgement(self, message_id: int) -> None:
        """An ACK or RST has come: the post with this message id, if any, is not repeated."""
        self._unacknowledged.pop(message_id, None)

    def receive_separate_response(self, token: bytes) -> int | None:
        """The message id of the post that it answers, if it is one of the last.

        That post has then arrived and is not repeated: the acknowledgement itself may have been
        lost (RFC 7252 section 5.2.2).
        """
        message_id = self._tokens.get(token)
        if message_id is not None:
            self._unacknowledged.pop(message_id, None)
        return message_id

    def _retransmit(self, now: float) -> None:
        """RFC 7252 section 4.2. Boards send several at once, whatever NSTART says (4.7)."""
        for message_id, post in list(self._unacknowledged.items()):
            if now < post.due:
                continue
            if post.repeats_left == 0:
                del self._unacknowledged[message_id]
                self._gave_up(message_id)
                continue
            post.repeats_left -= 1
            post.wait_s *= 2.0
            post.due = now + post.wait_s
            self._outbox.append(post.data)


class _Unacknowledged:
    """A CON post that waits for its acknowledgement."""

    __slots__ = ("data", "due", "repeats_left", "wait_s")

    def __init__(self, data: bytes, wait_s: float, now: float) -> None:
        self.data = data
        self.wait_s = wait_s
        self.due = now + wait_s
        self.repeats_left = MAX_RETRANSMIT
