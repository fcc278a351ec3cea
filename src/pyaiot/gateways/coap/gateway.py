# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway: posts and notifications in, requests out (legacy protocol, section 3)."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from aiocoap.resource import Site

from pyaiot.gateways import metrics
from pyaiot.gateways.coap.address_table import AddressTable, NodeEntry
from pyaiot.gateways.coap.aiocoap_adapter import StrictSite
from pyaiot.gateways.coap.bodies import BlockwiseBodies
from pyaiot.gateways.coap.candidates import LOCAL_RESPONSE_S, candidate_ports
from pyaiot.gateways.coap.claims import ClaimCheck
from pyaiot.gateways.coap.commands import CommandWriter
from pyaiot.gateways.coap.directory_resources import DirectoryServer, RegisteredNodes
from pyaiot.gateways.coap.discovery import FIRST_RESPONSE_S, Candidate, Discovery, Read
from pyaiot.gateways.coap.discovery_queue import DiscoveryQueue
from pyaiot.gateways.coap.endpoint import CoapEndpoint, host_limits
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import (
    ClaimToCheck,
    NodeAlive,
    NodeRenamed,
    OtherChange,
    Posted,
    Refusal,
    reports_of,
    senders_of,
    values_of,
)
from pyaiot.gateways.coap.link_types import describe_by_link
from pyaiot.gateways.coap.metrics import DATAGRAMS_HELD_BACK, REQUESTS_OVER_RATE
from pyaiot.gateways.coap.observer import Observer
from pyaiot.gateways.coap.oscore.service import OscoreDevices
from pyaiot.gateways.coap.post_intake import PostIntake, PostResource
from pyaiot.gateways.coap.requests import Requests
from pyaiot.gateways.coap.saved_registrations import restore_registrations, save_registration
from pyaiot.gateways.coap.secured_port import SecuredPort, SessionNodes
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.coap.trace import Trace
from pyaiot.gateways.coap.unanswered import UnansweredRequests
from pyaiot.gateways.gateway import ConnectToBroker, Gateway, Outcome
from pyaiot.gateways.state_store import StateStore
from pyaiot.metrics import Sample
from pyaiot.protocols.coap.numbers import COAP_PORT
from pyaiot.protocols.coap.post import ALIVE, SERVER
from pyaiot.protocols.coap.values import readable_format
from pyaiot.protocols.link_format import CoreLink, resource_name
from pyaiot.transport.peers import Peer, PeerAddress
from pyaiot.transport.rate_limit import RateLimitedLog

PING_LIMIT_S: Final = 2.0

log = logging.getLogger(__name__)


class CoapGateway:
    """One UDP port for posts and requests, and the nodes that use it."""

    def __init__(
        self,
        gateway: Gateway,
        endpoint: CoapEndpoint,
        site: Site,
        *,
        poll_s: float = 0.0,
        sleepy: Iterable[str] = (),
        kept: StateStore | None = None,
        oscore_file: Path | None = None,
    ) -> None:
        self.gateway = gateway
        self._kept = kept or StateStore()
        self._endpoint = endpoint
        self._loop = endpoint.loop
        self._table: AddressTable[Peer] = AddressTable()
        self._requests = endpoint.requests = Requests(endpoint, self._loop)
        self._discovery = Discovery(self._requests, self._loop)
        self._unanswered = UnansweredRequests()
        self._sleeping = SleepingNodes(sleepy, self._loop)
        self._trace: Trace | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._discovery_queue = DiscoveryQueue(self._discover, self._start)
        self._intake = CoapIntake(
            gateway.nodes,
            self._table,
            limits=endpoint.limits,
            has_request=endpoint.has_request,
            is_secured=gateway.devices.is_secured,
        )
        self._posts = PostIntake(
            self._intake.posts,
            self._table,
            endpoint.apply_events,
            time=self._loop.time,
            unix_time=gateway.unix_time,
        )
        self._observer = Observer(
            endpoint, self._requests, self._loop, self._posts.receive_values, poll_s=poll_s
        )
        endpoint.observer = self._observer
        self._commands = CommandWriter(
            self._requests,
            self._table,
            self._posts,
            self._observer,
            self._sleeping,
            self._loop.time,
            candidates=lambda uid, node: [
                candidate.peer for candidate in self._candidates(uid, node.peer)
            ],
            start=self._start,
        )
        self._claims = ClaimCheck(
            gateway,
            self._table,
            self._discovery,
            self._posts,
            self._sleeping,
            self._loop.time,
            candidates=self._candidates,
        )
        bodies = BlockwiseBodies(self._posts.is_node, self._loop.time)
        for path in (ALIVE, SERVER):
            site.add_resource([path], PostResource(path, self._posts, bodies))
        registered = RegisteredNodes(
            gateway,
            self._table,
            self._posts,
            discover=self._queue_discovery,
            forget=self._forget,
            time=self._loop.time,
        )
        self._directory = DirectoryServer(
            site, bodies, registered, self._loop.time, changed=self._kept.changed
        )
        self._lines = RateLimitedLog(log)
        self._refusals = RateLimitedLog(log)
        gateway.evicted = self._forget
        self._oscore = OscoreDevices(endpoint, site, gateway, oscore_file, self._queue_discovery)
        sessions = SessionNodes(endpoint, self._table, self._posts, discover=self._queue_discovery)
        endpoint.on_session = sessions.changed
        self.secured: SecuredPort | None = None
        endpoint.serve(self._intake, self._on_posts, self._on_change, gateway.unix_time)

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
        fast_path: bool = True,
        kept: StateStore | None = None,
        oscore_file: Path | None = None,
        coaps_port: int | None = None,
    ) -> "CoapGateway":
        """Listen. Raises `OperatorError` if a port cannot be used.

        `coaps_port`: the port for devices with a key, which is open when there are any; None: it
        is never open.
        `sleepy`: uids of nodes that receive requests only after they sent something; `*`: all.
        `trace` records the datagrams.
        `poll_s`: seconds between two reads of a resource that is not observable; 0: read once.
        `kept`: stores registrations of the resource directory across a restart.
        `oscore_file`: the sequence numbers of OSCORE; None: in memory, until the end.
        `fast_path` False: posts go through aiocoap, for comparison in benchmarks.
        """
        site = StrictSite()
        limits = host_limits() if fast_path else None
        endpoint = await CoapEndpoint.open(host, port, site, interface=interface, limits=limits)
        try:
            opened = cls(
                *(gateway, endpoint, site),
                poll_s=poll_s,
                sleepy=sleepy,
                kept=kept,
                oscore_file=oscore_file,
            )
        except BaseException:
            await endpoint.close()
            raise
        opened._trace = trace
        if trace is not None:
            trace.begin(opened.port, opened._table.known_at)
            endpoint.trace_to(trace.datagram)
        restore_registrations(
            opened._kept,
            opened._directory,
            endpoint.verify,
            now=opened._loop.time(),
            unix_time=gateway.unix_time(),
        )
        if coaps_port is not None:
            report = gateway.rejections.refuse_message
            secured = SecuredPort(endpoint, gateway.devices, host, coaps_port, interface, report)
            try:
                secured.open_if_needed()
            except BaseException:
                await endpoint.close()
                raise
            gateway.device_watch.changed.append(secured.credentials_changed)
            opened.secured = secured
        return opened

    @property
    def refused(self) -> int:
        """Number of posts that were answered with an error."""
        return self._intake.posts.refused

    def collect(self) -> Iterable[Sample]:
        """The metrics of this gateway."""
        yield from metrics.collect(self.gateway, refused=self.refused)
        held_back, over_rate = self._endpoint.refusals()
        yield DATAGRAMS_HELD_BACK.of(held_back)
        yield from self._oscore.collect()
        yield REQUESTS_OVER_RATE.of(over_rate + self._intake.posts.unknown_rate.refused)
        if self.secured is not None:
            yield from self.secured.collect()

    @property
    def port(self) -> int:
        return self._endpoint.local_address[1]

    async def answers(self) -> bool:
        """Whether the gateway answers a ping through its own socket."""
        answers = await self._endpoint.answers(PING_LIMIT_S)
        return answers and (self.secured is None or await self.secured.answers(PING_LIMIT_S))

    async def run(self, connect: ConnectToBroker) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.gateway.keep_linked(connect, self), name="coap link")
                tasks.create_task(
                    self.gateway.expire_offline_nodes(self._forget), name="coap offline timeout"
                )
                tasks.create_task(self._observer.run(), name="coap observations")
                tasks.create_task(self._directory.run(), name="coap registrations")
                tasks.create_task(self._kept.run(self._record_of), name="coap state file")
                if self._trace is not None:
                    tasks.create_task(self._trace.run(), name="coap trace")
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.gateway.end_commands()
            await self._endpoint.close()
            self._oscore.close()

    def _record_of(self, uid: str) -> bytes | None:
        node = self._table.get(uid)
        if node is None or node.peer.security:
            return None  # a secured node must prove its identity again
        return save_registration(
            self._directory,
            uid,
            node.peer,
            proved=self._endpoint.is_verified(node.peer),
            now=self._loop.time(),
            unix_time=self.gateway.unix_time(),
        )

    # -- nodes ----------------------------------------------------------------------------------

    def _forget(self, uid: str) -> None:
        self._table.forget(uid)
        self._observer.forget(uid)
        self._directory.forget(uid)
        self._sleeping.forget(uid)
        self._discovery_queue.forget(uid)
        self._unanswered.forget(uid)

    def _on_posts(self, posts: Sequence[Posted]) -> None:
        """Report readings that the intake has accepted."""
        live = values_of(posts) if self.gateway.awaits_reports else ()
        self.gateway.report_readings(reports_of(posts), live)
        if self._unanswered or self._sleeping:
            for uid in senders_of(posts):
                self._on_reading(uid)

    def _on_change(self, change: OtherChange) -> None:
        """Apply another event of the intake."""
        match change:
            case NodeAlive(uid, reports, rebooted):
                self.gateway.report_nodes(reports)
                self._on_alive(uid, rebooted)
            case NodeRenamed(_, reports):
                self.gateway.report_nodes(reports)
            case ClaimToCheck(uid, claimant):
                self._start(self._claims.check(uid, claimant), f"claim of {uid}")
            case Refusal(text, details):
                self._refusals.warning(text, *details, now=self._loop.time())
                self.gateway.rejections.refuse_message(text, *details)

    def _on_reading(self, uid: str) -> None:
        """A reading arrived from this node."""
        self._sleeping.set_awake(uid)
        if uid in self._unanswered and self._unanswered.is_due(uid, now=self._loop.time()):
            self._queue_discovery(uid)

    def _on_alive(self, uid: str, rebooted: bool) -> None:
        """Handle `alive` or `reset` of a node."""
        self._sleeping.set_awake(uid)
        node = self._table.get(uid)
        if node is None:
            return
        if rebooted:
            self._unanswered.forget(uid)
            self._recheck_neighbours(uid, node.address)
        if rebooted or node.answers_at is None or uid in self._unanswered:
            self._queue_discovery(uid)

    def _recheck_neighbours(self, uid: str, address: PeerAddress) -> None:
        """Several nodes share an address now: determine again which of them answers at which
        port."""
        for port in (COAP_PORT, address.port):
            other_uid = self._table.answering_at(address._replace(port=port))
            other = None if other_uid in (None, uid) else self._table.get(other_uid)
            if other is None or other_uid is None or other.address.port == port:
                continue
            if self._directory.directory.of(other_uid) is not None:
                continue  # its registration states its address
            # The responses so far may have come from the node that has just appeared.
            if port == address.port or not other.source_unanswered:
                self._table.does_not_answer(other_uid)
                self._unanswered.forget(other_uid)
                self._queue_discovery(other_uid)

    # -- discovery ------------------------------------------------------------------------------

    def _queue_discovery(self, uid: str) -> None:
        node = self._table.get(uid)
        if node is not None:
            self._discovery_queue.add(uid, node.address.host)

    async def _discover(self, uid: str) -> None:
        node = self._table.get(uid)
        if node is None:
            return
        before = self._unanswered.take(uid)

        async def read(peer: Peer, link: CoreLink, limit: float) -> bool:
            answered = await self._read(uid, peer, link, limit)
            if answered:
                self.gateway.nodes.verify(uid)
            return answered

        registration = self._directory.directory.of(uid)
        if before is not None and before.links is not None and node.answers_at is not None:
            unread: list[CoreLink] | None = await self._discovery.follow(
                node.answers_at, before.links, read
            )
        elif registration is not None and registration.links and node.answers_at is not None:
            # The registration lists its resources.
            self._observer.forget(uid)
            unread = await self._discovery.follow(node.answers_at, registration.links, read)
            self._kept.changed(uid)  # it may be verified now
        else:
            self._observer.forget(uid)
            unread = await self._discover_address(uid, node, read)
        # Otherwise it left, or moved and is discovered again.
        if (unread is None or unread) and self._table.get(uid) is node:
            self._unanswered.add(uid, unread, before, now=self._loop.time())

    async def _discover_address(
        self, uid: str, node: NodeEntry[Peer], read: Read
    ) -> list[CoreLink] | None:
        """Determine where the node answers, and its resources. Returns the unanswered ones."""
        candidates = self._candidates(uid, node.peer, node.answers_at)
        source_first = candidates[0].peer == node.peer

        def answers_at(peer: Peer) -> bool:
            if self._table.get(uid) is not node or self._is_taken(uid, node.peer, peer):
                return False  # taken by another node in the meantime, or this one left
            self._table.answers(uid, peer, peer.address)
            self.gateway.nodes.verify(uid)
            node.source_unanswered = source_first and peer != node.peer
            return True

        found = await self._discovery.discover(candidates, answers_at, read)
        if found is None:
            self._info("%s at %s does not answer requests", uid, node.address.host)
            return None
        registration = self._directory.directory.of(uid)
        if registration is not None:
            self._directory.directory.fill(registration, found.links)
            self._kept.changed(uid)  # it is verified now
        return found.unread

    async def _read(self, uid: str, peer: Peer, link: CoreLink, deadline: float) -> bool:
        uri = link.uri or "/"
        name = resource_name(uri)
        accept = readable_format(link.values("ct"))
        node = self._table.get(uid)
        if node is not None and accept is not None:
            node.accepts = {**node.accepts, name: accept}
        describe_by_link(self.gateway, uid, name, link)
        return await self._observer.read_first(
            uid, name, uri, peer, deadline, observable=link.has("obs"), accept=accept
        )

    def _candidates(self, uid: str, peer: Peer, answered_at: Peer | None = None) -> list[Candidate]:
        """The addresses at which a node that posts from `peer` may answer requests."""
        if peer.security == "dtls-psk":
            return [Candidate(peer)]  # its session leads to no other address
        is_local = peer.is_this_machine
        source_first = is_local or self._table.is_shared(peer.address, uid)
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
        # Nothing is lost on this machine: a short timeout is enough.
        source_s = LOCAL_RESPONSE_S if is_local and len(ports) > 1 else FIRST_RESPONSE_S
        source = Candidate(peer, source_s, offers=source_first)
        return [source if port == peer.address.port else Candidate(known[port]) for port in ports]

    def _is_taken(self, uid: str, source: Peer, at: Peer) -> bool:
        """Whether this address belongs to another node, or to this gateway."""
        if at == source:
            return False
        is_ours = at.is_this_machine and at.address.port == self.port
        return is_ours or self._table.is_of_another(at.address, uid)

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        return await self._commands.write(uid, resource, payload, deadline)

    def _info(self, text: str, *details: object) -> None:
        """Log at a limited rate: any datagram can cause such a line."""
        self._lines.info(text, *details, now=self._loop.time())

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
