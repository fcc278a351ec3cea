# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT gateway: receives the publications of nodes, sends `discover` and `set`.

The topics are defined in section 4 of the legacy protocol.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.gateway import ConnectToBroker, Gateway, Outcome
from pyaiot.gateways.hand_over import hand_over
from pyaiot.gateways.mqtt import metrics
from pyaiot.gateways.mqtt.base_topics import DEFAULT_TOPICS, BaseTopics
from pyaiot.gateways.mqtt.foreign_devices import ForeignDevices
from pyaiot.gateways.mqtt.moved_nodes import MovedNodes
from pyaiot.gateways.mqtt.observer import TopicObserver
from pyaiot.gateways.mqtt.retained import RETAINED_HOLD_S
from pyaiot.gateways.mqtt.retained_fill import RetainedFill
from pyaiot.gateways.mqtt.share_clients import ShareClients
from pyaiot.gateways.mqtt.shared_broker import SecuredDevices
from pyaiot.gateways.mqtt.shares import ShareAccess, share_of
from pyaiot.gateways.mqtt.sides import Side, Sides
from pyaiot.gateways.mqtt.stored_nodes import StoredNodes
from pyaiot.gateways.mqtt.topic_commands import TopicCommands
from pyaiot.metrics import Sample
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.mqtt.client import Freshness, MqttClient, MqttServer, ReceivedMessage
from pyaiot.protocols.mqtt.node_topics import (
    DISCOVER_RESOURCES,
    DISCOVER_VALUES,
    GATEWAY_CHECK,
    NO_VALUE,
    NODE_CHECK,
    SUBSCRIPTIONS,
    SUBSCRIPTIONS_OF_EACH,
    NodeCheck,
    NodeResources,
    NodeValue,
    NodeValues,
    Publication,
    discover_topic,
    is_of_a_node,
    parse_publication,
    value_in,
    values_of,
)
from pyaiot.transport.rate_limit import RateLimitedLog

if TYPE_CHECKING:
    from pyaiot.messages import NodeEvent

CHECK_INTERVAL_S: Final = 30.0
"""Interval between messages on `gateway/check`. All nodes answer them."""
ROUND_TRIP_LIMIT_S: Final = 2.0
"""How long a message may take through the MQTT broker and back. Then `/readyz` reports it."""

_UNKNOWN: Final = frozenset({""})
"""Represents the awaited resources of an unknown node."""

log = logging.getLogger(__name__)


class MqttGateway:
    """Connects to one MQTT broker, and tracks the nodes that publish there."""

    def __init__(
        self,
        gateway: Gateway,
        server: MqttServer,
        *,
        name: str = "mqtt",
        deadlines: CommandDeadlines | None = None,
        observes: bool = False,
        secured: SecuredDevices | None = None,
        dialects: Sequence[str] = (),
        mappings: Sequence[TopicMapping] = (),
        topics: BaseTopics = DEFAULT_TOPICS,
        shares: ShareAccess | None = None,
    ) -> None:
        """`deadlines`: shares the deadlines of commands with the MQTT-SN gateway of this process.
        `observes`: also count messages on topics outside of `node/`. `secured`: the devices with a
        user name and password. `dialects`, `mappings`, `topics`: of foreign devices. `shares`:
        other gateways serve a part of the nodes.
        """
        self.gateway = gateway
        self.refused = 0
        """Publications that were refused, in total."""
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._awaited: dict[str, frozenset[str] | None] = {}
        """Known nodes → the requested resources whose values are missing; None before their list of
        resources arrives."""
        self._stored = StoredNodes(gateway, self._forget)
        self._unconfirmed = self._stored.uids
        self.retained = RetainedFill(gateway, self._refuse)
        self._connected_at = self._loop.time()
        self._first_connection = asyncio.Event()
        self._log = RateLimitedLog(log)
        gateway.evicted = self._forget
        self._subscriptions = SUBSCRIPTIONS if shares is None else SUBSCRIPTIONS_OF_EACH
        self._sides = Sides(gateway, server, secured, self._new_client)
        self.shares = (
            None if shares is None else ShareClients(shares, server, self._sides, self, name)
        )
        self._moved = MovedNodes(gateway)
        self._commands = TopicCommands(
            self._sides.client_of, CommandDeadlines() if deadlines is None else deadlines
        )
        self.foreign = ForeignDevices(
            *(gateway, server, secured, dialects, mappings, topics),
            name=name,
            check_claim=self._check_foreign_claim,
        )
        self._observes = observes
        self._observer = TopicObserver(
            *(server, name, gateway.rejections.ignore, self.foreign.open.nodes.covers)
        )

    def _new_client(self, server: MqttServer, side: Side) -> MqttClient:
        return MqttClient(
            server,
            name=f"{self._name}, with credentials" if side.secured else self._name,
            subscriptions=self._subscriptions,
            on_messages=partial(self._receive_unshared, side),
            on_connect=partial(self._on_connect, side),
            on_caught_up=partial(self.share_caught_up, side),
        )

    @property
    def connected(self) -> bool:
        """Whether the MQTT broker accepted the connection and all subscriptions."""
        return all(side.client.connected for side in self._sides.in_use())

    def collect(self) -> Iterable[Sample]:
        """The metrics of this gateway."""
        sides = self._sides
        return metrics.collect(
            self,
            connects=sum(side.client.connects for side in sides.in_use()),
            logins_refused=sides.logins_refused,
        )

    async def answers(self) -> bool:
        """Whether a message through the MQTT broker returns in time."""
        trips = (side.client.answers(ROUND_TRIP_LIMIT_S) for side in self._sides.in_use())
        return all(await asyncio.gather(*trips))

    async def run(self, connect: ConnectToBroker) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for side in self._sides.all:
                    tasks.create_task(self._sides.run_client(side), name="mqtt client")
                tasks.create_task(self._check(), name="mqtt check")
                alone = self.run_at_one if self.shares is None else self.shares.run
                tasks.create_task(alone(), name="mqtt foreign devices, or shares")
                tasks.create_task(self.gateway.keep_linked(connect, self), name="mqtt link")
                tasks.create_task(
                    self.gateway.expire_offline_nodes(self._forget), name="mqtt silence"
                )
        finally:
            self._stored.close()
            await self.gateway.end_commands()

    async def leave(self) -> None:
        """See `OpenGateway.leave`."""
        if self.shares is not None:
            await self.shares.leave()
        await self._sides.leave()
        await self.hand_over()

    async def hand_over(self) -> None:
        await hand_over(self.gateway)

    async def run_at_one(self) -> None:
        """What one of the gateways at an MQTT broker does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.foreign.run(self._first_connection))
            if self._observes:
                await self._first_connection.wait()
                await self._observer.run()

    # -- queries --------------------------------------------------------------------------------

    def _on_connect(self, side: Side) -> None:
        # Publications may have been lost: all values are requested again from nodes that answer.
        self._awaited = dict.fromkeys(self._awaited)
        self._connected_at = self._loop.time()
        self._first_connection.set()
        side.client.publish(GATEWAY_CHECK, b"")

    def share_caught_up(self, side: Side, share: int | None = None) -> None:
        """The stored messages have arrived: nodes that answer from now on are online."""
        # Answers to the first check may have been treated as stored messages.
        side.client.publish(GATEWAY_CHECK, b"")
        if share is not None or self.shares is None:
            self._stored.caught_up(side, share)

    def share_connected(self, share: int) -> None:
        """A share has moved here, or publications of its nodes may have been lost."""
        self._stored.connected(share)
        for uid in self._awaited:
            if share_of(uid) == share:
                self._awaited[uid] = None
        self._first_connection.set()

    def share_released(self, share: int) -> None:
        """Another gateway serves this share from now on."""
        uids = [uid for uid in self._awaited if share_of(uid) == share]
        uids += self.foreign.uids if share == 0 else []
        for uid in uids:
            self._forget(uid)
        self._moved.released(uids)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if self._loop.time() - self._connected_at >= RETAINED_HOLD_S:
                self.retained.held.clear()
            self._moved.expire()
            if self.shares is None or 0 in self.shares.held:
                for side in self._sides.in_use():
                    side.client.publish(GATEWAY_CHECK, b"")

    def _discover(self, uid: str, query: bytes) -> None:
        self._sides.client_of(uid).publish(discover_topic(uid), query)

    def _forget(self, uid: str) -> None:
        self._awaited.pop(uid, None)
        self._unconfirmed.discard(uid)

    def _check_foreign_claim(self, uid: str) -> None:
        """Raises `Refused` if a foreign device may not have this uid."""
        if uid in self._awaited:
            raise Refused(f"the node {uid} publishes on node/{uid}/")
        self._sides.check_claim(self._sides.open, uid)

    # -- publications ---------------------------------------------------------------------------

    def _receive_unshared(self, side: Side, messages: Sequence[ReceivedMessage]) -> None:
        """Process messages outside of the shares, which all gateways get."""
        if (shares := self.shares) is not None:
            messages = [it for it in messages if shares.is_ours(it[0], it[1])]
        self.receive(side, messages)

    def receive(self, side: Side, messages: Sequence[ReceivedMessage]) -> None:
        """Process messages that arrived together. Nearly all are values of resources that are
        known, which are reported in one step."""
        now, ts = self._loop.time(), self.gateway.unix_time()
        nodes, awaits_reports = self.gateway.nodes, self.gateway.awaits_reports
        events: list[NodeEvent] = []
        live: list[tuple[str, str, object]] = []
        for topic, payload, freshness in messages:
            known = self._known_resource(side, topic) if freshness is Freshness.LIVE else None
            value = NO_VALUE if known is None else value_in(payload)
            if known is None or value is NO_VALUE:
                self.gateway.report_readings(events, live)
                events, live = [], []
                self._on_message(side, topic, payload, freshness)
                continue
            uid, resource = known
            try:
                events += nodes.unsolicited_reading(uid, resource, value, now=now, ts=ts)
                if awaits_reports:
                    live.append((uid, resource, value))
            except (ProtocolError, Refused) as error:
                self._mark_online(uid)
                self._refuse(topic, error)
        self.gateway.report_readings(events, live)

    def _known_resource(self, side: Side, topic: str) -> tuple[str, str] | None:
        """Node and resource, if the node is online and the gateway has a value of the resource."""
        levels = topic.split("/")
        if len(levels) != 3 or levels[0] != "node":
            return None
        _, uid, resource = levels
        node = self.gateway.nodes.get(uid)
        if (
            node is None
            or node.secured != side.secured
            or resource not in node.readings
            or resource == "resources"
        ):
            return None
        awaited = self._awaited.get(uid, _UNKNOWN)
        if awaited is _UNKNOWN or uid in self._unconfirmed or (awaited and resource in awaited):
            return None
        return node.uid, node.readings[resource].resource

    def _refuse(self, topic: str, error: ProtocolError | Refused) -> None:
        self.refused += 1
        self._log.warning(
            "%s: %s was not accepted: %s", self._name, topic, error, now=self._loop.time()
        )

    def _on_message(self, side: Side, topic: str, payload: bytes, freshness: Freshness) -> None:
        try:
            match freshness:
                case Freshness.LIVE:
                    self._accept(side, topic, payload)
                case Freshness.STORED:
                    self._accept_stored(side, topic, payload)
                case Freshness.RETAINED:
                    self._accept_retained(side, topic, payload)
        except (ProtocolError, Refused) as error:
            self._refuse(topic, error)

    def _accept(self, side: Side, topic: str, payload: bytes) -> None:
        if not payload:
            # An empty payload deletes a retained message (MQTT 3.1.1 section 3.3.1.3), often long
            # after its node went offline.
            return
        try:
            publication = parse_publication(topic, payload)
        except ProtocolError:
            # The payload is invalid, but its node is online.
            uid = is_of_a_node(topic)
            if uid is not None:
                self._sides.check_claim(side, uid)
                self._mark_online(uid)
            elif topic != NODE_CHECK:
                self.gateway.rejections.ignore(topic)
                return
            raise
        uid = publication.uid
        self._sides.check_claim(side, uid)
        if side.secured and topic == NODE_CHECK:
            self._sides.request_proof(uid, now=self._loop.time())
            return
        if (
            isinstance(publication, NodeValue)
            and uid in self._awaited
            and uid not in self._unconfirmed
        ):
            self._accept_value(uid, publication.resource, publication.value)
            return
        is_new = self._mark_online(uid)
        try:
            self._handle(publication, is_new=is_new)
        finally:
            if is_new:
                self.retained.appeared(uid)

    def _handle(self, publication: Publication, *, is_new: bool) -> None:
        """Forward the values, and ask the node for what is missing."""
        uid = publication.uid
        match publication:
            case NodeCheck():
                if self._awaited[uid] is None:
                    self._discover(uid, DISCOVER_RESOURCES)
            case NodeResources(resources=resources):
                self.gateway.nodes.verify(uid)
                self._awaited[uid] = frozenset(resources)
                self._discover(uid, DISCOVER_VALUES)
            case NodeValue() | NodeValues():
                if is_new:
                    # Its `node/check` was missed, or the node never sends one.
                    self._discover(uid, DISCOVER_RESOURCES)
                self._accept_values(uid, values_of(publication))

    def _accept_stored(self, side: Side, topic: str, payload: bytes) -> None:
        """Forward an acknowledged value. A stored check or list of resources is outdated and
        ignored."""
        uid = is_of_a_node(topic)
        if uid is None or not payload:
            return
        self._sides.check_claim(side, uid)
        values = values_of(parse_publication(topic, payload))
        if not values:
            return
        if uid not in self._awaited:
            self._report_seen(uid)
            self._awaited[uid] = None
            self._unconfirmed.add(uid)
        for each in values:
            self.gateway.reading(uid, each.resource, each.value, live=False)

    def _accept_retained(self, side: Side, topic: str, payload: bytes) -> None:
        """Use a retained value of a node that is online, or hold it until the node is."""
        uid = is_of_a_node(topic)
        resource = topic.rpartition("/")[2]
        if uid is None or not payload or resource == "resources":
            return
        self._sides.check_claim(side, uid)
        is_online = uid in self._awaited and uid not in self._unconfirmed
        self.retained.accept(uid, resource, payload, is_online=is_online)

    def _mark_online(self, uid: str) -> bool:
        """Report the node as online. Returns whether it was offline before. Raises as
        `Gateway.node_seen`."""
        if self.foreign.owns(uid):
            raise Refused(f"the node {uid} is a foreign device")
        self._report_seen(uid)
        if uid in self._unconfirmed:
            self._unconfirmed.discard(uid)
            return True
        if uid in self._awaited:
            return False
        self._awaited[uid] = None
        return True

    def _report_seen(self, uid: str) -> None:
        # Its claim was checked: a node with a credential has used it.
        secured = self.gateway.devices.is_secured(uid)
        self.gateway.node_seen(uid, {"protocol": "MQTT", "id": uid}, secured=secured)

    def _accept_value(self, uid: str, resource: str, value: object) -> None:
        """A value of a known node. The node is online, even if the value is refused."""
        awaited = self._awaited[uid]
        try:
            if awaited and resource in awaited:
                # The gateway requested the value, so it does not count against the rate limit.
                self._awaited[uid] = awaited - {resource}
            else:
                self.gateway.take_turn(uid)
            self.gateway.reading(uid, resource, value)
        except (ProtocolError, Refused):
            self._mark_online(uid)
            raise

    def _accept_values(self, uid: str, values: Iterable[NodeValue]) -> None:
        """Values of a known node. A refused value does not affect the others."""
        refusal: ProtocolError | Refused | None = None
        for each in values:
            try:
                self._accept_value(uid, each.resource, each.value)
            except (ProtocolError, Refused) as error:
                refusal = error
        if refusal is not None:
            raise refusal

    # -- commands -------------------------------------------------------------------------------

    async def write(
        self,
        uid: str,
        resource: str,
        payload: str,
        deadline: float,
    ) -> Outcome:
        """See `DeviceSide.write`."""
        if self.foreign.owns(uid):
            return await self.foreign.write(uid, resource, payload)
        return await self._commands.write(uid, resource, payload, deadline)
