# SPDX-License-Identifier: BSD-3-Clause
"""Decides which messages the broker sends to which receivers, without sockets, clocks or tasks.

Messages go in; deliveries come out. `now` is the loop's time in seconds (for durations), `ts` is
Unix time in seconds (for people).
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pyaiot.broker import resource_types
from pyaiot.broker.client_rates import COMMANDS_PER_S, ClientRates
from pyaiot.broker.commands import CommandTable
from pyaiot.broker.connected_gateway import ConnectedGateway, ConnectedGateways, ForeignNode
from pyaiot.broker.deliveries import (
    CloseGateway,
    Delivery,
    ToAll,
    ToOneGateway,
    answer,
    forgotten,
    receipts_of,
    rules_for,
)
from pyaiot.broker.identity import LOCAL, GatewayIdentity, GatewayNames
from pyaiot.broker.registry_view import RegistryView
from pyaiot.broker.secured_uids import SecuredUids
from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.errors import ProtocolError, Refused
from pyaiot.messages import (
    Checkpoint,
    Command,
    FromGateway,
    Hello,
    Ignored,
    NodeAppeared,
    NodeDescribed,
    NodeLeft,
    NodeReset,
    NodesSeen,
    Problem,
    Reading,
    Receipt,
    TopicMappings,
    UidsSecured,
)
from pyaiot.registry.record import NOTHING_ADDED, NodeRecord
from pyaiot.registry.refusals import Banned
from pyaiot.registry.registry import Registry


class Router:
    """Nodes, gateways and commands in flight. Messages go in, deliveries come out."""

    def __init__(self, registry: Registry | None = None, nodes: NodeTable | None = None) -> None:
        """`registry` None: an empty one that admits every node. `nodes` None: an empty table."""
        self.registry = Registry() if registry is None else registry
        self.nodes = NodeTable() if nodes is None else nodes
        self.commands = CommandTable()
        self.refused = 0
        """Number of messages of gateways and commands of clients that were refused."""
        self.names = GatewayNames()
        self.gateways = ConnectedGateways()
        self.view = RegistryView(self.registry, self.nodes)
        self._rates = ClientRates()
        self._secured = SecuredUids()

    # -- gateways ---------------------------------------------------------------------------

    def gateway_connected(
        self, gateway: int, *, acknowledges: bool, ts: float, identity: GatewayIdentity = LOCAL
    ) -> Sequence[Delivery]:
        """A gateway's link is up. A gateway with `hello` is announced when it sends it."""
        self.gateways[gateway] = ConnectedGateway(acknowledges, identity)
        if acknowledges:
            return ()
        return (ToAll(self.gateways[gateway].state(ts, connected=True)),)

    def gateway_lost(self, gateway: int, *, now: float, ts: float) -> Sequence[Delivery]:
        """A gateway's link is down: its commands end, and its nodes go offline."""
        lost = self.gateways.pop(gateway, None)
        if lost is None:
            return ()
        self._secured.lost(gateway)
        deliveries: list[Delivery] = list(receipts_of(self.commands.gateway_lost(gateway, now)))
        for uid in self.nodes.uids_of(gateway):
            deliveries += self.remove(uid, NodeLeft(uid=uid, ts=ts, reason="gateway lost"), ts)
        return [*deliveries, *map(ToAll, self.gateways.states_without(lost, ts))]

    def from_gateway(
        self, gateway: int, message: FromGateway, *, now: float, ts: float
    ) -> Sequence[Delivery]:
        """Route a message of a gateway. A message that is not permitted is answered with a
        `Problem`."""
        if gateway not in self.gateways:
            # Its connection was just replaced or lost: its remaining messages are dropped.
            return ()
        try:
            match message:
                case Reading():
                    return self._reading(gateway, message, now, ts)
                case NodeAppeared():
                    return self._appeared(gateway, message, ts)
                case NodeReset():
                    return self._reset(gateway, message, ts)
                case NodeLeft():
                    return self._left(gateway, message, ts)
                case NodeDescribed():
                    return self._described(gateway, message)
                case Receipt():
                    receipt = self.commands.finish(message, gateway, now)
                    return receipts_of([receipt]) if receipt else ()
                case _:
                    return self._from_gateway_itself(gateway, message, now, ts)
        except Refused as refusal:
            self.refused += 1
            return self._refuse(gateway, getattr(message, "uid", ""), refusal)

    def known_readings(
        self, gateway: int, readings: Iterator[Reading]
    ) -> tuple[list[int], Reading | None]:
        """Store readings that change only the value of a known resource, as nearly all do, up to
        the first other one. Returns the sequence of the node of each, and the other one, for
        `from_gateway`; None: there is none."""
        if gateway not in self.gateways or self.commands.awaits_readings:
            return [], next(readings, None)
        return self.nodes.replace_leading(gateway, readings)

    def _from_gateway_itself(
        self, gateway: int, message: FromGateway, now: float, ts: float
    ) -> Sequence[Delivery]:
        match message:
            case Hello():
                return self._hello(gateway, message, now, ts)
            case Ignored():
                return self._ignored(gateway, message, ts)
            case NodesSeen():
                return self._seen(gateway, message, ts)
            case UidsSecured():
                return self._uids_secured(gateway, message, ts)
            case Checkpoint(clock=clock):
                self.gateways[gateway].clock.stamp(clock, now)
                return ()  # the broker confirms it itself
            case _:
                return ()  # `ReadingsDropped`: the broker reports it itself

    def _refuse(self, gateway: int, uid: str, refusal: Refused) -> Sequence[Delivery]:
        if isinstance(refusal, Banned):
            rules = self._rules(gateway, self.registry.records[uid])
            if rules:
                return rules
        owner = refusal.owner if isinstance(refusal, ForeignNode) else ""
        return (ToOneGateway(Problem(detail=str(refusal), uid=uid, owner=owner), gateway),)

    def _reading(self, gateway: int, reading: Reading, now: float, ts: float) -> Sequence[Delivery]:
        node = self.nodes.get(reading.uid)
        self.gateways[gateway].reports(reading)
        if node is not None and (node.gateway == gateway or self._owns(gateway, node)):
            described, delivery = self.keep(node, reading)
            if delivery is None:
                return ()
            receipts = self.commands.reading(reading, gateway, now)
            if receipts or described:
                return [*described, delivery, *receipts_of(receipts)]
            return (delivery,)
        if node is not None:
            raise self._foreign(node)
        # The node is not in the table: its `new` was refused while another gateway owned it.
        appeared = NodeAppeared(uid=reading.uid, ts=ts)
        return [
            *self._appeared(gateway, appeared, ts),
            *self._reading(gateway, reading, now, ts),
        ]

    def keep(self, node: KnownNode, reading: Reading) -> tuple[Sequence[ToAll], ToAll | None]:
        """Store a reading. Returns the changes of its resource, and the reading for clients, if
        they get it. Raises `Refused` at the limit of resources."""
        is_new = self.nodes.keep(node, reading)
        described = resource_types.changes(node, (reading.resource,)) if is_new else ()
        if node.is_waiting:
            return (), None
        return described, ToAll(node.readings[reading.resource], node.sequence)

    def _appeared(self, gateway: int, message: NodeAppeared, ts: float) -> Sequence[Delivery]:
        node = self.nodes.get(message.uid)
        if node is not None:
            if self._owns(gateway, node):
                if message.secured:
                    self.registry.set_secured(node.record, secured=True)
                return ()
            if not message.secured or node.record.secured:
                raise self._foreign(node)
            # The node of the other gateway has not proved its uid, and this one has.
            left = NodeLeft(uid=message.uid, ts=ts, reason="left")
            return [
                *self.remove(message.uid, left, ts),
                *self._appeared(gateway, message, ts),
            ]
        sender = self.gateways[gateway]
        if not sender.reports(message):
            return ()
        if not message.secured:
            self._secured.check(message.uid)
        if holder := self.names.holder_of(self.registry.get(message.uid), sender.identity):
            raise ForeignNode(message.uid, holder)
        name, secured = sender.name, message.secured
        self.nodes.check_room(gateway)
        record = self.registry.appear(message.uid, name, sender.protocol, ts, secured=secured)
        node = self.nodes.add(gateway, record, ts=message.ts or ts)
        deliveries: list[Delivery] = [self.registered(record)]
        deliveries += resource_types.changes(node, resource_types.stated_resources(record))
        if record.annotations.offline_after_s:
            deliveries += self._rules(gateway, record)
        if not node.is_waiting:
            deliveries.append(ToAll(node.appeared, node.sequence))
        return deliveries

    def _reset(self, gateway: int, message: NodeReset, ts: float) -> Sequence[Delivery]:
        node = self._owned(gateway, message.uid)
        if node is None:
            return ()
        node.readings.clear()
        self.registry.reboot(node.record, ts)
        if node.is_waiting:
            return ()
        return (ToAll(message, node.sequence), self.registered(node.record))

    def _left(self, gateway: int, message: NodeLeft, ts: float) -> Sequence[Delivery]:
        if message.unsecured:
            self._secured.release(gateway, message.uid)
            record = self.registry.get(message.uid)
            if record is not None and record.gateway == self.gateways[gateway].name:
                self.registry.set_secured(record, secured=False)
            return ()
        known = self.nodes.get(message.uid)
        if known is not None and known.gateway != gateway and self.gateways[gateway].group:
            return ()  # another gateway of its group has it now
        node = self._owned(gateway, message.uid)
        return () if node is None else self.remove(message.uid, message, ts)

    def _described(self, gateway: int, message: NodeDescribed) -> Sequence[Delivery]:
        if (node := self._owned(gateway, message.uid)) is None:
            return ()
        changed = self.registry.describe(node.record, message.types, complete=message.complete)
        return resource_types.changes(node, changed)

    def _seen(self, gateway: int, message: NodesSeen, ts: float) -> Sequence[Delivery]:
        for uid in message.uids:
            node = self.nodes.get(uid)
            if node is not None and node.gateway == gateway:
                self.registry.seen(node.record, ts)
        return ()

    def _uids_secured(self, gateway: int, message: UidsSecured, ts: float) -> Sequence[Delivery]:
        """Remove nodes of other gateways that claimed such a uid without a credential."""
        self._secured.receive(gateway, self.gateways[gateway].name, message)
        deliveries: list[Delivery] = []
        for uid in message.uids:
            node = self.nodes.get(uid)
            if node is not None and node.gateway != gateway and not node.record.secured:
                deliveries += self.remove(uid, NodeLeft(uid=uid, ts=ts, reason="left"), ts)
        return deliveries

    def _hello(self, gateway: int, hello: Hello, now: float, ts: float) -> Sequence[Delivery]:
        deliveries: list[Delivery] = []
        sender = self.gateways[gateway]
        for other, connected in list(self.gateways.items()):
            if other != gateway and connected.is_earlier_link_of(sender, hello):
                # The same process connected again: its old connection is dead, but not noticed yet.
                deliveries += self.gateway_lost(other, now=now, ts=ts)
                deliveries.append(CloseGateway(other, "replaced by a newer connection"))
        sender.receive_hello(hello, self.names, now)
        deliveries.append(ToAll(sender.state(ts, connected=True)))
        if hello.accepts_mappings and self.gateways.mappings is not None:
            deliveries.append(ToOneGateway(self.gateways.mappings, gateway))
        return deliveries

    def map_topics(self, mappings: TopicMappings) -> Sequence[Delivery]:
        """The mappings of plain topics were changed, or read from the store."""
        self.gateways.mappings = mappings
        return [ToOneGateway(mappings, gateway) for gateway in self.gateways.mapping()]

    def _ignored(self, gateway: int, message: Ignored, ts: float) -> Sequence[Delivery]:
        sender = self.gateways[gateway]
        message = msgspec.structs.replace(message, gateway=sender.name, ts=message.ts or ts)
        sender.ignored = message
        return (ToAll(message),)

    def _owned(self, gateway: int, uid: str) -> KnownNode | None:
        node = self.nodes.get(uid)
        if node is not None and not self._owns(gateway, node):
            raise self._foreign(node)
        return node

    def _owns(self, gateway: int, node: KnownNode) -> bool:
        """Whether the node belongs to this link, or to another link of the same gateway.

        Gateways with a token own their nodes by name: a node belongs to the newest link that
        reports it.
        """
        if node.gateway == gateway:
            return True
        if not self.gateways[gateway].is_same_as(self.gateways[node.gateway]):
            return False
        self.nodes.move(node, gateway)
        return True

    def _foreign(self, node: KnownNode) -> Refused:
        owner = self.gateways[node.gateway].name
        return ForeignNode(node.uid, owner)

    def remove(self, uid: str, message: NodeLeft, ts: float) -> Sequence[Delivery]:
        """Remove a node that is offline now."""
        node = self.nodes.get(uid)
        if node is None:
            return ()
        self.nodes.remove(uid)
        self.registry.leave(node.record, message.reason, tuple(node.readings.values()), ts)
        if node.is_waiting:
            is_kept = self.registry.get(uid) is not None
            return (self.registered(node.record) if is_kept else forgotten(uid),)
        registered = self.registered(node.record)
        return (ToAll(message, node.sequence), registered, *self.evicted())

    def _rules(self, gateway: int, record: NodeRecord) -> Sequence[Delivery]:
        return rules_for(self.gateways.get(gateway), gateway, record)

    def registered(self, record: NodeRecord) -> ToAll:
        """A record of the registry, for clients."""
        return ToAll(self.view.message(record), is_registry=True)

    def evicted(self) -> Sequence[Delivery]:
        return [forgotten(uid) for uid in self.registry.take_evicted()]

    # -- people ---------------------------------------------------------------------------------

    def loaded(self, records: Iterable[NodeRecord], ts: float) -> Sequence[Delivery]:
        """The registry was loaded: nodes that appeared before are banned, or no longer wait."""
        deliveries: list[Delivery] = []
        for record in self.registry.load(records):
            deliveries += self._admit_again(record, ts)
        self.registry.take_evicted()  # clients know nothing of such nodes
        return deliveries

    def edited(self, changed: NodeRecord, ts: float) -> Sequence[Delivery]:
        """A node was edited; `changed` is its stored record. See `Registry.edited`."""
        known = self.registry.get(changed.uid)
        was_banned = known is not None and known.admission == "banned"
        before = NOTHING_ADDED.types if known is None else known.annotations.types
        record = self.registry.replace(changed)
        deliveries: list[Delivery] = []
        if was_banned and record.admission != "banned":
            # A gateway that remembers a ban must be informed when it is lifted.
            for gateway in self.gateways:
                deliveries += self._rules(gateway, record)
        deliveries += self._admit_again(record, ts)
        edited = before.keys() | record.annotations.types.keys()
        node = self.nodes.get(record.uid)
        if node is None:
            return [*deliveries, *resource_types.changes_offline(record, edited)]
        return [*deliveries, *resource_types.changes(node, edited)]

    def _admit_again(self, record: NodeRecord, ts: float) -> Sequence[Delivery]:
        """The rule of admission may have changed: it applies to a connected node at once."""
        node = self.nodes.get(record.uid)
        if node is None:
            return (self.registered(record),)
        deliveries = list(self._rules(node.gateway, record))
        if record.admission == "banned":
            self.nodes.remove(record.uid)
            self.registry.leave(record, "left", tuple(node.readings.values()), ts)
            if not node.is_waiting:
                deliveries.append(ToAll(NodeLeft(uid=record.uid, ts=ts), node.sequence))
        elif node.is_waiting and record.admission == "accepted":
            self.nodes.accept(node)
            # Before its `new`, as for each node that appears.
            deliveries.append(self.registered(record))
            described = resource_types.everything_of(node)
            if described is not None:
                deliveries.append(ToAll(described, node.sequence, is_registry=True))
            deliveries.append(ToAll(node.appeared, node.sequence))
            deliveries += [ToAll(it, node.sequence) for it in node.readings.values()]
            return deliveries
        return [*deliveries, self.registered(record)]

    def forget(self, uid: str, now: float) -> Sequence[Delivery]:
        """Forget an offline node, or remove a waiting newcomer. See `Registry.forget`."""
        record = self.registry.forget(uid, now)
        if self.nodes.get(uid) is not None:
            self.nodes.remove(uid)
        return (forgotten(record.uid),)

    def restore(self, record: NodeRecord, ts: float) -> Sequence[Delivery]:
        """Restore a forgotten node. See `Registry.forgotten`."""
        restored = self.registry.restore(record)
        return [*self._admit_again(restored, ts), *self.evicted()]

    # -- clients ----------------------------------------------------------------------------

    def from_client(
        self, client: str, command: Command, *, now: float, is_broker: bool = False
    ) -> Sequence[Delivery]:
        """Route a command to the gateway of its node, or answer it at once. `is_broker`: the client
        is another broker, on behalf of its client."""
        if not is_broker and not self._rates.take(client, now):
            self.refused += 1
            return answer(client, command, "forbidden", f"over {COMMANDS_PER_S:.0f} commands/s")
        node = self.nodes.get(command.uid)
        if node is None:
            if command.uid in self.registry.records:
                return answer(client, command, "unreachable", "the node is offline")
            return answer(client, command, "unknown", f"no node {command.uid}")
        if node.is_waiting:
            self.refused += 1
            return answer(client, command, "forbidden", "the node waits for approval")
        gateway = self.gateways[node.gateway]
        if gateway.is_away or (is_broker and gateway.is_remote):
            return answer(client, command, "unreachable", "the gateway is lost")
        try:
            payload = resource_types.payload_of_command(node, command.resource, command.payload)
            sent = self.commands.start(
                msgspec.structs.replace(command, payload=payload),
                client=client,
                gateway=node.gateway,
                acknowledged=gateway.acknowledges,
                now=now,
                not_after=gateway.clock.time_at(now + command.timeout_s),
                is_broker=is_broker,
            )
        except ProtocolError as error:
            return answer(client, command, "refused", str(error))
        except Refused as refusal:
            self.refused += 1
            return answer(client, command, "forbidden", str(refusal))
        return (ToOneGateway(sent, node.gateway),)

    def client_left(self, client: str) -> None:
        self._rates.forget(client)
        self.commands.client_left(client)

    def expire(self, now: float) -> Sequence[Delivery]:
        """Receipts for the commands whose deadline has passed. Call it at least every 100 ms."""
        return receipts_of(self.commands.expire(now))
