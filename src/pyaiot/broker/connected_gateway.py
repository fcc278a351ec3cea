# SPDX-License-Identifier: BSD-3-Clause
"""A gateway whose link is up, and its monotonic clock, as the broker sees them. Pure.

A gateway stamps messages with its clock, and the broker sends it the deadline of a command on that
clock. Therefore a command that was delayed on the way, for example by a network outage, is not
carried out after its deadline, although the two machines have different clocks.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from pyaiot.broker.identity import LEGACY_GATEWAY, LOCAL, GatewayIdentity, GatewayNames
from pyaiot.errors import Refused
from pyaiot.messages import (
    GatewayState,
    Hello,
    Ignored,
    NodeAppeared,
    Reading,
    TopicMappings,
)

_PROTOCOL: Final = "protocol"
"""The resource in which a gateway reports the protocol of a node."""
WINDOW_S: Final = 60.0
"""The estimate uses the stamps of the last one to two of these intervals. Two quartz clocks differ
by less than 0.1 s after this time."""


class ForeignNode(Refused):
    """Another gateway owns the node."""

    def __init__(self, uid: str, owner: str) -> None:
        super().__init__(f"the node {uid} belongs to the gateway {owner}")
        self.owner = owner


class GatewayClock:
    """Estimates the clock of a gateway. `now` is the broker's clock, in seconds."""

    def __init__(self) -> None:
        self._began_at = 0.0
        self._latest: float | None = None
        """The greatest offset of the gateway's clock to the broker's since `_began_at`."""
        self._before: float | None = None
        """The greatest offset in the previous window."""

    def stamp(self, clock: float | None, now: float) -> None:
        """Use the stamp of a message that arrives now; None if it has none.

        The message was stamped earlier, so the measured offset is too small by its delay. The
        greatest offset is therefore the best estimate, and a deadline based on it is never too
        late.
        """
        if clock is None:
            return
        offset = clock - now
        if self._latest is None or now - self._began_at >= WINDOW_S:
            self._before, self._latest = self._latest, offset
            self._began_at = now
        elif offset > self._latest:
            self._latest = offset

    def time_at(self, at: float) -> float | None:
        """The gateway's clock at the broker's time `at`; None if the gateway sends no stamps."""
        if self._latest is None:
            return None
        return at + (self._latest if self._before is None else max(self._latest, self._before))


class ConnectedGateway(msgspec.Struct):
    """A gateway and its state at the broker."""

    acknowledges: bool
    """Whether it uses `pyaiot.v2`, so that it answers commands with receipts."""
    identity: GatewayIdentity = LOCAL
    hello: Hello | None = None
    ignored: Ignored | None = None
    """Its latest report of messages that no node sent."""
    clock: GatewayClock = msgspec.field(default_factory=GatewayClock)
    readings: int = 0
    """Readings that it sent since its link was opened."""
    is_remote: bool = False
    """Whether it is linked to another broker of the cluster."""
    broker: str = ""
    """The name of that broker."""
    is_away: bool = False
    """Whether its link is lost, and it has some seconds to connect again, here or to another
    broker."""
    _protocol: str = ""
    """Protocol of its nodes, if it sends no `hello`."""

    @property
    def protocol(self) -> str:
        """The protocol of its nodes, as in its `hello`; empty if it sent none."""
        return self.hello.protocol if self.hello else ""

    @property
    def name(self) -> str:
        if self.hello:
            return self.hello.name
        return self.identity.name if self.identity.has_token else LEGACY_GATEWAY

    @property
    def group(self) -> str:
        """See `Hello.group`; empty: it shares its nodes with no other gateway."""
        return self.hello.group if self.hello else ""

    @property
    def can_return(self) -> bool:
        """Whether its next link can be recognised as a link of the same gateway."""
        return self.identity.has_token or self.hello is not None

    def state(self, ts: float, *, connected: bool) -> GatewayState:
        return GatewayState(
            name=self.name,
            protocol=self.hello.protocol if self.hello else "",
            version=self.hello.version if self.hello else "",
            state="connected" if connected else "lost",
            ts=ts,
        )

    def is_same_as(self, other: "ConnectedGateway") -> bool:
        """Both authenticated with tokens of the same gateway, or share their nodes; or the other
        one is an earlier link of the same process, remote or away."""
        if self.identity != other.identity:
            return False
        if self.identity.has_token or (self.group and self.group == other.group):
            return True
        if not (other.is_remote or other.is_away) or self.hello is None or other.hello is None:
            return False
        if self.hello.instance and self.hello.instance == other.hello.instance:
            return True
        # The gateway was restarted.
        return other.is_away and self.hello.name == other.hello.name

    def receive_hello(self, hello: Hello, names: GatewayNames, now: float) -> None:
        """Handle its `hello`. Its actual name may differ: see `GatewayNames.named`."""
        name = names.named(self.identity, hello.name)
        self.hello = msgspec.structs.replace(hello, name=name)
        self.clock.stamp(hello.clock, now)

    def is_earlier_link_of(self, newer: "ConnectedGateway", hello: Hello) -> bool:
        """Whether the process that sends this `hello` over a newer link used this one before. False
        for a gateway that is away or remote: its nodes move one by one, and the others go offline
        later."""
        if self.is_away or self.is_remote:
            return False
        instance = self.hello.instance if self.hello else ""
        return bool(instance) and instance == hello.instance and self.identity == newer.identity

    def reports(self, message: Reading | NodeAppeared) -> bool:
        """Whether to route a report, by its protocol. Raises `Refused` for a report that is not
        permitted.

        A gateway without `hello` reports its protocol with its first node: until then `new` is not
        routed, and a node appears with its first reading.
        """
        allowed = self.identity.protocols
        if not allowed:
            return True
        protocol = self.hello.protocol if self.hello else self._protocol
        if not protocol and isinstance(message, NodeAppeared):
            return False
        if not self.hello and isinstance(message, Reading) and message.resource == _PROTOCOL:
            self._protocol = protocol = str(message.data)
        if protocol.lower() not in allowed:
            shown = protocol[:32] or "an unknown protocol"
            raise Refused(f"gateways with the key file may not report nodes of {shown}")
        return True


class ConnectedGateways(dict[int, ConnectedGateway]):
    """The connected gateways, by the number of their link."""

    mappings: TopicMappings | None = None
    """The saved mappings; None until they are read."""

    def mapping(self) -> list[int]:
        """The gateways that map plain topics."""
        return [
            it for it, gateway in self.items() if gateway.hello and gateway.hello.accepts_mappings
        ]

    def states(self, ts: float) -> list[GatewayState]:
        """The connected gateways, for a client that joins."""
        return [
            gateway.state(ts, connected=True)
            for gateway in self.values()
            if gateway.hello or not gateway.acknowledges
        ]

    def states_without(self, lost: ConnectedGateway, ts: float) -> list[GatewayState]:
        """The message that a gateway is lost; empty if another link of it is up."""
        if any(it.name == lost.name and not it.is_away for it in self.values()):
            return []
        return [lost.state(ts, connected=False)]

    def ignored(self) -> list[Ignored]:
        """The reports of messages that no node sent, for a client that joins."""
        return [gateway.ignored for gateway in self.values() if gateway.ignored is not None]

    def count(self, gateway: int, readings: int) -> None:
        """The gateway sent this many readings."""
        if gateway in self:
            self[gateway].readings += readings

    def name_of(self, gateway: int) -> str:
        """The name of a connected gateway; empty if it is no longer connected."""
        return self[gateway].name if gateway in self else ""

    def protocols(self, nodes_of: Callable[[int], int]) -> dict[str, tuple[int, int]]:
        """Numbers of gateways that are linked to this broker and of their nodes, by protocol.
        `nodes_of`: the number of nodes of a gateway."""
        found: dict[str, tuple[int, int]] = {}
        for number, gateway in self.items():
            if gateway.is_remote:
                continue
            gateways, nodes = found.get(gateway.protocol, (0, 0))
            linked = gateways + (not gateway.is_away)
            found[gateway.protocol] = linked, nodes + nodes_of(number)
        return found
