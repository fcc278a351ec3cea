# SPDX-License-Identifier: BSD-3-Clause
"""Who hears what: the broker's decisions, without sockets, clocks or tasks.

Messages go in; deliveries come out. `now` is the loop's time in seconds (for durations), `ts` is
Unix time in seconds (for people).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from pyaiot.broker.commands import Commands, ReceiptFor
from pyaiot.broker.state import Node, Nodes
from pyaiot.errors import Refused
from pyaiot.messages import (
    Checkpoint,
    Command,
    FromGateway,
    GatewayState,
    Hello,
    Ignored,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    ReadingsDropped,
    Receipt,
    ReceiptState,
    ToClient,
    ToGateway,
)
from pyaiot.transport.rate_limit import RateLimit

COMMANDS_PER_S: Final = 20.0
COMMANDS_BURST: Final = 40.0
"""Commands of one client. Those above are answered `forbidden` and go nowhere."""
LEGACY_GATEWAY: Final = "legacy"
"""The name of a gateway that says no hello."""


@dataclass(frozen=True, slots=True)
class ToAll:
    """A message for every client; `sequence` of the node it speaks of, 0 if of none."""

    message: ToClient
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ToOneClient:
    message: ToClient
    client: str
    """Empty if the one that waited has left."""
    command: Command | None = None
    """The command that a receipt ends, as it was sent; its id is empty if it never was."""


@dataclass(frozen=True, slots=True)
class ToOneGateway:
    message: ToGateway
    gateway: int


@dataclass(frozen=True, slots=True)
class CloseGateway:
    """This connection was replaced by a newer one of the same gateway."""

    gateway: int
    reason: str


Delivery: TypeAlias = ToAll | ToOneClient | ToOneGateway | CloseGateway


class _Foreign(Refused):
    """Another gateway has the node."""

    def __init__(self, uid: str, owner: str) -> None:
        super().__init__(f"the node {uid} belongs to the gateway {owner}")
        self.owner = owner


@dataclass(slots=True)
class _Gateway:
    identity: str
    """Who it proved to be."""
    acknowledges: bool
    """Speaks `pyaiot.v2`, so that it answers commands with receipts."""
    hello: Hello | None = None
    ignored: Ignored | None = None
    """What it told last of messages that no node sent."""

    @property
    def name(self) -> str:
        return self.hello.name if self.hello else LEGACY_GATEWAY

    def state(self, ts: float, *, connected: bool) -> GatewayState:
        return GatewayState(
            name=self.name,
            protocol=self.hello.protocol if self.hello else "",
            version=self.hello.version if self.hello else "",
            state="connected" if connected else "lost",
            ts=ts,
        )


class Router:
    """Nodes, gateways and commands in flight; what each message means for whom."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        self.commands = Commands()
        self.refused = 0
        """Messages of gateways and commands of clients that were refused, ever."""
        self._gateways: dict[int, _Gateway] = {}
        self._rates: dict[str, RateLimit] = {}

    # -- gateways ---------------------------------------------------------------------------

    def gateway_connected(
        self, gateway: int, *, identity: str, acknowledges: bool, ts: float
    ) -> Sequence[Delivery]:
        """A gateway's link is up. One that says hello is announced when it does."""
        self._gateways[gateway] = _Gateway(identity, acknowledges)
        if acknowledges:
            return ()
        return (ToAll(self._gateways[gateway].state(ts, connected=True)),)

    def gateway_lost(self, gateway: int, *, now: float, ts: float) -> Sequence[Delivery]:
        """A gateway's link is down: its commands end, its nodes are out."""
        gone = self._gateways.pop(gateway, None)
        if gone is None:
            return ()
        deliveries: list[Delivery] = list(_receipts(self.commands.gateway_lost(gateway, now)))
        deliveries += [
            self._remove(uid, NodeLeft(uid=uid, ts=ts, reason="gateway lost"))
            for uid in self.nodes.uids_of(gateway)
        ]
        deliveries.append(ToAll(gone.state(ts, connected=False)))
        return deliveries

    def gateways(self, ts: float) -> list[GatewayState]:
        """The gateways that are connected, for a client that joins."""
        return [
            gateway.state(ts, connected=True)
            for gateway in self._gateways.values()
            if gateway.hello or not gateway.acknowledges
        ]

    def ignored(self) -> list[Ignored]:
        """What gateways told of messages that no node sent, for a client that joins."""
        return [it.ignored for it in self._gateways.values() if it.ignored is not None]

    def name_of(self, gateway: int) -> str:
        """Of a gateway that is connected; empty if it is not any more."""
        return self._gateways[gateway].name if gateway in self._gateways else ""

    def protocols(self) -> dict[str, tuple[int, int]]:
        """Gateways that are connected and nodes that they have, by what the gateway says to speak.

        The empty protocol is that of those that do not say.
        """
        found: dict[str, tuple[int, int]] = {}
        for number, gateway in self._gateways.items():
            protocol = gateway.hello.protocol if gateway.hello else ""
            gateways, nodes = found.get(protocol, (0, 0))
            found[protocol] = gateways + 1, nodes + self.nodes.count_of(number)
        return found

    def from_gateway(
        self, gateway: int, message: FromGateway, *, now: float, ts: float
    ) -> Sequence[Delivery]:
        """What a gateway says. What it may not say is answered to it with a `Problem`."""
        if gateway not in self._gateways:
            # Replaced or lost a moment ago; its last words count no more.
            return ()
        try:
            match message:
                case Reading():
                    return self._reading(gateway, message, now, ts)
                case NodeAppeared():
                    return self._appeared(gateway, message, ts)
                case NodeReset():
                    return self._reset(gateway, message)
                case NodeLeft():
                    return self._left(gateway, message)
                case Receipt():
                    receipt = self.commands.finish(message, gateway, now)
                    return _receipts([receipt]) if receipt else ()
                case Hello():
                    return self._hello(gateway, message, now, ts)
                case Ignored():
                    return self._ignored(gateway, message, ts)
                case Checkpoint() | ReadingsDropped():
                    return ()  # between the gateway and its link
        except Refused as refusal:
            self.refused += 1
            uid = getattr(message, "uid", "")
            owner = refusal.owner if isinstance(refusal, _Foreign) else ""
            return (ToOneGateway(Problem(detail=str(refusal), uid=uid, owner=owner), gateway),)

    def _reading(self, gateway: int, reading: Reading, now: float, ts: float) -> Sequence[Delivery]:
        node = self.nodes.get(reading.uid)
        if node is not None and node.gateway == gateway:
            self.nodes.keep(node, reading)
            delivery = ToAll(reading, node.sequence)
            receipts = self.commands.reading(reading, gateway, now)
            return [delivery, *_receipts(receipts)] if receipts else (delivery,)
        if node is not None:
            raise self._foreign(node)
        # The gateway knows a node that we do not: its `new` was refused while another owned it.
        appeared = NodeAppeared(uid=reading.uid, ts=ts)
        return [
            *self._appeared(gateway, appeared, ts),
            *self._reading(gateway, reading, now, ts),
        ]

    def _appeared(self, gateway: int, message: NodeAppeared, ts: float) -> Sequence[Delivery]:
        node = self.nodes.get(message.uid)
        if node is not None:
            if node.gateway != gateway:
                raise self._foreign(node)
            return ()
        name = self._gateways[gateway].name
        appeared = NodeAppeared(uid=message.uid, ts=message.ts or ts, gateway=name)
        node = self.nodes.add(appeared, gateway)
        return (ToAll(appeared, node.sequence),)

    def _reset(self, gateway: int, message: NodeReset) -> Sequence[Delivery]:
        node = self._owned(gateway, message.uid)
        if node is None:
            return ()
        node.readings.clear()
        return (ToAll(message, node.sequence),)

    def _left(self, gateway: int, message: NodeLeft) -> Sequence[Delivery]:
        node = self._owned(gateway, message.uid)
        if node is None:
            return ()
        return (self._remove(message.uid, message),)

    def _hello(self, gateway: int, hello: Hello, now: float, ts: float) -> Sequence[Delivery]:
        me = self._gateways[gateway]
        deliveries: list[Delivery] = []
        for other, theirs in list(self._gateways.items()):
            same = theirs.hello is not None and theirs.hello.instance == hello.instance
            if other != gateway and hello.instance and same and theirs.identity == me.identity:
                # Its old connection is dead and has not noticed yet; the nodes come with us.
                deliveries += self.gateway_lost(other, now=now, ts=ts)
                deliveries.append(CloseGateway(other, "replaced by a newer connection"))
        me.hello = hello
        deliveries.append(ToAll(me.state(ts, connected=True)))
        return deliveries

    def _ignored(self, gateway: int, message: Ignored, ts: float) -> Sequence[Delivery]:
        me = self._gateways[gateway]
        message = msgspec.structs.replace(message, gateway=me.name, ts=message.ts or ts)
        me.ignored = message
        return (ToAll(message),)

    def _owned(self, gateway: int, uid: str) -> Node | None:
        node = self.nodes.get(uid)
        if node is not None and node.gateway != gateway:
            raise self._foreign(node)
        return node

    def _foreign(self, node: Node) -> Refused:
        owner = self._gateways[node.gateway].name
        return _Foreign(node.uid, owner)

    def _remove(self, uid: str, message: NodeLeft) -> ToAll:
        node = self.nodes.get(uid)
        sequence = node.sequence if node else 0
        self.nodes.remove(uid)
        return ToAll(message, sequence)

    # -- clients ----------------------------------------------------------------------------

    def from_client(self, client: str, command: Command, *, now: float) -> Sequence[Delivery]:
        """A client's command: on its way to the gateway, or answered at once."""
        rate = self._rates.get(client)
        if rate is None:
            rate = self._rates[client] = RateLimit(
                per_s=COMMANDS_PER_S, burst=COMMANDS_BURST, now=now
            )
        if rate.take(now):
            self.refused += 1
            return _answer(client, command, "forbidden", f"over {COMMANDS_PER_S:.0f} commands/s")
        node = self.nodes.get(command.uid)
        if node is None:
            return _answer(client, command, "unknown", f"no node {command.uid}")
        try:
            sent = self.commands.start(
                command,
                client=client,
                gateway=node.gateway,
                acknowledged=self._gateways[node.gateway].acknowledges,
                now=now,
            )
        except Refused as refusal:
            self.refused += 1
            return _answer(client, command, "forbidden", str(refusal))
        return (ToOneGateway(sent, node.gateway),)

    def client_left(self, client: str) -> None:
        self._rates.pop(client, None)
        self.commands.client_left(client)

    def expire(self, now: float) -> Sequence[Delivery]:
        """Receipts for the commands whose time is up. Call it at least every 100 ms."""
        return _receipts(self.commands.expire(now))


def _answer(client: str, command: Command, state: ReceiptState, detail: str) -> Sequence[Delivery]:
    receipt = Receipt(id=command.id, state=state, detail=detail)
    return (ToOneClient(receipt, client, never_sent(command, client)),)


def never_sent(command: Command, client: str) -> Command:
    """A command as it is told of when it went nowhere."""
    return msgspec.structs.replace(command, id="", client=client)


def _receipts(receipts: Sequence[ReceiptFor]) -> Sequence[Delivery]:
    return [ToOneClient(item.receipt, item.client, item.command) for item in receipts]
