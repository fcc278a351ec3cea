# SPDX-License-Identifier: BSD-3-Clause
"""What a simulated CoAP node says by itself, to its gateway. Pure.

It posts that it has booted, that it is alive, and each reading of its sensors.
"""

import random
from collections.abc import Iterator

from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_posts import CoapPosts
from pyaiot.devices.schedule import Schedule, next_due


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
        self._alive_period_s = config.alive_period_s
        self._alive_due = 0.0
        self._sensors = Schedule(config, rng)
        values.update(self._sensors.read_all())
        self._posts = CoapPosts(confirmable=config.confirmable, message_ids=message_ids, rng=rng)

    def boot(self, *, now: float) -> None:
        """Start, or start again with no post in memory."""
        self._posts.clear()
        self._posts.post("alive", f"reset:{self._uid}", now=now)
        self._posts.post("alive", f"alive:{self._uid}", now=now)
        self._alive_due = now + self._alive_period_s
        self._sensors.start(now=now)

    @property
    def next_wake(self) -> float:
        """When `posts_to_send` has something to do again, if nothing is received before."""
        return min(self._alive_due, self._sensors.next_due, self._posts.next_due)

    def posts_to_send(self, *, now: float) -> list[bytes]:
        if now >= self._alive_due:
            self._alive_due = next_due(self._alive_due, self._alive_period_s, now)
            self._posts.post("alive", f"alive:{self._uid}", now=now)
        for resource, text in self._sensors.read_due(now=now).items():
            self._values[resource] = text
            self.post_value(resource, now=now)
        return self._posts.to_send(now=now)

    def post_value(self, resource: str, *, now: float) -> None:
        """Tell the gateway the value that the resource has now."""
        self._posts.post("server", f"{resource}:{self._values[resource]}", now=now)

    def receive_acknowledgement(self, message_id: int) -> None:
        """An ACK or RST has come: the post with this message id, if any, is not repeated."""
        self._posts.receive_acknowledgement(message_id)

    def receive_separate_response(self, token: bytes) -> bool:
        """Whether it answers one of the last posts, which has then arrived and is not repeated."""
        return self._posts.receive_separate_response(token) is not None
