# SPDX-License-Identifier: BSD-3-Clause
"""A client of the MQTT broker for foreign devices, separate from the client for nodes.

It has its own connection, so that a flood on foreign topics, or a broker that refuses these
subscriptions, does not disturb nodes. It has no session: foreign devices retain what matters.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.gateways.flushing import wait_until_flushed
from pyaiot.gateways.gateway import Gateway, Outcome
from pyaiot.gateways.mqtt.base_topics import DEFAULT_TOPICS, BaseTopics
from pyaiot.gateways.mqtt.dialect_access import TopicOwners
from pyaiot.gateways.mqtt.dialect_nodes import DialectNodes
from pyaiot.gateways.mqtt.dialects import new_dialects
from pyaiot.gateways.mqtt.dialects.dialect import DeviceMessage
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.mqtt.client import MqttClient, MqttServer
from pyaiot.transport.backoff import Backoff

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""First and longest delay before the next attempt to connect. It is doubled each time."""
REQUESTS_MAX: Final = 1_000
"""Largest number of requests to devices per second, such as for their descriptions. Further ones
are dropped."""

log = logging.getLogger(__name__)


class DialectClient:
    """The foreign devices at one MQTT broker."""

    def __init__(
        self,
        gateway: Gateway,
        server: MqttServer,
        names: Sequence[str],
        mappings: Sequence[TopicMapping] = (),
        topics: BaseTopics = DEFAULT_TOPICS,
        *,
        name: str,
        check_claim: Callable[[str], None],
        owners: TopicOwners | None = None,
    ) -> None:
        """`names`: the dialects in use. `check_claim`, `owners`: see `DialectNodes`.

        Raises `OperatorError` for a mapping or a base topic that is not valid.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._name = f"{name}, foreign devices"
        self.nodes = DialectNodes(
            gateway,
            new_dialects(names, gateway.unix_time, mappings, topics),
            name=self._name,
            now=loop.time,
            check_claim=check_claim,
            publish=self._request,
            subscribe=self._subscribe,
            unsubscribe=self._unsubscribe,
            owners=owners,
        )
        self._has_topics = asyncio.Event()
        """Set when there are topics to subscribe to, and never cleared."""
        self._requests = 0
        self._requests_since = loop.time()
        self._writing = asyncio.Lock()
        """Held while a command is published, so that commands keep their order."""
        self._backoff = Backoff(first_s=RETRY_FIRST_S, limit_s=RETRY_MAX_S)
        self._client = MqttClient(
            msgspec.structs.replace(server, client_id="", echo_topic=""),
            name=self._name,
            subscriptions=self.nodes.filters,
            on_messages=self.nodes.receive,
            on_connect=self._connected,
            keeps_session=False,
            requires_all=False,
        )
        if self.nodes.filters:
            self._has_topics.set()

    @property
    def connected(self) -> bool:
        return self._client.connected

    @property
    def has_connected(self) -> asyncio.Event:
        """See `MqttClient.has_connected`."""
        return self._client.has_connected

    async def run(self, start: asyncio.Event) -> None:
        """Stay connected until cancelled, once `start` is set and there are topics."""
        await start.wait()
        await self._has_topics.wait()
        reported = ""
        while True:
            connects = self._client.connects
            try:
                await self._client.connect_once()
            except (LinkLost, OperatorError) as error:
                if self._client.connects > connects:
                    reported = ""
                if str(error) != reported:
                    reported = str(error)
                    log.warning("%s: no connection: %s; trying again", self._name, error)
            await asyncio.sleep(self._backoff.failed(now=self._loop.time()))

    def _connected(self) -> None:
        self._backoff.connected(now=self._loop.time())
        self.nodes.connected()

    async def write(self, uid: str, resource: str, payload: str) -> Outcome:
        """See `DeviceSide.write`."""
        try:
            message = self.nodes.command(uid, resource, payload)
        except ProtocolError as error:
            return Outcome("refused", str(error))
        async with self._writing:
            client = self._client
            await wait_until_flushed(lambda: client.waiting_bytes)
            if not client.publish(
                message.topic, message.payload, qos=message.qos, retain=message.retain
            ):
                return Outcome("unreachable", "no connection to the MQTT broker")
        return Outcome("sent")

    def _request(self, message: DeviceMessage) -> None:
        now = self._loop.time()
        if now - self._requests_since >= 1.0:
            self._requests_since, self._requests = now, 0
        self._requests += 1
        if self._requests <= REQUESTS_MAX:
            self._client.publish(message.topic, message.payload, qos=message.qos)

    def _subscribe(self, filters: Sequence[str]) -> None:
        if filters:
            self._client.subscribe(filters)
            self._has_topics.set()

    def _unsubscribe(self, filters: Sequence[str]) -> None:
        self._client.unsubscribe(filters)
