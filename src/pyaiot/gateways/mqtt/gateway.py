# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT gateway: publications in, `discover` and `set` out (PROTOCOLS 4)."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways import metrics
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.flushing import until_flushed
from pyaiot.gateways.gateway import Connect, Gateway, Outcome
from pyaiot.gateways.mqtt.metrics import (
    MQTT_CONNECTED,
    MQTT_CONNECTS,
    MQTT_IGNORED,
    MQTT_RETAINED_DROPPED,
)
from pyaiot.gateways.mqtt.observer import Observer
from pyaiot.gateways.mqtt.retained import RETAINED_HOLD_S, RetainedValues
from pyaiot.metrics import Sample
from pyaiot.mqtt.client import Freshness, MqttClient, MqttServer
from pyaiot.protocols.mqtt.node_topics import (
    DISCOVER_RESOURCES,
    DISCOVER_VALUES,
    GATEWAY_CHECK,
    NODE_CHECK,
    SUBSCRIPTIONS,
    NodeCheck,
    NodeResources,
    NodeValue,
    NodeValues,
    Publication,
    discover_topic,
    is_of_a_node,
    parse_publication,
    set_topic,
    value_topic,
)
from pyaiot.transport.rate_limit import RateLimitedLog

CHECK_INTERVAL_S: Final = 30.0
"""All nodes are asked so often who is there."""
ANSWER_LIMIT_S: Final = 5.0
"""Seconds that nodes have to answer after stored messages came. One of which there is nothing but
those has left then: the messages told what it sent, not that it is there."""
ROUND_TRIP_LIMIT_S: Final = 2.0
FIRST_LINK_LIMIT_S: Final = 5.0
"""Seconds in which a first link to the broker may come, so that what the MQTT broker kept while we
were away is handed on whole. After that nodes are heard without, and the latest values survive."""

log = logging.getLogger(__name__)


class MqttGateway:
    """A client of one MQTT broker, and the nodes that publish there."""

    def __init__(
        self,
        gateway: Gateway,
        server: MqttServer,
        *,
        name: str = "mqtt",
        deadlines: CommandDeadlines | None = None,
        observes: bool = False,
    ) -> None:
        """`deadlines` of commands, for the MQTT-SN gateway of this process.

        `observes`: count also what is published outside of `node/`.
        """
        self.gateway = gateway
        self._deadlines = CommandDeadlines() if deadlines is None else deadlines
        self.refused = 0
        """Publications that were dropped, ever."""
        self.retained_dropped = 0
        """Retained values that were dropped because too many were held, ever."""
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._awaited: dict[str, frozenset[str] | None] = {}
        """The nodes: None, it told no resources yet; else those whose values did not come yet."""
        self._unconfirmed: set[str] = set()
        """The nodes of which there are only stored messages so far."""
        self._confirmation: asyncio.TimerHandle | None = None
        self._retained = RetainedValues()
        self._connected_at = self._loop.time()
        self._observer = Observer(server, name=name, ignored=gateway.ignore) if observes else None
        self._first_connection = asyncio.Event()
        self._log = RateLimitedLog(log)
        self._writing = asyncio.Lock()
        """Of the command that is being published: they go out in their order."""
        gateway.evicted = self._forget
        self._client = MqttClient(
            server,
            name=name,
            subscriptions=SUBSCRIPTIONS,
            received=self._published,
            connected=self._ask_everybody,
            caught_up=self._caught_up,
        )

    @property
    def connected(self) -> bool:
        """Whether the MQTT broker has let us in and holds our subscriptions."""
        return self._client.connected

    def measure(self) -> Iterable[Sample]:
        """What there is to measure here."""
        yield from metrics.measure(self.gateway, refused=self.refused)
        yield MQTT_CONNECTED.of(self.connected)
        yield MQTT_CONNECTS.of(self._client.connects)
        yield MQTT_IGNORED.of(self.gateway.ignored)
        yield MQTT_RETAINED_DROPPED.of(self.retained_dropped)

    async def answers(self) -> bool:
        """A round trip over the MQTT broker: whether nodes would be heard."""
        return await self._client.answers(ROUND_TRIP_LIMIT_S)

    async def run(self, connect: Connect) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(), name="mqtt client")
                tasks.create_task(self._check(), name="mqtt check")
                if self._observer is not None:
                    tasks.create_task(self._observe(self._observer), name="mqtt observer")
                tasks.create_task(self.gateway.keep_linked(connect, self), name="mqtt link")
                tasks.create_task(
                    self.gateway.expire_silent_nodes(self._forget), name="mqtt silence"
                )
        finally:
            if self._confirmation is not None:
                self._confirmation.cancel()
            await self.gateway.end_commands()

    async def _hear(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_LIMIT_S):
                await self.gateway.was_linked.wait()
        await self._client.run()

    async def _observe(self, observer: Observer) -> None:
        await self._first_connection.wait()
        await observer.run()

    # -- questions ------------------------------------------------------------------------------

    def _ask_everybody(self) -> None:
        # While we were away, publications were lost: who answers is asked for all values anew.
        self._awaited = dict.fromkeys(self._awaited)
        self._connected_at = self._loop.time()
        self._first_connection.set()
        self._client.publish(GATEWAY_CHECK, b"")

    def _caught_up(self) -> None:
        """What the broker stored has come: who answers from now on is there."""
        if self._confirmation is not None:
            self._confirmation.cancel()
        # Answers to the first check may have counted as stored.
        self._client.publish(GATEWAY_CHECK, b"")
        self._confirmation = self._loop.call_later(ANSWER_LIMIT_S, self._end_unconfirmed)

    def _end_unconfirmed(self) -> None:
        self._confirmation = None
        for uid in self._unconfirmed:
            self._awaited.pop(uid, None)
            self.gateway.left(uid, "silent")
        self._unconfirmed.clear()

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if self._loop.time() - self._connected_at >= RETAINED_HOLD_S:
                self._retained.clear()
            self._client.publish(GATEWAY_CHECK, b"")

    def _ask(self, uid: str, what: bytes) -> None:
        self._client.publish(discover_topic(uid), what)

    def _forget(self, uid: str) -> None:
        self._awaited.pop(uid, None)
        self._unconfirmed.discard(uid)

    # -- publications ---------------------------------------------------------------------------

    def _published(self, topic: str, payload: bytes, freshness: Freshness) -> None:
        try:
            match freshness:
                case Freshness.LIVE:
                    self._accept(topic, payload)
                case Freshness.STORED:
                    self._accept_stored(topic, payload)
                case Freshness.RETAINED:
                    self._accept_retained(topic, payload)
        except (ProtocolError, Refused) as error:
            self.refused += 1
            self._log.warning(
                "%s: %s was not accepted: %s", self._name, topic, error, now=self._loop.time()
            )

    def _accept(self, topic: str, payload: bytes) -> None:
        if not payload:
            # It takes a retained message away (MQTT 3.1.1 section 3.3.1.3), often long after its
            # node is gone.
            return
        try:
            said = parse_publication(topic, payload)
        except ProtocolError:
            # Wrong, but somebody is there who says it.
            uid = is_of_a_node(topic)
            if uid is not None:
                self._heard(uid)
            elif topic != NODE_CHECK:
                self.gateway.ignore(topic)
                return
            raise
        uid = said.uid
        if isinstance(said, NodeValue) and uid in self._awaited and uid not in self._unconfirmed:
            self._value(uid, said.resource, said.value)
            return
        is_new = self._heard(uid)
        try:
            self._answer(said, is_new=is_new)
        finally:
            if is_new:
                for resource, kept in self._retained.take(uid).items():
                    self._fill(uid, resource, kept)

    def _answer(self, said: Publication, *, is_new: bool) -> None:
        """Ask the node for what it did not say; hand on what it said."""
        uid = said.uid
        match said:
            case NodeCheck():
                if self._awaited[uid] is None:
                    self._ask(uid, DISCOVER_RESOURCES)
            case NodeResources(resources=resources):
                self.gateway.nodes.prove(uid)
                self._awaited[uid] = frozenset(resources)
                self._ask(uid, DISCOVER_VALUES)
            case NodeValue() | NodeValues():
                if is_new:
                    # It said `node/check` before we listened, or never does.
                    self._ask(uid, DISCOVER_RESOURCES)
                self._values(uid, _values_of(said))

    def _accept_stored(self, topic: str, payload: bytes) -> None:
        """A value that was acknowledged is handed on; the rest spoke of a moment that is past."""
        uid = is_of_a_node(topic)
        if uid is None or not payload:
            return
        values = _values_of(parse_publication(topic, payload))
        if not values:
            return
        if uid not in self._awaited:
            self.gateway.heard(uid, {"protocol": "MQTT", "id": uid})
            self._awaited[uid] = None
            self._unconfirmed.add(uid)
        for said in values:
            self.gateway.reading(uid, said.resource, said.value, live=False)

    def _accept_retained(self, topic: str, payload: bytes) -> None:
        """A retained value fills a node that is alive, at once or when it speaks."""
        uid = is_of_a_node(topic)
        resource = topic.rpartition("/")[2]
        if uid is None or not payload or resource == "resources":
            return
        if uid in self._awaited and uid not in self._unconfirmed:
            self._fill(uid, resource, payload)
        elif not self._retained.add(uid, resource, payload):
            self.retained_dropped += 1

    def _fill(self, uid: str, resource: str, payload: bytes) -> None:
        """Give a node that is alive a retained value, unless it has sent one itself."""
        node = self.gateway.nodes.get(uid)
        if node is None or resource in node.readings:
            return
        try:
            for said in _values_of(parse_publication(value_topic(uid, resource), payload)):
                if said.resource not in node.readings:
                    self.gateway.reading(uid, said.resource, said.value, retained=True)
        except (ProtocolError, Refused) as error:
            self.refused += 1
            self._log.warning(
                "%s: a retained value of %s was not accepted: %s",
                *(self._name, uid, error),
                now=self._loop.time(),
            )

    def _heard(self, uid: str) -> bool:
        """A sign of life. Returns whether it is the first one. Raises as `Gateway.heard` does."""
        self.gateway.heard(uid, {"protocol": "MQTT", "id": uid})
        if uid in self._unconfirmed:
            self._unconfirmed.discard(uid)
            return True
        if uid in self._awaited:
            return False
        self._awaited[uid] = None
        return True

    def _value(self, uid: str, resource: str, value: object) -> None:
        """Of a node that is known. A sign of life, also if it is refused."""
        awaited = self._awaited[uid]
        try:
            if awaited and resource in awaited:
                # We asked for it: it does not count as what the node sends on its own.
                self._awaited[uid] = awaited - {resource}
            else:
                self.gateway.take_turn(uid)
            self.gateway.reading(uid, resource, value)
        except (ProtocolError, Refused):
            self._heard(uid)
            raise

    def _values(self, uid: str, values: Iterable[NodeValue]) -> None:
        """Of a node that is known. One that is refused takes none of the others with it."""
        refusal: ProtocolError | Refused | None = None
        for said in values:
            try:
                self._value(uid, said.resource, said.value)
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
        try:
            topic = set_topic(uid, resource)
            body = payload.encode()
        except (ProtocolError, UnicodeEncodeError) as error:
            return Outcome("refused", str(error))
        async with self._writing:
            # In a buffer behind other bytes it would be sent whenever the broker reads again.
            await until_flushed(lambda: self._client.waiting_bytes)
            # MQTT 5 section 3.3.2.3.3: in whole seconds.
            expires_after_s = max(1, int(deadline - self._loop.time()))
            # The MQTT-SN gateway must know it before the command arrives there.
            self._deadlines.add(topic, body, deadline, now=self._loop.time())
            if not self._client.publish(topic, body, expires_after_s=expires_after_s):
                return Outcome("unreachable", "no connection to the MQTT broker")
        return Outcome("sent")


def _values_of(said: Publication) -> tuple[NodeValue, ...]:
    match said:
        case NodeValue():
            return (said,)
        case NodeValues(values=values):
            return values
        case _:
            return ()
