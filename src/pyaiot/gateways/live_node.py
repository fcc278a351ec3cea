# SPDX-License-Identifier: BSD-3-Clause
"""A node as its gateway knows it. Pure. `now` is the loop's time in seconds."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pyaiot.errors import Refused
from pyaiot.messages import NodeAppeared, NodeDescribed, NodeEvent, Reading, check_types
from pyaiot.model import UNKNOWN, ResourceType, fitted
from pyaiot.transport.rate_limit import SharedRate

RESOURCES_MAX: Final = 256
"""Largest number of resources of one node, without those of the gateway. Further ones are
refused."""
READINGS_PER_S: Final = 20.0
READINGS_BURST: Final = 100.0
"""Rate limit and burst of readings of one node. Above it, they are refused with `TooFast`."""
READINGS_RATE: Final = SharedRate(per_s=READINGS_PER_S, burst=READINGS_BURST)
NEVER: Final = float("-inf")
"""A time before any time of the loop."""
_NO_TYPES: Final[Mapping[str, ResourceType]] = MappingProxyType({})
"""Shared by most nodes."""


class LiveNode:
    """A node as its gateway knows it."""

    __slots__ = (
        *("_bookkeeping", "appeared_at", "claim_at", "last_seen", "host", "kept_until", "verified"),
        *("queued_at", "rate_full_at", "readings", "secured", "types", "uid"),
    )

    def __init__(self, uid: str, host: str, *, now: float, ts: float) -> None:
        self.uid = uid
        self.appeared_at = ts
        """Unix time."""
        self.host = host
        """The host whose quota it uses; empty if the protocol hides it."""
        self.verified = False
        """Whether it answered a request, which proves that its uid is not invented."""
        self.secured = False
        """Whether it proved its uid with a credential."""
        self._bookkeeping: tuple[Reading, ...] = ()
        """Readings that the gateway adds, such as its address. A tuple, because it is small."""
        self.readings: dict[str, Reading] = {}
        self.types: Mapping[str, ResourceType] = _NO_TYPES
        """Types of its resources according to metadata of the device or to links."""
        self.last_seen = now
        self.queued_at = now
        """When it was last seen, or last checked for its offline timeout."""
        self.kept_until = NEVER
        """It does not go offline before this time, which it announced."""
        self.claim_at: float | None = None
        """When to report the whole node again, because another gateway owned it."""
        self.rate_full_at = now
        """The state of its bucket in `READINGS_RATE`."""

    @property
    def appeared(self) -> NodeAppeared:
        """The message that it is online."""
        return NodeAppeared(uid=self.uid, ts=self.appeared_at, secured=self.secured)

    @property
    def bookkeeping(self) -> dict[str, Reading]:
        """The readings that the gateway adds, by resource."""
        return {reading.resource: reading for reading in self._bookkeeping}

    def keep_books(self, texts: Mapping[str, str], ts: float) -> list[NodeEvent]:
        """Set the readings that the gateway adds. Returns those that are new or have changed."""
        known = self.bookkeeping
        changed: list[NodeEvent] = []
        for resource, text in texts.items():
            before = known.get(resource)
            if before is None or before.data != text:
                reading = Reading(uid=self.uid, resource=resource, data=text, ts=ts)
                known[resource] = reading
                changed.append(reading)
        if changed:
            self._bookkeeping = tuple(known.values())
        return changed

    def forget_claim(self) -> None:
        """Forget reports from before the node proved its uid."""
        self.readings.clear()
        self._bookkeeping = ()

    def everything(self) -> Iterator[NodeEvent]:
        yield self.appeared
        if self.types:
            yield NodeDescribed(uid=self.uid, types=dict(self.types), complete=True)
        yield from self._bookkeeping
        yield from self.readings.values()

    def describe(self, types: Mapping[str, ResourceType], *, complete: bool) -> list[NodeEvent]:
        """See `LiveNodes.describe`."""
        after = {} if complete else dict(self.types)
        for resource, it in types.items():
            after.pop(resource, None)
            if it != UNKNOWN:
                after[resource] = fitted(it)
        check_types(after)
        if len(after) > RESOURCES_MAX:
            raise Refused(f"a node may have at most {RESOURCES_MAX} resources")
        changed = {
            resource: after.get(resource, UNKNOWN)
            for resource in after.keys() | self.types.keys()
            if after.get(resource) != self.types.get(resource)
        }
        self.types = after or _NO_TYPES
        return [NodeDescribed(uid=self.uid, types=changed)] if changed else []

    def alive(self, events: list[NodeEvent], now: float) -> list[NodeEvent]:
        """Record a sign of life. Returns `events`, or the whole node if it must be claimed
        again."""
        self.last_seen = self.queued_at = now
        if self.claim_at is None or now < self.claim_at:
            return events
        self.claim_at = None
        return list(self.everything())
