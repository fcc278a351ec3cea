# SPDX-License-Identifier: BSD-3-Clause
"""The online nodes of one gateway: their latest readings, and the offline timeout. Pure.

`now` is the loop's time in seconds (for durations), `ts` is Unix time in seconds (for people).
Methods return the messages to send to the broker.
"""

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from pyaiot.errors import Refused, TooFast
from pyaiot.gateways.foreign_nodes import CLAIM_AGAIN_S, ForeignNodes
from pyaiot.gateways.live_node import (
    NEVER,
    READINGS_BURST,
    READINGS_PER_S,
    READINGS_RATE,
    RESOURCES_MAX,
    LiveNode,
)
from pyaiot.gateways.node_rules import RulesOfNodes
from pyaiot.messages import (
    LeftReason,
    NodeEvent,
    NodeLeft,
    NodeReset,
    Reading,
    check_name,
    check_uid,
    check_value,
)
from pyaiot.messages.checks import SHORT_LENGTH
from pyaiot.model import ResourceType
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate

NEW_NODES_PER_S: Final = 200.0
"""Largest sustained rate of new nodes of a gateway; the setting `new_nodes_per_s` of its protocol.
Above it, they are refused until later. Known nodes do not count."""
NEW_NODES_BURST_S: Final = 10.0
"""The burst of new nodes, in seconds of the sustained rate: after a power cut many appear at
once."""
NEW_NODES_OF_HOST_SHARE: Final = 0.5
"""The share of both rates that one host may use."""
NODES_PER_HOST_MAX: Final = 2000
"""Largest number of nodes of one host; the setting `nodes_per_host_max`. Further ones are
refused."""
UNVERIFIED_GRACE_S: Final = 10.0
"""A full gateway evicts an unverified node, which has answered no request, for a new one if the
unverified one has been silent for this long. Otherwise the new one is refused."""
BOOKKEEPING: Final = frozenset({"protocol", "ip", "id"})
"""Resources that the gateway itself reports for a node. Devices may not use these names, except
`ip` where the gateway reports none: MQTT and WebSocket nodes may send it (legacy protocol, section
1)."""
_PLAIN_TYPES: Final = frozenset({str, int, float, bool})


class LiveNodes:
    """The online nodes, the longest silent first."""

    def __init__(
        self,
        *,
        silence_limit_s: float | None,
        nodes_max: int,
        nodes_per_host_max: int = NODES_PER_HOST_MAX,
        new_nodes_per_s: float = NEW_NODES_PER_S,
        is_secured: Callable[[str], bool] = lambda _uid: False,
    ) -> None:
        """`silence_limit_s` is the offline timeout. None: a node is online while it is
        connected. `is_secured`: whether a uid has a credential (`DeviceStore.is_secured`)."""
        self._is_secured = is_secured
        self.nodes_per_host_max = nodes_per_host_max
        self.rules = RulesOfNodes()
        """See `apply_rules`."""
        self.foreign = ForeignNodes()
        """The nodes that another gateway owns."""
        self.seen_quietly: set[str] = set()
        """Nodes whose signs of life caused no event, since the set was replaced."""
        self.evicted = 0
        """Number of nodes that were evicted for new ones."""
        self._by_uid: OrderedDict[str, LiveNode] = OrderedDict()
        self._unverified: OrderedDict[str, None] = OrderedDict()
        """Nodes that may be evicted, the longest silent first."""
        self._nodes_of_host: Counter[str] = Counter()
        self._silence_limit_s = silence_limit_s
        self._nodes_max = nodes_max
        at_once = new_nodes_per_s * NEW_NODES_BURST_S
        self._new_node_rate = HostRateLimit(
            Rate(new_nodes_per_s * NEW_NODES_OF_HOST_SHARE, at_once * NEW_NODES_OF_HOST_SHARE),
            Rate(new_nodes_per_s, at_once),
        )
        self._refused = 0

    def __len__(self) -> int:
        return len(self._by_uid)

    def __contains__(self, uid: str) -> bool:
        return uid in self._by_uid

    @property
    def offline_timeout_s(self) -> float:
        """The offline timeout of nodes without their own; 0: a node is online while it is
        connected."""
        return self._silence_limit_s or 0.0

    def get(self, uid: str) -> LiveNode | None:
        return self._by_uid.get(uid)

    @property
    def new_nodes_refused(self) -> int:
        """Number of new nodes that were refused because of the limit of nodes or the rate limit."""
        return self._refused + self._new_node_rate.refused

    def last_seen(self, uid: str) -> float | None:
        """The loop's time at which the node was last seen; None if unknown."""
        node = self._by_uid.get(uid)
        return None if node is None else node.last_seen

    def node_seen(
        self,
        uid: str,
        bookkeeping: Mapping[str, str],
        *,
        now: float,
        ts: float,
        host: str = "",
        known_before: bool = False,
        secured: bool = False,
    ) -> list[NodeEvent]:
        """A sign of life. `bookkeeping` is what the gateway knows of the node, such as its address.

        `host` is the host whose quota the node uses; "" if the protocol hides it. The first event
        may be `NodeLeft` of a node that was evicted. `known_before`: it was known before a restart,
        so that the rate limit of new nodes does not apply. `secured`: it proved its uid with a
        credential. Such a node is served before others: the rate limit of new nodes and the quota
        of its host do not apply to it.

        Raises `ProtocolError` for an invalid uid, `Refused` when there are too many nodes or the
        uid has a credential that was not used, `TooFast` above the rate limit of new nodes.
        """
        events: list[NodeEvent] = []
        node = self._by_uid.get(uid)
        if not secured and self._is_secured(uid):
            self._refused += 1
            raise Refused(f"the node {uid} has a credential, and this claim was made without it")
        if node is not None and secured and not node.secured:
            # It was claimed without a credential before: remove everything from that claim.
            node.forget_claim()
            node.secured = True
            self.verify(uid)
            events += [NodeReset(uid=uid, ts=ts), node.appeared]
        if node is None:
            check_uid(uid)
            if self.rules.is_banned(uid):
                self._refused += 1
                raise Refused(f"the node {uid} is banned")
            events += self._admit(host, now=now, ts=ts, known_before=known_before, secured=secured)
            node = LiveNode(uid, host, now=now, ts=ts)
            node.secured = node.verified = secured
            self._by_uid[uid] = node
            if not secured:
                self._unverified[uid] = None
            self._nodes_of_host[host] += 1
            events.append(node.appeared)
        elif node.host != host:
            self._release_quota(node.host)
            self._nodes_of_host[host] += 1
            node.host = host
        self._move_to_end(node)
        events += node.keep_books(bookkeeping, ts)
        if not events:
            self.seen_quietly.add(node.uid)
        return node.alive(events, now)

    def take_turn(self, uid: str, *, now: float, readings: int = 1) -> None:
        """Count unsolicited readings of one datagram. Raises `TooFast`, `KeyError`.

        More than `READINGS_BURST` count as `READINGS_BURST`: otherwise they could never pass.
        """
        node = self._by_uid[uid]
        count = min(readings, READINGS_BURST)
        node.rate_full_at, wait_s = READINGS_RATE.take(node.rate_full_at, now, count)
        if wait_s:
            raise _too_fast(wait_s)

    def unsolicited_reading(
        self,
        uid: str,
        resource: str,
        data: object,
        *,
        now: float,
        ts: float,
        unit: str | None = None,
    ) -> list[NodeEvent]:
        """`take_turn`, then `reading`, in one call, because most datagrams need both."""
        reading = self.known_reading(uid, resource, data, now=now, ts=ts, unit=unit)
        if reading is not None:
            return [reading]
        self.take_turn(uid, now=now)
        return self.reading(uid, resource, data, now=now, ts=ts, unit=unit)

    def known_reading(
        self,
        uid: str,
        resource: str,
        data: object,
        *,
        now: float,
        ts: float,
        unit: str | None = None,
    ) -> Reading | None:
        """`unsolicited_reading` for a reading that changes only a value; otherwise returns None and
        records nothing."""
        if (
            (node := self._by_uid.get(uid)) is None
            or (before := node.readings.get(resource)) is None
            or node.claim_at is not None
            or type(data) not in _PLAIN_TYPES
            or (type(data) is str and len(data) > SHORT_LENGTH)
        ):
            return None
        full_at = READINGS_RATE.take_one(node.rate_full_at, now)
        if full_at is None:
            return None
        node.rate_full_at, resource = full_at, before.resource
        reading = node.readings[resource] = _reading(node.uid, resource, data, ts, unit)
        node.last_seen = node.queued_at = now
        self._by_uid.move_to_end(uid)
        if not node.verified:
            self._unverified.move_to_end(uid)
        return reading

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
        """A reading of a known node. `unit` None: the unit in its text.

        `live` False: the node sent it earlier, so that it is not a sign of life. `retained`: it is
        unknown when the node sent it.

        Raises `KeyError` for an unknown node, `ProtocolError` for an invalid name or value,
        `Refused` for a name in `BOOKKEEPING` or too many resources.
        """
        node = self._by_uid[uid]
        check_value(data)
        uid = node.uid
        before = node.readings.get(resource)
        resource = self._new_name(node, resource) if before is None else before.resource
        reading = _reading(uid, resource, data, ts, unit)
        if retained:
            reading = msgspec.structs.replace(reading, ts=0.0, retained=True)
        node.readings[resource] = reading
        if retained or not live:
            return [reading]
        self._move_to_end(node)
        return node.alive([reading], now)

    def describe(
        self, uid: str, types: Mapping[str, ResourceType], *, complete: bool = False
    ) -> list[NodeEvent]:
        """Set the types of resources of a known node, from its metadata or its links. The resources
        need no reading. Sent to the broker if something changed.

        An empty type removes the type of the resource. `complete`: resources that are not included
        lose theirs. Invalid parts of a type are left out (`fitted`). Raises `KeyError` for an
        unknown node, `ProtocolError` for an invalid name of a resource or more than
        `TYPES_SIZE_MAX`, `Refused` for too many resources.
        """
        return self._by_uid[uid].describe(types, complete=complete)

    def reset(self, uid: str, *, ts: float) -> list[NodeEvent]:
        """The node rebooted: forget its readings, and report its bookkeeping again."""
        node = self._by_uid.get(uid)
        if node is None:
            return []
        node.readings.clear()
        return [NodeReset(uid=uid, ts=ts), *node.bookkeeping.values()]

    def left(self, uid: str, reason: LeftReason, *, ts: float) -> list[NodeEvent]:
        node = self._by_uid.pop(uid, None)
        if node is None:
            return []
        self._unverified.pop(uid, None)
        self.foreign.forget(uid)
        self._release_quota(node.host)
        self.rules.forget(uid)
        return [NodeLeft(uid=uid, ts=ts, reason=reason)]

    def verify(self, uid: str) -> None:
        """The node answered a request: it can no longer be evicted."""
        node = self._by_uid.get(uid)
        if node is not None and not node.verified:
            node.verified = True
            self._unverified.pop(uid, None)

    def handle_timer(self, *, now: float, ts: float) -> list[NodeEvent]:
        """Remove the nodes whose offline timeout has passed."""
        events: list[NodeEvent] = []
        if self._silence_limit_s is None:
            return events
        while (uid := self.rules.next_due(now)) is not None:
            node = self._by_uid[uid]
            due = max(node.last_seen + (self.rules.timeout_of(uid) or 0.0), node.kept_until)
            if now < due:
                self.rules.check_again(uid, due)
            else:
                events += self.left(uid, "silent", ts=ts)
        while self._by_uid:
            node = next(iter(self._by_uid.values()))
            if now - node.queued_at < self._silence_limit_s:
                break
            if now < node.kept_until or self.rules.timeout_of(node.uid) is not None:
                node.queued_at = now
                self._by_uid.move_to_end(node.uid)
                continue
            events += self.left(node.uid, "silent", ts=ts)
        return events

    def keep_until(self, uid: str, at: float) -> None:
        """Keep the node online until this time of the loop, regardless of its offline timeout."""
        node = self._by_uid.get(uid)
        if node is not None:
            node.kept_until = at

    def is_offline(self, uid: str, *, now: float) -> bool:
        """Whether the offline timeout of the node has passed. Ends the effect of `keep_until`."""
        node = self._by_uid.get(uid)
        if node is None or self._silence_limit_s is None:
            return False
        node.kept_until = NEVER
        return now - node.last_seen >= (self.rules.timeout_of(uid) or self._silence_limit_s)

    def get_timer(self) -> float | None:
        """The loop's time at which to call `handle_timer`; None: never."""
        if self._silence_limit_s is None or not self._by_uid:
            return None
        due = next(iter(self._by_uid.values())).queued_at + self._silence_limit_s
        own = self.rules.get_timer()
        return due if own is None else min(due, own)

    def apply_rules(self, uid: str, *, banned: bool, offline_after_s: float) -> None:
        """Apply decisions of people about a node. The caller removes a banned node.

        `offline_after_s`: its offline timeout in seconds; 0: that of the gateway.
        """
        if banned:
            self.rules.ban(uid)
            return
        self.rules.lift_ban(uid)
        node = self._by_uid.get(uid)
        if node is not None and self._silence_limit_s is not None:
            self.rules.set_timeout(uid, offline_after_s, last_seen=node.last_seen)

    def take_seen_quietly(self) -> set[str]:
        """The online nodes whose signs of life caused no event since the last call."""
        seen, self.seen_quietly = self.seen_quietly, set()
        return seen & self._by_uid.keys()

    def everything(self) -> Iterator[NodeEvent]:
        """The state of all nodes, for a broker without state."""
        for node in self._by_uid.values():
            yield from node.everything()

    def claim_again(self, uid: str, *, now: float) -> None:
        """Another gateway owns this node: report the whole node with a sign of life, some time
        later.

        Nodes roam: the other gateway loses the node when it no longer receives anything from it.
        """
        node = self._by_uid.get(uid)
        if node is None:
            return
        self.foreign.refused(uid, now=now)
        if node.claim_at is None:
            node.claim_at = now + CLAIM_AGAIN_S

    def _admit(
        self, host: str, *, now: float, ts: float, known_before: bool, secured: bool
    ) -> list[NodeEvent]:
        """Make room for a new node. Raises `TooFast`, `Refused`."""
        if host and self._nodes_of_host[host] >= self.nodes_per_host_max and not secured:
            self._refused += 1
            raise Refused(f"a host may have at most {self.nodes_per_host_max} nodes")
        is_full = len(self._by_uid) >= self._nodes_max
        if is_full and not (self._unverified if secured else self._may_evict(now)):
            self._refused += 1
            raise Refused(f"this gateway holds at most {self._nodes_max} nodes")
        wait_s = 0.0 if known_before or secured else self._new_node_rate.take(host, now=now)
        if wait_s != 0:
            raise TooFast("too many new nodes at once", retry_after_s=wait_s or NEW_NODES_BURST_S)
        if not is_full:
            return []
        self.evicted += 1
        return self.left(next(iter(self._unverified)), "left", ts=ts)

    def _may_evict(self, now: float) -> bool:
        oldest = next(iter(self._unverified), None)
        return oldest is not None and now - self._by_uid[oldest].last_seen >= UNVERIFIED_GRACE_S

    def _new_name(self, node: LiveNode, resource: str) -> str:
        """The name of a further resource, as one object for all nodes. A node uses it, and its own
        uid, in all its readings, so idle nodes take less memory.

        Raises `ProtocolError`, `Refused` if the node may not have this resource.
        """
        check_name(resource, "resource")
        if resource in BOOKKEEPING and (resource != "ip" or "ip" in node.bookkeeping):
            raise Refused(f"the resource {resource} is the gateway's own")
        if len(node.readings) >= RESOURCES_MAX:
            raise Refused(f"a node may have at most {RESOURCES_MAX} resources")
        return sys.intern(resource)

    def _move_to_end(self, node: LiveNode) -> None:
        self._by_uid.move_to_end(node.uid)
        if not node.verified:
            self._unverified.move_to_end(node.uid)

    def _release_quota(self, host: str) -> None:
        self._nodes_of_host[host] -= 1
        if not self._nodes_of_host[host]:
            del self._nodes_of_host[host]


def _reading(uid: str, resource: str, data: object, ts: float, unit: str | None) -> Reading:
    """See `LiveNodes.reading`."""
    if unit is None:
        return Reading.received(uid, resource, data, ts)
    if isinstance(data, int | float) and not isinstance(data, bool):
        return Reading(uid=uid, resource=resource, data=data, ts=ts, number=float(data), unit=unit)
    return Reading(uid=uid, resource=resource, data=data, ts=ts)


def _too_fast(wait_s: float) -> TooFast:
    return TooFast(
        f"a node may send at most {READINGS_PER_S:.0f} readings a second", retry_after_s=wait_s
    )
