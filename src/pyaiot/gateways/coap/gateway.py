# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway: notifications in, requests out (PROTOCOLS 3)."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import aiocoap
import msgspec
from aiocoap.resource import Resource, Site

from pyaiot.errors import ProtocolError
from pyaiot.gateways import metrics
from pyaiot.gateways.coap.aiocoap_adapter import Peer, StrictSite
from pyaiot.gateways.coap.bodies import Bodies, acknowledged
from pyaiot.gateways.coap.candidates import LOCAL_ANSWER_S, candidate_ports
from pyaiot.gateways.coap.commands import Commands
from pyaiot.gateways.coap.directory_resources import RegisteredNodes, Registrar
from pyaiot.gateways.coap.discoveries import Discoveries
from pyaiot.gateways.coap.discovery import FIRST_ANSWER_S, Candidate, Discovery, Read
from pyaiot.gateways.coap.endpoint import CoapEndpoint
from pyaiot.gateways.coap.metrics import HELD_BACK, STRANGERS_REFUSED
from pyaiot.gateways.coap.notifications import Notifications, as_message
from pyaiot.gateways.coap.observer import Watching
from pyaiot.gateways.coap.peers import SILENCE_OF_OWNER_S, Address, NodeAddress, Peers
from pyaiot.gateways.coap.records import Record, record_of
from pyaiot.gateways.coap.requests import Requests
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.coap.trace import Trace
from pyaiot.gateways.coap.unanswered import UnansweredQuestions
from pyaiot.gateways.gateway import Connect, Gateway, Outcome
from pyaiot.gateways.saved_address import load_address, save_address
from pyaiot.gateways.state_store import Kept
from pyaiot.metrics import Sample
from pyaiot.protocols.coap.numbers import COAP_PORT
from pyaiot.protocols.coap.post import ALIVE, SERVER
from pyaiot.protocols.coap.values import readable_format
from pyaiot.protocols.link_format import CoreLink, resource_name
from pyaiot.transport.rate_limit import RateLimitedLog

PING_LIMIT_S: Final = 2.0

log = logging.getLogger(__name__)


class CoapGateway:
    """One UDP port for notifications and requests, and the nodes that speak to it."""

    def __init__(
        self,
        gateway: Gateway,
        endpoint: CoapEndpoint,
        site: Site,
        *,
        poll_s: float = 0.0,
        sleepy: Iterable[str] = (),
        kept: Kept | None = None,
    ) -> None:
        self.gateway = gateway
        self._kept = kept or Kept()
        self._endpoint = endpoint
        self._loop = endpoint.loop
        self._peers: Peers[Peer] = Peers()
        self._requests = endpoint.requests = Requests(endpoint, self._loop)
        self._discovery = Discovery(self._requests, self._loop)
        self._unanswered = UnansweredQuestions()
        self._sleepers = SleepingNodes(sleepy, self._loop)
        self._trace: Trace | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._discoveries = Discoveries(self._discover, self._start)
        self._notifications = Notifications(
            gateway,
            self._peers,
            endpoint,
            spoke=self._spoke,
            alive=self._alive,
            check_claim=self._claimed,
        )
        self._watching = Watching(
            endpoint, self._requests, self._loop, self._notifications.answered, poll_s=poll_s
        )
        endpoint.observer = self._watching
        self._commands = Commands(
            self._requests,
            self._peers,
            self._notifications,
            self._watching,
            self._sleepers,
            self._loop.time,
            candidates=lambda uid, node: [
                candidate.peer for candidate in self._candidates(uid, node.peer)
            ],
            start=self._start,
        )
        bodies = Bodies(self._notifications.is_node, self._loop.time)
        for path in (ALIVE, SERVER):
            site.add_resource([path], _Notification(path, self._notifications, bodies))
        registered = RegisteredNodes(
            gateway,
            self._peers,
            self._notifications,
            discover=self._discoveries.add,
            forget=self._forget,
            time=self._loop.time,
        )
        self._registrar = Registrar(
            site, bodies, registered, self._loop.time, changed=self._kept.changed
        )
        self._lines = RateLimitedLog(log)
        gateway.evicted = self._forget

    @classmethod
    async def open(
        cls,
        gateway: Gateway,
        host: str,
        port: int,
        *,
        interface: str = "",
        poll_s: float = 0.0,
        sleepy: Iterable[str] = (),
        trace: Trace | None = None,
        lane: bool = True,
        kept: Kept | None = None,
    ) -> "CoapGateway":
        """Listen. Raises `OperatorError` if the port cannot be had.

        `sleepy`: uids of nodes that hear requests only after they spoke; `*` is every one.
        `trace` writes down what is on the wire.
        `poll_s`: resources that cannot be observed are asked again after so long; 0: never.
        `kept`: what remembers registrations of the resource directory over a restart.
        `lane` False: everything goes through aiocoap, as benchmarks want it to compare.
        """
        site = StrictSite()
        endpoint = await CoapEndpoint.open(host, port, site, interface=interface)
        opened = cls(gateway, endpoint, site, poll_s=poll_s, sleepy=sleepy, kept=kept)
        opened._trace = trace
        if trace is not None:
            trace.begin(opened.port, opened._peers.known_at)
            endpoint.trace_to(trace.datagram)
        if lane:
            endpoint.handle_posts(opened._notifications)
        opened._restore()
        return opened

    @property
    def refused(self) -> int:
        """Posts that were answered with an error, ever."""
        return self._notifications.refused

    def measure(self) -> Iterable[Sample]:
        """What there is to measure here."""
        yield from metrics.measure(self.gateway, refused=self.refused)
        held_back, over_rate = self._endpoint.refusals()
        yield HELD_BACK.of(held_back)
        yield STRANGERS_REFUSED.of(over_rate + self._notifications.strangers.refused)

    @property
    def port(self) -> int:
        return self._endpoint.local_address[1]

    async def answers(self) -> bool:
        """A round trip over our own socket: whether nodes would be heard."""
        return await self._endpoint.answers(PING_LIMIT_S)

    async def run(self, connect: Connect) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.gateway.keep_linked(connect, self), name="coap link")
                tasks.create_task(
                    self.gateway.expire_silent_nodes(self._forget), name="coap silence"
                )
                tasks.create_task(self._watching.run(), name="coap watches")
                tasks.create_task(self._registrar.run(), name="coap registrations")
                tasks.create_task(self._kept.run(self._record_of), name="coap state file")
                if self._trace is not None:
                    tasks.create_task(self._trace.run(), name="coap trace")
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.gateway.end_commands()
            await self._endpoint.close()

    # -- registrations of before a restart ------------------------------------------------------

    def _restore(self) -> None:
        """Not every node registers anew when its update is answered 4.04."""
        restored = 0
        now, unix_time = self._loop.time(), self.gateway.unix_time()
        for text in self._kept.take_records():
            try:
                record = Record.from_bytes(text)
                registration = record.registration(now=now, unix_time=unix_time)
                sockaddr, _ = load_address(record.sender)
            except (msgspec.DecodeError, ProtocolError, OSError, ValueError) as error:
                log.debug("a registration was not restored: %s", error)
                continue
            peer = self._endpoint.peer_at(sockaddr, None)
            if record.proved:
                self._endpoint.verify(peer)
            restored += self._registrar.restore(registration, peer)
        if restored:
            log.info("%d registrations of before the restart go on", restored)

    def _record_of(self, uid: str) -> bytes | None:
        registration = self._registrar.directory.of(uid)
        node = self._peers.get(uid)
        if registration is None or node is None:
            return None
        sender = save_address(node.peer.sockaddr)
        if sender is None:
            return None
        record = record_of(
            registration,
            sender,
            proved=self._endpoint.is_verified(node.peer),
            now=self._loop.time(),
            unix_time=self.gateway.unix_time(),
        )
        return record.to_bytes()

    # -- nodes ----------------------------------------------------------------------------------

    def _forget(self, uid: str) -> None:
        self._peers.forget(uid)
        self._watching.forget(uid)
        self._registrar.forget(uid)
        self._sleepers.forget(uid)
        self._discoveries.forget(uid)
        self._unanswered.forget(uid)

    def _spoke(self, uid: str) -> None:
        """A reading came from this node."""
        self._sleepers.spoke(uid)
        if self._unanswered.is_due(uid, now=self._loop.time()):
            self._discoveries.add(uid)

    def _alive(self, uid: str, rebooted: bool) -> None:
        """The node said that it is alive."""
        self._sleepers.spoke(uid)
        node = self._peers.get(uid)
        if node is None:
            return
        if rebooted:
            self._unanswered.forget(uid)
            self._recheck_neighbours(uid, node.address)
        if rebooted or node.answers_at is None or uid in self._unanswered:
            self._discoveries.add(uid)

    def _recheck_neighbours(self, uid: str, address: Address) -> None:
        """Several nodes share an address now: which of them answers where is looked at again."""
        for port in (COAP_PORT, address.port):
            other_uid = self._peers.answering_at(address._replace(port=port))
            other = None if other_uid in (None, uid) else self._peers.get(other_uid)
            if other is None or other_uid is None or other.address.port == port:
                continue
            if self._registrar.directory.of(other_uid) is not None:
                continue  # it stated where it answers
            # The answers that it got may be those of the node that has just appeared.
            if port == address.port or not other.source_is_silent:
                self._peers.does_not_answer(other_uid)
                self._unanswered.forget(other_uid)
                self._discoveries.add(other_uid)

    def _claimed(self, uid: str, claimant: Peer) -> None:
        self._start(self._check_claim(uid, claimant), f"claim of {uid}")

    async def _check_claim(self, uid: str, claimant: Peer) -> None:
        """Another address says that it is this node: who answers requests is believed.

        The old address is asked first. If that is silent, the new one must answer, so that
        commands follow nobody to an address that he only wrote on a datagram. Silence of a node
        that never answers, or sleeps, says nothing: it must not have been heard for a while, too.
        """
        node = self._peers.get(uid)
        if node is None:
            return
        now = self._loop.time
        if await self._discovery.answers(node.answers_at or node.peer):
            self._notifications.refuse(
                "%s says that it is %s, but %s answers: refused",
                claimant.address.host,
                uid,
                node.address.host,
            )
            if self._peers.get(uid) is node:
                self._peers.keep(uid, claimant.address, now=now())
            return
        speaks = node.answers_at is None or uid in self._sleepers
        heard_at = self.gateway.nodes.heard_at(uid)
        if speaks and heard_at is not None and now() - heard_at < SILENCE_OF_OWNER_S:
            answers_at = None
        else:
            answers_at = await self._discovery.first_that_answers(self._candidates(uid, claimant))
        if self._peers.get(uid) is not node:
            return  # it left, or moved otherwise, meanwhile
        if answers_at is None:
            self._peers.postpone(uid, now=now())
            return
        self._info("%s moved from %s to %s", uid, node.address.host, claimant.address.host)
        self._peers.move(uid, claimant.address, claimant)
        self._notifications.appeared(uid, claimant.address, rebooted=True)

    # -- discovery ------------------------------------------------------------------------------

    async def _discover(self, uid: str) -> None:
        node = self._peers.get(uid)
        if node is None:
            return
        before = self._unanswered.take(uid)

        async def read(peer: Peer, link: CoreLink, limit: float) -> bool:
            answered = await self._read(uid, peer, link, limit)
            if answered:
                self.gateway.nodes.prove(uid)
            return answered

        registration = self._registrar.directory.of(uid)
        if before is not None and before.links is not None and node.answers_at is not None:
            unread: list[CoreLink] | None = await self._discovery.follow(
                node.answers_at, before.links, read
            )
        elif registration is not None and registration.links and node.answers_at is not None:
            # It told its resources itself.
            self._watching.forget(uid)
            unread = await self._discovery.follow(node.answers_at, registration.links, read)
            self._kept.changed(uid)  # it may have answered
        else:
            self._watching.forget(uid)
            unread = await self._discover_anew(uid, node, read)
        # Else it left, or moved and is asked anew.
        if (unread is None or unread) and self._peers.get(uid) is node:
            self._unanswered.add(uid, unread, before, now=self._loop.time())

    async def _discover_anew(
        self, uid: str, node: NodeAddress[Peer], read: Read
    ) -> list[CoreLink] | None:
        """Ask where the node answers and what it offers. Returns what it did not answer."""
        candidates = self._candidates(uid, node.peer, node.answers_at)
        source_first = candidates[0].peer == node.peer

        def answers_at(peer: Peer) -> bool:
            if self._peers.get(uid) is not node or self._is_taken(uid, node.peer, peer):
                return False  # another node was found there meanwhile, or this one left
            self._peers.answers(uid, peer, peer.address)
            self.gateway.nodes.prove(uid)
            node.source_is_silent = source_first and peer != node.peer
            return True

        found = await self._discovery.discover(candidates, answers_at, read)
        if found is None:
            self._info("%s at %s does not answer requests", uid, node.address.host)
            return None
        registration = self._registrar.directory.of(uid)
        if registration is not None:
            self._registrar.directory.fill(registration, found.links)
            self._kept.changed(uid)  # it answered
        return found.unread

    async def _read(self, uid: str, peer: Peer, link: CoreLink, deadline: float) -> bool:
        uri = link.uri or "/"
        name = resource_name(uri)
        accept = readable_format(link.values("ct"))
        node = self._peers.get(uid)
        if node is not None and accept is not None:
            node.accepts[name] = accept
        return await self._watching.read_first(
            uid, name, uri, peer, deadline, observable=link.has("obs"), accept=accept
        )

    def _candidates(self, uid: str, peer: Peer, answered_at: Peer | None = None) -> list[Candidate]:
        """Where a node that posts from `peer` may answer requests."""
        is_local = peer.is_this_machine
        source_first = is_local or self._peers.is_shared(peer.address, uid)
        known = {peer.address.port: peer, COAP_PORT: peer.at_port(COAP_PORT)}
        answered_port = None
        if answered_at is not None:
            answered_port = answered_at.address.port
            known[answered_port] = answered_at
        ports = candidate_ports(
            peer.address.port,
            answered=answered_port,
            source_first=source_first,
            taken=[port for port, at in known.items() if self._is_taken(uid, peer, at)],
        )
        # On this machine nothing is lost: silence is soon known.
        source_s = LOCAL_ANSWER_S if is_local and len(ports) > 1 else FIRST_ANSWER_S
        source = Candidate(peer, source_s, offers=source_first)
        return [source if port == peer.address.port else Candidate(known[port]) for port in ports]

    def _is_taken(self, uid: str, source: Peer, at: Peer) -> bool:
        """Whether what answers there is another node, or ourselves."""
        if at == source:
            return False
        is_ours = at.is_this_machine and at.address.port == self.port
        return is_ours or self._peers.is_of_another(at.address, uid)

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        return await self._commands.write(uid, resource, payload, deadline)

    def _info(self, text: str, *details: object) -> None:
        """What anybody may cause by a datagram is logged a few times a minute."""
        self._lines.info(text, *details, now=self._loop.time())

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Notification(Resource):  # type: ignore[misc]  # aiocoap has no types
    """A resource that nodes post text to in blocks, or in another form than the lane takes."""

    def __init__(self, path: str, notifications: Notifications, bodies: Bodies) -> None:
        super().__init__()
        self._bodies = bodies
        self._path = path
        self._notifications = notifications

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        return False

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        body = self._bodies.whole(request)
        if isinstance(body, aiocoap.Message):
            return body
        found = request.opt.content_format
        format_ = None if found is None else int(found)
        reply = self._notifications.posted(self._path, request.remote, body, format_)
        return acknowledged(request, as_message(reply))
