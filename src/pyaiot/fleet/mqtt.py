# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT node: the simulated one, with readings that are counted, published with QoS 1."""

import asyncio
import random

from pyaiot.devices.mqtt_node import MqttNode
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, VirtualNode
from pyaiot.mqtt.client import MqttServer
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttPublished
from pyaiot.protocols.mqtt.node_topics import encode_value, value_topic


class VirtualMqttNode(VirtualNode):
    """Run `link.run` as a task, and call `flush` now and then."""

    def __init__(
        self,
        uid: str,
        series: Series,
        *,
        server: MqttServer,
        attempts: asyncio.Semaphore,
        rng: random.Random,
    ) -> None:
        super().__init__(uid, series)
        topics = TopicNode(MqttNodeConfig(uid=uid, name=uid, led=True), rng=rng)
        node = MqttNode(topics, server, told=self._on_event, attempts=attempts)
        self.link = node.link
        self.flush = node.flush
        self._topic = value_topic(uid, RESOURCE)

    @property
    def is_connected(self) -> bool:
        return self.link.connection is not None

    def _on_event(self, event: MqttEvent) -> None:
        match event:
            case MqttConnected():
                self.series.account.connections += 1
                # The broker may have these or not: it never said so.
                for number in self.waiting:
                    self._publish(number)
            case MqttPublished(token=number):
                # The numbers of readings begin with 1; other publications have the token 0.
                self._acknowledged(number)

    def _say(self, number: int, *, now: float) -> bool:  # noqa: ARG002
        return self._publish(number)

    def _publish(self, number: int) -> bool:
        connection = self.link.connection
        return connection is not None and connection.publish(
            number, self._topic, encode_value(str(number)), qos=1
        )
