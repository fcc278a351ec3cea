# SPDX-License-Identifier: BSD-3-Clause
"""The broker: its router, its clients and its gateways on one event loop."""

import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, cast

from pyaiot import __version__
from pyaiot.accounts.scopes import EVERYTHING, Scope
from pyaiot.audit.entry import THIS_PROCESS, Principal
from pyaiot.broker.away import AwayGateways
from pyaiot.broker.cluster_state import ClusterState
from pyaiot.broker.command_audit import AuditSink, CommandAudit
from pyaiot.broker.deliveries import (
    CloseGateway,
    Delivery,
    ToAll,
    ToOneClient,
    ToOneGateway,
    never_sent,
)
from pyaiot.broker.encoders import ARRAYS, LEGACY, Encoder
from pyaiot.broker.fanout import Fanout, Scheduler
from pyaiot.broker.identity import LOCAL, GatewayIdentity
from pyaiot.broker.observers import BrokerObserver, Observers
from pyaiot.broker.router import Router
from pyaiot.broker.state import NodeTable
from pyaiot.broker.subscriber import Sink, Subscriber
from pyaiot.errors import LinkLost
from pyaiot.links import Link
from pyaiot.messages import (
    SUBPROTOCOL,
    Checkpoint,
    Command,
    FromClient,
    FromGateway,
    GatewayState,
    Hello,
    Join,
    Problem,
    Reading,
    ReadingsDropped,
    Receipt,
    Subscription,
    ToClient,
    ToGateway,
    TopicMappings,
)
from pyaiot.metrics import Histogram
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.registry import Registry
from pyaiot.transport.rate_limit import RateLimitedLog

CLIENTS_MAX: Final = 10_000
"""Largest number of clients that are connected at once. A further one is answered 503."""
CONFIRM_AFTER_S: Final = 1.0
"""Delay before a checkpoint of a gateway is confirmed. By then the history is on disk."""
_EXPIRY_INTERVAL_S: Final = 0.1

log = logging.getLogger(__name__)


class Broker:
    """Carries out the decisions of the router. Belongs to one loop; nothing here waits."""

    def __init__(
        self,
        *,
        flush_interval_s: float,
        timer: Scheduler,
        unix_time: Callable[[], float],
        clock: Callable[[], float] | None = None,
        observer: BrokerObserver | None = None,
        registry: Registry | None = None,
        audit: AuditSink | None = None,
        nodes: NodeTable | None = None,
    ) -> None:
        """`clock` measures durations; by default it is the clock of `timer`. `observer` receives
        all messages and commands, for example to record them. `registry` None: an empty one that
        admits every node. `audit` records each command. `nodes` None: an empty table."""
        self.run = secrets.token_hex(4)
        """Identifies this run of the broker."""
        self.router = Router(registry, nodes)
        self.fanout = Fanout(
            run=self.run, flush_interval_s=flush_interval_s, timer=timer, unix_time=unix_time
        )
        self._timer = timer
        self._clock = clock or timer.time
        self._unix_time = unix_time
        self.observers = Observers(observer)
        self._audit = CommandAudit(audit)
        self._links: dict[int, Link[FromGateway, ToGateway]] = {}
        self._checkpoints: dict[int, Checkpoint | None] = {}
        """Gateways with a scheduled confirmation, and their latest checkpoint."""
        self._issuers: dict[str, Callable[[ToClient], None]] = {}
        self.gateway_links = 0
        """Number of links of gateways since the start."""
        self.receipts: Counter[str] = Counter()
        """Number of commands that ended, by the state of their receipt."""
        self.command_seconds = Histogram()
        """Durations of confirmed commands."""
        self._expiry_scheduled = False
        self._away = AwayGateways(
            self.router, timer, self._clock, deliver=self._deliver, lose=self._lose_gateway
        )
        self._refusals = RateLimitedLog(log)
        self._states = RateLimitedLog(log)

    @property
    def values_known(self) -> Callable[[float], Awaitable[None]] | None:
        """Awaited before values are read, with the seconds of further reads; None: needless."""
        return None

    def cluster_state(self) -> ClusterState | None:
        """The cluster of this broker; None if it is alone."""
        return None

    def publish_to_registry_clients(self, message: ToClient) -> None:
        """Send a message to all clients that joined with `registry`."""
        self.fanout.publish(ToAll(message, is_registry=True))

    async def serve_gateway(
        self,
        link: Link[FromGateway, ToGateway],
        *,
        acknowledges: bool,
        identity: GatewayIdentity = LOCAL,
    ) -> None:
        """Serve a gateway until its link is lost. After that its nodes are offline."""
        self.gateway_links += 1
        gateway = self.gateway_links
        self._links[gateway] = link
        self._away.watch(lambda: bool(self._links))
        router = self.router
        self._deliver(
            router.gateway_connected(
                gateway, acknowledges=acknowledges, ts=self._unix_time(), identity=identity
            )
        )
        log.debug("gateway link %d is up", gateway)

        def received(messages: Sequence[FromGateway]) -> None:
            now, ts = self._clock(), self._unix_time()
            if set(map(type, messages)) == {Reading}:
                self._deliver_readings(gateway, cast("Sequence[Reading]", messages), now, ts)
                return
            readings: list[Reading] = []
            for message in messages:
                if type(message) is Reading:
                    readings.append(message)
                    continue
                if readings:
                    self._deliver_readings(gateway, readings, now, ts)
                    readings = []
                match message:
                    case Checkpoint():
                        router.from_gateway(gateway, message, now=now, ts=ts)
                        self._confirm_later(gateway, message)
                    case ReadingsDropped():
                        self._report_gap(router.gateways.name_of(gateway), message)
                    case _:
                        self._deliver(router.from_gateway(gateway, message, now=now, ts=ts))
            if readings:
                self._deliver_readings(gateway, readings, now, ts)

        try:
            await link.run(received)
        except LinkLost as lost:
            log.debug("gateway link %d is lost: %s", gateway, lost)
        finally:
            del self._links[gateway]
            self._checkpoints.pop(gateway, None)
            self._gateway_lost(gateway)

    def end_gateway(self, link: Link[FromGateway, ToGateway]) -> None:
        """Stop serving a gateway: nothing that it sends from now on counts. The caller ends its
        connection."""
        for gateway, open_link in self._links.items():
            if open_link is link:
                self._lose_gateway(gateway)

    def _gateway_lost(self, gateway: int) -> None:
        """The link of a gateway has ended."""
        self._away.link_lost(gateway)

    def _lose_gateway(self, gateway: int) -> None:
        self._deliver(self.router.gateway_lost(gateway, now=self._clock(), ts=self._unix_time()))

    def _confirm_later(self, gateway: int, checkpoint: Checkpoint) -> None:
        """Schedule one confirmation per gateway: a later checkpoint covers the earlier ones."""
        is_scheduled = gateway in self._checkpoints
        self._checkpoints[gateway] = checkpoint if is_scheduled else None
        if not is_scheduled:
            self._timer.call_later(CONFIRM_AFTER_S, lambda: self._confirm(gateway, checkpoint))

    def _confirm(self, gateway: int, checkpoint: Checkpoint) -> None:
        if gateway not in self._links:
            return
        self._links[gateway].send(checkpoint)
        following = self._checkpoints.pop(gateway)
        if following is not None:
            self._confirm_later(gateway, following)

    def _report_gap(self, name: str, gap: ReadingsDropped) -> None:
        log.warning("gateway %s dropped %d readings: its queue was full", name, gap.lost)
        self.observers.gap_reported(name, gap)

    def client_connected(
        self,
        sink: Sink,
        encoder: Encoder = ARRAYS,
        *,
        may_command: bool = True,
        principal: Principal = THIS_PROCESS,
        scope: Scope = EVERYTHING,
        client_id: str = "",
    ) -> Subscriber:
        """Add a client that gets all messages from now on. End it with `client_left`. `client_id`:
        for a part of this process; empty: a random one. `scope`: the client gets only messages that
        it shows. Raises `Refused` at the limit of scopes.

        A legacy client gets a node's `new` before any other message about it: until it joins, it
        gets only nodes that appear from now on.
        """
        known = self.router.nodes.sequence if encoder is LEGACY else 0
        client = self._subscriber(
            *(sink, encoder, scope, client_id),
            may_command=may_command,
            withheld_until_join=known,
        )
        self._audit.connected(client.id, principal)
        self.fanout.add(client)
        if encoder is ARRAYS:
            client.send(Hello(name="broker", protocol=SUBPROTOCOL, version=__version__))
        return client

    def reader_connected(
        self, sink: Sink, encoder: Encoder, request: Subscription, scope: Scope = EVERYTHING
    ) -> Subscriber:
        """Add a client that only reads and may resume by id. Nothing was sent to it before. End it
        with `client_left`. For `scope` and errors see `client_connected`."""
        self.fanout.flush()  # messages gathered so far are older
        self.fanout.hold_recent()
        scope = scope.narrowed(request.tags, request.gateways)
        client = self._subscriber(sink, encoder, scope, may_command=False)
        client.subscribe(request)
        self.fanout.add(client)
        return client

    def _subscriber(
        self,
        sink: Sink,
        encoder: Encoder,
        scope: Scope,
        client_id: str = "",
        *,
        may_command: bool,
        withheld_until_join: int = 0,
    ) -> Subscriber:
        return Subscriber(
            client_id or secrets.token_hex(8),
            sink,
            encoder,
            position=self.fanout.position,
            now=self._timer.time(),
            may_command=may_command,
            withheld_until_join=withheld_until_join,
            scope=scope,
            view=self.fanout.view(scope, self.router.nodes, self.router.registry.records),
            parts=self.fanout.parts,
        )

    def from_client(self, client: Subscriber, message: FromClient) -> None:
        """Handle a checked message of a client."""
        match message:
            case Join() if not client.may_join(self._timer.time()):
                self.router.refused += 1
            case Join():
                self.fanout.flush()  # messages gathered so far are older
                for gateway in self.router.gateways.states(self._unix_time()):
                    client.send_state(gateway)
                for ignored in self.router.gateways.ignored():
                    client.send_state(ignored)
                client.join(self.router.nodes, self.router.view if message.registry else None)
                self.fanout.send_waiting(client)
            case Subscription():
                nodes, records = self.router.nodes, self.router.registry.records
                self.fanout.subscribe(client, message, nodes, records)
            case Command() if problem := client.problem_of(message, self.router.registry.records):
                self.router.refused += 1
                refusal = Receipt(id=message.id, state="forbidden", detail=problem)
                self._deliver([ToOneClient(refusal, client.id, never_sent(message, client.id))])
            case Command():
                now = self._clock()
                self._deliver(self.router.from_client(client.id, message, now=now))

    def client_left(self, client: Subscriber) -> None:
        self.fanout.remove(client)
        self._audit.left(client.id)
        self.router.client_left(client.id)

    # -- the registry: `registry.online_nodes.OnlineNodes` ---------------------------------------

    def take_touched_uids(self) -> list[str]:
        """Nodes with a new reading since the last call."""
        return [node.uid for node in self.router.nodes.take_touched() if not node.is_waiting]

    def readings_of(self, uid: str) -> tuple[Reading, ...] | None:
        """The latest readings of an online node; None if it is offline."""
        node = self.router.nodes.get(uid)
        return None if node is None else tuple(node.readings.values())

    def registry_loaded(self, records: Iterable[NodeRecord]) -> None:
        """Use the stored records, which the registry has loaded."""
        self._deliver(self.router.loaded(records, self._unix_time()))
        # Clients that joined before get all of them.
        self.fanout.flush()
        for view in self.fanout.views.values():
            view.refresh()
        for client in self.fanout.clients.values():
            if client.encoder.has_registry:
                client.join(self.router.nodes, self.router.view)
                self.fanout.send_waiting(client)

    def people_edited(self, changed: NodeRecord) -> NodeRecord:
        """Apply a stored edit, and send it to clients."""
        self._deliver(self.router.edited(changed, self._unix_time()))
        return self.router.registry.records[changed.uid]

    def people_forgot(self, uid: str, now: float) -> None:
        """Remove a node, and inform clients. Raises `Refused` if it is online."""
        self._deliver(self.router.forget(uid, now))

    def people_restored(self, record: NodeRecord) -> NodeRecord:
        """Restore a forgotten node, and inform clients."""
        self._deliver(self.router.restore(record, self._unix_time()))
        return self.router.registry.get(record.uid) or record

    def map_topics(self, mappings: TopicMappings) -> None:
        """See `Router.map_topics`."""
        self._deliver(self.router.map_topics(mappings))

    def issuer_connected(self, receive: Callable[[ToClient], None]) -> str:
        """Add an issuer of commands in this process. Returns its name; end it with `issuer_left`.
        `receive` is called with its receipts, possibly before `from_issuer` returns."""
        issuer = secrets.token_hex(8)
        self._issuers[issuer] = receive
        return issuer

    def from_issuer(
        self, issuer: str, command: Command, principal: Principal = THIS_PROCESS
    ) -> None:
        """Handle a checked command. It ends in exactly one receipt."""
        self._audit.connected(issuer, principal)
        self._deliver(self.router.from_client(issuer, command, now=self._clock()))

    def issuer_left(self, issuer: str) -> None:
        del self._issuers[issuer]
        self._audit.left(issuer)
        self.router.client_left(issuer)

    def _deliver_readings(
        self, gateway: int, readings: Sequence[Reading], now: float, ts: float
    ) -> None:
        router = self.router
        router.gateways.count(gateway, len(readings))
        rest, first = iter(readings), 0
        other: Reading | None = None
        while first < len(readings):
            sequences, other = router.known_readings(gateway, rest)
            if known := len(sequences):
                published = readings if known == len(readings) else readings[first : first + known]
                self.fanout.publish_readings(published, sequences)
                self.observers.readings_published(published)
            first += known + 1
            if other is not None:
                self._deliver(router.from_gateway(gateway, other, now=now, ts=ts))

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            match delivery:
                case ToAll(message=message):
                    if isinstance(message, GatewayState):
                        self._states.info(
                            "gateway %s: %s", message.name, message.state, now=self._timer.time()
                        )
                    self.fanout.publish(delivery)
                    self.observers.published((delivery,))
                case ToOneClient(message=message, client=client, command=command):
                    self._send_to_one(client, message)
                    self._report_receipt(command, message)
                case ToOneGateway(message=message, gateway=gateway):
                    self._report_command(message)
                    if isinstance(message, Problem):
                        self._refusals.warning(
                            "gateway link %s: message refused: %s",
                            gateway,
                            message.detail,
                            now=self._timer.time(),
                        )
                    self._send_to_gateway(gateway, message)
                    self._schedule_expiry()
                case CloseGateway(gateway=gateway, reason=reason):
                    if gateway in self._links:
                        self._links[gateway].close(reason)

    def _send_to_gateway(self, gateway: int, message: ToGateway) -> None:
        if gateway in self._links:
            self._links[gateway].send(message)

    def _send_to_one(self, client: str, message: ToClient) -> None:
        if isinstance(message, Receipt) and message.state == "confirmed":
            self.fanout.flush_before_receipt()
        if client in self._issuers:
            self._issuers[client](message)
        else:
            self.fanout.send(client, message)

    def _report_command(self, message: ToGateway) -> None:
        if isinstance(message, Command):
            who = self._audit.sent(message)
            self.observers.command_sent(message, self._unix_time(), who)

    def _report_receipt(self, command: Command | None, message: ToClient) -> None:
        if not isinstance(message, Receipt):
            return
        self.receipts[message.state] += 1
        if message.state == "confirmed":
            self.command_seconds.observe(message.elapsed_ms / 1000)
        if command:
            who = self._audit.ended(command, message)
            self.observers.command_ended(command, message, self._unix_time(), who)

    def _schedule_expiry(self) -> None:
        if not self._expiry_scheduled and self.router.commands:
            self._expiry_scheduled = True
            self._timer.call_later(_EXPIRY_INTERVAL_S, self._expire)

    def _expire(self) -> None:
        self._expiry_scheduled = False
        self._deliver(self.router.expire(self._clock()))
        self._schedule_expiry()
