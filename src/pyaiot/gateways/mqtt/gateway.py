# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT gateway: publications in, `discover` and `set` out (PROTOCOLS 4)."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways import measures
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.flushing import until_flushed
from pyaiot.gateways.gateway import Connect, Gateway, Outcome
from pyaiot.limits import LimitedLog
from pyaiot.mqtt_client import MqttClient, MqttServer
from pyaiot.protocols.mqtt_topics import (
    DISCOVER_RESOURCES,
    DISCOVER_VALUES,
    GATEWAY_CHECK,
    SUBSCRIPTIONS,
    NodeCheck,
    NodeResources,
    NodeValue,
    discover_topic,
    is_of_a_node,
    parse_publication,
    set_topic,
)
from pyaiot.samples import Sample

CHECK_INTERVAL_S: Final = 30.0
"""All nodes are asked so often who is there."""
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
    ) -> None:
        """`deadlines` of commands, for the MQTT-SN gateway of this process."""
        self.gateway = gateway
        self._deadlines = CommandDeadlines() if deadlines is None else deadlines
        self.refused = 0
        """Publications that were dropped, ever."""
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._awaited: dict[str, frozenset[str] | None] = {}
        """The nodes: None, it told no resources yet; else those whose values did not come yet."""
        self._log = LimitedLog(log)
        self._writing = asyncio.Lock()
        """Of the command that is being published: they go out in their order."""
        self._client = MqttClient(
            server,
            name=name,
            subscriptions=SUBSCRIPTIONS,
            received=self._published,
            connected=self._ask_everybody,
        )

    @property
    def connected(self) -> bool:
        """Whether the MQTT broker has let us in and holds our subscriptions."""
        return self._client.connected

    def measure(self) -> Iterable[Sample]:
        """What there is to measure here."""
        yield from measures.measure(self.gateway, refused=self.refused)
        yield measures.MQTT_CONNECTED.of(self.connected)
        yield measures.MQTT_CONNECTS.of(self._client.connects)

    async def answers(self) -> bool:
        """A round trip over the MQTT broker: whether nodes would be heard."""
        return await self._client.answers(ROUND_TRIP_LIMIT_S)

    async def run(self, connect: Connect) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(), name="mqtt client")
                tasks.create_task(self._check(), name="mqtt check")
                tasks.create_task(self.gateway.keep_linked(connect, self), name="mqtt link")
                tasks.create_task(
                    self.gateway.expire_silent_nodes(self._forget), name="mqtt silence"
                )
        finally:
            await self.gateway.end_commands()

    async def _hear(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_LIMIT_S):
                await self.gateway.was_linked.wait()
        await self._client.run()

    # -- questions ------------------------------------------------------------------------------

    def _ask_everybody(self) -> None:
        # While we were away, publications were lost: who answers is asked for all values anew.
        self._awaited = dict.fromkeys(self._awaited)
        self._client.publish(GATEWAY_CHECK, b"")

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self._client.publish(GATEWAY_CHECK, b"")

    def _ask(self, uid: str, what: bytes) -> None:
        self._client.publish(discover_topic(uid), what)

    def _forget(self, uid: str) -> None:
        self._awaited.pop(uid, None)

    # -- publications ---------------------------------------------------------------------------

    def _published(self, topic: str, payload: bytes) -> None:
        try:
            self._accept(topic, payload)
        except (ProtocolError, Refused) as error:
            self.refused += 1
            self._log.warning(
                "%s: %s was not accepted: %s", self._name, topic, error, now=self._loop.time()
            )

    def _accept(self, topic: str, payload: bytes) -> None:
        try:
            said = parse_publication(topic, payload)
        except ProtocolError:
            # Wrong, but somebody is there who says it.
            uid = is_of_a_node(topic)
            if uid is not None:
                self._heard(uid)
            raise
        if isinstance(said, NodeValue) and said.uid in self._awaited:
            self._value(said.uid, said.resource, said.value)
            return
        is_new = self._heard(said.uid)
        match said:
            case NodeCheck(uid=uid):
                if self._awaited[uid] is None:
                    self._ask(uid, DISCOVER_RESOURCES)
            case NodeResources(uid=uid, resources=resources):
                self._awaited[uid] = frozenset(resources)
                self._ask(uid, DISCOVER_VALUES)
            case NodeValue(uid=uid, resource=resource, value=value):
                if is_new:
                    # It said `node/check` before we listened, or never does.
                    self._ask(uid, DISCOVER_RESOURCES)
                self._value(uid, resource, value)

    def _heard(self, uid: str) -> bool:
        """A sign of life. Returns whether it is the first one. Raises as `Gateway.heard` does."""
        self.gateway.heard(uid, {"protocol": "MQTT", "id": uid})
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
