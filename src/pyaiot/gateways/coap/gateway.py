# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway: notifications in, requests out (PROTOCOLS 3)."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import aiocoap
from aiocoap.resource import Resource, Site, WKCResource

from pyaiot.errors import ProtocolError, PyaiotError, Refused, TooFast
from pyaiot.gateways.coap.discovery import Discovery, readable_text
from pyaiot.gateways.coap.endpoint import (
    Peer,
    answers_ping,
    local_address,
    open_context,
    tell_refusals,
)
from pyaiot.gateways.coap.peers import Claim, Held, Peers
from pyaiot.gateways.coap.requests import Requests
from pyaiot.gateways.gateway import Connect, Gateway, Outcome
from pyaiot.limits import LimitedLog
from pyaiot.messages import check_uid
from pyaiot.protocols.coap_notification import parse_alive, parse_value

COAP_PORT: Final = 5683
"""Where nodes listen for requests (RFC 7252 section 12.6), wherever they speak from."""
UNKNOWN_MAX_AGE_S: Final = 30
"""Told to a node that sends readings before it said who it is: it says so every 30 s."""
CLAIM_MAX_AGE_S: Final = 5
"""Told to an address that claims a uid while the old address is asked."""
READ_BACK_S: Final = 5.0
PING_LIMIT_S: Final = 2.0

log = logging.getLogger(__name__)


_Accept: TypeAlias = Callable[[Peer, bytes], aiocoap.Message]


class CoapGateway:
    """One UDP port for notifications and requests, and the nodes that speak to it."""

    def __init__(self, gateway: Gateway, context: aiocoap.Context, site: Site) -> None:
        self.gateway = gateway
        self.refused = 0
        """Notifications that were answered with an error, ever."""
        self._refusals = LimitedLog(log)
        self._context = context
        self._loop = context.loop
        self._peers: Peers[Peer] = Peers()
        self._requests = Requests(context)
        self._discovery = Discovery(self._requests, self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._discovering: dict[str, bool] = {}
        """uids that are being asked, and whether they must be asked again after that."""
        tell_refusals(context, self._post_refused)
        site.add_resource(["alive"], _Notification(self._notified, self._alive))
        site.add_resource(["server"], _Notification(self._notified, self._server))
        site.add_resource([".well-known", "core"], WKCResource(site.get_resources_as_linkheader))

    @classmethod
    async def open(
        cls, gateway: Gateway, host: str, port: int, *, interface: str = ""
    ) -> "CoapGateway":
        """Listen. Raises `OperatorError` if the port cannot be had."""
        site = Site()
        return cls(gateway, await open_context(host, port, site, interface=interface), site)

    @property
    def port(self) -> int:
        return local_address(self._context)[1]

    async def answers(self) -> bool:
        """A round trip over our own socket: whether nodes would be heard."""
        return await answers_ping(*local_address(self._context), PING_LIMIT_S)

    async def run(self, connect: Connect) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.gateway.keep_linked(connect, self), name="coap link")
                tasks.create_task(
                    self.gateway.expire_silent_nodes(self._peers.forget), name="coap silence"
                )
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.gateway.end_commands()
            await self._context.shutdown()

    # -- notifications --------------------------------------------------------------------------

    def _notified(self, accept: _Accept, request: aiocoap.Message) -> aiocoap.Message:
        """Answer a notification. What is wrong with it is said shortly, and counted."""
        problem: PyaiotError
        try:
            return accept(request.remote, request.payload)
        except ProtocolError as error:
            problem, answer = error, _answer(aiocoap.BAD_REQUEST, str(error))
        except TooFast as error:
            # RFC 8516: 4.29 says with Max-Age when to come back.
            max_age_s = int(error.retry_after_s) + 1
            problem, answer = error, _answer(aiocoap.TOO_MANY_REQUESTS, max_age_s=max_age_s)
        except Refused as error:
            problem, answer = error, _answer(aiocoap.FORBIDDEN, str(error))
        self._post_refused(request.remote, problem)
        return answer

    def _post_refused(self, peer: Peer, problem: object) -> None:
        self._refuse("a post of %s was refused: %s", peer.address.host, problem)

    def _refuse(self, text: str, *details: object) -> None:
        self.refused += 1
        self._refusals.warning(text, *details, now=self._loop.time())

    def _alive(self, peer: Peer, payload: bytes) -> aiocoap.Message:
        alive = parse_alive(payload)
        address = peer.address
        # Who says no uid can only be the node that we know there.
        uid = self._peers.uid_at(address) if alive.uid is None else alive.uid
        if uid is None:
            return _answer(aiocoap.CHANGED)
        check_uid(uid)
        now = self._loop.time()
        match self._peers.claim(uid, address, peer, now=now):
            case Claim.ACCEPTED:
                self._heard(uid, peer, rebooted=alive.rebooted)
                return _answer(aiocoap.CHANGED)
            case Claim.REFUSED:
                raise Refused("this uid is another's")
            case Claim.CHECK:
                self._start(self._check_claim(uid, peer), f"claim of {uid}")
        return _answer(aiocoap.SERVICE_UNAVAILABLE, max_age_s=CLAIM_MAX_AGE_S)

    def _heard(self, uid: str, peer: Peer, *, rebooted: bool) -> None:
        gateway = self.gateway
        was_known = uid in gateway.nodes
        try:
            gateway.heard(uid, {"protocol": "CoAP", "ip": peer.address.host})
        except Refused:
            self._peers.forget(uid)
            raise
        if rebooted and was_known:
            gateway.reset(uid)
        for held in self._peers.release(peer.address, now=self._loop.time()):
            self._keep(uid, held.resource, held.data, ts=held.ts)
        node = self._peers.get(uid)
        if rebooted or not was_known or (node is not None and node.answers_at is None):
            self._discover(uid)

    def _server(self, peer: Peer, payload: bytes) -> aiocoap.Message:
        value = parse_value(payload)
        address = peer.address
        uid = self._peers.uid_at(address)
        if uid is None:
            # Not accepted, and not thrown away: it counts when the node says who it is.
            held = Held(value.resource, value.data, self.gateway.unix_time())
            self._peers.hold(address, held, now=self._loop.time())
            return _answer(aiocoap.SERVICE_UNAVAILABLE, max_age_s=UNKNOWN_MAX_AGE_S)
        self.gateway.take_turn(uid)
        self.gateway.reading(uid, value.resource, value.data)
        return _answer(aiocoap.CHANGED)

    async def _check_claim(self, uid: str, claimant: Peer) -> None:
        node = self._peers.get(uid)
        if node is None:
            return
        if await self._discovery.answers(node.answers_at or node.peer):
            self._refuse(
                "%s says that it is %s, but %s answers: refused",
                claimant.address.host,
                uid,
                node.address.host,
            )
            self._peers.keep(uid, claimant.address, now=self._loop.time())
        elif self._peers.get(uid) is node:
            log.info("%s moved from %s to %s", uid, node.address.host, claimant.address.host)
            self._peers.move(uid, claimant.address, claimant)
            self._heard(uid, claimant, rebooted=True)

    # -- discovery ------------------------------------------------------------------------------

    def _discover(self, uid: str) -> None:
        if uid in self._discovering:
            self._discovering[uid] = True
        else:
            self._discovering[uid] = False
            self._start(self._discover_until_done(uid), f"discovery of {uid}")

    async def _discover_until_done(self, uid: str) -> None:
        try:
            while True:
                self._discovering[uid] = False
                node = self._peers.get(uid)
                if node is None:
                    return
                found = await self._discovery.discover(
                    self._candidates(node.answers_at or node.peer),
                    lambda peer, node=node: setattr(node, "answers_at", peer),  # type: ignore[misc]
                    lambda resource, data: self._keep(uid, resource, data),
                )
                if not found:
                    log.info("%s at %s does not answer requests", uid, node.address.host)
                if not self._discovering[uid]:
                    return
        finally:
            del self._discovering[uid]

    def _candidates(self, peer: Peer) -> list[Peer]:
        """Where a node may answer requests: its CoAP port, and the port that it spoke from."""
        at_coap_port = peer.at_port(COAP_PORT)
        if peer.address.port == COAP_PORT:
            return [at_coap_port]
        if peer.is_this_machine and self.port == COAP_PORT:
            # The CoAP port of this address is our own.
            return [peer]
        return [at_coap_port, peer]

    def _keep(self, uid: str, resource: str, data: str, ts: float | None = None) -> None:
        """A reading that nobody waits an answer for: what cannot be kept is counted."""
        try:
            self.gateway.reading(uid, resource, data, ts=ts)
        except (ProtocolError, Refused, KeyError) as error:
            self.refused += 1
            log.debug("%s: %s was not kept: %s", uid, resource, error)

    # -- commands -------------------------------------------------------------------------------

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        node = self._peers.get(uid)
        if node is None:
            return Outcome("unreachable", "no address is known")
        peer, *others = [node.answers_at] if node.answers_at else self._candidates(node.peer)
        path = "/" + resource.removeprefix("/")
        try:
            try:
                answer = await self._requests.put(peer, path, payload.encode(), deadline)
            except aiocoap.error.NetworkError:
                # Nobody listens there, so nobody did it: it may be said elsewhere.
                if not others:
                    raise
                peer = others[0]
                answer = await self._requests.put(peer, path, payload.encode(), deadline)
        except TimeoutError:
            raise  # it is an OSError too
        except (aiocoap.error.Error, OSError) as error:
            return Outcome("unreachable", str(error) or type(error).__name__)
        except (ProtocolError, UnicodeEncodeError) as error:
            return Outcome("refused", str(error))
        said = f"{answer.code.dotted} {answer.code.name_printable}"
        if not answer.code.is_successful():
            words = answer.payload[:100].decode(errors="replace")
            return Outcome("refused", f"{said} {words}".strip())
        reported, colon, value = answer.payload.decode(errors="replace").partition(":")
        if colon and reported == resource:
            # Real firmware answers `led:1`: what it is now.
            self._keep(uid, resource, value)
        else:
            self._start(self._read_back(uid, peer, path), f"read back of {uid}")
        return Outcome("confirmed", said)

    async def _read_back(self, uid: str, peer: Peer, path: str) -> None:
        try:
            answer = await self._requests.get(peer, path, self._loop.time() + READ_BACK_S)
        except (TimeoutError, aiocoap.error.Error, OSError) as error:
            log.debug("%s: GET %s: %r", uid, path, error)
            return
        text = readable_text(answer)
        if text is not None:
            self._keep(uid, path[1:], text)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Notification(Resource):  # type: ignore[misc]  # aiocoap has no types
    """A resource that nodes post text to."""

    def __init__(
        self,
        notified: Callable[[_Accept, aiocoap.Message], aiocoap.Message],
        accept: _Accept,
    ) -> None:
        super().__init__()
        self._notified = notified
        self._accept = accept

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._notified(self._accept, request)


def _answer(code: Any, words: str = "", *, max_age_s: int | None = None) -> aiocoap.Message:
    message = aiocoap.Message(code=code, payload=words.encode()[:64])
    if max_age_s is not None:
        message.opt.max_age = max_age_s
    return message
