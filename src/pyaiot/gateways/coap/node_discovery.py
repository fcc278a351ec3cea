# SPDX-License-Identifier: BSD-3-Clause
"""Determines at which address each node answers requests, and reads its resources."""

import asyncio
import logging
from collections.abc import Callable

from pyaiot.gateways.coap.address_table import AddressTable, NodeEntry
from pyaiot.gateways.coap.candidates import LOCAL_RESPONSE_S, candidate_ports
from pyaiot.gateways.coap.discovery import FIRST_RESPONSE_S, Candidate, Discovery, Read
from pyaiot.gateways.coap.discovery_queue import DiscoveryQueue, Start
from pyaiot.gateways.coap.link_types import describe_by_link
from pyaiot.gateways.coap.observer import Observer
from pyaiot.gateways.coap.registrations import Directory
from pyaiot.gateways.coap.unanswered import UnansweredRequests
from pyaiot.gateways.gateway import Gateway
from pyaiot.protocols.coap.numbers import COAP_PORT
from pyaiot.protocols.coap.values import readable_format
from pyaiot.protocols.link_format import CoreLink, resource_name
from pyaiot.transport.peers import Peer, PeerAddress
from pyaiot.transport.rate_limit import RateLimitedLog

log = logging.getLogger(__name__)


class NodeDiscovery:
    """Discovers nodes after a sign of life, until their requests are answered."""

    def __init__(
        self,
        gateway: Gateway,
        table: AddressTable[Peer],
        discovery: Discovery,
        observer: Observer,
        directory: Directory,
        loop: asyncio.AbstractEventLoop,
        *,
        own_port: int,
        changed: Callable[[str], None],
        start: Start,
    ) -> None:
        """`own_port`: the port of this gateway. `changed` is called with the uid of a node whose
        registration, or its verification, may have changed."""
        self.unanswered = UnansweredRequests()
        self._gateway = gateway
        self._table = table
        self._discovery = discovery
        self._observer = observer
        self._directory = directory
        self._loop = loop
        self._own_port = own_port
        self._changed = changed
        self._queue = DiscoveryQueue(self._discover, start)
        self._lines = RateLimitedLog(log)

    def add(self, uid: str) -> None:
        """Discover a node when there is room."""
        node = self._table.get(uid)
        if node is not None:
            self._queue.add(uid, node.address.host)

    def forget(self, uid: str) -> None:
        """The node left."""
        self._queue.forget(uid)
        self.unanswered.forget(uid)

    def receive_reading(self, uid: str) -> None:
        """A reading of this node arrived: repeat unanswered requests from time to time."""
        if uid in self.unanswered and self.unanswered.is_due(uid, now=self._loop.time()):
            self.add(uid)

    def receive_alive(self, uid: str, node: NodeEntry[Peer], *, rebooted: bool) -> None:
        """A sign of life of this node arrived: discover it unless all its requests were
        answered."""
        if rebooted:
            self.unanswered.forget(uid)
            self._recheck_neighbours(uid, node.address)
        if rebooted or node.answers_at is None or uid in self.unanswered:
            self.add(uid)

    def _recheck_neighbours(self, uid: str, address: PeerAddress) -> None:
        """Several nodes share an address now: determine again which of them answers at which
        port."""
        for port in (COAP_PORT, address.port):
            other_uid = self._table.answering_at(address._replace(port=port))
            other = None if other_uid in (None, uid) else self._table.get(other_uid)
            if other is None or other_uid is None or other.address.port == port:
                continue
            if self._directory.of(other_uid) is not None:
                continue  # its registration states its address
            # The responses so far may have come from the node that has just appeared.
            if port == address.port or not other.source_unanswered:
                self._table.does_not_answer(other_uid)
                self.unanswered.forget(other_uid)
                self.add(other_uid)

    async def _discover(self, uid: str) -> None:
        node = self._table.get(uid)
        if node is None:
            return
        before = self.unanswered.take(uid)

        async def read(peer: Peer, link: CoreLink, limit: float) -> bool:
            answered = await self._read(uid, peer, link, limit)
            if answered:
                self._gateway.nodes.verify(uid)
            return answered

        registration = self._directory.of(uid)
        if before is not None and before.links is not None and node.answers_at is not None:
            unread: list[CoreLink] | None = await self._discovery.follow(
                node.answers_at, before.links, read
            )
        elif registration is not None and registration.links and node.answers_at is not None:
            # The registration lists its resources.
            self._observer.forget(uid)
            unread = await self._discovery.follow(node.answers_at, registration.links, read)
            self._changed(uid)  # it may be verified now
        else:
            self._observer.forget(uid)
            unread = await self._discover_address(uid, node, read)
        # Otherwise it left, or moved and is discovered again.
        if (unread is None or unread) and self._table.get(uid) is node:
            self.unanswered.add(uid, unread, before, now=self._loop.time())

    async def _discover_address(
        self, uid: str, node: NodeEntry[Peer], read: Read
    ) -> list[CoreLink] | None:
        """Determine where the node answers, and its resources. Returns the unanswered ones."""
        candidates = self.candidates(uid, node.peer, node.answers_at)
        source_first = candidates[0].peer == node.peer

        def answers_at(peer: Peer) -> bool:
            if self._table.get(uid) is not node or self._is_taken(uid, node.peer, peer):
                return False  # taken by another node in the meantime, or this one left
            self._table.answers(uid, peer, peer.address)
            self._gateway.nodes.verify(uid)
            node.source_unanswered = source_first and peer != node.peer
            return True

        found = await self._discovery.discover(candidates, answers_at, read)
        if found is None:
            # At a limited rate: any datagram can cause such a line.
            text = "%s at %s does not answer requests"
            self._lines.info(text, uid, node.address.host, now=self._loop.time())
            return None
        registration = self._directory.of(uid)
        if registration is not None:
            self._directory.fill(registration, found.links)
            self._changed(uid)  # it is verified now
        return found.unread

    async def _read(self, uid: str, peer: Peer, link: CoreLink, deadline: float) -> bool:
        uri = link.uri or "/"
        name = resource_name(uri)
        accept = readable_format(link.values("ct"))
        node = self._table.get(uid)
        if node is not None and accept is not None:
            node.accepts = {**node.accepts, name: accept}
        describe_by_link(self._gateway, uid, name, link)
        return await self._observer.read_first(
            uid, name, uri, peer, deadline, observable=link.has("obs"), accept=accept
        )

    def candidates(self, uid: str, peer: Peer, answered_at: Peer | None = None) -> list[Candidate]:
        """The addresses at which a node that posts from `peer` may answer requests. `answered_at`:
        where it answered before."""
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
        is_ours = at.is_this_machine and at.address.port == self._own_port
        return is_ours or self._table.is_of_another(at.address, uid)
