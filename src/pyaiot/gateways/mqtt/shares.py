# SPDX-License-Identifier: BSD-3-Clause
"""Which shares of the nodes a gateway serves, of several at one cluster of MQTT brokers. Pure.

The gateways announce their presence and the shares that they hold. Each computes the same
assignment from the gateways that are there, releases what is no longer assigned to it, and takes
what is assigned to it once nobody else holds it. The MQTT broker has the last word: a share is a
session, and of two clients with the same session it disconnects the earlier one. `now` is the
loop's time in seconds.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError
from pyaiot.mqtt.embedded.device_logins import subject_of
from pyaiot.mqtt.embedded.machines import SHARES

PRESENCE_INTERVAL_S: Final = 1.0
"""Interval at which each gateway announces the shares that it holds."""
GONE_AFTER_S: Final = 3.0
"""A gateway from which nothing arrived for this long is gone, and others take its shares."""
LISTEN_S: Final = 1.5
"""How long a gateway waits for the others after it has connected, before it takes shares."""
PRESENCE_SIZE_MAX: Final = 1024
"""Bytes of such a message. A larger one is ignored."""

_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193


@dataclass(frozen=True, slots=True)
class ShareAccess:
    """What a gateway needs to share the nodes with those of other machines."""

    own: str
    """This gateway, in `gateways`."""
    gateways: tuple[str, ...]
    client_ids: tuple[str, ...] = field(repr=False)
    """Of the sessions of all shares."""
    group: str
    """See `Hello.group`."""


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway is there, and holds these shares."""

    gateway: Annotated[str, Meta(min_length=1, max_length=300)]
    """Its machine, as in the list of machines."""
    holds: Annotated[tuple[Annotated[int, Meta(ge=0, lt=SHARES)], ...], Meta(max_length=SHARES)]
    leaves: bool = False
    """It stops, and has released all of them."""
    listens: bool = False
    """It does not know the others yet: it takes no share, and the others keep theirs."""
    connects: bool = False
    """The MQTT broker has not accepted it as the one that serves all these shares yet."""


_decoder: Final = msgspec.json.Decoder(Presence)


def read_presence(payload: bytes) -> Presence:
    """Raises `ProtocolError`."""
    if len(payload) > PRESENCE_SIZE_MAX:
        raise ProtocolError(f"more than {PRESENCE_SIZE_MAX} bytes")
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(str(error)) from error


def share_of(uid: str) -> int:
    """The share of a node, as nats-server computes it: FNV-1a of 32 bits, modulo the shares."""
    value = _FNV_OFFSET
    for byte in subject_of(uid).encode():
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value % SHARES


def assign(gateways: Collection[str]) -> dict[str, frozenset[int]]:
    """The shares of each gateway: as many for each as for the others, or one more.

    Each share goes to the gateway with the greatest hash that has room, so that few of them move
    when a gateway comes or goes (rendezvous hashing).
    """
    least, more = divmod(SHARES, len(gateways))
    found: dict[str, set[int]] = {it: set() for it in gateways}
    for share in range(SHARES):
        room = [
            it
            for it in gateways
            if len(found[it]) < least or (len(found[it]) == least and more > 0)
        ]
        chosen = max(room, key=lambda it: _rank(it, share))
        more -= len(found[chosen]) == least
        found[chosen].add(share)
    return {it: frozenset(shares) for it, shares in found.items()}


def _rank(gateway: str, share: int) -> tuple[bytes, str]:
    return hashlib.sha256(f"{share} {gateway}".encode()).digest(), gateway


class ShareChanges(NamedTuple):
    """What a gateway has to do now."""

    release: frozenset[int]
    take: frozenset[int]


class _Other(NamedTuple):
    holds: frozenset[int]
    listens: bool
    connects: bool
    seen_at: float


class Shares:
    """The shares of one gateway, and what it knows of the others."""

    def __init__(self, own: str, gateways: Iterable[str]) -> None:
        """`own`: this gateway. `gateways`: those that can exist; others are ignored."""
        self._own = own
        self._possible = frozenset(gateways) - {own}
        self._others: dict[str, _Other] = {}
        self._takes_after: float | None = None
        """When this gateway knows the others; None: it is not connected."""
        self._updated_at: float | None = None
        self._assigned_of: tuple[list[str], frozenset[int]] = ([], frozenset())
        """The last gateways that were there, and what they assigned to this one."""
        self.held: frozenset[int] = frozenset()
        """What this gateway serves. The caller sets it after it has released or taken shares."""

    @property
    def gateways(self) -> list[str]:
        """The gateways that are there, with this one."""
        return sorted((self._own, *self._others))

    def shares_of(self, gateway: str) -> int | None:
        """How many a gateway serves; None: it is not there."""
        if gateway == self._own:
            return len(self.held)
        other = self._others.get(gateway)
        return None if other is None else len(other.holds)

    def presence(self, now: float, *, connects: bool = False) -> Presence:
        listens = self._takes_after is None or now < self._takes_after
        holds = tuple(sorted(self.held))
        return Presence(gateway=self._own, holds=holds, listens=listens, connects=connects)

    def connected(self, now: float) -> None:
        """Messages of the others arrive from now on."""
        self._takes_after = now + LISTEN_S

    def disconnected(self) -> None:
        """Others take the shares of this gateway, which cannot know when."""
        self._takes_after = None
        self._others.clear()

    def receive(self, presence: Presence, now: float) -> bool:
        """Returns whether to call `update` and to publish the presence of this gateway at once:
        the other one was not known, takes shares from now on, has released one, or leaves."""
        name = presence.gateway
        if name not in self._possible:
            return False
        before = self._others.pop(name, None)
        if presence.leaves:
            return before is not None
        holds = frozenset(presence.holds)
        self._others[name] = _Other(holds, presence.listens, presence.connects, now)
        return before is None or before.listens > presence.listens or bool(before.holds - holds)

    def assigned(self, now: float) -> frozenset[int] | None:
        """The shares of this gateway; None: it does not know the others yet."""
        if self._takes_after is None or now < self._takes_after:
            return None
        gateways = self.gateways
        if gateways != self._assigned_of[0]:
            self._assigned_of = gateways, assign(gateways)[self._own]
        return self._assigned_of[1]

    def unserved(self, now: float) -> frozenset[int]:
        """The shares of this gateway that it does not hold, and no other gateway either."""
        assigned = self.assigned(now)
        return frozenset() if assigned is None else assigned - self.held - self._elsewhere

    @property
    def are_taken(self) -> bool:
        """Whether the others serve all shares, or there are no others."""
        others = self._others.values()
        return not others or (
            len(self._elsewhere) == SHARES and not any(it.connects for it in others)
        )

    @property
    def _elsewhere(self) -> frozenset[int]:
        return frozenset().union(*(it.holds for it in self._others.values()))

    def update(self, now: float) -> ShareChanges:
        """Call it at least every `PRESENCE_INTERVAL_S`."""
        was_paused = self._updated_at is not None and now - self._updated_at > GONE_AFTER_S
        self._updated_at = now
        if was_paused and self._takes_after is not None:
            # The others believe that this one is gone, and what it knows of them is old.
            self._others.clear()
            self._takes_after = now + LISTEN_S
        for name, other in list(self._others.items()):
            if now - other.seen_at > GONE_AFTER_S:
                del self._others[name]
        if was_paused or self._takes_after is None:
            return ShareChanges(self.held, frozenset())
        assigned = self.assigned(now)
        if assigned is None:
            return ShareChanges(frozenset(), frozenset())
        kept = assigned
        takers = [self._own, *(name for name, it in self._others.items() if not it.listens)]
        if len(takers) <= len(self._others):
            # One that listens takes none yet: until then, its future shares stay where they are.
            kept |= assign(takers)[self._own]
        return ShareChanges(self.held - kept, self.unserved(now))
