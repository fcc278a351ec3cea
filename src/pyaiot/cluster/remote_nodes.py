# SPDX-License-Identifier: BSD-3-Clause
"""Gateways and nodes of other brokers in the router of this one. Pure.

A gateway of another broker is a gateway with a negative number. Clients see no difference. A
command for one of its nodes goes to its link, which is the other broker.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.broker import resource_types
from pyaiot.broker.away import gateway_away
from pyaiot.broker.connected_gateway import ConnectedGateway
from pyaiot.broker.deliveries import Delivery, ToAll, ToOneGateway, receipts_of
from pyaiot.broker.identity import GatewayIdentity
from pyaiot.broker.router import Router
from pyaiot.broker.state import KnownNode
from pyaiot.cluster.packets import Edited, GatewayItem, NodeClaim
from pyaiot.errors import Refused
from pyaiot.messages import (
    Hello,
    LeftReason,
    NodeDescribed,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    Receipt,
)
from pyaiot.registry.record import record_of
from pyaiot.registry.refusals import UnknownNode

_NOT_OBSERVED: Final = ("", "", 0.0, 0.0, 0, "", 0, "{}", "[]")
"""Values of `record.OBSERVED_COLUMNS` for a node that was never seen."""
FIRST_NUMBER: Final = -2
"""Number of the first remote gateway; further ones are smaller. -1 means no gateway: see
`KnownNode`.
"""


class RemoteNodes:
    """Applies the reports of other brokers to a router. They are not stored by this broker."""

    def __init__(self, router: Router, claim: Callable[[KnownNode], None]) -> None:
        """`claim`: claims a node for this broker, ahead of all others."""
        self._router = router
        self._claim = claim
        self._next_number = FIRST_NUMBER
        self.refused = 0
        """Nodes of other brokers that this one ignored: banned here, or too many."""

    # -- gateways -------------------------------------------------------------------------------

    def gateway(
        self, number: int | None, item: GatewayItem, broker: str, ts: float
    ) -> tuple[int, list[ToAll]]:
        """Apply the report about a gateway; `number` is ours if it is known, `broker` its own."""
        gateways = self._router.gateways
        known = None if number is None else gateways.get(number)
        if number is None or known is None:
            number, self._next_number = self._next_number, self._next_number - 1
            known = gateways[number] = ConnectedGateway(acknowledges=True, is_remote=True)
        before = known.state(ts, connected=True), known.hello
        known.identity = GatewayIdentity(item.identity, has_token=item.has_token)
        known.hello = Hello(
            name=item.name or "legacy",
            protocol=item.protocol or "-",
            version=item.version,
            instance=item.instance,
            group=item.group,
            clock=item.linked_at,
        )
        known.is_away, known.broker = item.is_away, broker
        after = known.state(ts, connected=True)
        is_new = before[1] is None or after != before[0]
        return number, [ToAll(after)] if is_new else []

    def gateway_away(self, number: int, now: float) -> Sequence[Delivery]:
        return gateway_away(self._router, number, now)

    def gateway_is_back(self, number: int) -> None:
        self._router.gateways[number].is_away = False

    def gateway_lost(self, number: int, now: float, ts: float) -> Sequence[Delivery]:
        for uid in self._router.nodes.uids_of(number):
            self._forget_changes(uid)
        return self._router.gateway_lost(number, now=now, ts=ts)

    def stamp(self, number: int, clock: float, now: float) -> None:
        """Convert a time to the clock of the broker to which the gateway is linked."""
        self._router.gateways[number].clock.stamp(clock, now)

    def count(self, number: int, readings: int) -> None:
        """It has sent this many readings to its broker."""
        self._router.gateways[number].readings = readings

    # -- nodes ----------------------------------------------------------------------------------

    def place(self, number: int, claim: NodeClaim, ts: float) -> list[Delivery]:
        """Assign the node to this remote gateway."""
        router = self._router
        node = router.nodes.get(claim.uid)
        if node is None:
            return self._appear(number, claim, ts)
        if node.gateway == number:
            self._set_record(node, claim)
            if node.is_waiting and not claim.is_waiting:
                return self._accept(node)
            return []
        before, after = router.gateways[node.gateway], router.gateways[number]
        if after.is_same_as(before) or _is_one_process(before, after):
            is_one_process = not before.group or _is_one_process(before, after)
            if is_one_process and not before.is_remote and _is_newer(before, after):
                # The other broker has not noticed yet that the gateway is linked here now.
                self._claim(node)
                return []
            router.nodes.move(node, number)
            node.record.gateway, node.record.protocol = after.name, after.protocol
            self._set_record(node, claim)
            return []
        deliveries: list[Delivery] = []
        if not before.is_remote:
            detail = f"the node {claim.uid} belongs to the gateway {after.name}"
            problem = Problem(detail=detail, uid=claim.uid, owner=after.name)
            deliveries.append(ToOneGateway(problem, node.gateway))
        deliveries += self.left(claim.uid, "left", ts)
        return [*deliveries, *self._appear(number, claim, ts)]

    def has(self, number: int, uid: str) -> bool:
        return self._node(number, uid) is not None

    def left(self, uid: str, reason: LeftReason, ts: float) -> list[Delivery]:
        """No broker claims the node any more."""
        if self._router.nodes.get(uid) is None:
            return []
        deliveries = self._router.remove(uid, NodeLeft(uid=uid, ts=ts, reason=reason), ts)
        self._forget_changes(uid)
        return list(deliveries)

    def _appear(self, number: int, claim: NodeClaim, ts: float) -> list[Delivery]:
        router = self._router
        gateway = router.gateways[number]
        try:
            router.nodes.check_room(number)
            # The owner has admitted it.
            admitted = claim.secured or not claim.is_waiting
            record = router.registry.appear(
                *(claim.uid, gateway.name, gateway.protocol, claim.ts or ts), secured=admitted
            )
        except Refused:
            self.refused += 1
            return []
        node = router.nodes.add(number, record, ts=claim.ts or ts)
        self._set_record(node, claim)
        deliveries: list[Delivery] = [router.registered(record)]
        deliveries += resource_types.changes(node, resource_types.stated_resources(record))
        if not node.is_waiting:
            deliveries.append(ToAll(node.appeared, node.sequence))
        return deliveries

    def _accept(self, node: KnownNode) -> list[Delivery]:
        router = self._router
        if node.record.admission == "waiting":
            return []  # the edit that accepted it is on the way
        router.nodes.accept(node)
        return [router.registered(node.record), ToAll(node.appeared, node.sequence)]

    def _set_record(self, node: KnownNode, claim: NodeClaim) -> None:
        if node.record.secured is not claim.secured:
            node.record.secured = claim.secured
        self._forget_changes(node.uid)

    def _forget_changes(self, uid: str) -> None:
        """Discard observations of the node: the broker that owns it stores them."""
        self._router.registry.unwritten.forgets(uid)

    # -- what nodes report ----------------------------------------------------------------------

    def readings(self, number: int, readings: Sequence[Reading]) -> list[Delivery]:
        """Apply live readings. Those of nodes that do not belong to this gateway are ignored."""
        deliveries: list[Delivery] = []
        rest = iter(readings)
        while (reading := self._router.nodes.replace_known(number, rest, deliveries)) is not None:
            deliveries += self._keep(number, reading)
        return deliveries

    def _keep(self, number: int, reading: Reading) -> list[Delivery]:
        node = self._node(number, reading.uid)
        if node is None:
            return []
        try:
            described, delivery = self._router.keep(node, reading)
        except Refused:
            self.refused += 1
            return []
        return [*described] if delivery is None else [*described, delivery]

    def values(
        self, number: int, uid: str, readings: Sequence[Reading], ts: float, *, is_part: bool
    ) -> list[Delivery]:
        """Apply all values of a node. Known ones are not sent to clients again."""
        node = self._node(number, uid)
        if node is None:
            return []
        deliveries: list[Delivery] = []
        if not is_part and not node.readings.keys() <= {it.resource for it in readings}:
            deliveries += self.reset(number, NodeReset(uid=uid, ts=ts), is_reboot=False)
        for reading in readings:
            if node.readings.get(reading.resource) != node.with_unit(reading):
                deliveries += self._keep(number, reading)
        return deliveries

    def drop_values(self, number: int, uid: str, ts: float) -> list[Delivery]:
        """Forget the values of a node: they may be old, and not all are sent again."""
        node = self._node(number, uid)
        if node is None or not node.readings:
            return []
        return self.reset(number, NodeReset(uid=uid, ts=ts), is_reboot=False)

    def reset(self, number: int, message: NodeReset, *, is_reboot: bool = True) -> list[Delivery]:
        node = self._node(number, message.uid)
        if node is None:
            return []
        node.readings.clear()
        if is_reboot:
            self._router.registry.reboot(node.record, message.ts)
            self._forget_changes(message.uid)
        if node.is_waiting:
            return []
        return [ToAll(message, node.sequence), self._router.registered(node.record)]

    def described(self, number: int, message: NodeDescribed) -> list[Delivery]:
        node = self._node(number, message.uid)
        if node is None:
            return []
        registry = self._router.registry
        try:
            changed = registry.describe(node.record, message.types, complete=message.complete)
        except Refused:
            self.refused += 1
            return []
        self._forget_changes(message.uid)
        return list(resource_types.changes(node, changed))

    def receipt(self, numbers: Sequence[int], receipt: Receipt, now: float) -> Sequence[Delivery]:
        """Apply the receipt of a command that was sent to one of these gateways."""
        commands = self._router.commands
        number = commands.gateway_of(receipt.id)
        if number is None or number not in numbers:
            return ()
        ended = commands.finish(receipt, number, now)
        return receipts_of([ended] if ended else [])

    def edited(self, item: Edited, ts: float, *, is_greater: bool) -> Sequence[Delivery]:
        """Apply an edit made at another broker. Of two simultaneous edits, the one of the broker
        with the greater id takes effect everywhere.
        """
        try:
            changed = record_of((item.uid, *_NOT_OBSERVED, *item.row))
        except (ValueError, LookupError, TypeError):
            self.refused += 1
            return ()
        router = self._router
        known = router.registry.get(item.uid)
        if known is not None:
            is_same = (known.annotations, known.admission) == (
                changed.annotations,
                changed.admission,
            )
            ours, theirs = known.revision, changed.revision
            if ours > theirs or (ours == theirs and (is_same or not is_greater)):
                return ()
        deliveries = router.edited(changed, ts)
        node = router.nodes.get(item.uid)
        if node is None or node.gateway < 0:
            self._forget_changes(item.uid)  # the other broker has stored it
        return deliveries

    def forgotten(self, uid: str, now: float) -> Sequence[Delivery]:
        """Apply a removal from the registry at another broker."""
        try:
            return self._router.forget(uid, now)
        except (UnknownNode, Refused):
            return ()

    def _node(self, number: int, uid: str) -> KnownNode | None:
        node = self._router.nodes.get(uid)
        return node if node is not None and node.gateway == number else None


def _is_one_process(before: ConnectedGateway, after: ConnectedGateway) -> bool:
    """Whether the gateway that had the node here has reconnected to another broker."""
    if before.identity != after.identity or before.hello is None or after.hello is None:
        return False
    return bool(before.hello.instance) and before.hello.instance == after.hello.instance


def _is_newer(link: ConnectedGateway, other: ConnectedGateway) -> bool:
    """Whether the gateway opened this link after the other one."""
    if link.is_away or link.hello is None:
        return False
    if other.is_away or other.hello is None:
        return True
    ours, theirs = link.hello.clock, other.hello.clock
    return ours is not None and theirs is not None and ours > theirs
