# SPDX-License-Identifier: BSD-3-Clause
"""What nodes post: who says so, whether it counts, and what is answered.

`POST /alive` and `POST /server` come through the lane, datagram by datagram, without a message
object of aiocoap; in blocks, they come through aiocoap. Both ask `posted`.
"""

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import aiocoap

from pyaiot.errors import ProtocolError, PyaiotError, Refused, TooFast
from pyaiot.gateways.coap.aiocoap_adapter import Peer, plain_host
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.coap.peers import Address, Claim, Held, Peers
from pyaiot.gateways.gateway import Gateway
from pyaiot.messages import check_uid
from pyaiot.protocols.coap.deduplication import (
    CON_WINDOW_S,
    NON_WINDOW_S,
    RESET_WINDOW_S,
    Repetitions,
)
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.post import SERVER, Post, read_post, write_answer
from pyaiot.protocols.coap.post_payload import parse_alive, parse_value
from pyaiot.protocols.coap.values import FORMATS, read_post_values, read_values
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimitedLog

UNKNOWN_MAX_AGE_S: Final = 30
"""Told to a node that sends readings before it said who it is: it says so every 30 s."""
CLAIM_MAX_AGE_S: Final = 5
"""Told to an address that claims a uid while the old address is asked."""
HOST_POSTS_PER_S: Final = 100.0
HOST_POSTS_BURST: Final = 2000.0
"""Posts of a host from addresses of no known node, sustained and at once. Above: 4.29, with the
time to wait."""
STRANGERS_POSTS_PER_S: Final = 5000.0
STRANGERS_POSTS_BURST: Final = 10_000.0
"""The same of all such hosts together. Above: not answered, and counted."""
HOST_CHECKS_PER_S: Final = 10.0
HOST_CHECKS_BURST: Final = 200.0
"""Claims of a host that are checked, sustained and at once. Above: 5.03, and the owner is not
asked."""
CHECKS_PER_S: Final = 50.0
CHECKS_BURST: Final = 500.0
"""The same of all hosts together."""
ADDRESSES_MAX: Final = 32_768
"""Addresses that are remembered in the form in which the socket tells them. Beyond, all are read
anew."""

log = logging.getLogger(__name__)

_CHANGED: Final = int(Code.CHANGED)


class Reply(NamedTuple):
    """What is answered to a post."""

    code: int
    words: str = ""
    max_age_s: int | None = None


ACCEPTED: Final = Reply(_CHANGED)
SILENCE: Final = Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
"""For the lane: no answer. It is as little as can be sent when strangers come in crowds."""


def too_many(wait_s: float) -> Reply:
    """RFC 8516: 4.29 says with Max-Age when to come back."""
    return Reply(Code.TOO_MANY_REQUESTS, max_age_s=int(wait_s) + 1)


def as_message(reply: Reply) -> aiocoap.Message:
    """The same for aiocoap."""
    answer = aiocoap.Message(code=aiocoap.Code(reply.code), payload=reply.words.encode()[:64])
    if reply.max_age_s is not None:
        answer.opt.max_age = reply.max_age_s
    return answer


class Notifications:
    """The posts of nodes. `refused` counts those that were answered with an error, ever."""

    def __init__(
        self,
        gateway: Gateway,
        peers: Peers[Peer],
        endpoint: CoapEndpoint,
        *,
        spoke: Callable[[str], None],
        alive: Callable[[str, bool], None],
        check_claim: Callable[[str, Peer], None],
    ) -> None:
        """`spoke` is told the uid of each reading, `alive` that of each other sign of life, and
        whether the node may have booted.

        `check_claim` is to ask the address that a uid is known at, when another one claims it.
        """
        self.refused = 0
        self.strangers = HostRateLimit(
            Rate(HOST_POSTS_PER_S, HOST_POSTS_BURST),
            Rate(STRANGERS_POSTS_PER_S, STRANGERS_POSTS_BURST),
        )
        self._checks = HostRateLimit(
            Rate(HOST_CHECKS_PER_S, HOST_CHECKS_BURST), Rate(CHECKS_PER_S, CHECKS_BURST)
        )
        self._gateway = gateway
        self._peers = peers
        self._endpoint = endpoint
        self._loop = endpoint.loop
        self._spoke = spoke
        self._told_alive = alive
        self._check_claim = check_claim
        self._refusals = RateLimitedLog(log)
        self._addresses: dict[Any, Address] = {}
        self._confirmable = Repetitions(CON_WINDOW_S)
        self._non_confirmable = Repetitions(NON_WINDOW_S)
        self._resets = Repetitions(RESET_WINDOW_S)

    def receive_datagram(
        self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None
    ) -> bytes | None:
        """The answer to a datagram (b"": none), or None: it is no post for the lane.

        `sockaddr` and `pktinfo` are where it came from and to, as the socket says.
        """
        post = read_post(datagram)
        if post is None:
            return None
        address = self._addresses.get(sockaddr) or self._address(sockaddr)
        reply: Reply | None
        if post.route.path is SERVER:
            reply = self._value_once(post, address)
        else:
            peer = self._endpoint.peer_at(sockaddr, pktinfo)
            reply = self._alive_once(post, address, peer)
        if reply is None or reply is SILENCE:
            return b""
        message_id = 0 if post.confirmable else self._endpoint.next_message_id()
        return write_answer(
            post, reply.code, message_id, words=reply.words, max_age_s=reply.max_age_s
        )

    def posted(self, path: str, peer: Peer, payload: bytes, format_: int | None = None) -> Reply:
        """The answer to a post that came through aiocoap, which knows its repetitions."""
        address = peer.address
        try:
            if path is SERVER:
                if format_ in FORMATS:
                    return self._posted_values(address, payload, format_)
                uid = self._peers.uid_at(address)
                if uid is None:
                    return self._hold(address, payload)
                self._value(uid, payload)
                return ACCEPTED
            return self._alive(address, peer, payload)
        except _PROBLEMS as problem:
            return self.refusal(problem, address)

    def is_node(self, address: Address) -> bool:
        """Whether a node that we know is there, at whatever port."""
        return self._peers.has_node_on(address)

    def refuse(self, text: str, *details: object) -> None:
        """Count what was refused, and log it, if not too often."""
        self.refused += 1
        self._refusals.warning(text, *details, now=self._loop.time())

    def count_refusal(self, host: str, problem: object) -> None:
        self.refuse("a post of %s was refused: %s", host, problem)

    def refusal(self, problem: PyaiotError, address: Address) -> Reply:
        """What is wrong with a post is said shortly, and counted."""
        self.count_refusal(address.host, problem)
        match problem:
            case TooFast():
                return too_many(problem.retry_after_s)
            case Refused():
                return Reply(Code.FORBIDDEN, str(problem))
            case _:
                return Reply(Code.BAD_REQUEST, str(problem))

    # -- readings -------------------------------------------------------------------------------

    def _value_once(self, post: Post, address: Address) -> Reply | None:
        """None: a repetition that is not answered."""
        peers = self._peers
        uid = peers.uid_at(address)
        if uid is None:
            return self._hold(address, post.payload, post.datagram)
        now = self._loop.time()
        counted = self._confirmable if post.confirmable else self._non_confirmable
        key = (address, peers.boots(uid), post.datagram)
        if counted.has(key, now=now):
            # RFC 7252 section 4.5: each copy of a Confirmable message is acknowledged, those of
            # another are ignored.
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
        self._spoke(uid)

    def _hold(self, address: Address, payload: bytes, datagram: bytes = b"") -> Reply:
        """A reading of nobody yet. Not accepted, and not thrown away: it counts when the node says
        who it is."""
        too_much = self._too_much_of_strangers(address)
        if too_much is not None:
            return too_much
        try:
            value = parse_value(payload)
        except ProtocolError as problem:
            return self.refusal(problem, address)
        held = Held(value.resource, value.data, self._gateway.unix_time(), datagram)
        self._peers.hold(address, held, now=self._loop.time())
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)

    def _posted_values(self, address: Address, payload: bytes, format_: int) -> Reply:
        """Values that are no plain text, of a node or of nobody yet."""
        uid = self._peers.uid_at(address)
        too_much = self._too_much_of_strangers(address) if uid is None else None
        if too_much is not None:
            return too_much
        values = read_post_values(payload, format_)
        received_at = self._gateway.unix_time()
        if uid is None:
            for value in values:
                ts = value.measured_at(received_at)
                held = Held(value.resource, value.data, ts, unit=value.unit)
                self._peers.hold(address, held, now=self._loop.time())
            return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
        self._gateway.take_turn(uid, readings=len(values))
        for value in values:
            ts = value.measured_at(received_at)
            self._gateway.reading(uid, value.resource, value.data, ts=ts, unit=value.unit)
        self._spoke(uid)
        return ACCEPTED

    # -- signs of life --------------------------------------------------------------------------

    def _alive_once(self, post: Post, address: Address, peer: Peer) -> Reply | None:
        """None: a repetition that is not answered. `alive` may be repeated, `reset` may not."""
        now = self._loop.time()
        key = (address, post.datagram)
        counted = self._confirmable if post.confirmable else self._resets
        if counted.has(key, now=now):
            if not post.confirmable:
                return None
            # An acknowledgement that was lost, or a board that boots again and counts its
            # messages as before. Its values stay; what it posts from now on repeats nothing.
            uid = self._peers.uid_at(address)
            if uid is not None:
                self._peers.booted(uid)
                self._told_alive(uid, True)
            return ACCEPTED
        try:
            reply = self._alive(address, peer, post.payload)
        except _PROBLEMS as problem:
            return self.refusal(problem, address)
        if reply is ACCEPTED and parse_alive(post.payload).rebooted:
            counted.add(key, now=now)
        return reply

    def _alive(self, address: Address, peer: Peer, payload: bytes) -> Reply:
        alive = parse_alive(payload)
        if alive.uid is None:
            # Firmware of old: the node that is known there, else one that is named by its address.
            uid = self._peers.uid_at(address) or address.host
            return self.claim(uid, address, peer, rebooted=alive.rebooted)
        check_uid(alive.uid)
        reply = self.claim(alive.uid, address, peer, rebooted=alive.rebooted)
        if reply is ACCEPTED and alive.uid != address.host:
            self._forget_nameless(address)
        return reply

    def _forget_nameless(self, address: Address) -> None:
        """A node named by its address has said its uid: it is not two nodes."""
        node = self._peers.get(address.host)
        if node is not None and node.address == address:
            self._gateway.evict(address.host)

    def claim(self, uid: str, address: Address, peer: Peer, *, rebooted: bool) -> Reply:
        """What is answered to an address that says that it is this node.

        Raises `TooFast`, `Refused`.
        """
        now = self._loop.time()
        node = self._peers.get(uid)
        if node is not None and node.address == address:
            self._gateway.take_turn(uid)
        else:
            too_much = self._too_much_of_strangers(address)
            if too_much is not None:
                return too_much
        match self._peers.claim(uid, address, peer, now=now):
            case Claim.ACCEPTED:
                self.appeared(uid, address, rebooted=rebooted)
                return ACCEPTED
            case Claim.REFUSED:
                raise Refused("this uid is another's")
            case Claim.CHECK if self._checks.take(address.host, now=now) != 0:
                self._peers.postpone(uid, now=now)
            case Claim.CHECK:
                self._check_claim(uid, peer)
        return Reply(Code.SERVICE_UNAVAILABLE, max_age_s=CLAIM_MAX_AGE_S)

    def appeared(
        self, uid: str, address: Address, *, rebooted: bool, known_before: bool = False
    ) -> None:
        """A node that has this address says that it is alive. See `Nodes.heard`."""
        gateway = self._gateway
        was_known = uid in gateway.nodes
        try:
            gateway.heard(
                uid,
                {"protocol": "CoAP", "ip": address.host},
                host=address.host,
                known_before=known_before,
            )
        except Refused:
            self._peers.forget(uid)
            raise
        if rebooted and was_known:
            gateway.reset(uid)
            self._peers.booted(uid)
        now = self._loop.time()
        for held in self._peers.release(address, now=now):
            self.keep(uid, held.resource, held.data, ts=held.ts, unit=held.unit)
            self._held_counts(uid, address, held.datagram, now)
        self._told_alive(uid, rebooted or not was_known)

    def _held_counts(self, uid: str, address: Address, datagram: bytes, now: float) -> None:
        """What was held has counted now: the same datagram again is a repetition."""
        post = read_post(datagram)
        if post is not None:
            counted = self._confirmable if post.confirmable else self._non_confirmable
            counted.add((address, self._peers.boots(uid), datagram), now=now)

    def answered(
        self, uid: str, resource: str, payload: bytes, format_: int | None, unasked: bool
    ) -> None:
        """What a node answered to a GET, or notified (`unasked`), by its Content-Format.

        Raises `TooFast` for notifications above the rate. What is not what it says is left out.
        """
        try:
            values = read_values(payload, format_, resource)
            if unasked:
                self._gateway.take_turn(uid, readings=len(values))
        except ProtocolError as error:
            self.refuse("the value of %s of %s was left out: %s", resource, uid, error)
            return
        except KeyError:
            return  # it left while it answered
        if unasked:
            self._spoke(uid)
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
        """A reading that nobody waits an answer for: what cannot be kept is counted."""
        try:
            self._gateway.reading(uid, resource, data, ts=ts, unit=unit)
        except (ProtocolError, Refused, KeyError) as error:
            self.refused += 1
            log.debug("%s: %s was not kept: %s", uid, resource, error)

    # -- strangers ------------------------------------------------------------------------------

    def _too_much_of_strangers(self, address: Address) -> Reply | None:
        wait_s = self.strangers.take(address.host, now=self._loop.time())
        if wait_s == 0:
            return None
        self.refused += 1
        return SILENCE if wait_s is None else too_many(wait_s)

    def _address(self, sockaddr: Any) -> Address:
        host, port, _, scope_id = sockaddr
        address = Address(plain_host(host), port, scope_id)
        if len(self._addresses) >= ADDRESSES_MAX:
            self._addresses.clear()
        self._addresses[sockaddr] = address
        return address


_PROBLEMS: Final = (ProtocolError, Refused, TooFast)
