# SPDX-License-Identifier: BSD-3-Clause
"""A cluster member: packets and local messages in, packets and deliveries out. Pure.

The member keeps the router of this broker consistent with what the other brokers own, and informs
them about its own nodes. No decision needs an agreement: see `claims`. `now` is the time of the
event loop in seconds, `ts` Unix time in seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pyaiot.broker.cluster_state import ClusterState, EmbeddedBrokerState
from pyaiot.broker.deliveries import Delivery, ToAll
from pyaiot.broker.router import Router
from pyaiot.broker.wanted_readings import SEEN_S
from pyaiot.cluster.claims import ClaimTable
from pyaiot.cluster.incoming import Incoming
from pyaiot.cluster.local_side import LocalSide
from pyaiot.cluster.outgoing import Outgoing, Packet
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import (
    Beacon,
    ClusterItem,
    FrameHeader,
    Interest,
    Order,
    StreamRequest,
    decode_items,
    decode_packet,
    encode_header,
)
from pyaiot.cluster.peer import IncompatibleBrokers, OtherBroker
from pyaiot.cluster.remote_nodes import RemoteNodes
from pyaiot.cluster.streams import IncomingStream
from pyaiot.errors import ProtocolError
from pyaiot.messages import (
    Command,
    NodeLeft,
    Receipt,
)
from pyaiot.registry.documents import Document

if TYPE_CHECKING:
    from pyaiot.cluster.resumption import Resumption

BEACON_INTERVAL_S: Final = 1.0
"""Interval of beacons, which contain the positions of all streams."""
PEER_TIMEOUT_S: Final = 3.0
"""A broker whose stream was incomplete for this long is lost: commands to its nodes end."""
GRACE_S: Final = 5.0
"""Grace period in which nodes of a lost broker or gateway stay online, so that their gateway can
reconnect.
"""
GROUP_GRACE_S: Final = 20.0
"""The same for nodes of a gateway of a lost broker that shares them with other gateways: these also
wait until the MQTT brokers have elected who stores messages; 13 s were measured."""
LEAD_AFTER_S: Final = 10.0
"""A broker leads the cluster after this time at the earliest: until then it knows the others."""
PEERS_MAX: Final = 64
"""Largest number of brokers of a cluster. Further ones are ignored."""
_TICK_S: Final = 0.25


class ClusterMember:
    """A member of the cluster."""

    def __init__(
        self,
        run: str,
        name: str,
        router: Router,
        nodes: OwnedNodes,
        now: float,
        wake: Callable[[bool], None] = lambda _urgent: None,
    ) -> None:
        """`run` identifies this process, `name` this broker for people. `nodes`: those of the
        router. `wake` is called when packets are available: then call `packets_to_send`. Its
        argument: they have more than readings, which may wait.
        """
        self.run = run
        self.name = name
        self.version = ""
        self.url = ""
        """URL shown by other brokers."""
        self.clients = 0
        self.peers: dict[str, OtherBroker] = {}
        self.incompatible = IncompatibleBrokers()
        self.resumption: Resumption | None = None
        """Set by a broker whose history is that of all."""
        self.events_run = ""
        self.recorded: Callable[[float], tuple[float, float]] = lambda _now: (0.0, 0.0)
        """`Beacon.recorded` and `late_s` at a time."""
        self.embedded_brokers: Callable[[], tuple[EmbeddedBrokerState, ...]] = tuple
        """Shown in `state`."""
        self.directory = ClaimTable()
        self.invalid = 0
        """Invalid packets since the start."""
        self.resyncs = 0
        """Streams that were restarted because a frame was missing, since the start."""
        self.out = Outgoing(run, nodes, lambda: self.directory.of(run), wake)
        self.local = LocalSide(run, router, nodes, self.directory, self.out)
        self.remote = RemoteNodes(router, self.local.node_owned)
        self._in = Incoming(run, router, self.directory, self.remote, self.peers, self)
        self._router = router
        self._wake = wake
        self._generation = 0
        self._began_at = self._beacon_at = now
        self._tick_at = now
        self._seen_at = now + SEEN_S
        self._controls: list[Packet] = []
        """Packets outside of streams that are to be sent."""

    # -- what happens at this broker --------------------------------------------------------------

    def has_values(self, number: int) -> bool:
        """Whether all reachable brokers have sent what `set_interest` requested."""
        return all(
            peer.is_complete and peer.values_number >= number
            for peer in self.peers.values()
            if peer.lost_at is None
        )

    @property
    def beacons(self) -> dict[str, Beacon]:
        """The latest of each reachable broker, by its run."""
        return {run: peer.beacon for run, peer in self.peers.items() if peer.lost_at is None}

    def command(self, gateway: int, command: Command, now: float, ts: float) -> Sequence[Delivery]:
        """Send a command to a node of another broker."""
        for peer in self.peers.values():
            if gateway in peer.gateways.values():
                if peer.outgoing.is_active and peer.lost_at is None:
                    peer.items.append(
                        Order(
                            id=command.id,
                            uid=command.uid,
                            resource=command.resource,
                            payload=command.payload,
                            timeout_s=command.timeout_s,
                            not_after=command.not_after,
                        )
                    )
                    self._wake(True)
                    return ()
                break
        receipt = Receipt(id=command.id, state="unreachable", detail="the broker is lost")
        return self._router.from_gateway(gateway, receipt, now=now, ts=ts)

    def command_ended(self, client: str, receipt: Receipt, now: float) -> None:
        """Report the end of a command of another broker. `client`: its `client_of`."""
        peer = self.peers.get(client.removeprefix("@"))
        if peer is not None:
            peer.items.append(receipt)
            peer.keep_receipt(receipt, now)
            self._wake(True)

    @property
    def has_parts(self) -> bool:
        """Whether all reachable brokers understand an interest in resources, and `seen`."""
        return all(beacon.parts for beacon in self.beacons.values())

    def take_seen(self) -> set[str]:
        """Nodes of other brokers that sent readings of which this one did not get all."""
        taken, self._in.seen = self._in.seen, set()
        return taken

    def take_documents(self) -> list[Document]:
        """Documents beside the registry that other brokers have set, in order."""
        taken, self._in.documents = self._in.documents, []
        return taken

    def leads(self, now: float) -> bool:
        """Whether this broker does what only one of the cluster does: the first by name of those
        that it knows to be there. Nobody does in the first seconds of a broker."""
        others = (it for it in self.peers.values() if it.lost_at is None)
        is_first = all((self.name, self.run) < (it.beacon.name, it.run) for it in others)
        return is_first and now - self._began_at > LEAD_AFTER_S

    # -- the network ------------------------------------------------------------------------------

    def receive_packet(self, data: bytes, now: float, ts: float) -> Sequence[Delivery]:
        """Handle a packet from another broker. Deliveries about its nodes are for clients only:
        the broker that owns a node records what the node reports.
        """
        try:
            header, body = decode_packet(data)
            if header.sender == self.run:
                return ()
            match header:
                case Beacon():
                    return self._beacon(header, now, ts)
                case StreamRequest():
                    self._requested(header)
                    return ()
                case FrameHeader():
                    return self._frame(header, body, now, ts)
        except ProtocolError:
            self.invalid += 1
        return ()

    def _beacon(self, beacon: Beacon, now: float, ts: float) -> Sequence[Delivery]:
        deliveries: list[Delivery] = []
        if self.incompatible.receive(beacon, now):
            return ()
        peer = self.peers.get(beacon.sender)
        if peer is None:
            if beacon.leaves or len(self.peers) >= PEERS_MAX:
                return ()
            for other in self.peers.values():
                quiet_s = now - other.incoming.confirmed_at
                if other.beacon.name == beacon.name and quiet_s > BEACON_INTERVAL_S:
                    deliveries += self._lost(other, now)  # it was started again
            peer = self.peers[beacon.sender] = OtherBroker(beacon, IncomingStream(now))
        peer.beacon, peer.seen_at = beacon, now
        if self.resumption is not None:
            self.resumption.beacon_received(beacon, ts)
        if beacon.time:
            peer.differences.append(beacon.time - ts)
        if beacon.leaves:
            return [*deliveries, *self._lost(peer, now)]
        for theirs, number in peer.gateways.items():
            self.remote.stamp(number, beacon.clock, now)
            self.remote.count(number, beacon.readings.get(theirs, 0))
        if peer.lost_at is not None:
            peer.incoming.sender_returned()
        peer.incoming.receive_position(beacon.streams.get(self.run), now)
        self._request(peer, now)
        return deliveries

    def _request(self, peer: OtherBroker, now: float) -> None:
        """Request a stream if there is none, or if a frame is missing."""
        if not peer.incoming.request_due(now):
            return
        self.resyncs += peer.incoming.is_broken
        self._generation += 1
        peer.incoming.requested(self._generation, now)
        request = StreamRequest(sender=self.run, generation=self._generation)
        self._controls.append((peer.run, encode_header(request)))

    def _requested(self, request: StreamRequest) -> None:
        peer = self.peers.get(request.sender)
        if peer is None:
            return  # its beacon was lost; it asks again
        # What was gathered is older than the snapshot.
        self._controls += self.out.flush(tuple(self.peers.values()))
        if not peer.outgoing.receive_request(request.generation):
            return
        peer.jobs.clear()
        self.local.gateways_changed()
        peer.items = [
            *self.local.gateways.values(),
            self.local.interest,
            *(receipt for _at, receipt in peer.receipts),
        ]
        # Before anything else: claims name their gateways.
        self._controls += self.out.items_for(peer)
        peer.jobs.append(self.out.snapshot(peer))
        peer.jobs.append(self.local.edits())

    def _frame(self, header: FrameHeader, body: bytes, now: float, ts: float) -> Sequence[Delivery]:
        peer = self.peers.get(header.sender)
        if peer is None:
            return ()
        peer.seen_at = now
        frames = peer.incoming.receive(header.generation, header.number, body, now)
        deliveries: list[Delivery] = []
        for number, encoded in frames:
            try:
                items = decode_items(encoded)
            except ProtocolError:
                self.invalid += 1
                peer.incoming.is_broken = True
                break
            if number == 0:
                self._in.begin(peer)
            if peer.lost_at is not None:
                peer.lost_at = None
                for gateway in peer.gateways.values():
                    self.remote.gateway_is_back(gateway)
            deliveries += self._in.receive(peer, items, now, ts)
        self._request(peer, now)
        return deliveries

    @property
    def own_interest(self) -> Interest:
        return self.local.interest

    def interested(self, peer: OtherBroker, interest: Interest) -> None:
        """Another broker needs the values of these nodes from now on."""
        had_everything = peer.interest.everything
        added, resources = peer.set_interest(interest)
        if not peer.outgoing.is_active:
            return  # it will get the values with its snapshot
        if interest.everything and not had_everything:
            added = list(self.directory.of(self.run))
        # What was gathered before goes by the new interest, or again with the values.
        self._controls += self.out.flush(tuple(self.peers.values()))
        peer.jobs.append(self.out.values(added, resources, interest))

    def state(self, now: float) -> ClusterState:
        """The state of this broker, and of the others that are not forgotten, by name."""
        peers = [peer.state(now) for peer in self.peers.values()]
        peers += self.incompatible.states(now)
        peers.sort(key=lambda it: (it.name, it.silent_s))
        nodes, gateways = len(self.directory.of(self.run)), len(self.local.gateways)
        machines = self.embedded_brokers()
        return ClusterState(self.name, nodes, gateways, tuple(peers), embedded_brokers=machines)

    # -- time -------------------------------------------------------------------------------------

    def get_timer(self) -> float:
        """Time at which `handle_timer` must be called."""
        return min(self._beacon_at, self._tick_at)

    @property
    def has_packets(self) -> bool:
        """Whether `packets_to_send` would return packets."""
        if self._controls or self.out.has_items:
            return True
        for peer in self.peers.values():  # noqa: SIM110 - five times as fast; after each message
            if peer.items or peer.jobs:
                return True
        return False

    @property
    def has_jobs(self) -> bool:
        """Whether a snapshot is being sent: call `packets_to_send` again soon."""
        return any(peer.jobs for peer in self.peers.values())

    def handle_timer(self, now: float, ts: float) -> Sequence[Delivery]:
        deliveries: list[Delivery] = []
        if now >= self._beacon_at:
            self._beacon_at = now + BEACON_INTERVAL_S
            self._send_beacon(now, ts)
        if now >= self._tick_at:
            self._tick_at = now + _TICK_S
            unsettled, self.local.unsettled = self.local.unsettled, set()
            for uid in unsettled:
                deliveries += self._in.settle(uid, "left", ts)
            deliveries += self._in.end_moves(now, ts)
            for peer in list(self.peers.values()):
                deliveries += self._check(peer, now, ts)
            self.incompatible.forget_before(now - PEER_TIMEOUT_S - GRACE_S)
        if now >= self._seen_at:
            self._seen_at = now + SEEN_S
            self.out.add_seen(self.peers.values())
        return deliveries

    def leave(self, now: float, ts: float) -> None:
        """This broker stops."""
        self._send_beacon(now, ts, leaves=True)

    def _send_beacon(self, now: float, ts: float, *, leaves: bool = False) -> None:
        # Its positions are those after everything that was gathered.
        self._controls += self._all_frames()
        recorded, late_s = self.recorded(now)
        beacon = Beacon(
            sender=self.run,
            name=self.name,
            version=self.version,
            clock=now,
            time=ts,
            streams={
                peer.run: (peer.outgoing.generation, peer.outgoing.next_number)
                for peer in self.peers.values()
                if peer.outgoing.is_active
            },
            leaves=leaves,
            nodes=len(self.directory.of(self.run)),
            gateways=len(self.local.gateways),
            clients=self.clients,
            url=self.url,
            events_run=self.events_run,
            recorded=recorded,
            late_s=late_s,
            parts=True,
            readings=self.local.readings(),
        )
        self._controls.append(("", encode_header(beacon)))

    def _check(self, peer: OtherBroker, now: float, ts: float) -> Sequence[Delivery]:
        if peer.lost_at is None:
            if now - peer.incoming.confirmed_at > PEER_TIMEOUT_S:
                return self._lost(peer, now)
            self._request_again(peer, now)
            return ()
        lost_s = now - peer.lost_at
        if lost_s <= GRACE_S:
            self._request_again(peer, now)
            return ()
        kept: set[int] = set()
        if lost_s <= GROUP_GRACE_S and not peer.beacon.leaves:
            known = self._router.gateways
            kept = {it for it, ours in peer.gateways.items() if known[ours].group}
        if kept:
            self._request_again(peer, now)
        else:
            del self.peers[peer.run]
        deliveries = self._in.forget(peer, now, ts, kept=kept)
        if self.resumption is not None and any(
            type(it) is ToAll and isinstance(it.message, NodeLeft) for it in deliveries
        ):
            self.resumption.nodes_left(ts)
        return deliveries

    def _request_again(self, peer: OtherBroker, now: float) -> None:
        if not peer.beacon.leaves:
            self._request(peer, now)

    def _lost(self, peer: OtherBroker, now: float) -> Sequence[Delivery]:
        """Nothing arrives from a broker: its nodes stay online for the grace period, and cannot be
        commanded.
        """
        if peer.lost_at is not None:
            return ()
        peer.lost_at = now
        peer.end_outgoing()
        peer.incoming.is_broken = True
        deliveries: list[Delivery] = []
        for number in peer.gateways.values():
            deliveries += self.remote.gateway_away(number, now)
        return deliveries

    def packets_to_send(self) -> list[Packet]:
        """The packets to send now. If `has_jobs`, more follow."""
        packets, self._controls = self._controls, []
        return [*packets, *self._all_frames()]

    def _all_frames(self) -> Iterator[Packet]:
        peers = tuple(self.peers.values())
        yield from self.out.flush(peers)
        for peer in peers:
            yield from self.out.for_one(peer)


def client_of(run: str) -> str:
    """The name of a command of another broker in the router, which no client can have."""
    return f"@{run}"


def is_broker(client: str) -> bool:
    return client.startswith("@")


__all__ = ["ClusterItem", "ClusterMember", "client_of", "is_broker"]
