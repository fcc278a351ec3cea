# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT node: a simulated node that publishes counted readings with QoS 1."""

import asyncio
import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.mqtt_node_runner import MqttNode
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import OperatorError
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import ReadingSeries
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.credentials import password_reader
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttPublished
from pyaiot.protocols.mqtt.node_topics import encode_value, value_topic

ATTEMPTS_MAX: Final = 32
"""Nodes that connect to the MQTT broker concurrently. Others wait."""


class VirtualMqttNode(VirtualNode):
    """Run `link.run` as a task; call `flush` regularly."""

    def __init__(
        self,
        uid: str,
        series: ReadingSeries,
        *,
        server: MqttServer,
        attempts: asyncio.Semaphore,
        rng: random.Random,
    ) -> None:
        super().__init__(uid, series)
        topics = TopicNode(MqttNodeConfig(uid=uid, name=uid, led=True), rng=rng)
        node = MqttNode(topics, server, on_event=self._on_event, attempts=attempts)
        self.link = node.link
        self.flush = node.flush  # type: ignore[method-assign]
        self._topic = value_topic(uid, RESOURCE)

    @property
    def is_connected(self) -> bool:
        return self.link.connection is not None

    def _on_event(self, event: MqttEvent) -> None:
        match event:
            case MqttConnected():
                self.series.tally.connections += 1
                # Not acknowledged on the last connection: the broker may lack them.
                for number in self.waiting:
                    self._publish(number)
            case MqttPublished(token=number):
                # Readings are numbered from 1; other publications have the token 0.
                self._acknowledged(number)

    def _send(self, number: int, *, now: float) -> bool:  # noqa: ARG002
        return self._publish(number)

    def _publish(self, number: int) -> bool:
        connection = self.link.connection
        return connection is not None and connection.publish(
            number, self._topic, encode_value(str(number)), qos=1
        )


class MqttFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a fleet for MQTT."""

    mqtt: Annotated[int, Meta(ge=0, le=NODES_MAX, description="Number of MQTT nodes; 0: none.")] = (
        10
    )
    mqtt_host: Annotated[str, Meta(min_length=1, description="Host of the MQTT broker.")] = (
        "127.0.0.1"
    )
    mqtt_port: Annotated[Port, Meta(description="TCP port of the MQTT broker.")] = 1886
    mqtt_user: Annotated[str, Meta(description="User name for the MQTT broker; empty: none.")] = ""
    mqtt_password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `mqtt_user`. Only its owner may"
            " have access to it."
        ),
    ] = ""


class MqttNodeFactory(NodeFactory):
    """Creates virtual MQTT nodes."""

    def __init__(self, settings: MqttFleetSettings, run: FleetRun) -> None:
        self._settings = settings
        self._run = run
        self._server = MqttServer(
            settings.mqtt_host,
            settings.mqtt_port,
            settings.mqtt_user,
            password_reader(settings.mqtt_password_file),
        )
        self._attempts = asyncio.Semaphore(ATTEMPTS_MAX)

    @classmethod
    async def open(cls, settings: MqttFleetSettings, run: FleetRun) -> "MqttNodeFactory":
        return cls(settings, run)

    @property
    def target(self) -> tuple[str, str, int, str]:
        return "broker", self._settings.mqtt_host, self._settings.mqtt_port, "mqtt"

    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        node = VirtualMqttNode(
            uid, series, server=self._server, attempts=self._attempts, rng=self._run.rng
        )
        self._run.start(self._serve(node), uid)
        return node

    async def _serve(self, node: VirtualMqttNode) -> None:
        await node.link.run()
        # It returns only after a permanent refusal.
        raise OperatorError(f"The MQTT broker refuses the fleet: {node.link.problem}.")
