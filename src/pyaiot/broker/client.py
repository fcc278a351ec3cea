# SPDX-License-Identifier: BSD-3-Clause
"""One client of the broker: what it gets, in which form, and how far behind it may fall. Pure.

The sink is a socket elsewhere; here it is something that takes bytes and says how many wait.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from pyaiot import legacy
from pyaiot.backlog import Backlog, BacklogFull, cost
from pyaiot.broker.router import ToAll
from pyaiot.broker.state import Node, Nodes
from pyaiot.messages import (
    Joined,
    NodeAppeared,
    Reading,
    Receipt,
    Subscribe,
    ToClient,
    encode_frames,
)
from pyaiot.transport.rate_limit import RateLimit
from pyaiot.transport.websocket_frames import text_frame

BUFFER_HIGH: Final = 256 * 1024
"""Bytes waiting in the socket above which a client is behind: its messages wait here instead."""
BUFFER_LOW: Final = 128 * 1024
"""Bytes waiting in the socket below which a client that is behind gets more."""
CHUNK_MESSAGES: Final = 1000
CHUNK_COST_MAX: Final = 128 * 1024
"""Messages and their bytes written at once to a client that joins or is behind: others get a turn,
and the socket of one that does not read never holds more than this above `BUFFER_LOW`."""
JOINS_PER_S: Final = 1.0
JOINS_BURST: Final = 10.0
"""How often a client may ask for everything. More often: closed with 1008."""
BACKLOG_COST_MAX: Final = 1_250_000
"""Bytes that wait for one client beside its socket. More: closed with 1013."""
BACKLOG_PLAIN_MAX: Final = 1000
"""Messages that wait for one client as they are. Beyond, readings are conflated."""
NODE_OF_WALK_COST: Final = 8
"""Bytes for each node that a client which joins is still to be told of: a reference."""
STALL_LIMIT_S: Final = 30.0
"""A client that takes nothing for so long, while something waits, is closed with 1013."""

CLOSE_POLICY: Final = 1008
CLOSE_SLOW: Final = 1013
"""Try again later (RFC 6455 section 7.4, IANA registry)."""


class Sink(Protocol):
    """Where the bytes of a client go."""

    def write(self, data: bytes) -> None: ...

    def buffered(self) -> int:
        """Bytes written and not yet taken by the network."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Begin to close; what is buffered may be lost. Never waits."""
        ...


class Batch:
    """Messages for everybody, encoded at most once per form."""

    __slots__ = ("_arrays", "_legacy", "deliveries", "number", "ts")

    def __init__(self, deliveries: Sequence[ToAll], *, number: int = 0, ts: float = 0.0) -> None:
        """`number` of the last of them, counted by the fan-out, and the Unix time now."""
        self.deliveries = deliveries
        self.number = number
        self.ts = ts
        self._legacy: bytes | None = None
        self._arrays: bytes | None = None

    def data(self, *, extended: bool) -> bytes:
        if extended:
            if self._arrays is None:
                self._arrays = _array_frames(item.message for item in self.deliveries)
            return self._arrays
        if self._legacy is None:
            self._legacy = _legacy_frames((item.message for item in self.deliveries), legacy.TO_ALL)
        return self._legacy


class _Joining:
    """A walk over the nodes as they were when the client joined."""

    __slots__ = ("count", "end_sequence", "nodes", "position", "rest", "told_sequence")

    def __init__(self, nodes: Nodes, uids: frozenset[str] | None) -> None:
        """`uids` None: all nodes. Else only these are looked at: there may be 100,000 others."""
        self.nodes: list[Node] = list(nodes) if uids is None else _some(nodes, uids)
        self.count = len(nodes)
        self.position = 0
        self.rest: list[ToClient] = []
        """What is still to be said of the node at hand, the next one last."""
        self.told_sequence = 0
        self.end_sequence = nodes.sequence


class Client:
    """The state of one client between two flushes."""

    def __init__(
        self,
        client_id: str,
        sink: Sink,
        *,
        extended: bool,
        now: float,
        may_command: bool = True,
    ) -> None:
        self.id = client_id
        self.sink = sink
        self.extended = extended
        """Speaks `pyaiot.v2`."""
        self.may_command = may_command
        self.closed = False
        self.close_code = 0
        """Why we closed it, if we did: a code of RFC 6455."""
        self._uids: frozenset[str] | None = None
        self._resources: frozenset[str] | None = None
        self._backlog: Backlog[ToClient] = Backlog(
            cost_max=BACKLOG_COST_MAX, plain_max=BACKLOG_PLAIN_MAX
        )
        self._joining: _Joining | None = None
        self._joins = RateLimit(per_s=JOINS_PER_S, burst=JOINS_BURST, now=now)
        self._progress_at = now
        self._buffered_then = 0

    @property
    def conflated(self) -> int:
        return self._backlog.conflated

    @property
    def waiting_messages(self) -> int:
        """Messages that wait outside its socket, without those of a walk over all nodes."""
        return len(self._backlog)

    @property
    def waiting(self) -> bool:
        """Something waits for this client outside its socket."""
        return bool(self._backlog) or self._joining is not None

    @property
    def held(self) -> int:
        """Bytes that wait for it, in its socket and outside."""
        joining = self._joining
        walk = 0 if joining is None else NODE_OF_WALK_COST * len(joining.nodes)
        return self.sink.buffered() + self._backlog.cost + walk

    @property
    def plain(self) -> bool:
        """Gets everything and is not behind: bytes made for all may be written to it as is."""
        return (
            not self.closed
            and not self.waiting
            and self._uids is None
            and self._resources is None
            and self.sink.buffered() <= BUFFER_HIGH
        )

    def subscribe(self, wish: Subscribe) -> None:
        """Narrow what comes from now on; what was asked for before counts no more."""
        self._uids = None if wish.uids is None else frozenset(wish.uids)
        self._resources = None if wish.resources is None else frozenset(wish.resources)

    def may_join(self, now: float) -> bool:
        """Whether it may ask for everything again; else it is closed."""
        if self._joins.take(now):
            self.close(CLOSE_POLICY, "asked for everything too often")
        return not self.closed

    def join(self, nodes: Nodes) -> None:
        """Begin to tell everything that is known. A second time begins anew."""
        self._joining = _Joining(nodes, self._uids)

    def send(self, message: ToClient) -> None:
        """A message for this client alone, in order with what waits."""
        if isinstance(message, Receipt) and message.state == "forbidden" and not self.extended:
            # A legacy page has no word for a refusal.
            self.close(CLOSE_POLICY, message.detail)
        elif self._backlog or self.sink.buffered() > BUFFER_HIGH:
            self._add(message)
        else:
            self._write([message])

    def offer(self, batch: Batch, now: float) -> None:
        """What everybody gets, as far as this client wants it. Call `drain` afterwards."""
        if not self.waiting:
            self._progress_at = now
        for delivery in batch.deliveries:
            if self.closed:
                return
            if self._wants(delivery):
                self._add(delivery.message)

    def drain(self, now: float, ts: float) -> bool:
        """Write what waits, as far as the socket takes it. True if anything moved.

        Closes a client that takes nothing for `STALL_LIMIT_S`.
        """
        if self.closed:
            return False
        buffered = self.sink.buffered()
        moved = buffered < self._buffered_then
        while self.waiting and buffered <= BUFFER_LOW:
            moved = True
            joining = self._joining
            # A node is told to its end first: what waits is newer.
            if joining is not None and (joining.rest or not self._backlog):
                self._tell(joining, ts)
            else:
                self._write(self._backlog.take(CHUNK_MESSAGES, CHUNK_COST_MAX))
            buffered = self.sink.buffered()
        self._buffered_then = buffered
        if moved:
            self._progress_at = now
        elif self.waiting and now - self._progress_at >= STALL_LIMIT_S:
            self.close(CLOSE_SLOW, f"read nothing for {STALL_LIMIT_S:.0f} s")
        return moved

    def close(self, code: int, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self.close_code = code
            self._joining = None
            self.sink.close(code, reason)

    def _add(self, message: ToClient) -> None:
        try:
            self._backlog.add(message)
        except BacklogFull as error:
            self.close(CLOSE_SLOW, str(error))

    def _wants(self, delivery: ToAll) -> bool:
        joining = self._joining
        if joining is not None and (
            joining.told_sequence < delivery.sequence <= joining.end_sequence
        ):
            # Not told of this node yet: the walk will come by and tell its latest state.
            return False
        return self._wants_message(delivery.message)

    def _wants_message(self, message: ToClient) -> bool:
        if isinstance(message, Reading) and self._resources is not None:
            return message.resource in self._resources and self._wants_uid(message.uid)
        return self._wants_uid(getattr(message, "uid", ""))

    def _wants_uid(self, uid: str) -> bool:
        return self._uids is None or not uid or uid in self._uids

    def _tell(self, joining: _Joining, ts: float) -> None:
        messages: list[ToClient] = []
        size = 0
        nodes = joining.nodes
        while len(messages) < CHUNK_MESSAGES and size < CHUNK_COST_MAX:
            if joining.rest:
                message = joining.rest.pop()
                messages.append(message)
                size += cost(message)
                continue
            if joining.position == len(nodes):
                break
            node = nodes[joining.position]
            joining.position += 1
            joining.told_sequence = node.sequence
            if not node.gone:
                known: list[NodeAppeared | Reading] = [node.appeared, *node.readings.values()]
                joining.rest = list(filter(self._wants_message, reversed(known)))
        if joining.position == len(nodes) and not joining.rest:
            messages.append(Joined(nodes=joining.count - sum(node.gone for node in nodes), ts=ts))
            self._joining = None
        self._write(messages, self.id)

    def _write(self, messages: Sequence[ToClient], dst: str = legacy.TO_ALL) -> None:
        data = _array_frames(messages) if self.extended else _legacy_frames(messages, dst)
        if data and not self.closed:
            self.sink.write(data)


def _some(nodes: Nodes, uids: frozenset[str]) -> list[Node]:
    found = (nodes.get(uid) for uid in uids)
    return sorted((node for node in found if node is not None), key=lambda node: node.sequence)


def _array_frames(messages: Iterable[ToClient]) -> bytes:
    return b"".join(map(text_frame, encode_frames(messages)))


def _legacy_frames(messages: Iterable[ToClient], dst: str) -> bytes:
    payloads = (legacy.encode_to_client(message, dst) for message in messages)
    return b"".join(text_frame(payload) for payload in payloads if payload is not None)
