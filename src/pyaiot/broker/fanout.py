# SPDX-License-Identifier: BSD-3-Clause
"""From one message to all subscribers: gather, encode once, write once per subscriber and flush.

The cost of a write hardly depends on its size, so messages are gathered: there is one flush per
`flush_interval_s` on average. A quiet time earns credit for some immediate flushes. A quiet system
therefore answers within a millisecond, and a busy one batches.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.backlog import cost
from pyaiot.broker.deliveries import GatheredMessages, ToAll
from pyaiot.broker.encoders import Position
from pyaiot.broker.replay_buffer import ReplayBuffer
from pyaiot.broker.scoped_view import VIEWS_MAX, ScopedView
from pyaiot.broker.state import NodeTable
from pyaiot.broker.state_parts import PARTS_LIFE_S, StateParts
from pyaiot.broker.subscriber import CLOSE_SLOW, EncodedBatch, Subscriber
from pyaiot.broker.wanted_readings import SEEN_S, seen
from pyaiot.errors import Refused
from pyaiot.messages import Reading, Subscription, ToClient
from pyaiot.metrics import Histogram
from pyaiot.registry.record import NodeRecord
from pyaiot.transport.rate_limit import RateLimit

BATCH_COST_MAX: Final = 256 * 1024
"""Bytes gathered. Beyond that, they are flushed at once, regardless of the credit."""
FLUSH_CREDIT_MAX: Final = 10.0
"""Flushes that may follow each other at once after a quiet time. Without this credit, readings at
exactly the rate of flushes would wait half an interval each."""
RECEIPT_FLUSHES_PER_S: Final = 200.0
RECEIPT_FLUSHES_BURST: Final = 50.0
"""Flushes because a command was confirmed: the value that confirms it must not wait. Beyond that,
it waits for the next flush, as every value."""
POLL_BUSY_S: Final = 0.002
POLL_IDLE_S: Final = 0.020
"""Pause before subscribers that are behind are polled again, after progress and without."""
CHUNKS_PER_TURN: Final = 16
"""Chunks of the state that are written to clients that join in one turn of the event loop. Others
wait for the next turn, and readings of other clients are sent in between."""

BACKLOG_BYTES_TOTAL_MAX: Final = 128 * 1024 * 1024
"""Bytes that wait for all subscribers that are behind, in their sockets and outside. Beyond that,
those with the most bytes are closed with 1013."""


class Scheduler(Protocol):
    """The part of an event loop that the broker needs: its time, and calls at a later time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


class Fanout:
    """The subscribers of a broker. Lives on one loop; nothing here waits."""

    def __init__(
        self,
        *,
        run: str,
        flush_interval_s: float,
        timer: Scheduler,
        unix_time: Callable[[], float],
    ) -> None:
        """`run` identifies this run of the broker in positions."""
        self.clients: dict[str, Subscriber] = {}
        self.messages = 0
        """Messages published to all since the start."""
        self.recorded_elsewhere = 0
        """Of `messages`, those that other brokers record in the history."""
        self.complete_since = 0.0
        """Unix time from which `messages` has the values of all nodes: a broker of a cluster gets
        those of other brokers only while somebody needs them."""
        self.replay_buffer: ReplayBuffer | None = None
        """Filled from the first call of `hold_recent`."""
        self.flushes = 0
        self.flush_wait = Histogram()
        """How long the oldest message of each flush was gathered."""
        self.conflated = 0
        """Readings that subscribers that left did not get, because later ones replaced them."""
        self.closed: Counter[int] = Counter()
        """Subscribers that the broker closed and that have left, by close code."""
        self.views: dict[Scope, ScopedView] = {}
        """What connected subscribers with a scope get."""
        self.parts = StateParts()
        """For subscribers that join."""
        self._behind: dict[str, Subscriber] = {}
        self._of_part: dict[str, Subscriber] = {}
        """Subscribers to a part of the readings."""
        self._seen: dict[ScopedView | None, set[str]] = {}
        """Nodes that sent readings, for their next `seen`."""
        self._seen_due = False
        self._run = run
        self._flush_interval_s = flush_interval_s
        self._timer = timer
        self._unix_time = unix_time
        self._gathered = GatheredMessages()
        self._gathered_at = 0.0
        self._flush_due = False
        self._poll_due = False
        self._joins_due = False
        self._parts_timer_set = False
        self._credit = FLUSH_CREDIT_MAX
        self._credited_at = timer.time()
        self._receipt_flushes = RateLimit(
            per_s=RECEIPT_FLUSHES_PER_S, burst=RECEIPT_FLUSHES_BURST, now=timer.time()
        )

    def add(self, client: Subscriber) -> None:
        self.clients[client.id] = client
        if client.view is not None:
            client.view.subscribers += 1

    def view(
        self, scope: Scope, nodes: NodeTable, records: Mapping[str, NodeRecord]
    ) -> ScopedView | None:
        """What subscribers of a scope get; None: everything. Raises `Refused` for one too many."""
        if scope == EVERYTHING:
            return None
        view = self.views.get(scope)
        if view is None:
            if len(self.views) >= VIEWS_MAX:
                raise Refused(f"clients with {VIEWS_MAX} different scopes are connected already")
            # What is gathered is older than what the view begins with.
            self.flush()
            view = self.views[scope] = ScopedView(scope, nodes, records)
        return view

    def subscribe(
        self,
        client: Subscriber,
        request: Subscription,
        nodes: NodeTable,
        records: Mapping[str, NodeRecord],
    ) -> None:
        """Filter what follows. A client whose filter is one too many is closed."""
        try:
            view = self.view(client.scope.narrowed(request.tags, request.gateways), nodes, records)
        except Refused as error:
            client.close(CLOSE_SLOW, str(error))
            return
        if view is not client.view:
            self.flush()
            if view is not None:
                view.subscribers += 1
            self._leave_view(client)
            client.view = view
        self.flush()  # what is gathered is older than the readings that the client gets now
        client.subscribe(request, nodes)
        if client.has_part:
            self._of_part[client.id] = client
        else:
            self._of_part.pop(client.id, None)
        self.send_waiting(client)

    def _leave_view(self, client: Subscriber) -> None:
        if client.view is not None:
            client.view.subscribers -= 1
            if not client.view.subscribers:
                del self.views[client.view.scope]

    def remove(self, client: Subscriber) -> None:
        if self.clients.pop(client.id, None) is not None:
            self._leave_view(client)
            self.conflated += client.conflated
            if client.close_code:
                self.closed[client.close_code] += 1
        self._behind.pop(client.id, None)
        self._of_part.pop(client.id, None)

    @property
    def position(self) -> Position:
        """After the last message that was published."""
        return Position(self._run, self.messages, self._unix_time())

    def hold_recent(self) -> ReplayBuffer:
        """Keep what is published from now on, for subscribers that reconnect."""
        if self.replay_buffer is None:
            self.replay_buffer = ReplayBuffer(self.messages, self._unix_time())
        return self.replay_buffer

    def send(self, client_id: str, message: ToClient) -> None:
        """Send a message to one subscriber; no effect if it has left."""
        client = self.clients.get(client_id)
        if client is not None and not client.closed:
            client.send(message)
            self._watch(client)

    def send_waiting(self, client: Subscriber) -> None:
        """Begin to write what waits for this subscriber."""
        client.send_waiting(self._timer.time(), self._unix_time())
        self._watch(client)

    def publish(self, delivery: ToAll) -> None:
        """Send a message to all, with the next flush."""
        if not delivery.is_registry:
            self.messages += 1
            if self.replay_buffer is not None:
                self.replay_buffer.add(delivery, self._unix_time())
        if not self.clients:
            return
        if not self._gathered:
            self._gathered_at = self._timer.time()
        self._gathered.add(delivery, cost(delivery.message))
        self._flush_soon()

    def publish_readings(self, readings: Sequence[Reading], sequences: Sequence[int]) -> None:
        """`publish` each of them. `sequences`: of the node of each."""
        if self.replay_buffer is not None:
            for delivery in map(ToAll, readings, sequences):
                self.publish(delivery)
            return
        self.messages += len(readings)
        if not self.clients or not readings:
            return
        if not self._gathered:
            self._gathered_at = self._timer.time()
        self._gathered.add_readings(readings, sequences)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._gathered.cost >= BATCH_COST_MAX:
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._timer.call_later(self._flush_delay_s(), self._on_flush_due)

    def flush(self) -> None:
        """Write what was gathered. Subscribers that are behind get it when their sockets can."""
        if not self._gathered:
            return
        everything = EncodedBatch(self._gathered, self.position)
        of_view = {
            view: EncodedBatch(
                GatheredMessages(view.filtered(everything.deliveries)), self.position
            )
            for view in self.views.values()
        }
        self._gathered = GatheredMessages()
        now = self._timer.time()
        self.flushes += 1
        self.flush_wait.observe(now - self._gathered_at)
        self._flush_delay_s()
        self._credit = max(0.0, self._credit - 1.0)
        for view in {client.view for client in self._of_part.values()}:
            batch = everything if view is None else of_view[view]
            self._note_seen(view, batch.index.by_uid)
        for client in list(self.clients.values()):
            batch = everything if client.view is None else of_view[client.view]
            if not client.write_shared(batch) and not client.closed:
                client.offer(batch, now)
                if client.is_joining or not client.waiting:
                    # Its turn is in `_poll`, so that others do not wait for it; or the batch has
                    # nothing for it.
                    continue
                client.send_waiting(now, self._unix_time())
                self._watch(client)

    def note_seen(self, uids: AbstractSet[str]) -> None:
        """These nodes sent readings that were not published here."""
        for view in {client.view for client in self._of_part.values()}:
            self._note_seen(view, uids if view is None else filter(view.sees, uids))

    def _note_seen(self, view: ScopedView | None, uids: Iterable[str]) -> None:
        self._seen.setdefault(view, set()).update(uids)
        if not self._seen_due:
            self._seen_due = True
            self._timer.call_later(SEEN_S, self._send_seen)

    def _send_seen(self) -> None:
        """A subscriber that is behind gets none: the next one has nodes that still send."""
        self._seen_due = False
        of_view, self._seen = self._seen, {}
        for client in list(self._of_part.values()):
            uids = of_view.get(client.view)
            if uids and not client.waiting and not client.closed:
                for message in seen(uids, self._unix_time()):
                    self.send(client.id, message)

    def flush_before_receipt(self) -> None:
        """A command was confirmed: write what was gathered, so that its value is not late."""
        if self._gathered and not self._receipt_flushes.take(self._timer.time()):
            self.flush()

    def _flush_delay_s(self) -> float:
        """Update the credit. Returns the seconds until it allows a flush."""
        if not self._flush_interval_s:
            return 0.0
        now = self._timer.time()
        earned = (now - self._credited_at) / self._flush_interval_s
        self._credit = min(FLUSH_CREDIT_MAX, self._credit + earned)
        self._credited_at = now
        return max(0.0, 1.0 - self._credit) * self._flush_interval_s

    def _on_flush_due(self) -> None:
        self._flush_due = False
        self.flush()

    def _watch(self, client: Subscriber) -> None:
        if not client.waiting or client.closed:
            return
        self._behind[client.id] = client
        if client.is_joining:
            self._schedule_joins()
        self._schedule_poll(POLL_BUSY_S)

    def _schedule_poll(self, pause_s: float) -> None:
        if not self._poll_due:
            self._poll_due = True
            self._timer.call_later(pause_s, self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        progress = False
        for client in list(self._behind.values()):
            if client.is_joining:
                self._schedule_joins()
            else:
                progress |= self._drain_behind(client)
        self._make_room()
        if self._behind:
            self._schedule_poll(POLL_BUSY_S if progress else POLL_IDLE_S)

    def _schedule_joins(self) -> None:
        if not self._joins_due:
            self._joins_due = True
            self._timer.call_later(0.0, self._continue_joins)
        if not self._parts_timer_set:
            self._parts_timer_set = True
            self._timer.call_later(PARTS_LIFE_S, self._forget_parts)

    def _continue_joins(self) -> None:
        """Write the next chunks of the state. Readings are sent to others before the next turn."""
        self._joins_due = False
        chunks = 0
        for client in list(self._behind.values()):
            if client.is_joining and chunks < CHUNKS_PER_TURN:
                # Others that join come before it in the next turn.
                self._behind[client.id] = self._behind.pop(client.id)
                chunks += self._drain_behind(client)
        if chunks and any(client.is_joining for client in self._behind.values()):
            self._schedule_joins()

    def _drain_behind(self, client: Subscriber) -> bool:
        """Write what waits for a subscriber that is behind. True if there was progress."""
        progress = client.send_waiting(self._timer.time(), self._unix_time())
        if client.closed or not client.waiting:
            del self._behind[client.id]
        return progress

    def _forget_parts(self) -> None:
        """Forget the encoded nodes, unless clients still join."""
        self._parts_timer_set = False
        if any(client.is_joining for client in self._behind.values()):
            self._schedule_joins()
        else:
            self.parts.clear()

    def _make_room(self) -> None:
        """Close the subscribers that hold the most bytes, until the total is within its limit."""
        held = {client.id: client.held for client in self._behind.values()}
        total = sum(held.values())
        if total <= BACKLOG_BYTES_TOTAL_MAX:
            return
        for client_id in sorted(held, key=held.__getitem__, reverse=True):
            self._behind.pop(client_id).close(CLOSE_SLOW, "too much waits for slow clients")
            total -= held[client_id]
            if total <= BACKLOG_BYTES_TOTAL_MAX:
                return
