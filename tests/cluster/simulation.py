# SPDX-License-Identifier: BSD-3-Clause
"""A cluster in one process: real routers and members, simulated gateways, clients and network.

Time jumps from event to event, and everything random comes from one seed.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pyaiot.broker.away import gateway_away
from pyaiot.broker.deliveries import Delivery, ToAll, ToOneClient, ToOneGateway
from pyaiot.broker.identity import GatewayIdentity
from pyaiot.broker.router import Router
from pyaiot.broker.wanted_readings import SEEN_S
from pyaiot.cluster.member import GRACE_S, ClusterMember, client_of, is_broker
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.messages import (
    Checkpoint,
    Command,
    GatewayState,
    Hello,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    Receipt,
    ToClient,
)

FLUSH_S = 0.02
CONFIRM_S = 4.0
"""A broker that does not answer for two seconds has lost the link by then."""
TS = 1_700_000_000.0


@dataclass
class Network:
    """The network between brokers. A cut pair loses all packets, in one direction."""

    random: random.Random
    loss: float = 0.0
    duplicates: float = 0.0
    delay_max_s: float = 0.01
    cut: set[tuple[str, str]] = field(default_factory=set)

    def delays(self, sender: str, receiver: str) -> list[float]:
        """The times at which copies of a packet arrive; none: it is lost."""
        if (sender, receiver) in self.cut or self.random.random() < self.loss:
            return []
        copies = 2 if self.random.random() < self.duplicates else 1
        return [self.random.uniform(0.0005, self.delay_max_s) for _ in range(copies)]


class SimBroker:
    """A `Broker` without sockets: its router and its member."""

    def __init__(self, world: "World", name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.run = f"{number:08x}"
        self.is_alive = True
        self.is_paused = False
        self.nodes = OwnedNodes()
        self.router = Router(nodes=self.nodes)
        self.member = ClusterMember(self.run, name, self.router, self.nodes, world.now)
        self.links: dict[int, SimGateway] = {}
        self.link_number = 0
        self.view: dict[str, dict[str, object]] = {}
        """The state of a client that joined at the start."""
        self.seen: set[str] = set()
        """Nodes that sent readings according to other brokers."""
        self.published: Counter[str] = Counter()
        """Messages to clients about each node, by type and uid."""
        self.receipts: list[tuple[str, Receipt]] = []
        self.waiting_messages: list[tuple[int, object]] = []
        self.waiting_packets: list[bytes] = []
        """Packets received while the process is paused."""

    # -- the shell ------------------------------------------------------------------------------

    def turn(self) -> None:
        now = self.world.now
        if self.member.get_timer() <= now:
            self.deliver(self.member.handle_timer(now, TS + now), is_local=False)
        if len(self.router.commands):
            self.deliver(self.router.expire(now))
        if self.member.has_packets:
            self.flush()
        for peer in self.member.peers.values():
            if peer.jobs:
                assert peer.outgoing.is_active

    def flush(self) -> None:
        for receiver, packet in self.member.packets_to_send():
            self.world.send(self, receiver, packet)

    def receive(self, packet: bytes) -> None:
        if not self.is_alive:
            return
        if self.is_paused:
            self.waiting_packets.append(packet)
            return
        now = self.world.now
        self.deliver(self.member.receive_packet(packet, now, TS + now), is_local=False)
        self.seen |= self.member.take_seen()

    def deliver(self, deliveries: Sequence[Delivery], *, is_local: bool = True) -> None:
        now = self.world.now
        for delivery in deliveries:
            match delivery:
                case ToAll(message=message):
                    if not delivery.is_registry:
                        self.show(message)
                    if is_local:
                        self.member.local.published(message)
                case ToOneClient(message=message, client=client):
                    assert isinstance(message, Receipt)
                    if is_broker(client):
                        self.member.command_ended(client, message, now)
                    else:
                        self.receipts.append((client, message))
                case ToOneGateway(message=message, gateway=gateway):
                    if gateway < 0:
                        assert isinstance(message, Command)
                        self.deliver(self.member.command(gateway, message, now, TS + now))
                    elif gateway in self.links:
                        self.world.later(
                            0.001, self.links[gateway].receiver(self, gateway, message)
                        )

    def show(self, message: ToClient) -> None:
        match message:
            case NodeAppeared(uid=uid):
                assert uid not in self.view, f"{uid} appears twice at {self.name}"
                self.view[uid] = {}
                self.published[f"new {uid}"] += 1
            case NodeLeft(uid=uid):
                assert uid in self.view, f"{uid} leaves twice at {self.name}"
                del self.view[uid]
                self.published[f"out {uid}"] += 1
            case NodeReset(uid=uid):
                self.view[uid].clear()
            case Reading(uid=uid, resource=resource, data=data):
                self.view[uid][resource] = data
            case _:
                pass

    def shown(self, values: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        """The values that its clients show."""
        interest = self.member.local.interest
        return {
            uid: {
                resource: data
                for resource, data in of_node.items()
                if interest.everything or uid in interest.uids or resource in interest.resources
            }
            for uid, of_node in values.items()
        }

    # -- gateways and clients -------------------------------------------------------------------

    def connect(self, gateway: "SimGateway") -> int:
        self.link_number += 1
        number = self.link_number
        self.links[number] = gateway
        identity = GatewayIdentity(gateway.name, has_token=gateway.has_token)
        self.deliver(
            self.router.gateway_connected(number, acknowledges=True, ts=TS, identity=identity)
        )
        return number

    def from_gateway(self, number: int, message: object) -> None:
        if self.is_paused:
            self.waiting_messages.append((number, message))
        elif self.is_alive and number in self.links:
            now = self.world.now
            if isinstance(message, Checkpoint):
                self.deliver(self.member.local.announced(number, TS + now))
            self.deliver(
                self.router.from_gateway(number, message, now=now, ts=TS + now)  # type: ignore[arg-type]
            )

    def link_lost(self, number: int) -> None:
        if self.links.pop(number, None) is None or not self.is_alive:
            return
        now = self.world.now
        self.deliver(gateway_away(self.router, number, now))
        self.member.local.gateways_changed()
        self.world.later(GRACE_S, lambda: self._grace_over(number))

    def _grace_over(self, number: int) -> None:
        if self.is_alive:
            now = self.world.now
            self.deliver(self.router.gateway_lost(number, now=now, ts=TS + now))
            self.member.local.gateways_changed()

    def command(self, client: str, command: Command) -> None:
        self.deliver(self.router.from_client(client, command, now=self.world.now))


class SimGateway:
    """A gateway: nodes with values, and a link to one broker at a time."""

    def __init__(self, world: "World", name: str, brokers: list[str], *, has_token: bool) -> None:
        self.world = world
        self.name = name
        self.brokers = brokers
        self.has_token = has_token
        self.instance = f"instance of {name}"
        self.group = ""
        self.nodes: dict[str, dict[str, object]] = {}
        self.broker: SimBroker | None = None
        self.number = 0
        self.next = 0
        self.checkpoint_due = False
        self.executed: Counter[str] = Counter()
        self.refused: set[str] = set()
        """Nodes that another gateway owns."""
        self.claimed_at: dict[str, float] = {}
        """When refused nodes were claimed again; the response may be in transit."""
        self.unconfirmed: list[tuple[float, NodeReset | NodeLeft]] = []
        """Events that no broker has confirmed."""

    def connect(self) -> None:
        """Connect to the next broker that accepts."""
        if self.broker is not None:
            return
        name = self.brokers[self.next % len(self.brokers)]
        self.next += 1
        broker = self.world.brokers[name]
        if not broker.is_alive or broker.is_paused:
            self.world.later(0.3, self.connect)
            return
        self.broker, self.number = broker, broker.connect(self)
        self.send(
            Hello(
                name=self.name,
                protocol="CoAP",
                instance=self.instance,
                group=self.group,
                clock=self.world.now,
            )
        )
        for _, event in self.unconfirmed:
            self.send(event)
        for uid in self.nodes:
            self.announce(uid)
        self._keep_unconfirmed()

    def report(self, event: NodeReset | NodeLeft) -> None:
        """Send an event, and keep it until a broker has confirmed it."""
        self._keep_unconfirmed()
        self.unconfirmed.append((self.world.now, event))
        self.send(event)

    def _keep_unconfirmed(self) -> None:
        if self.broker is not None:
            self.unconfirmed = [
                entry for entry in self.unconfirmed if self.world.now - entry[0] < CONFIRM_S
            ]

    def announce(self, uid: str) -> None:
        if uid in self.nodes:
            self.send(NodeAppeared(uid=uid, ts=TS + self.world.now))
            for resource, data in self.nodes[uid].items():
                self.send(Reading(uid=uid, resource=resource, data=data, ts=TS + self.world.now))

    def send(self, message: object) -> None:
        if self.broker is not None:
            self.broker.from_gateway(self.number, message)
            if not self.checkpoint_due:
                self.checkpoint_due = True
                self.world.later(0.5, self._send_checkpoint)

    def _send_checkpoint(self) -> None:
        self.checkpoint_due = False
        if self.broker is not None:
            self.broker.from_gateway(self.number, Checkpoint(number=1))

    def lose_link(self) -> None:
        broker, self.broker = self.broker, None
        if broker is not None:
            if not broker.is_paused:
                broker.link_lost(self.number)
            else:
                broker.world.when_resumed(broker, self.number)
            self.world.later(self.world.random.uniform(0.05, 1.5), self.connect)

    def appear(self, uid: str) -> None:
        if uid not in self.nodes:
            self.nodes[uid] = {}
            self.announce(uid)

    def leave(self, uid: str) -> None:
        if self.nodes.pop(uid, None) is not None:
            self.refused.discard(uid)
            self.report(NodeLeft(uid=uid, ts=TS + self.world.now))

    def reset(self, uid: str) -> None:
        if uid in self.nodes:
            self.nodes[uid].clear()
            self.report(NodeReset(uid=uid, ts=TS + self.world.now))

    def read(self, uid: str, resource: str, data: object) -> None:
        if uid in self.nodes:
            self.nodes[uid][resource] = data
            self.send(Reading(uid=uid, resource=resource, data=data, ts=TS + self.world.now))

    def receiver(self, broker: SimBroker, number: int, message: object) -> Callable[[], None]:
        def receive() -> None:
            if self.broker is not broker or self.number != number:
                return
            match message:
                case Command(id=command_id, payload=payload):
                    self.executed[payload] += 1
                    if self.world.random.random() < 0.9:
                        self.send(Receipt(id=command_id, state="confirmed"))
                case Problem(uid=uid, owner=owner) if owner and uid not in self.refused:
                    self.refused.add(uid)
                    self.world.later(2.0, lambda: self.claim_again(uid))
                case _:
                    pass

        return receive

    def claim_again(self, uid: str) -> None:
        if uid in self.refused:
            self.refused.discard(uid)
            self.claimed_at[uid] = self.world.now
            self.announce(uid)


class World:
    """Runs everything."""

    def __init__(self, seed: int, brokers: int, gateways: int) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._runs = itertools.count(1)
        self.network = Network(self.random)
        self.brokers: dict[str, SimBroker] = {}
        self.dead: list[SimBroker] = []
        self.gateways: list[SimGateway] = []
        self.issued: dict[str, SimBroker] = {}
        """Commands, by payload."""
        self._to_resume: list[tuple[SimBroker, int]] = []
        names = [f"broker {number}" for number in range(brokers)]
        for name in names:
            self.start(name)
        for number in range(gateways):
            order = names[number % brokers :] + names[: number % brokers]
            gateway = SimGateway(self, f"gateway {number}", order, has_token=number % 2 == 0)
            self.gateways.append(gateway)
            gateway.connect()

    def start(self, name: str) -> SimBroker:
        run = self.random.randrange(2**20) * 1000 + next(self._runs)
        broker = self.brokers[name] = SimBroker(self, name, run)
        broker.member.local.set_interest(None)
        self.later(self.random.uniform(0, FLUSH_S), partial(self._turn, broker))
        return broker

    def _turn(self, broker: SimBroker) -> None:
        if not broker.is_alive:
            return
        if not broker.is_paused:
            broker.turn()
        self.later(FLUSH_S, partial(self._turn, broker))

    def later(self, delay: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), call))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = end

    def send(self, sender: SimBroker, receiver: str, packet: bytes) -> None:
        for broker in self.brokers.values():
            if broker is not sender and receiver in ("", broker.run):
                for delay in self.network.delays(sender.name, broker.name):
                    self.later(delay, partial(broker.receive, packet))

    # -- faults ---------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        broker = self.brokers[name]
        if not broker.is_alive:
            return
        broker.is_alive = False
        self.dead.append(broker)
        for gateway in self.gateways:
            if gateway.broker is broker:
                gateway.lose_link()

    def restart(self, name: str) -> None:
        if not self.brokers[name].is_alive:
            self.start(name)

    def pause(self, name: str) -> None:
        """Stop a broker, as SIGSTOP does. Gateways notice after two seconds."""
        broker = self.brokers[name]
        broker.is_paused = True
        for gateway in self.gateways:
            if gateway.broker is broker:
                self.later(2.0, partial(self._notice, gateway, broker, gateway.number))

    def _notice(self, gateway: SimGateway, broker: SimBroker, number: int) -> None:
        if gateway.broker is broker and gateway.number == number and broker.is_paused:
            gateway.lose_link()

    def when_resumed(self, broker: SimBroker, number: int) -> None:
        self._to_resume.append((broker, number))

    def resume(self, name: str) -> None:
        broker = self.brokers[name]
        broker.is_paused = False
        lost = [number for it, number in self._to_resume if it is broker]
        self._to_resume = [entry for entry in self._to_resume if entry[0] is not broker]
        messages, broker.waiting_messages = broker.waiting_messages, []
        for number, message in messages:
            broker.from_gateway(number, message)
        packets, broker.waiting_packets = broker.waiting_packets, []
        for packet in packets:
            broker.receive(packet)
        for number in lost:
            broker.link_lost(number)

    def partition(self, names: set[str], *, one_way: bool = False) -> None:
        for inside in names:
            for outside in self.brokers.keys() - names:
                self.network.cut.add((inside, outside))
                if not one_way:
                    self.network.cut.add((outside, inside))

    def heal(self) -> None:
        self.network.cut.clear()
        self.network.loss = self.network.duplicates = 0.0
        self.network.delay_max_s = 0.01
        for name, broker in list(self.brokers.items()):
            if broker.is_paused:
                self.resume(name)
            self.restart(name)

    # -- invariants -----------------------------------------------------------------------------

    def issue(self, name: str, uid: str) -> None:
        broker = self.brokers[name]
        if broker.is_alive and not broker.is_paused:
            payload = f"command {len(self.issued)}"
            self.issued[payload] = broker
            command = Command(id=payload, uid=uid, resource="led", payload=payload, timeout_s=2.0)
            # Each from another client, so that the rate limit of a client does not apply.
            broker.command(f"client {payload}", command)

    def watch(
        self, name: str, uids: Sequence[str] | None, resources: Sequence[str], *, seen: bool
    ) -> None:
        """Set the nodes that the clients of a broker show; None: all."""
        broker = self.brokers[name]
        if broker.is_alive and not broker.is_paused:
            broker.member.local.set_interest(uids, resources, seen=seen)

    def truth(self) -> dict[str, dict[str, object]]:
        """The nodes and their values, according to the gateways that own them."""
        found: dict[str, dict[str, object]] = {}
        for gateway in self.gateways:
            for uid, values in gateway.nodes.items():
                if uid not in gateway.refused and self.now - gateway.claimed_at.get(uid, 0) > 0.01:
                    assert uid not in found, f"{uid} has two owners"
                    found[uid] = values
        return found

    def check(self) -> None:
        """After quiescence."""
        truth = self.truth()
        claimed = {uid for gateway in self.gateways for uid in gateway.nodes}
        assert truth.keys() == claimed, f"nobody owns {claimed - truth.keys()}"
        owners: Counter[str] = Counter()
        for broker in self.brokers.values():
            owners.update(broker.member.directory.of(broker.run).keys())
            expected = broker.shown(truth)
            wrong = differences(broker.shown(broker.view), expected)
            assert not wrong, f"{broker.name} shows and should show: {wrong}"
            table = {
                node.uid: {k: r.data for k, r in node.readings.items()} for node in broker.nodes
            }
            assert not differences(broker.shown(table), expected)
            assert not len(broker.router.commands)
            self._check_peers(broker)
        assert owners == Counter(truth.keys()), "a node has other than one owner"
        executed: Counter[str] = Counter()
        for gateway in self.gateways:
            executed += gateway.executed
        receipts: Counter[str] = Counter()
        for broker in [*self.brokers.values(), *self.dead]:
            for client, receipt in broker.receipts:
                assert client == f"client {receipt.id}"
                receipts[receipt.id] += 1
                if receipt.state == "confirmed":
                    assert executed[receipt.id] == 1
        for payload, broker in self.issued.items():
            assert executed[payload] <= 1, f"{payload} was carried out twice"
            if broker.is_alive:
                assert receipts[payload] == 1, f"{payload} has {receipts[payload]} receipts"
            else:
                assert receipts[payload] <= 1

    def check_seen(self) -> None:
        """Let every node send a reading, which is reported to brokers that requested it."""
        for broker in self.brokers.values():
            broker.seen.clear()
        for gateway in self.gateways:
            for uid in gateway.nodes:
                gateway.read(uid, "d", self.now)
        self.run(2 * SEEN_S)
        self.check()
        for broker in self.brokers.values():
            interest, own = broker.member.local.interest, broker.member.directory.of(broker.run)
            requested = interest.seen and not interest.everything
            others = broker.view.keys() - own.keys()
            assert broker.seen == (others if requested else set()), broker.name

    def _check_peers(self, broker: SimBroker) -> None:
        """Check that the brokers agree about the nodes of each of them."""
        others = {it.run: it for it in self.brokers.values() if it is not broker}
        member = broker.member
        assert member.peers.keys() == others.keys()
        assert not member.has_jobs
        gateways: Counter[str] = Counter()
        for run, other in others.items():
            peer = member.peers[run]
            assert peer.is_complete, f"{broker.name} has no stream of {other.name}"
            assert member.directory.of(run) == other.member.directory.of(run)
            assert peer.gateways.keys() == other.member.local.gateways.keys()
            gateways.update(it.name for it in other.member.local.gateways.values())
        remote = [it for number, it in broker.router.gateways.items() if number < 0]
        assert Counter(it.name for it in remote) == gateways
        assert not any(it.is_away for it in remote)
        for dead in self.dead:
            assert not member.directory.of(dead.run)


def differences(found: object, expected: object) -> dict[str, tuple[object, object]]:
    """The differences between the found and the expected values."""
    assert isinstance(found, dict)
    assert isinstance(expected, dict)
    return {
        uid: (found.get(uid), expected.get(uid))
        for uid in sorted(found.keys() | expected.keys())
        if found.get(uid) != expected.get(uid)
    }


__all__ = ["GatewayState", "SimBroker", "SimGateway", "World", "client_of"]
