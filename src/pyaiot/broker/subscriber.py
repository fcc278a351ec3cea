# SPDX-License-Identifier: BSD-3-Clause
"""A client as the broker sees it: its filters, the form of its messages, its backlog. Pure.

The sink is a socket in production; here it accepts bytes and reports how many wait.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from pyaiot import legacy
from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.backlog import Backlog, BacklogFull
from pyaiot.broker.deliveries import GatheredMessages, ToAll
from pyaiot.broker.encoders import (
    ARRAYS,
    ARRAYS_WITH_REGISTRY,
    Encoder,
    Position,
    encode_gap,
)
from pyaiot.broker.registry_view import RegistryView
from pyaiot.broker.scoped_view import ScopedView
from pyaiot.broker.snapshot import (
    CHUNK_COST_MAX,
    CHUNK_MESSAGES,
    SNAPSHOT_NODE_COST,
    Replay,
    Snapshot,
)
from pyaiot.broker.state import NodeTable
from pyaiot.broker.state_parts import StateParts, state_form
from pyaiot.broker.wanted_readings import ReadingIndex, WantedReadings
from pyaiot.messages import Command, Joined, Reading, Receipt, Subscription, ToClient
from pyaiot.registry.record import NodeRecord
from pyaiot.transport.rate_limit import RateLimit

BUFFER_HIGH: Final = 256 * 1024
"""Number of bytes in the socket buffer above which a subscriber is behind: its messages are then
queued."""
BUFFER_LOW: Final = 128 * 1024
"""Number of bytes in the socket buffer below which a subscriber that is behind gets more."""
JOINS_PER_S: Final = 1.0
JOINS_BURST: Final = 10.0
"""Rate limit and burst of `join` of one client. Above it, the client is closed with 1008."""
BACKLOG_COST_MAX: Final = 1_250_000
"""Largest number of bytes that wait for one subscriber outside its socket. Beyond it, readings are
conflated; if the latest ones still exceed it, the subscriber is closed with 1013."""
BACKLOG_PLAIN_MAX: Final = 1000
"""Largest number of messages that wait for one subscriber without conflation. Beyond it, readings
are conflated."""
SNAPSHOT_BYTES_AT_ONCE: Final = 64 * 1024
"""Number of bytes of the state after which a joining subscriber waits for its next turn."""
STALL_LIMIT_S: Final = 30.0
"""A subscriber that reads nothing for this long while messages wait is closed with 1013."""

CLOSE_POLICY: Final = 1008
CLOSE_SLOW: Final = 1013
"""Try again later (RFC 6455 section 7.4, IANA registry)."""


class Sink(Protocol):
    """Accepts the bytes for a subscriber."""

    def write(self, data: bytes) -> None: ...

    def buffered(self) -> int:
        """Number of bytes that were written and not sent yet."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Begin to close; buffered bytes may be lost. Never waits."""
        ...


class EncodedBatch:
    """Messages for all subscribers, encoded at most once for each form."""

    __slots__ = ("_deliveries", "_encoded", "_gathered", "_index", "position")

    def __init__(self, gathered: GatheredMessages, position: Position) -> None:
        """`position`: after the last of them."""
        self.position = position
        self._gathered = gathered
        self._deliveries: Sequence[ToAll] | None = None
        self._encoded: dict[Encoder, bytes] = {}
        self._index: ReadingIndex | None = None

    @property
    def deliveries(self) -> Sequence[ToAll]:
        """Made only if there are subscribers that do not get all of them."""
        if self._deliveries is None:
            self._deliveries = self._gathered.deliveries()
        return self._deliveries

    @property
    def index(self) -> ReadingIndex:
        if self._index is None:
            self._index = ReadingIndex(self.deliveries)
        return self._index

    def encoded(self, encoder: Encoder) -> bytes:
        data = self._encoded.get(encoder)
        if data is None:
            messages = self._gathered.messages_for(has_registry=encoder.has_registry)
            data = encoder.encode(messages, legacy.TO_ALL, self.position)
            self._encoded[encoder] = data
        return data


class Subscriber:
    """A client between two flushes. It is sent, in this order: a replay, the rest of the current
    node of a snapshot, the backlog, the other nodes of the snapshot."""

    def __init__(
        self,
        client_id: str,
        sink: Sink,
        encoder: Encoder,
        *,
        position: Position,
        now: float,
        may_command: bool = True,
        withheld_until_join: int = 0,
        scope: Scope = EVERYTHING,
        view: ScopedView | None = None,
        parts: StateParts | None = None,
    ) -> None:
        """`position`: of the last published message. `parts` are shared by all clients. Messages
        about nodes up to the sequence `withheld_until_join` are not sent before `join`. `scope`:
        the nodes that it may see and command. `view`: shows the part of that which its filter by
        tag or gateway selects; the batches for this subscriber are those of this view; None:
        all."""
        self.id = client_id
        self.sink = sink
        self.encoder = encoder
        self.may_command = may_command
        self.scope = scope
        self.view = view
        self.closed = False
        self.close_code = 0
        """The close code of RFC 6455 with which the broker closed it; 0 if it did not."""
        self._withheld_until_join = withheld_until_join
        self._uids: frozenset[str] | None = None
        self._resources: frozenset[str] | None = None
        self._wanted: WantedReadings | None = None
        self._latest: list[str] = []
        """Nodes whose latest readings are still to be sent, because they were just added to the
        filter."""
        self._nodes: NodeTable | None = None
        """The table with these readings."""
        self._backlog: Backlog[ToClient] = Backlog(
            cost_max=BACKLOG_COST_MAX, plain_max=BACKLOG_PLAIN_MAX
        )
        self._snapshot: Snapshot | None = None
        self._parts = StateParts() if parts is None else parts
        self._replay: Replay | None = None
        self._position = position
        self._is_complete = not encoder.has_ids
        """Whether nothing before the current position is missing, so that the position may be sent
        as an id."""
        self._joins = RateLimit(per_s=JOINS_PER_S, burst=JOINS_BURST, now=now)
        self._progress_at = now
        self._buffered_before = 0

    @property
    def conflated(self) -> int:
        return self._backlog.conflated

    @property
    def waiting_messages(self) -> int:
        """Number of messages in its backlog, without those of a snapshot or replay."""
        return len(self._backlog)

    @property
    def waiting(self) -> bool:
        """Whether something waits for it outside its socket."""
        return (
            bool(self._backlog)
            or self._snapshot is not None
            or self._replay is not None
            or bool(self._latest)
        )

    @property
    def part(self) -> WantedReadings | None:
        """The part of the readings that it subscribed to; None: all."""
        return self._wanted

    @property
    def has_part(self) -> bool:
        """Whether it subscribed to a part of the readings, and gets `seen` for the other nodes."""
        return self._wanted is not None

    @property
    def is_joining(self) -> bool:
        """Whether the state is being sent to it, a part with each call of `send_waiting`."""
        return self._snapshot is not None

    @property
    def held(self) -> int:
        """Number of bytes that wait for it, in its socket and outside."""
        held = self.sink.buffered() + self._backlog.cost
        if self._snapshot is not None:
            held += SNAPSHOT_NODE_COST * len(self._snapshot.nodes)
        if self._replay is not None:
            held += self._replay.cost
        return held

    def sees(self, uid: str) -> bool:
        """Whether it gets messages of this node, apart from a filter by uid."""
        return self.view is None or self.view.sees(uid)

    def problem_of(self, command: Command, registry: Mapping[str, NodeRecord]) -> str:
        """Why it may not send this command; empty if it may. `registry`: the records of nodes."""
        if not self.may_command:
            return "this client may read, not write"
        record = registry.get(command.uid)
        if self.scope.has_all_nodes or (
            record is not None and self.scope.includes(record.annotations.tags, record.gateway)
        ):
            return ""
        # Nodes that do not exist get the same answer, so that it does not reveal which nodes exist.
        return "the node is not in the scope of this client"

    @property
    def uids(self) -> AbstractSet[str] | None:
        """The nodes whose messages it gets; None: all."""
        in_view = None if self.view is None else self.view.uids
        if in_view is None or self._uids is None:
            return self._uids if in_view is None else in_view
        return self._uids & in_view

    def subscribe(self, request: Subscription, nodes: NodeTable | None = None) -> None:
        """Filter messages from now on. Replaces the previous filter. Call `send_waiting`
        afterwards: it sends the latest readings, from `nodes`, of nodes that were not in the filter
        before."""
        self._uids = None if request.uids is None else frozenset(request.uids)
        self._resources = None if request.resources is None else frozenset(request.resources)
        before, self._wanted = self._wanted, WantedReadings.of(request)
        if before is None or self._wanted is None:
            self._latest.clear()
        elif nodes is not None:
            self._nodes = nodes
            known = before.uids.difference(self._latest)
            self._latest = sorted(self._wanted.uids - known)

    def may_join(self, now: float) -> bool:
        """Whether it is within the rate limit of joins. If not, it is closed."""
        if self._joins.take(now):
            self.close(CLOSE_POLICY, "requested the state too often")
        return not self.closed

    def join(self, nodes: NodeTable, registry: RegistryView | None = None) -> None:
        """Begin to send the current state. A second call begins again. `registry`: also send the
        record of each node, now and at each change."""
        self._withheld_until_join = 0
        if registry is not None and self.encoder is ARRAYS:
            self.encoder = ARRAYS_WITH_REGISTRY
        self._snapshot = Snapshot(
            nodes, self._uids, registry if self.encoder.has_registry else None, self.view
        )

    def hold(self) -> None:
        """Send nothing until `resume_with` or `send_gap`: published messages wait."""
        self._replay = Replay()

    def resume_with(self, messages: Iterable[ToClient]) -> None:
        """Resume: send these messages before everything that waits. Call `send_waiting`
        afterwards."""
        replay = Replay()
        replay.load(self._shown(messages))
        self._replay = replay if replay.messages else None
        self._is_complete = True

    def send_gap(self, detail: str) -> None:
        """Report that events are missing and cannot be recovered. Call `join` afterwards."""
        self._replay = None
        self.sink.write(encode_gap(detail))

    def send_state(self, message: ToClient) -> None:
        """`send`, if its scope shows the message."""
        shown = message if self.view is None else self.view.shown(message)
        if shown is not None:
            self.send(shown)

    def send(self, message: ToClient) -> None:
        """Send a message to this client alone, in order with the waiting ones."""
        if (
            isinstance(message, Receipt)
            and message.state == "forbidden"
            and not self.encoder.can_refuse
        ):
            self.close(CLOSE_POLICY, message.detail)
        elif self._backlog or self._replay is not None or self.sink.buffered() > BUFFER_HIGH:
            self._add(message)
        else:
            self._write([message])

    def write_shared(self, batch: EncodedBatch) -> bool:
        """Write bytes that were encoded once for all. Returns False, and writes nothing, for a
        subscriber that filters, is behind, or has not joined."""
        if (
            self.closed
            or self._wanted is not None
            or self._uids is not None
            or self._resources is not None
            or self._withheld_until_join
            or self.waiting
            or not self._is_complete
            or self.sink.buffered() > BUFFER_HIGH
        ):
            return False
        self._position = batch.position
        self.sink.write(batch.encoded(self.encoder))
        return True

    def offer(self, batch: EncodedBatch, now: float) -> None:
        """Queue the subscribed messages of a batch. Call `send_waiting` afterwards."""
        if not self.waiting:
            self._progress_at = now
        deliveries: Sequence[ToAll] = batch.deliveries
        if self._wanted is not None:
            deliveries = self._wanted.chosen(batch.index)
        elif self._uids is not None:
            deliveries = batch.index.of_nodes(self._uids)
        for delivery in deliveries:
            if self.closed:
                return
            if self._wants(delivery):
                self._add(delivery.message)
        self._position = batch.position

    def send_waiting(self, now: float, ts: float) -> bool:
        """Write waiting messages, as far as the socket accepts them. Returns whether there was
        progress.

        Writes about one chunk of a snapshot: other subscribers get a turn before the next one.
        Closes a subscriber that reads nothing for `STALL_LIMIT_S`.
        """
        if self.closed or (self._replay is not None and not self._replay.is_loaded):
            return False
        buffered = self.sink.buffered()
        progress = buffered < self._buffered_before
        rest = SNAPSHOT_BYTES_AT_ONCE
        while self.waiting and buffered <= BUFFER_LOW and rest > 0:
            progress = True
            snapshot = self._snapshot
            if self._replay is not None:
                self._write_replay(self._replay)
            # The current node is sent completely first: waiting messages are newer.
            elif snapshot is not None and (snapshot.rest or not self._backlog):
                rest -= self._write_snapshot(snapshot, ts)
            elif self._backlog:
                self._write(self._backlog.take(CHUNK_MESSAGES, CHUNK_COST_MAX))
            else:
                rest -= self._write_latest()
            buffered = self.sink.buffered()
        self._buffered_before = buffered
        if progress:
            self._progress_at = now
        elif self.waiting and now - self._progress_at >= STALL_LIMIT_S:
            self.close(CLOSE_SLOW, f"read nothing for {STALL_LIMIT_S:.0f} s")
        return progress

    def close(self, code: int, reason: str) -> None:
        if not self.closed:
            self.detach()
            self.close_code = code
            self.sink.close(code, reason)

    def detach(self) -> None:
        """Write nothing more: the caller closes the connection."""
        self.closed = True
        self._snapshot = None
        self._replay = None

    def _add(self, message: ToClient) -> None:
        try:
            self._backlog.add(message)
        except BacklogFull as error:
            self.close(CLOSE_SLOW, str(error))

    def _wants(self, delivery: ToAll) -> bool:
        if delivery.is_registry and not self.encoder.has_registry:
            return False
        snapshot = self._snapshot
        if snapshot is not None and snapshot.still_covers(delivery.sequence):
            return False
        if 0 < delivery.sequence <= self._withheld_until_join:
            return False
        return self._wants_message(delivery.message)

    def _wants_message(self, message: ToClient) -> bool:
        if isinstance(message, Reading) and self._resources is not None:
            return message.resource in self._resources and self._wants_uid(message.uid)
        return self._wants_uid(getattr(message, "uid", ""))

    def _shown(self, messages: Iterable[ToClient]) -> list[ToClient]:
        """The part of unfiltered messages that it subscribed to and that its scope shows."""
        wanted = list(filter(self._wants_message, messages))
        if self.view is None:
            return wanted
        return [it for it in map(self.view.shown, wanted) if it is not None]

    def _wants_uid(self, uid: str) -> bool:
        return self._uids is None or not uid or uid in self._uids

    def _write_replay(self, replay: Replay) -> None:
        messages = replay.take()
        if not replay.messages:
            self._replay = None
        self._write(messages)

    def _write_snapshot(self, snapshot: Snapshot, ts: float) -> int:
        """Write one chunk. Returns the number of bytes."""
        is_unfiltered = self._uids is None and self._resources is None and self.view is None
        form = state_form(self.encoder, self.id) if is_unfiltered else None
        if form is None or snapshot.rest or snapshot.index == len(snapshot.nodes):
            written = self._write(snapshot.take(self._shown), self.id)
        else:
            parts = snapshot.take_encoded(form, self._parts)
            data = form.assemble(parts, self.id) if parts else b""
            if data:
                self.sink.write(data)
            written = len(data)
        if snapshot.index == len(snapshot.nodes) and not snapshot.rest and not snapshot.records:
            count = snapshot.count - snapshot.removed(self.sees)
            self._snapshot = None
            self._is_complete = True
            self._write([Joined(nodes=count, ts=ts)], self.id)
        return written

    def _write_latest(self) -> int:
        """Write the latest readings of the next node. Returns the number of bytes."""
        node = None if self._nodes is None else self._nodes.get(self._latest.pop())
        if node is None or node.is_waiting:
            return 0
        return self._write(self._shown(node.readings.values()))

    def _write(self, messages: Sequence[ToClient], dst: str = legacy.TO_ALL) -> int:
        """Returns the number of bytes."""
        if self.closed:
            return 0
        position = None if self.waiting or not self._is_complete else self._position
        data = self.encoder.encode(messages, dst, position)
        if data:
            self.sink.write(data)
        return len(data)
