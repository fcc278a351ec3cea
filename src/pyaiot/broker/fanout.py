# SPDX-License-Identifier: BSD-3-Clause
"""From one message to all clients: gather, encode once, write once per client and flush.

A write costs about the same whatever it carries, so messages are gathered: there is a flush every
`flush_interval_s` on average, and a credit of some flushes for who was quiet. A quiet system
answers in a millisecond; a busy one batches by itself.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from pyaiot.backlog import cost
from pyaiot.broker.client import CLOSE_SLOW, Batch, Client
from pyaiot.broker.replay_buffer import Recent
from pyaiot.broker.router import ToAll
from pyaiot.messages import ToClient
from pyaiot.metrics import Histogram

BATCH_COST_MAX: Final = 256 * 1024
"""Bytes gathered at the most before they are flushed, whenever the last flush was."""
FLUSH_CREDIT_MAX: Final = 10.0
"""Flushes that may follow each other at once after a quiet time. Without them, readings that come
just as often as flushes may happen would each wait for half an interval."""
POLL_BUSY_S: Final = 0.002
POLL_IDLE_S: Final = 0.020
"""How soon clients that are behind are looked at again, after something moved or nothing did."""


BACKLOG_BYTES_TOTAL_MAX: Final = 128 * 1024 * 1024
"""Bytes that wait for all clients that are behind, in their sockets and outside. More: those for
whom most waits are closed with 1013."""


class Timer(Protocol):
    """A part of an event loop: the loop's time, and calls at a later one."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


class Fanout:
    """The clients of a broker. Lives on one loop; nothing here waits."""

    def __init__(
        self, *, flush_interval_s: float, timer: Timer, unix_time: Callable[[], float]
    ) -> None:
        self.clients: dict[str, Client] = {}
        self.messages = 0
        """Messages published to everybody, ever."""
        self.recent: Recent | None = None
        """Held from when somebody first wants it, see `hold_recent`."""
        self.flushes = 0
        self.flush_wait = Histogram()
        """How long the oldest message of each flush was gathered."""
        self.conflated = 0
        """Readings that clients who have left did not get, because later ones came."""
        self.closed: Counter[int] = Counter()
        """Clients that we closed and that have left, by the code."""
        self._behind: dict[str, Client] = {}
        self._flush_interval_s = flush_interval_s
        self._timer = timer
        self._unix_time = unix_time
        self._gathered: list[ToAll] = []
        self._gathered_cost = 0
        self._gathered_at = 0.0
        self._flush_due = False
        self._poll_due = False
        self._credit = FLUSH_CREDIT_MAX
        self._credited_at = timer.time()

    def add(self, client: Client) -> None:
        self.clients[client.id] = client

    def remove(self, client: Client) -> None:
        if self.clients.pop(client.id, None) is not None:
            self.conflated += client.conflated
            if client.close_code:
                self.closed[client.close_code] += 1
        self._behind.pop(client.id, None)

    def hold_recent(self) -> Recent:
        """Hold what is published from now on, for clients that come back."""
        if self.recent is None:
            self.recent = Recent(self.messages, self._unix_time())
        return self.recent

    def send(self, client_id: str, message: ToClient) -> None:
        """A message for one client; nothing happens if it has left."""
        client = self.clients.get(client_id)
        if client is not None and not client.closed:
            client.send(message)
            self._watch(client)

    def drain(self, client: Client) -> None:
        """Something waits for this client: begin to write it."""
        client.drain(self._timer.time(), self._unix_time())
        self._watch(client)

    def publish(self, delivery: ToAll) -> None:
        """A message for all, with the next flush."""
        self.messages += 1
        if self.recent is not None:
            self.recent.add(delivery, self._unix_time())
        if not self.clients:
            return
        if not self._gathered:
            self._gathered_at = self._timer.time()
        self._gathered.append(delivery)
        self._gathered_cost += cost(delivery.message)
        if self._gathered_cost >= BATCH_COST_MAX:
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._timer.call_later(self._flush_delay_s(), self._on_due)

    def flush(self) -> None:
        """Write what was gathered. Clients that are behind get it when they can take it."""
        if not self._gathered:
            return
        batch = Batch(self._gathered, number=self.messages, ts=self._unix_time())
        self._gathered = []
        self._gathered_cost = 0
        now = self._timer.time()
        self.flushes += 1
        self.flush_wait.observe(now - self._gathered_at)
        self._flush_delay_s()
        self._credit = max(0.0, self._credit - 1.0)
        for client in list(self.clients.values()):
            if client.plain:
                client.sink.write(batch.data(extended=client.extended))
            elif not client.closed:
                client.offer(batch, now)
                client.drain(now, self._unix_time())
                self._watch(client)

    def _flush_delay_s(self) -> float:
        """Bring the credit up to date; seconds until it allows a flush."""
        if not self._flush_interval_s:
            return 0.0
        now = self._timer.time()
        earned = (now - self._credited_at) / self._flush_interval_s
        self._credit = min(FLUSH_CREDIT_MAX, self._credit + earned)
        self._credited_at = now
        return max(0.0, 1.0 - self._credit) * self._flush_interval_s

    def _on_due(self) -> None:
        self._flush_due = False
        self.flush()

    def _watch(self, client: Client) -> None:
        if client.waiting and not client.closed:
            self._behind[client.id] = client
            if not self._poll_due:
                self._poll_due = True
                self._timer.call_later(POLL_BUSY_S, self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        now, ts = self._timer.time(), self._unix_time()
        moved = False
        for client in list(self._behind.values()):
            moved |= client.drain(now, ts)
            if client.closed or not client.waiting:
                del self._behind[client.id]
        self._make_room()
        if self._behind:
            self._poll_due = True
            self._timer.call_later(POLL_BUSY_S if moved else POLL_IDLE_S, self._poll)

    def _make_room(self) -> None:
        """Close those for whom most waits, until all that waits is bounded."""
        held = {client.id: client.held for client in self._behind.values()}
        total = sum(held.values())
        if total <= BACKLOG_BYTES_TOTAL_MAX:
            return
        for client_id in sorted(held, key=held.__getitem__, reverse=True):
            self._behind.pop(client_id).close(CLOSE_SLOW, "too much waits for slow clients")
            total -= held[client_id]
            if total <= BACKLOG_BYTES_TOTAL_MAX:
                return
