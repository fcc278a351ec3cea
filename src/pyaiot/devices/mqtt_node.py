# SPDX-License-Identifier: BSD-3-Clause
"""Runs a simulated MQTT node: a client of an MQTT broker, which connects again by itself."""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from typing import Final

from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import OperatorError
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import Reconnecting
from pyaiot.mqtt.credentials import password_reader
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttMessage, MqttRefused
from pyaiot.protocols.mqtt.packets import Connect

KEEP_ALIVE_S: Final = 10
LOOK_S: Final = 1.0
"""How often a node looks whether it is connected."""
NO_TOKEN: Final = 0
"""Of what is published without a thought for whether it arrives."""

log = logging.getLogger(__name__)


class MqttNode:
    """A simulated node and its connection. Run `link.run`, and call `flush` at `next_wake`."""

    def __init__(
        self,
        node: TopicNode,
        server: MqttServer,
        *,
        told: Callable[[MqttEvent], None] = lambda _: None,
        attempts: asyncio.Semaphore | None = None,
    ) -> None:
        """`told` hears what happens after the node did. `attempts`: see `Reconnecting`."""
        self._node = node
        self._told = told
        self._loop = asyncio.get_running_loop()
        self.link = Reconnecting(
            server,
            Connect(node.uid, keep_alive_s=KEEP_ALIVE_S),
            self._on_event,
            attempts=attempts,
        )
        self.changed = asyncio.Event()
        """`next_wake` may be another."""

    @property
    def next_wake(self) -> float:
        """The loop's time at which the node has something to say, if it hears nothing before."""
        return self._node.next_wake if self.link.connection is not None else math.inf

    def flush(self) -> None:
        """Publish what the node has to say; what the connection does not take is gone."""
        connection = self.link.connection
        if connection is not None:
            for topic, payload in self._node.to_send(now=self._loop.time()):
                connection.publish(NO_TOKEN, topic, payload, qos=1)

    def _on_event(self, event: MqttEvent) -> None:
        match event:
            case MqttConnected():
                connection = self.link.connection
                if connection is not None:
                    for topic in self._node.subscriptions:
                        connection.subscribe(NO_TOKEN, topic, qos=1)
                self._node.connected(now=self._loop.time())
            case MqttMessage(topic=topic, payload=payload):
                self._node.receive(topic, payload, now=self._loop.time())
        self.flush()
        self.changed.set()
        self._told(event)


async def run_mqtt_node(
    config: MqttNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled.

    `opened` is called before the first attempt to connect: a node may be there before its broker.
    Raises `OperatorError` for a uid or a password file, or if the MQTT broker does not let it in.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - weather, not secrets
    topics = TopicNode(config, rng=rng)
    password = password_reader(config.password_file)
    server = MqttServer(config.mqtt_host, config.mqtt_port, config.user, password)
    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    node = MqttNode(topics, server, told=lambda event: _check(node, event, refused))
    opened()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.link.run(), name="mqtt connection")
        tasks.create_task(_speak(node, topics.uid), name="mqtt node")
        await refused


def _check(node: MqttNode, event: MqttEvent, refused: asyncio.Future[None]) -> None:
    if isinstance(event, MqttRefused) and not refused.done():
        refused.set_exception(
            OperatorError(f"The MQTT broker does not let the node in: {node.link.problem}.")
        )


async def _speak(node: MqttNode, uid: str) -> None:
    loop = asyncio.get_running_loop()
    reported = ""
    while True:
        node.changed.clear()
        node.flush()
        problem = node.link.problem if node.link.connection is None else ""
        # Said once for each reason, however often it is tried.
        if problem and problem != reported:
            log.warning("node %s has no MQTT broker: %s; trying again", uid, problem)
        reported = problem or reported if node.link.connection is None else ""
        try:
            async with asyncio.timeout_at(min(node.next_wake, loop.time() + LOOK_S)):
                await node.changed.wait()
        except TimeoutError:
            continue
