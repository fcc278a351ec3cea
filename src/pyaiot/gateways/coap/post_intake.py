# SPDX-License-Identifier: BSD-3-Clause
"""The posts of nodes: identifies the sender, accepts or refuses the post, and answers it.

`POST /alive` and `POST /server` are handled datagram by datagram (the fast path); in blocks or
other formats they arrive through aiocoap, in `receive_post`.
"""

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import aiocoap

from pyaiot.errors import ProtocolError, PyaiotError, Refused, TooFast
from pyaiot.gateways.coap.address_table import AddressTable, Claim, HeldReading, PeerAddress
from pyaiot.gateways.coap.aiocoap_adapter import CoapPeer, plain_host
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.gateway import Gateway
from pyaiot.messages import check_uid
from pyaiot.protocols.coap.deduplication import (
    CON_WINDOW_S,
    NON_WINDOW_S,
    RESET_WINDOW_S,
    DuplicateFilter,
)
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.post import SERVER, Post, read_post, write_answer
from pyaiot.protocols.coap.post_payload import parse_alive, parse_value
from pyaiot.protocols.coap.values import FORMATS, read_post_values, read_values
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimitedLog

UNKNOWN_MAX_AGE_S: Final = 30
"""Max-Age of the answer to readings of an unknown peer. Nodes send `alive` every 30 s."""
CLAIM_MAX_AGE_S: Final = 5
"""Max-Age of the answer to a claim while the old address of the uid is checked."""
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
ADDRESSES_MAX: Final = 32_768
"""Parsed socket addresses that are cached. Beyond, the cache is cleared."""

log = logging.getLogger(__name__)

_CHANGED: Final = int(Code.CHANGED)


class Reply(NamedTuple):
    """The answer to a post."""

    code: int
    words: str = ""
    max_age_s: int | None = None


ACCEPTED: Final = Reply(_CHANGED)
NO_ANSWER: Final = Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
"""Not answered: unknown peers send too much together."""


def too_many(wait_s: float) -> Reply:
    """RFC 8516: Max-Age of 4.29 is the time to wait."""
    return Reply(Code.TOO_MANY_REQUESTS, max_age_s=int(wait_s) + 1)


def as_message(reply: Reply) -> aiocoap.Message:
    """A reply as a message of aiocoap."""
    answer = aiocoap.Message(code=aiocoap.Code(reply.code), payload=reply.words.encode()[:64])
    if reply.max_age_s is not None:
        answer.opt.max_age = reply.max_age_s
    return answer


class PostIntake:
    """Handles the posts of nodes. `refused` counts those that were answered with an error."""

    def __init__(
        self,
        gateway: Gateway,
        table: AddressTable[CoapPeer],
        endpoint: CoapEndpoint,
        *,
        on_reading: Callable[[str], None],
        on_alive: Callable[[str, bool], None],
        check_claim: Callable[[str, CoapPeer], None],
    ) -> None:
        """`on_reading` is called with the uid of each reading, `on_alive` with the uid of each
        other sign of life, and whether the node may have rebooted.

        `check_claim` checks the known address of a uid when another address claims it.
        """
        self.refused = 0
        self.unknown_rate = HostRateLimit(
            Rate(HOST_POSTS_PER_S, HOST_POSTS_BURST),
            Rate(UNKNOWN_POSTS_PER_S, UNKNOWN_POSTS_BURST),
        )
        self._claim_rate = HostRateLimit(
            Rate(HOST_CHECKS_PER_S, HOST_CHECKS_BURST), Rate(CHECKS_PER_S, CHECKS_BURST)
        )
        self._gateway = gateway
        self._table = table
        self._endpoint = endpoint
        self._loop = endpoint.loop
        self._on_reading = on_reading
        self._on_alive = on_alive
        self._check_claim = check_claim
        self._refusals = RateLimitedLog(log)
        self._address_cache: dict[Any, PeerAddress] = {}
        self._confirmable = DuplicateFilter(CON_WINDOW_S)
        self._non_confirmable = DuplicateFilter(NON_WINDOW_S)
        self._resets = DuplicateFilter(RESET_WINDOW_S)

    def receive_datagram(
        self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None
    ) -> bytes | None:
        """The answer to a datagram (b"": none), or None: it is not a post for the fast path.

        `sockaddr` is its source and `pktinfo` its destination, as the socket reports them.
        """
        post = read_post(datagram)
        if post is None:
            return None
        address = self._address_cache.get(sockaddr) or self._address(sockaddr)
        reply: Reply | None
        if post.route.path is SERVER:
            reply = self._value_once(post, address)
        else:
            peer = self._endpoint.peer_at(sockaddr, pktinfo)
            reply = self._alive_once(post, address, peer)
        if reply is None or reply is NO_ANSWER:
            return b""
        message_id = 0 if post.confirmable else self._endpoint.next_message_id()
        return write_answer(
            post, reply.code, message_id, words=reply.words, max_age_s=reply.max_age_s
        )

    def receive_post(
        self, path: str, peer: CoapPeer, payload: bytes, format_: int | None = None
    ) -> Reply:
        """The answer to a post that arrived through aiocoap, which has removed duplicates."""
        address = peer.address
        try:
            if path is SERVER:
                if format_ in FORMATS:
                    return self._receive_values(address, payload, format_)
                uid = self._table.uid_at(address)
                if uid is None:
                    return self._hold(address, payload)
                self._value(uid, payload)
                return ACCEPTED
            return self._alive(address, peer, payload)
        except _PROBLEMS as problem:
            return self.refusal(problem, address)

    def is_node(self, address: PeerAddress) -> bool:
        """Whether a known node uses this host, at any port."""
        return self._table.has_node_on(address)

    def refuse(self, text: str, *details: object) -> None:
        """Count a refusal, and log it at a limited rate."""
        self.refused += 1
        self._refusals.warning(text, *details, now=self._loop.time())

    def count_refusal(self, host: str, problem: object) -> None:
        self.refuse("post from %s refused: %s", host, problem)

    def refusal(self, problem: PyaiotError, address: PeerAddress) -> Reply:
        """Count a refusal. Returns the answer, with a short reason."""
        self.count_refusal(address.host, problem)
        match problem:
            case TooFast():
                return too_many(problem.retry_after_s)
            case Refused():
                return Reply(Code.FORBIDDEN, str(problem))
            case _:
                return Reply(Code.BAD_REQUEST, str(problem))

    # -- readings -------------------------------------------------------------------------------

    def _value_once(self, post: Post, address: PeerAddress) -> Reply | None:
        """None: a duplicate that is not answered."""
        table = self._table
        uid = table.uid_at(address)
        if uid is None:
            return self._hold(address, post.payload, post.datagram)
        now = self._loop.time()
        counted = self._confirmable if post.confirmable else self._non_confirmable
        key = (address, table.boots(uid), post.datagram)
        if counted.has(key, now=now):
            # RFC 7252 section 4.5: each copy of a Confirmable message is acknowledged, copies of
            # a Non-confirmable one are ignored.
            return ACCEPTED if post.confirmable else None
        try:
            self._value(uid, post.payload)
        except _PROBLEMS as problem:
            return self.refusal(problem, address)
        counted.add(key, now=now)
        return ACCEPTED

    def _value(self, uid: str, payload: bytes) -> None:
        value = parse_value(payload)
        self._gateway.take_turn(uid)
        self._gateway.reading(uid, value.resource, value.data)
        self._on_reading(uid)

    def _hold(self, address: PeerAddress, payload: bytes, datagram: bytes = b"") -> Reply:
        """Hold a reading of an unknown peer. It is not accepted until the node announces its
        uid."""
        refusal = self._check_unknown_rate(address)
        if refusal is not None:
            return refusal
        try:
            value = parse_value(payload)
        except ProtocolError as problem:
            return self.refusal(problem, address)
        held = HeldReading(value.resource, value.data, self._gateway.unix_time(), datagram)
        self._table.hold(address, held, now=self._loop.time())
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)

    def _receive_values(self, address: PeerAddress, payload: bytes, format_: int) -> Reply:
        """Values in another format than text, of a node or an unknown peer."""
        uid = self._table.uid_at(address)
        refusal = self._check_unknown_rate(address) if uid is None else None
        if refusal is not None:
            return refusal
        values = read_post_values(payload, format_)
        received_at = self._gateway.unix_time()
        if uid is None:
            for value in values:
                ts = value.measured_at(received_at)
                held = HeldReading(value.resource, value.data, ts, unit=value.unit)
                self._table.hold(address, held, now=self._loop.time())
            return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
        self._gateway.take_turn(uid, readings=len(values))
        for value in values:
            ts = value.measured_at(received_at)
            self._gateway.reading(uid, value.resource, value.data, ts=ts, unit=value.unit)
        self._on_reading(uid)
        return ACCEPTED

    # -- signs of life --------------------------------------------------------------------------

    def _alive_once(self, post: Post, address: PeerAddress, peer: CoapPeer) -> Reply | None:
        """None: a duplicate that is not answered. Each `alive` counts; a `reset` counts once."""
        now = self._loop.time()
        key = (address, post.datagram)
        counted = self._confirmable if post.confirmable else self._resets
        if counted.has(key, now=now):
            if not post.confirmable:
                return None
            # A lost acknowledgement, or a board that rebooted and starts with the same message
            # IDs. Its values stay; its next posts are not duplicates of those before.
            uid = self._table.uid_at(address)
            if uid is not None:
                self._table.booted(uid)
                self._on_alive(uid, True)
            return ACCEPTED
        try:
            reply = self._alive(address, peer, post.payload)
        except _PROBLEMS as problem:
            return self.refusal(problem, address)
        if reply is ACCEPTED and parse_alive(post.payload).rebooted:
            counted.add(key, now=now)
        return reply

    def _alive(self, address: PeerAddress, peer: CoapPeer, payload: bytes) -> Reply:
        alive = parse_alive(payload)
        if alive.uid is None:
            # Old firmware sends no uid: the node known at this address, or else one named after it.
            uid = self._table.uid_at(address) or address.host
            return self.claim(uid, address, peer, rebooted=alive.rebooted)
        check_uid(alive.uid)
        reply = self.claim(alive.uid, address, peer, rebooted=alive.rebooted)
        if reply is ACCEPTED and alive.uid != address.host:
            self._forget_unnamed(address)
        return reply

    def _forget_unnamed(self, address: PeerAddress) -> None:
        """A node named after its address has sent its uid: remove the old name."""
        node = self._table.get(address.host)
        if node is not None and node.address == address:
            self._gateway.evict(address.host)

    def claim(self, uid: str, address: PeerAddress, peer: CoapPeer, *, rebooted: bool) -> Reply:
        """The answer to an address that claims this uid.

        Raises `TooFast`, `Refused`.
        """
        now = self._loop.time()
        node = self._table.get(uid)
        if node is not None and node.address == address:
            self._gateway.take_turn(uid)
        else:
            refusal = self._check_unknown_rate(address)
            if refusal is not None:
                return refusal
        match self._table.claim(uid, address, peer, now=now):
            case Claim.ACCEPTED:
                self.appeared(uid, address, rebooted=rebooted)
                return ACCEPTED
            case Claim.REFUSED:
                raise Refused("this uid belongs to another node")
            case Claim.CHECK if self._claim_rate.take(address.host, now=now) != 0:
                self._table.postpone(uid, now=now)
            case Claim.CHECK:
                self._check_claim(uid, peer)
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=CLAIM_MAX_AGE_S)

    def appeared(
        self, uid: str, address: PeerAddress, *, rebooted: bool, known_before: bool = False
    ) -> None:
        """The node at this address is alive. See `LiveNodes.heard`."""
        gateway = self._gateway
        was_known = uid in gateway.nodes
        try:
            gateway.node_seen(
                uid,
                {"protocol": "CoAP", "ip": address.host},
                host=address.host,
                known_before=known_before,
            )
        except Refused:
            self._table.forget(uid)
            raise
        if rebooted and was_known:
            gateway.reset(uid)
            self._table.booted(uid)
        now = self._loop.time()
        for held in self._table.release(address, now=now):
            self.keep(uid, held.resource, held.data, ts=held.ts, unit=held.unit)
            self._remember_held(uid, address, held.datagram, now)
        self._on_alive(uid, rebooted or not was_known)

    def _remember_held(self, uid: str, address: PeerAddress, datagram: bytes, now: float) -> None:
        """A held reading has counted: the same datagram again is a duplicate."""
        post = read_post(datagram)
        if post is not None:
            counted = self._confirmable if post.confirmable else self._non_confirmable
            counted.add((address, self._table.boots(uid), datagram), now=now)

    def receive_values(
        self, uid: str, resource: str, payload: bytes, format_: int | None, notified: bool
    ) -> None:
        """The payload of an answer to a GET, or of a notification (`notified`).

        Raises `TooFast` for notifications above the rate limit. Malformed payloads are counted and
        ignored.
        """
        try:
            values = read_values(payload, format_, resource)
            if notified:
                self._gateway.take_turn(uid, readings=len(values))
        except ProtocolError as error:
            self.refuse("malformed value of %s of %s ignored: %s", resource, uid, error)
            return
        except KeyError:
            return  # the node left meanwhile
        if notified:
            self._on_reading(uid)
        received_at = self._gateway.unix_time()
        for value in values:
            ts = value.measured_at(received_at)
            self.keep(uid, value.resource, value.data, ts=ts, unit=value.unit)

    def keep(
        self,
        uid: str,
        resource: str,
        data: object,
        ts: float | None = None,
        unit: str | None = None,
    ) -> None:
        """Record a reading that is not answered. One that is refused is counted."""
        try:
            self._gateway.reading(uid, resource, data, ts=ts, unit=unit)
        except (ProtocolError, Refused, KeyError) as error:
            self.refused += 1
            log.debug("%s: reading of %s refused: %s", uid, resource, error)

    # -- unknown peers --------------------------------------------------------------------------

    def _check_unknown_rate(self, address: PeerAddress) -> Reply | None:
        wait_s = self.unknown_rate.take(address.host, now=self._loop.time())
        if wait_s == 0:
            return None
        self.refused += 1
        return NO_ANSWER if wait_s is None else too_many(wait_s)

    def _address(self, sockaddr: Any) -> PeerAddress:
        host, port, _, scope_id = sockaddr
        address = PeerAddress(plain_host(host), port, scope_id)
        if len(self._address_cache) >= ADDRESSES_MAX:
            self._address_cache.clear()
        self._address_cache[sockaddr] = address
        return address


_PROBLEMS: Final = (ProtocolError, Refused, TooFast)
