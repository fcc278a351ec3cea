# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT node: the simulated one, with readings that are counted, published with QoS 1."""

import asyncio
import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.mqtt_node import MqttNode
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import OperatorError
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.credentials import password_reader
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttPublished
from pyaiot.protocols.mqtt.node_topics import encode_value, value_topic

ATTEMPTS_MAX: Final = 32
"""Nodes that connect to the MQTT broker at the same time. Others wait."""


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
        self.wake = node.flush  # type: ignore[method-assign]
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

    def _send(self, number: int, *, now: float) -> bool:  # noqa: ARG002
        return self._publish(number)

    def _publish(self, number: int) -> bool:
        connection = self.link.connection
        return connection is not None and connection.publish(
            number, self._topic, encode_value(str(number)), qos=1
        )


class MqttFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a fleet that concern MQTT."""

    mqtt: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak MQTT; 0 leaves it out.")
    ] = 10
    mqtt_host: Annotated[str, Meta(min_length=1, description="Host of the MQTT broker.")] = (
        "127.0.0.1"
    )
    mqtt_port: Annotated[Port, Meta(description="TCP port of the MQTT broker.")] = 1886
    mqtt_user: Annotated[
        str, Meta(description="User name at the MQTT broker; empty: without one.")
    ] = ""
    mqtt_password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `mqtt_user`; only its owner may"
            " read it."
        ),
    ] = ""


class MqttNodeFactory(NodeFactory):
    """Makes virtual MQTT nodes."""

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

    @property
    def place(self) -> tuple[str, str, int, str]:
        return "broker", self._settings.mqtt_host, self._settings.mqtt_port, "mqtt"

    def add(self, uid: str, series: Series) -> VirtualNode:
        node = VirtualMqttNode(
            uid, series, server=self._server, attempts=self._attempts, rng=self._run.rng
        )
        self._run.start(self._serve(node), uid)
        return node

    async def _serve(self, node: VirtualMqttNode) -> None:
        await node.link.run()
        # It ends by itself where another attempt is useless.
        raise OperatorError(f"The MQTT broker refuses the fleet: {node.link.problem}.")
