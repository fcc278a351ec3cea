# SPDX-License-Identifier: BSD-3-Clause
"""The client side of a simulated CoAP node: its posts to the gateway. Pure.

It posts `reset` at boot, `alive` periodically, and each reading of its sensors.
"""

import random
from collections.abc import Iterator

from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_posts import CoapPosts
from pyaiot.devices.schedule import Schedule, next_occurrence


class CoapNodePoster:
    """Call `boot` first. Call `handle_timer` when `get_timer` is due.

    After each call, send what `datagrams_to_send` returns. `values` is the text of each resource,
    shared with the server of the node: readings are written to it. `now` is in seconds, on any
    monotonic clock.
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
        """Start, or reboot: pending posts are discarded."""
        self._posts.clear()
        self._posts.post("alive", f"reset:{self._uid}", now=now)
        self._posts.post("alive", f"alive:{self._uid}", now=now)
        self._alive_due = now + self._alive_period_s
        self._sensors.start(now=now)

    def get_timer(self) -> float:
        """When to call `handle_timer`."""
        timers = (self._sensors.get_timer(), self._posts.get_timer())
        return min([self._alive_due, *(timer for timer in timers if timer is not None)])

    def handle_timer(self, *, now: float) -> None:
        """Post what is due, and retransmit. Does nothing before `get_timer`."""
        if now >= self._alive_due:
            self._alive_due = next_occurrence(self._alive_due, self._alive_period_s, now)
            self._posts.post("alive", f"alive:{self._uid}", now=now)
        for resource, text in self._sensors.read_due(now=now).items():
            self._values[resource] = text
            self.post_value(resource, now=now)
        self._posts.handle_timer(now=now)

    def datagrams_to_send(self) -> list[bytes]:
        return self._posts.datagrams_to_send()

    def post_value(self, resource: str, *, now: float) -> None:
        """Post the current value of a resource."""
        self._posts.post("server", f"{resource}:{self._values[resource]}", now=now)

    def receive_acknowledgement(self, message_id: int) -> None:
        """Handle an ACK or RST: the post with this message id, if any, is not retransmitted."""
        self._posts.receive_acknowledgement(message_id)

    def receive_separate_response(self, token: bytes) -> bool:
        """Whether the response belongs to a recent post, which is then not retransmitted."""
        return self._posts.receive_separate_response(token) is not None
