# SPDX-License-Identifier: BSD-3-Clause
"""Posts of a CoAP node to its gateway, with retransmission (RFC 7252 section 4.2). Pure."""

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

# Limits of a board's memory.
UNACKNOWLEDGED_MAX: Final = 16  # CON posts in flight; a further post is dropped
TOKENS_MAX: Final = 32  # tokens kept to match separate responses; the oldest is discarded


class CoapPosts:
    """Call `handle_timer` when `get_timer` is due. After each call, send `datagrams_to_send`.

    `now` is in seconds, on any monotonic clock. `on_failed` is called with the message id of a CON
    post that was retransmitted MAX_RETRANSMIT times without an acknowledgement.
    """

    def __init__(
        self,
        *,
        confirmable: bool,
        message_ids: Iterator[int],
        rng: random.Random,
        on_failed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._confirmable = confirmable
        self._message_ids = message_ids
        self._rng = rng
        self._on_failed = on_failed
        self._outbox: list[bytes] = []
        self._unacknowledged: dict[int, _Unacknowledged] = {}
        self._tokens: dict[bytes, int] = {}

    def clear(self) -> None:
        """Discard all pending posts, as a reboot does."""
        self._outbox.clear()
        self._unacknowledged.clear()
        self._tokens.clear()

    def get_timer(self) -> float | None:
        """When the next retransmission is due; None if no post waits for an acknowledgement."""
        return min((post.due for post in self._unacknowledged.values()), default=None)

    def post(self, path: str, text: str, *, now: float) -> int | None:
        """Queue a post. Its message id; None if it was dropped at UNACKNOWLEDGED_MAX."""
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

    def datagrams_to_send(self) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_acknowledgement(self, message_id: int) -> None:
        """Handle an ACK or RST: the post with this message id, if any, is not retransmitted."""
        self._unacknowledged.pop(message_id, None)

    def receive_separate_response(self, token: bytes) -> int | None:
        """The message id of the post that was answered; None if it is unknown or too old.

        The response also acknowledges the post: the ACK may have been lost (RFC 7252 section
        5.2.2).
        """
        message_id = self._tokens.get(token)
        if message_id is not None:
            self._unacknowledged.pop(message_id, None)
        return message_id

    def handle_timer(self, *, now: float) -> None:
        """Retransmit (RFC 7252 section 4.2). Like boards, it ignores NSTART (section 4.7)."""
        for message_id, post in list(self._unacknowledged.items()):
            if now < post.due:
                continue
            if post.retransmissions_left == 0:
                del self._unacknowledged[message_id]
                self._on_failed(message_id)
                continue
            post.retransmissions_left -= 1
            post.wait_s *= 2.0
            post.due = now + post.wait_s
            self._outbox.append(post.data)


class _Unacknowledged:
    """A CON post that waits for its acknowledgement."""

    __slots__ = ("data", "due", "retransmissions_left", "wait_s")

    def __init__(self, data: bytes, wait_s: float, now: float) -> None:
        self.data = data
        self.wait_s = wait_s
        self.due = now + wait_s
        self.retransmissions_left = MAX_RETRANSMIT
