# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of one gateway: who is there, what they last said, who fell silent. Pure.

`now` is the loop's time in seconds (for durations), `ts` is Unix time in seconds (for people).
What comes back are the messages that the broker must hear.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from pyaiot.errors import Refused, TooFast
from pyaiot.messages import (
    LeftReason,
    NodeAppeared,
    NodeEvent,
    NodeLeft,
    NodeReset,
    Reading,
    check_name,
    check_uid,
    check_value,
)
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimit

RESOURCES_MAX: Final = 256
"""Resources of one node, without the gateway's own. One more is refused."""
CLAIM_AGAIN_S: Final = 10.0
"""How long after another gateway was found to have a node it is claimed again."""
READINGS_PER_S: Final = 20.0
READINGS_BURST: Final = 100.0
"""Readings of one node, sustained and at once. Those above are refused with `TooFast`."""
NEW_NODES_PER_S: Final = 200.0
"""New nodes of a gateway, sustained; the setting `new_nodes_per_s` of its protocol. Above: refused
until later. Nodes that are known do not count."""
NEW_NODES_BURST_S: Final = 10.0
"""So many seconds' worth of new nodes may appear at once, as after a power cut."""
NEW_NODES_OF_HOST_SHARE: Final = 0.5
"""Of both, what one host may use, so that others have the rest."""
NODES_PER_HOST_MAX: Final = 2000
"""Nodes of one host; the setting `nodes_per_host_max`. One more is refused."""
UNPROVED_GRACE_S: Final = 10.0
"""A gateway that is full lets a new node replace one that has not proved itself (it answered no
request), if that was silent for so long. Else the new one is refused."""
BOOKKEEPING: Final = frozenset({"protocol", "ip", "id"})
"""Resources that the gateway itself tells of a node. A device may not send such names."""


class LiveNode:
    """A node as its gateway knows it."""

    __slots__ = (
        *("appeared", "bookkeeping", "claim_at", "heard_at", "host", "kept_until", "proved"),
        *("queued_at", "rate", "readings", "uid"),
    )

    def __init__(
        self, appeared: NodeAppeared, bookkeeping: dict[str, Reading], host: str, now: float
    ) -> None:
        self.uid = appeared.uid
        self.host = host
        """Whose share of the gateway it takes; "": the protocol hides it."""
        self.proved = False
        """It answered a request, so that it is no invented uid."""
        self.appeared = appeared
        self.bookkeeping = bookkeeping
        self.readings: dict[str, Reading] = {}
        self.heard_at = now
        self.queued_at = now
        """When its silence was looked at, or broken, last."""
        self.kept_until = float("-inf")
        """It said that it may be silent until then."""
        self.claim_at: float | None = None
        """When to tell all of it again, because another gateway had it."""
        self.rate = RateLimit(per_s=READINGS_PER_S, burst=READINGS_BURST, now=now)

    def everything(self) -> Iterator[NodeEvent]:
        yield self.appeared
        yield from self.bookkeeping.values()
        yield from self.readings.values()

    def alive(self, events: list[NodeEvent], now: float) -> list[NodeEvent]:
        """What to tell with a sign of life: what is new, or all of it when it is time for that."""
        self.heard_at = self.queued_at = now
        if self.claim_at is None or now < self.claim_at:
            return events
        self.claim_at = None
        return list(self.everything())


class LiveNodes:
    """The nodes, the one that was silent longest first."""

    def __init__(
        self,
        *,
        silence_limit_s: float | None,
        nodes_max: int,
        nodes_per_host_max: int = NODES_PER_HOST_MAX,
        new_nodes_per_s: float = NEW_NODES_PER_S,
    ) -> None:
        """`silence_limit_s` None: the end of the node's connection says that it left."""
        self.nodes_per_host_max = nodes_per_host_max
        self.evicted = 0
        """Nodes that had to make room for new ones, ever."""
        self._by_uid: OrderedDict[str, LiveNode] = OrderedDict()
        self._unproved: OrderedDict[str, None] = OrderedDict()
        """Nodes that may have to make room, the one that was silent longest first."""
        self._on_host: Counter[str] = Counter()
        self._silence_limit_s = silence_limit_s
        self._nodes_max = nodes_max
        at_once = new_nodes_per_s * NEW_NODES_BURST_S
        self._newcomers = HostRateLimit(
            Rate(new_nodes_per_s * NEW_NODES_OF_HOST_SHARE, at_once * NEW_NODES_OF_HOST_SHARE),
            Rate(new_nodes_per_s, at_once),
        )
        self._refused = 0

    def __len__(self) -> int:
        return len(self._by_uid)

    def __contains__(self, uid: str) -> bool:
        return uid in self._by_uid

    def get(self, uid: str) -> LiveNode | None:
        return self._by_uid.get(uid)

    @property
    def newcomers_refused(self) -> int:
        """New nodes that were refused, because there were too many or they came too fast."""
        return self._refused + self._newcomers.refused

    def heard_at(self, uid: str) -> float | None:
        """The loop's time at which the node spoke last; None if it is not known."""
        node = self._by_uid.get(uid)
        return None if node is None else node.heard_at

    def heard(
        self,
        uid: str,
        bookkeeping: Mapping[str, str],
        *,
        now: float,
        ts: float,
        host: str = "",
        known_before: bool = False,
    ) -> list[NodeEvent]:
        """A sign of life. `bookkeeping` is what the gateway knows of the node, say its address.

        `host` is whose share of the gateway the node takes; "" if the protocol hides it. The first
        events may be `NodeLeft` of a node that had to make room. `known_before`: it was known
        before a restart, so that the rate of new nodes does not count.

        Raises `ProtocolError` for a uid that cannot be, `Refused` when there are too many nodes,
        `TooFast` when new ones come too fast.
        """
        events: list[NodeEvent] = []
        node = self._by_uid.get(uid)
        if node is None:
            check_uid(uid)
            events += self._admit(host, now=now, ts=ts, known_before=known_before)
            node = LiveNode(NodeAppeared(uid=uid, ts=ts), {}, host, now)
            self._by_uid[uid] = node
            self._unproved[uid] = None
            self._on_host[host] += 1
            events.append(node.appeared)
        elif node.host != host:
            self._count_out(node.host)
            self._on_host[host] += 1
            node.host = host
        self._move_to_end(node)
        for resource, text in bookkeeping.items():
            known = node.bookkeeping.get(resource)
            if known is None or known.data != text:
                reading = Reading(uid=uid, resource=resource, data=text, ts=ts)
                node.bookkeeping[resource] = reading
                events.append(reading)
        return node.alive(events, now)

    def take_turn(self, uid: str, *, now: float, readings: int = 1) -> None:
        """Count readings that the node sends on its own, at once. Raises `TooFast`, `KeyError`.

        More than `READINGS_BURST` at once count as so many, or they could never pass.
        """
        wait_s = self._by_uid[uid].rate.take(now, min(readings, READINGS_BURST))
        if wait_s:
            raise TooFast(
                f"a node sends at most {READINGS_PER_S:.0f} readings a second",
                retry_after_s=wait_s,
            )

    def reading(
        self,
        uid: str,
        resource: str,
        data: object,
        *,
        now: float,
        ts: float,
        unit: str | None = None,
        live: bool = True,
        retained: bool = False,
    ) -> list[NodeEvent]:
        """A reading of a node that is known. `unit` None: the one that the text states.

        `live` False: the node sent it earlier, so that it is no sign of life. `retained`: nobody
        knows when the node sent it.

        Raises `KeyError` if it is not, `ProtocolError` for a name or value that cannot be,
        `Refused` for a name of ours or one resource too many.
        """
        node = self._by_uid[uid]
        check_value(data)
        if resource not in node.readings:
            check_name(resource, "resource")
            if resource in BOOKKEEPING:
                raise Refused(f"the resource {resource} is the gateway's own")
            if len(node.readings) >= RESOURCES_MAX:
                raise Refused(f"a node has at most {RESOURCES_MAX} resources")
        if unit is None:
            reading = Reading.received(uid, resource, data, ts)
        elif isinstance(data, int | float) and not isinstance(data, bool):
            reading = Reading(
                uid=uid, resource=resource, data=data, ts=ts, number=float(data), unit=unit
            )
        else:
            reading = Reading(uid=uid, resource=resource, data=data, ts=ts)
        if retained:
            reading = msgspec.structs.replace(reading, ts=0.0, retained=True)
        node.readings[resource] = reading
        if retained or not live:
            return [reading]
        self._move_to_end(node)
        return node.alive([reading], now)

    def reset(self, uid: str, *, ts: float) -> list[NodeEvent]:
        """The node rebooted: its values are forgotten, what the gateway knows is told anew."""
        node = self._by_uid.get(uid)
        if node is None:
            return []
        node.readings.clear()
        return [NodeReset(uid=uid, ts=ts), *node.bookkeeping.values()]

    def left(self, uid: str, reason: LeftReason, *, ts: float) -> list[NodeEvent]:
        node = self._by_uid.pop(uid, None)
        if node is None:
            return []
        self._unproved.pop(uid, None)
        self._count_out(node.host)
        return [NodeLeft(uid=uid, ts=ts, reason=reason)]

    def prove(self, uid: str) -> None:
        """The node answered a request: it need not make room for others any more."""
        node = self._by_uid.get(uid)
        if node is not None and not node.proved:
            node.proved = True
            self._unproved.pop(uid, None)

    def silent(self, *, now: float, ts: float) -> list[NodeEvent]:
        """The nodes that were silent for the limit have left."""
        events: list[NodeEvent] = []
        if self._silence_limit_s is not None:
            while self._by_uid:
                node = next(iter(self._by_uid.values()))
                if now - node.queued_at < self._silence_limit_s:
                    break
                if now < node.kept_until:
                    node.queued_at = now
                    self._by_uid.move_to_end(node.uid)
                    continue
                events += self.left(node.uid, "silent", ts=ts)
        return events

    def keep_until(self, uid: str, at: float) -> None:
        """The node may be silent until that time of the loop, whatever the limit is."""
        node = self._by_uid.get(uid)
        if node is not None:
            node.kept_until = at

    def is_silent(self, uid: str, *, now: float) -> bool:
        """Whether the node was silent for the limit; from now on it may not be any more."""
        node = self._by_uid.get(uid)
        if node is None or self._silence_limit_s is None:
            return False
        node.kept_until = float("-inf")
        return now - node.heard_at >= self._silence_limit_s

    def next_silence(self) -> float | None:
        """The loop's time at which the next node may have been silent for too long."""
        if self._silence_limit_s is None or not self._by_uid:
            return None
        return next(iter(self._by_uid.values())).queued_at + self._silence_limit_s

    def everything(self) -> Iterator[NodeEvent]:
        """What a broker must hear that knows nothing."""
        for node in self._by_uid.values():
            yield from node.everything()

    def claim_again(self, uid: str, *, now: float) -> None:
        """Another gateway has this node: tell all of it with a sign of life, some time later.

        Nodes roam: the other one lets go of it when it hears nothing of it any more.
        """
        node = self._by_uid.get(uid)
        if node is not None and node.claim_at is None:
            node.claim_at = now + CLAIM_AGAIN_S

    def _admit(self, host: str, *, now: float, ts: float, known_before: bool) -> list[NodeEvent]:
        """Make room for one more node, or raise `TooFast` or `Refused`."""
        if host and self._on_host[host] >= self.nodes_per_host_max:
            self._refused += 1
            raise Refused(f"a host has at most {self.nodes_per_host_max} nodes here")
        is_full = len(self._by_uid) >= self._nodes_max
        if is_full and not self._may_evict(now):
            self._refused += 1
            raise Refused(f"this gateway holds at most {self._nodes_max} nodes")
        wait_s = 0.0 if known_before else self._newcomers.take(host, now=now)
        if wait_s != 0:
            raise TooFast("too many new nodes at once", retry_after_s=wait_s or NEW_NODES_BURST_S)
        if not is_full:
            return []
        self.evicted += 1
        return self.left(next(iter(self._unproved)), "left", ts=ts)

    def _may_evict(self, now: float) -> bool:
        oldest = next(iter(self._unproved), None)
        return oldest is not None and now - self._by_uid[oldest].heard_at >= UNPROVED_GRACE_S

    def _move_to_end(self, node: LiveNode) -> None:
        self._by_uid.move_to_end(node.uid)
        if not node.proved:
            self._unproved.move_to_end(node.uid)

    def _count_out(self, host: str) -> None:
        self._on_host[host] -= 1
        if not self._on_host[host]:
            del self._on_host[host]
