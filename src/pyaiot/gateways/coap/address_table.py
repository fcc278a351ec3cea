# SPDX-License-Identifier: BSD-3-Clause
"""The addresses of nodes. Pure; `now` is the loop's time in seconds.

A node is identified by its uid, never by its address. `POST /alive` contains the uid, `POST
/server` does not: its readings belong to the uid that was last alive at that address. An address
with a proved identity (`PeerAddress.uid`) belongs to that uid only, from the first message on.
"""

import itertools
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from pyaiot.transport.peers import PeerAddress

HELD_ADDRESSES_MAX: Final = 256
"""Largest number of unknown addresses whose readings are held. Beyond it the oldest is
forgotten."""
HELD_PER_HOST_MAX: Final = 64
"""The same for one host. Beyond it the oldest of this host is forgotten."""
HELD_RESOURCES_MAX: Final = 32
"""Largest number of resources of one such address, with the latest reading of each. Further ones
are not held."""
HELD_LIMIT_S: Final = 60.0
"""How long readings are held until the uid is known. A node sends `alive` every 30 s."""
CLAIM_REFUSED_S: Final = 60.0
"""How long further claims of an address are refused unchecked after a false claim."""
CLAIM_INTERVAL_S: Final = 5.0
"""How long claims of a uid are not checked after a check without a result."""
OWNER_TIMEOUT_S: Final = 45.0
"""A node that answers no requests, or sleeps, keeps its uid if it was last seen within this time.
It sends `alive` every 30 s."""
REFUSED_CLAIMANTS_MAX: Final = 16
"""Largest number of false claimants of one uid that are remembered. Beyond it the oldest is checked
again."""

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
"""Shared by most nodes."""

P = TypeVar("P")


class Claim(Enum):
    """The handling of an address that claims a uid."""

    ACCEPTED = "accepted"
    CHECK = "check"
    """The uid has another address: check that one, then call `move`, `keep` or `postpone`."""
    CHECKING = "checking"
    """A check is running, or has just ended without a result."""
    REFUSED = "refused"


class NodeEntry(msgspec.Struct, Generic[P], gc=False):
    """The source address of a node (`peer`), and where it answers requests (None: unknown)."""

    uid: str
    address: PeerAddress
    peer: P
    answers_at: P | None = None
    answers_from: PeerAddress | None = None
    """The address of `answers_at`."""
    source_unanswered: bool = False
    """Whether the port that it posts from was tried first and did not answer."""
    accepts: Mapping[str, int] = msgspec.field(default_factory=lambda: NOTHING)
    """The Content-Format to request for each resource whose link states one."""
    boots: int = 0
    """Changes with each reboot, so that later posts are not duplicates of earlier ones."""
    posts_from_here: bool = False
    """Whether a post without the uid arrived from `address`, and then one with it, or its
    registration."""
    checking: bool = False
    check_again_at: float = float("-inf")
    refused_until: Mapping[PeerAddress, float] = msgspec.field(default_factory=lambda: NOTHING)


class HeldReading(msgspec.Struct, frozen=True, gc=False):
    """A reading from an unknown address."""

    resource: str
    data: object
    ts: float
    datagram: bytes = b""
    """The whole post, to recognise its duplicates."""
    unit: str | None = None
    """None: the unit in its text."""


class _HeldReadings(msgspec.Struct):
    since: float
    readings: dict[str, HeldReading] = msgspec.field(default_factory=dict)


class AddressTable(Generic[P]):
    """Maps uids to addresses and back. `P`: the data that the caller needs to send a request to an
    address."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeEntry[P]] = {}
        self._uid_at: dict[PeerAddress, str] = {}
        self._uids_on: dict[_Machine, str | dict[str, None]] = {}
        """The nodes of each host: the uid of the only one, or several uids."""
        self._held: OrderedDict[PeerAddress, _HeldReadings] = OrderedDict()
        self._held_on: Counter[_Machine] = Counter()
        """Number of addresses of each host whose readings are held."""
        self._answering: dict[PeerAddress, str] = {}
        """The node that answers requests at each address."""
        self._secured_at: dict[PeerAddress, str] = {}
        """The node that has proved its identity at each address. The key is the address without the
        identity."""
        self._boots = itertools.count(1)

    def get(self, uid: str) -> NodeEntry[P] | None:
        return self._nodes.get(uid)

    def claim(self, uid: str, address: PeerAddress, peer: P, *, now: float) -> Claim:
        """An address claims `uid`."""
        node = self._nodes.get(uid)
        if node is None:
            self._nodes[uid] = NodeEntry(uid, address, peer)
            self._point(uid, address)
            return Claim.ACCEPTED
        if node.address == address:
            # If an address has several uids, readings belong to the one that was last alive.
            self._uid_at[address] = uid
            # A node that uses a new port for each post would not have come back to this one.
            node.posts_from_here = True
            return Claim.ACCEPTED
        if _machine(node.address) == _machine(address) or address.uid:
            # Another port of the same host: the node has rebooted. Or it has proved its identity.
            self.move(uid, address, peer)
            return Claim.ACCEPTED
        if node.refused_until.get(address, now) > now:
            return Claim.REFUSED
        if node.checking or now < node.check_again_at:
            return Claim.CHECKING
        node.checking = True
        return Claim.CHECK

    def move(self, uid: str, address: PeerAddress, peer: P) -> None:
        """Set the current address of a node."""
        node = self._nodes[uid]
        self.does_not_answer(uid)
        self._unpoint(uid, node.address)
        self._nodes[uid] = NodeEntry(uid, address, peer)
        self._point(uid, address)

    def keep(self, uid: str, claimant: PeerAddress, *, now: float) -> None:
        """The old address answered: the claim was false."""
        node = self._nodes[uid]
        node.checking = False
        node.check_again_at = now + CLAIM_INTERVAL_S
        refused = {address: until for address, until in node.refused_until.items() if until > now}
        while len(refused) >= REFUSED_CLAIMANTS_MAX:
            del refused[next(iter(refused))]
        refused[claimant] = now + CLAIM_REFUSED_S
        node.refused_until = refused

    def booted(self, uid: str) -> None:
        """The node rebooted, and may reuse message IDs."""
        self._nodes[uid].boots = next(self._boots)

    def postpone(self, uid: str, *, now: float) -> None:
        """The check had no result: the next claim is checked after `CLAIM_INTERVAL_S`."""
        node = self._nodes[uid]
        node.checking = False
        node.check_again_at = now + CLAIM_INTERVAL_S

    def sends_from_here(self, uid: str) -> None:
        """The node sends from its known port: readings from another port are not its own."""
        self._nodes[uid].posts_from_here = True

    def forget(self, uid: str) -> None:
        self.does_not_answer(uid)
        node = self._nodes.pop(uid, None)
        if node is not None:
            self._unpoint(uid, node.address)

    def uid_at(self, address: PeerAddress) -> str | None:
        """The uid of `entry_at`."""
        node = self.entry_at(address)
        return None if node is None else node.uid

    def entry_at(self, address: PeerAddress) -> NodeEntry[P] | None:
        """The node whose readings come from this address.

        A port that was not seen before belongs to the only node of the host, unless that node sends
        from its known port again, or readings of a further port are held: then it is another node,
        which is still unknown. An identity has one node on a host, at any port.
        """
        if address.uid:
            node = self._nodes.get(address.uid)
            known = node is not None and _machine(node.address) == _machine(address)
            return node if known else None
        uid = self._uid_at.get(address)
        if uid is not None:
            node = self._nodes[uid]
            node.posts_from_here = True
            return node
        machine = _machine(address)
        uids = self._on(machine)
        if len(uids) != 1 or self._held_on[machine] > (address in self._held):
            return None
        (uid,) = uids
        node = self._nodes[uid]
        return None if node.posts_from_here else node

    def known_at(self, address: PeerAddress) -> str | None:
        """The node at this address, including a secured one; otherwise the only node of its host.
        Changes nothing."""
        uid = self._uid_at.get(address) or self._secured_at.get(address)
        uids = self._on(_machine(address))
        return uid or (next(iter(uids)) if len(uids) == 1 else None)

    def answers(self, uid: str, at: P, address: PeerAddress) -> None:
        """The node answers requests at this peer, whose address is `address`."""
        self.does_not_answer(uid)
        node = self._nodes[uid]
        node.answers_at, node.answers_from = at, address
        self._answering[address] = uid

    def does_not_answer(self, uid: str) -> None:
        """Forget where the node answers."""
        node = self._nodes.get(uid)
        if node is None or node.answers_from is None:
            return
        if self._answering.get(node.answers_from) == uid:
            del self._answering[node.answers_from]
        node.answers_at = node.answers_from = None

    def answering_at(self, address: PeerAddress) -> str | None:
        """The node that answers requests at this address."""
        return self._answering.get(address)

    def is_of_another(self, address: PeerAddress, uid: str) -> bool:
        """Whether another node posts from this address, or answers requests at it."""
        return not {None, uid}.issuperset((self._uid_at.get(address), self.answering_at(address)))

    def is_shared(self, address: PeerAddress, uid: str) -> bool:
        """Whether another node is on this host, at any port."""
        uids = self._on(_machine(address))
        return len(uids) > (uid in uids)

    def has_node_on(self, address: PeerAddress) -> bool:
        """Whether a node is on this host, at any port."""
        return _machine(address) in self._uids_on

    def hold(self, address: PeerAddress, reading: HeldReading, *, now: float) -> None:
        """Hold a reading until the uid of its address is known, for at most `HELD_LIMIT_S`."""
        while self._held:
            oldest, held = next(iter(self._held.items()))
            if now - held.since < HELD_LIMIT_S and len(self._held) < HELD_ADDRESSES_MAX:
                break
            if oldest == address and now - held.since < HELD_LIMIT_S:
                break
            self._let_go(oldest)
        if address not in self._held:
            machine = _machine(address)
            if self._held_on[machine] >= HELD_PER_HOST_MAX:
                self._let_go(next(other for other in self._held if _machine(other) == machine))
            self._held_on[machine] += 1
        held_at = self._held.setdefault(address, _HeldReadings(now))
        readings = held_at.readings
        if reading.resource in readings or len(readings) < HELD_RESOURCES_MAX:
            readings[reading.resource] = reading

    def release(self, address: PeerAddress, *, now: float) -> list[HeldReading]:
        """Return the held readings of this address and stop holding them."""
        held = self._let_go(address)
        if held is None:
            return []
        if (uid := self._uid_at.get(address)) is not None:
            self._nodes[uid].posts_from_here = True
        return list(held.readings.values()) if now - held.since < HELD_LIMIT_S else []

    def _let_go(self, address: PeerAddress) -> _HeldReadings | None:
        held = self._held.pop(address, None)
        if held is not None:
            machine = _machine(address)
            self._held_on[machine] -= 1
            if not self._held_on[machine]:
                del self._held_on[machine]
        return held

    def _point(self, uid: str, address: PeerAddress) -> None:
        if address.uid:
            self._secured_at[_unsecured(address)] = uid
        self._uid_at[address] = uid
        machine = _machine(address)
        before = self._uids_on.get(machine, uid)
        if isinstance(before, dict):
            before[uid] = None
        else:
            self._uids_on[machine] = uid if before == uid else {before: None, uid: None}

    def _unpoint(self, uid: str, address: PeerAddress) -> None:
        if address.uid and self._secured_at.get(_unsecured(address)) == uid:
            del self._secured_at[_unsecured(address)]
        if self._uid_at.get(address) == uid:
            del self._uid_at[address]
        machine = _machine(address)
        uids = self._uids_on.get(machine)
        if isinstance(uids, dict):
            uids.pop(uid, None)
            if len(uids) == 1:
                self._uids_on[machine] = next(iter(uids))
        elif uids == uid:
            del self._uids_on[machine]
        for other in self._on(machine):
            # From now on, readings belong to another uid at the same address.
            if self._nodes[other].address == address:
                self._uid_at.setdefault(address, other)

    def _on(self, machine: "_Machine") -> Collection[str]:
        """The uids of the nodes of a host."""
        uids = self._uids_on.get(machine, ())
        return (uids,) if isinstance(uids, str) else uids


_Machine: TypeAlias = str | tuple[str, int, str]
"""A host, and the identity that was proved there. Most have neither zone nor identity: the key is
then the text of the host itself, which takes no extra memory."""


def _machine(address: PeerAddress) -> _Machine:
    if not address.scope_id and not address.uid:
        return address.host
    return address.host, address.scope_id, address.uid


def _unsecured(address: PeerAddress) -> PeerAddress:
    return address._replace(uid="")
