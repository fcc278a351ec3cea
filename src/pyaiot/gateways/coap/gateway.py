# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway: posts and notifications in, requests out (legacy protocol, section 3)."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from aiocoap.resource import Site

from pyaiot.gateways import metrics
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.aiocoap_adapter import StrictSite
from pyaiot.gateways.coap.bodies import BlockwiseBodies
from pyaiot.gateways.coap.claims import ClaimCheck
from pyaiot.gateways.coap.commands import CommandWriter
from pyaiot.gateways.coap.directory_resources import DirectoryServer, RegisteredNodes
from pyaiot.gateways.coap.discovery import Discovery
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
from pyaiot.gateways.coap.metrics import DATAGRAMS_HELD_BACK, REQUESTS_OVER_RATE
from pyaiot.gateways.coap.node_discovery import NodeDiscovery
from pyaiot.gateways.coap.observer import Observer
from pyaiot.gateways.coap.oscore.service import OscoreDevices
from pyaiot.gateways.coap.post_intake import PostIntake, PostResource
from pyaiot.gateways.coap.registrations import Directory
from pyaiot.gateways.coap.requests import Requests
from pyaiot.gateways.coap.saved_registrations import restore_registrations, save_registration
from pyaiot.gateways.coap.secured_port import SecuredPort, SessionNodes
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.coap.trace import Trace
from pyaiot.gateways.gateway import ConnectToBroker, Gateway, Outcome
from pyaiot.gateways.state_store import StateStore
from pyaiot.metrics import Sample
from pyaiot.protocols.coap.post import ALIVE, SERVER
from pyaiot.transport.peers import Peer
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
        self._table = AddressTable[Peer]()
        self._requests = endpoint.requests = Requests(endpoint, self._loop)
        discovery = Discovery(self._requests, self._loop)
        self._sleeping = SleepingNodes(sleepy, self._loop)
        self._trace: Trace | None = None
        self._tasks: set[asyncio.Task[None]] = set()
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
        self._intake.observations = self._observer.observations
        directory = Directory(changed=self._kept.changed)
        self._discovery = NodeDiscovery(
            gateway,
            self._table,
            discovery,
            self._observer,
            directory,
            self._loop,
            own_port=self.port,
            changed=self._kept.changed,
            start=self._start,
        )
        self._commands = CommandWriter(
            self._requests,
            self._table,
            self._posts,
            self._observer,
            self._sleeping,
            self._loop.time,
            candidates=lambda uid, node: [
                candidate.peer for candidate in self._discovery.candidates(uid, node.peer)
            ],
            start=self._start,
        )
        self._claims = ClaimCheck(
            gateway,
            self._table,
            discovery,
            self._posts,
            self._sleeping,
            self._loop.time,
            candidates=self._discovery.candidates,
        )
        bodies = BlockwiseBodies(self._posts.is_node, self._loop.time)
        for path in (ALIVE, SERVER):
            site.add_resource([path], PostResource(path, self._posts, bodies))
        registered = RegisteredNodes(
            gateway,
            self._table,
            self._posts,
            discover=self._discovery.add,
            forget=self._forget,
            time=self._loop.time,
        )
        self._directory = DirectoryServer(site, bodies, registered, self._loop.time, directory)
        self._refusals = RateLimitedLog(log)
        gateway.evicted = self._forget
        self._oscore = OscoreDevices(endpoint, site, gateway, oscore_file, self._discovery.add)
        sessions = SessionNodes(endpoint, self._table, self._posts, discover=self._discovery.add)
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
        self._discovery.forget(uid)

    def _on_posts(self, posts: Sequence[Posted]) -> None:
        """Report readings that the intake has accepted."""
        live = values_of(posts) if self.gateway.awaits_reports else ()
        self.gateway.report_readings(reports_of(posts), live)
        if self._discovery.unanswered or self._sleeping:
            for uid in senders_of(posts):
                self._sleeping.set_awake(uid)
                self._discovery.receive_reading(uid)

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

    def _on_alive(self, uid: str, rebooted: bool) -> None:
        """Handle `alive` or `reset` of a node."""
        self._sleeping.set_awake(uid)
        node = self._table.get(uid)
        if node is not None:
            self._discovery.receive_alive(uid, node, rebooted=rebooted)

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        return await self._commands.write(uid, resource, payload, deadline)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
