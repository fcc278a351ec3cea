# SPDX-License-Identifier: BSD-3-Clause
"""One node as its gateway knows it. Pure. `now` is the loop's time in seconds."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pyaiot.errors import Refused
from pyaiot.messages import NodeAppeared, NodeDescribed, NodeEvent, Reading, check_types
from pyaiot.model import UNKNOWN, ResourceType, fitted
from pyaiot.transport.rate_limit import SharedRate

RESOURCES_MAX: Final = 256
"""Resources of one node, without those of the gateway. One more is refused."""
READINGS_PER_S: Final = 20.0
READINGS_BURST: Final = 100.0
"""Readings of one node, sustained and at once. Above: refused with `TooFast`."""
READINGS_RATE: Final = SharedRate(per_s=READINGS_PER_S, burst=READINGS_BURST)
_NO_TYPES: Final[Mapping[str, ResourceType]] = MappingProxyType({})
"""Of most nodes: they share it."""


class LiveNode:
    """A node as its gateway knows it."""

    __slots__ = (
        *("appeared", "bookkeeping", "claim_at", "last_seen", "host", "kept_until", "verified"),
        *("queued_at", "rate_full_at", "readings", "secured", "types", "uid"),
    )

    def __init__(
        self, appeared: NodeAppeared, bookkeeping: dict[str, Reading], host: str, now: float
    ) -> None:
        self.uid = appeared.uid
        self.host = host
        """The host whose quota it uses; "": the protocol hides it."""
        self.verified = False
        """It answered a request, so that its uid is not made up."""
        self.secured = False
        """It proved its uid with a credential."""
        self.appeared = appeared
        self.bookkeeping = bookkeeping
        self.readings: dict[str, Reading] = {}
        self.types: Mapping[str, ResourceType] = _NO_TYPES
        """What metadata of the device or links say of its resources."""
        self.last_seen = now
        self.queued_at = now
        """When it was last seen, or last checked for its offline timeout."""
        self.kept_until = float("-inf")
        """It is not offline before this time, as it announced."""
        self.claim_at: float | None = None
        """When to report all of it again, because another gateway owned it."""
        self.rate_full_at = now
        """The state of its bucket in `READINGS_RATE`."""

    def everything(self) -> Iterator[NodeEvent]:
        yield self.appeared
        if self.types:
            yield NodeDescribed(uid=self.uid, types=dict(self.types), complete=True)
        yield from self.bookkeeping.values()
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
        """Record a sign of life. Returns `events`, or all of the node if it must be claimed
        again."""
        self.last_seen = self.queued_at = now
        if self.claim_at is None or now < self.claim_at:
            return events
        self.claim_at = None
        return list(self.everything())
