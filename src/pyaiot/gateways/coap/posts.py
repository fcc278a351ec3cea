# SPDX-License-Identifier: BSD-3-Clause
"""The posts of nodes: their sender, whether they count, and their responses. Pure.

`now` is the loop's time in seconds, `ts` Unix time in seconds. Changes by posts are appended to
`events`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from pyaiot.errors import ProtocolError, PyaiotError, Refused, TooFast
from pyaiot.gateways.coap.address_table import AddressTable, Claim, HeldReading
from pyaiot.gateways.coap.intake_events import (
    ACCEPTED,
    NOT_ANSWERED,
    UNKNOWN_MAX_AGE_S,
    ClaimToCheck,
    IntakeEvent,
    NodeAlive,
    NodePosted,
    NodeRenamed,
    Refusal,
    Reply,
    too_many,
)
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.messages import NodeLeft, Reading, check_uid
from pyaiot.protocols.coap.deduplication import (
    CON_WINDOW_S,
    NON_WINDOW_S,
    RESET_WINDOW_S,
    DuplicateFilter,
)
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.post import ALIVE, SERVER, Post, read_post
from pyaiot.protocols.coap.post_payload import parse_alive, parse_value
from pyaiot.protocols.coap.values import FORMATS, TEXT_FORMATS, read_post_values, read_values
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer, PeerAddress

CLAIM_MAX_AGE_S: Final = 5
"""Max-Age of the response to a claim while the old address of the uid is checked."""
HOST_POSTS_PER_S: Final = 100.0
HOST_POSTS_BURST: Final = 2000.0
"""Posts of a host from unknown addresses, sustained and at once. Above: 4.29, with the time to
wait."""
UNKNOWN_POSTS_PER_S: Final = 5000.0
UNKNOWN_POSTS_BURST: Final = 10_000.0
"""The same for all such hosts together. Above: not answered, and counted."""
HOST_CHECKS_PER_S: Final = 10.0
HOST_CHECKS_BURST: Final = 200.0
"""Claims of a host that are checked, sustained and at once. Above: 5.03, and the old address is not
checked."""
CHECKS_PER_S: Final = 50.0
CHECKS_BURST: Final = 500.0
"""The same for all hosts together."""

PROBLEMS: Final = (ProtocolError, Refused, TooFast)
"""The errors that refuse a post."""


class Posts:
    """Accepts or refuses posts. `refused` counts posts that were answered with an error."""

    def __init__(
        self,
        nodes: LiveNodes,
        table: AddressTable[Peer],
        events: deque[IntakeEvent],
        is_secured: Callable[[str], bool],
    ) -> None:
        """`is_secured`: whether a device with this uid has a credential, and must use it."""
        self.refused = 0
        self.unknown_rate = HostRateLimit(
            Rate(HOST_POSTS_PER_S, HOST_POSTS_BURST),
            Rate(UNKNOWN_POSTS_PER_S, UNKNOWN_POSTS_BURST),
        )
        self._claim_rate = HostRateLimit(
            Rate(HOST_CHECKS_PER_S, HOST_CHECKS_BURST), Rate(CHECKS_PER_S, CHECKS_BURST)
        )
        self._nodes = nodes
        self._table = table
        self._events = events
        self._is_secured = is_secured
        self._confirmable = DuplicateFilter(CON_WINDOW_S)
        self._non_confirmable = DuplicateFilter(NON_WINDOW_S)
        self._resets = DuplicateFilter(RESET_WINDOW_S)

    # -- posts in one datagram ------------------------------------------------------------------

    def receive_value(
        self, datagram: bytes, resource: str, data: str, peer: Peer, now: float, ts: float
    ) -> Reading | None:
        """`receive_post` for the usual post: a new value of a known node and resource.

        The reading is accepted. `resource`, `data`: see `read_value`. Returns None and changes
        nothing if the post is of another form or is refused: then call `receive_post`.
        """
        address = peer.address
        node = self._table.entry_at(address)
        if node is None or peer.security == "oscore" or self._nodes.foreign.until:
            return None
        counted = self._non_confirmable if datagram[0] & 0x30 else self._confirmable
        if not counted.add_if_new(hash((address, node.boots, datagram)), now):
            return None
        reading = self._nodes.known_reading(node.uid, resource, data, now=now, ts=ts)
        if reading is None:
            counted.remove_latest()
        return reading

    def receive_post(self, post: Post, peer: Peer, *, now: float, ts: float) -> Reply | None:
        """The response to a post; None for a duplicate that is not answered."""
        if post.route.path is ALIVE:
            return self._receive_alive(post, peer, now, ts)
        if peer.security == "oscore":  # RFC 8613 section 7.4: without duplicates
            return self.receive_body(SERVER, peer, post.payload, None, now=now, ts=ts)
        address = peer.address
        node = self._table.entry_at(address)
        if node is None and address.uid:
            try:
                reply = self._identified(peer, now, ts)
            except PROBLEMS as problem:
                return self.refusal(problem, address)
            if reply is not ACCEPTED:
                return reply
            node = self._table.entry_at(address)
        if node is None:
            return self._hold(peer, post.payload, post.datagram, now=now, ts=ts)
        confirmable = post.confirmable
        counted = self._confirmable if confirmable else self._non_confirmable
        key = address, node.boots, post.datagram
        if counted.has(key, now=now):
            # RFC 7252 section 4.5: each copy of a Confirmable message is acknowledged, copies of
            # a Non-confirmable one are ignored.
            return ACCEPTED if confirmable else None
        try:
            self._count_value(node.uid, post.payload, now, ts)
        except PROBLEMS as problem:
            return self.refusal(problem, address)
        elsewhere = self._elsewhere(node.uid, now)
        if elsewhere is not None:
            return elsewhere
        counted.add(key, now=now)
        return ACCEPTED

    def _receive_alive(self, post: Post, peer: Peer, now: float, ts: float) -> Reply | None:
        """Each `alive` counts; a `reset` counts once."""
        if peer.security == "oscore":
            return self.receive_body(ALIVE, peer, post.payload, None, now=now, ts=ts)
        address = peer.address
        key = address, post.datagram
        counted = self._confirmable if post.confirmable else self._resets
        if counted.has(key, now=now):
            if not post.confirmable:
                return None
            # A lost acknowledgement, or a board that rebooted and starts with the same message IDs.
            # Its values stay; its next posts are not duplicates of earlier ones.
            uid = self._table.uid_at(address)
            if uid is not None:
                self._table.booted(uid)
                self._events.append(NodeAlive(uid, (), rebooted=True))
            return ACCEPTED
        try:
            reply = self._alive(peer, post.payload, now, ts)
        except PROBLEMS as problem:
            return self.refusal(problem, address)
        if reply is ACCEPTED and parse_alive(post.payload).rebooted:
            counted.add(key, now=now)
        return reply

    # -- posts without duplicates ---------------------------------------------------------------

    def receive_body(
        self, path: str, peer: Peer, body: bytes, format_: int | None, *, now: float, ts: float
    ) -> Reply:
        """The response to a post that is known not to be a duplicate, possibly because of its
        protection."""
        try:
            if path is not SERVER:
                return self._alive(peer, body, now, ts)
            if peer.address.uid and self._table.entry_at(peer.address) is None:
                reply = self._identified(peer, now, ts)
                if reply is not ACCEPTED:
                    return reply
            if format_ in FORMATS:
                return self._receive_values(peer, body, format_, now, ts)
            if format_ not in TEXT_FORMATS:
                self.refuse("post from %s refused: format %s", peer.address.host, format_)
                return Reply(Code.UNSUPPORTED_CONTENT_FORMAT)
            uid = self._table.uid_at(peer.address)
            if uid is None:
                return self._hold(peer, body, now=now, ts=ts)
            self._count_value(uid, body, now, ts)
        except PROBLEMS as problem:
            return self.refusal(problem, peer.address)
        return self._elsewhere(uid, now) or ACCEPTED

    def _count_value(self, uid: str, payload: bytes, now: float, ts: float) -> None:
        value = parse_value(payload)
        resource, data = value.resource, value.data
        reports = self._nodes.unsolicited_reading(uid, resource, data, now=now, ts=ts)
        self._events.append(NodePosted(uid, resource, data, reports))

    def _hold(
        self, peer: Peer, payload: bytes, datagram: bytes = b"", *, now: float, ts: float
    ) -> Reply:
        """Hold a reading of an unknown peer. It is not accepted until the node announces its
        uid."""
        refusal = self._check_unknown_rate(peer.address, now)
        if refusal is not None:
            return refusal
        try:
            value = parse_value(payload)
        except ProtocolError as problem:
            return self.refusal(problem, peer.address)
        held = HeldReading(value.resource, value.data, ts, datagram)
        self._table.hold(peer.address, held, now=now)
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)

    def _receive_values(
        self, peer: Peer, payload: bytes, format_: int, now: float, ts: float
    ) -> Reply:
        """Handle values in a format other than text, of a node or an unknown peer."""
        address = peer.address
        uid = self._table.uid_at(address)
        refusal = self._check_unknown_rate(address, now) if uid is None else None
        if refusal is not None:
            return refusal
        values = read_post_values(payload, format_)
        if uid is None:
            for value in values:
                held = HeldReading(
                    value.resource, value.data, value.measured_at(ts), unit=value.unit
                )
                self._table.hold(address, held, now=now)
            return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
        self._nodes.take_turn(uid, readings=len(values), now=now)
        for value in values:
            reports = self._nodes.reading(
                uid, value.resource, value.data, now=now, ts=value.measured_at(ts), unit=value.unit
            )
            self._events.append(NodePosted(uid, value.resource, value.data, reports))
        return self._elsewhere(uid, now) or ACCEPTED

    def _elsewhere(self, uid: str, now: float) -> Reply | None:
        """The response to a post of a node that another gateway owns; None if this gateway owns it.

        The post is reported anyway: the broker accepts it as soon as the other gateway has lost the
        node.
        """
        wait_s = self._nodes.foreign.remaining_s(uid, now=now)
        if not wait_s:
            return None
        self.refuse("post of %s not accepted: it belongs to another gateway", uid)
        return Reply(
            Code.SERVICE_UNAVAILABLE,
            "this uid belongs to another gateway",
            max_age_s=int(wait_s) + 1,
        )

    # -- signs of life --------------------------------------------------------------------------

    def _alive(self, peer: Peer, payload: bytes, now: float, ts: float) -> Reply:
        address = peer.address
        alive = parse_alive(payload)
        if alive.uid is None:
            # Old firmware sends no uid: use the node known at this address, or name a node after
            # it.
            uid = address.uid or self._table.uid_at(address) or address.host
            return self.claim(uid, peer, rebooted=alive.rebooted, now=now, ts=ts)
        check_uid(alive.uid)
        reply = self.claim(alive.uid, peer, rebooted=alive.rebooted, now=now, ts=ts)
        if reply is ACCEPTED and alive.uid != address.host:
            self._forget_unnamed(address, ts)
        return reply

    def _identified(self, peer: Peer, now: float, ts: float) -> Reply:
        """Identify a peer with a credential that sends readings before `alive`: its uid is known.
        See `claim`."""
        return self.claim(peer.address.uid, peer, rebooted=False, now=now, ts=ts)

    def _forget_unnamed(self, address: PeerAddress, ts: float) -> None:
        """A node named after its address has sent its uid: remove the old name."""
        node = self._table.get(address.host)
        if node is not None and node.address == address:
            self._table.forget(address.host)
            reports = self._nodes.left(address.host, "left", ts=ts)
            self._events.append(NodeRenamed(address.host, reports))

    def claim(self, uid: str, peer: Peer, *, rebooted: bool, now: float, ts: float) -> Reply:
        """The response to a peer that claims this uid.

        Raises `TooFast`, `Refused`.
        """
        address = peer.address
        if address.uid:
            if address.uid != uid:
                raise Refused("the credential belongs to another uid")
        elif self._is_secured(uid):
            raise Refused("this uid has a credential, which must be used")
        node = self._table.get(uid)
        if node is not None and node.address == address:
            self._nodes.take_turn(uid, now=now)
        elif not address.uid:
            refusal = self._check_unknown_rate(address, now)
            if refusal is not None:
                return refusal
        match self._table.claim(uid, address, peer, now=now):
            case Claim.ACCEPTED:
                self.appeared(uid, address, rebooted=rebooted, now=now, ts=ts)
                return self._elsewhere(uid, now) or ACCEPTED
            case Claim.REFUSED:
                raise Refused("this uid belongs to another node")
            case Claim.CHECK if self._claim_rate.take(address.host, now=now) != 0:
                self._table.postpone(uid, now=now)
            case Claim.CHECK:
                self._events.append(ClaimToCheck(uid, peer))
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=CLAIM_MAX_AGE_S)

    def appeared(
        self,
        uid: str,
        address: PeerAddress,
        *,
        rebooted: bool,
        now: float,
        ts: float,
        known_before: bool = False,
    ) -> None:
        """The node at this address is alive. See `LiveNodes.node_seen`."""
        was_known = uid in self._nodes
        try:
            reports = self._nodes.node_seen(
                uid,
                {"protocol": "CoAP", "ip": address.host},
                now=now,
                ts=ts,
                host=address.host,
                known_before=known_before,
                secured=bool(address.uid),
            )
        except Refused:
            self._table.forget(uid)
            raise
        for report in reports:
            if isinstance(report, NodeLeft):
                self._table.forget(report.uid)
        if rebooted and was_known:
            reports += self._nodes.reset(uid, ts=ts)
            self._table.booted(uid)
        self._events.append(NodeAlive(uid, reports, rebooted=rebooted or not was_known))
        entry = self._table.get(uid)
        boots = 0 if entry is None else entry.boots
        for held in self._table.release(address, now=now):
            self.keep(uid, held.resource, held.data, now=now, ts=held.ts, unit=held.unit)
            post = read_post(held.datagram)
            if post is not None:
                # The same datagram again is a duplicate.
                counted = self._confirmable if post.confirmable else self._non_confirmable
                counted.add((address, boots, held.datagram), now=now)

    # -- other readings -------------------------------------------------------------------------

    def receive_values(
        self,
        uid: str,
        resource: str,
        payload: bytes,
        format_: int | None,
        *,
        notified: bool,
        now: float,
        ts: float,
    ) -> None:
        """The payload of a response to a GET, or of a notification (`notified`).

        Raises `TooFast` for notifications above the rate limit. Malformed payloads are counted and
        ignored.
        """
        try:
            values = read_values(payload, format_, resource)
            if notified:
                self._nodes.take_turn(uid, readings=len(values), now=now)
        except ProtocolError as error:
            self.refuse("malformed value of %s of %s ignored: %s", resource, uid, error)
            return
        except KeyError:
            return  # the node left meanwhile
        for value in values:
            measured_at = value.measured_at(ts)
            self.keep(
                uid,
                value.resource,
                value.data,
                now=now,
                ts=measured_at,
                unit=value.unit,
                is_sign_of_life=notified,
            )

    def keep(
        self,
        uid: str,
        resource: str,
        data: object,
        *,
        now: float,
        ts: float,
        unit: str | None = None,
        is_sign_of_life: bool = False,
    ) -> None:
        """Record a reading that is not answered. One that is refused is counted."""
        try:
            reports = self._nodes.reading(uid, resource, data, now=now, ts=ts, unit=unit)
        except (ProtocolError, Refused, KeyError):
            self.refused += 1
            return
        self._events.append(NodePosted(uid, resource, data, reports, is_sign_of_life))

    # -- refusals -------------------------------------------------------------------------------

    def refuse(self, text: str, *details: object) -> None:
        """Count a refusal."""
        self.refused += 1
        self._events.append(Refusal(text, details))

    def refusal(self, problem: PyaiotError, address: PeerAddress) -> Reply:
        """Count a refusal. Returns the response, with a short reason."""
        self.refuse("post from %s refused: %s", address.host, problem)
        match problem:
            case TooFast():
                return too_many(problem.retry_after_s)
            case Refused():
                return Reply(Code.FORBIDDEN, str(problem))
            case _:
                return Reply(Code.BAD_REQUEST, str(problem))

    def _check_unknown_rate(self, address: PeerAddress, now: float) -> Reply | None:
        wait_s = self.unknown_rate.take(address.host, now=now)
        if wait_s == 0:
            return None
        self.refused += 1
        return NOT_ANSWERED if wait_s is None else too_many(wait_s)
