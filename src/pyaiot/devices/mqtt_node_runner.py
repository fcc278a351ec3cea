# SPDX-License-Identifier: BSD-3-Clause
"""Runs a simulated MQTT node: a `TopicNode` and its connection to an MQTT broker."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from pyaiot.devices.foreign import FOREIGN_NODES
from pyaiot.devices.foreign.base import ForeignDevice
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.topic_node import TopicNode
from pyaiot.errors import OperatorError
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import ReconnectingMqttClient
from pyaiot.mqtt.credentials import password_reader
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttMessage, MqttRefused
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.transport.tls import client_context

KEEP_ALIVE_S: Final = 10
CONNECTION_CHECK_S: Final = 1.0
"""Seconds between two checks whether the node is connected."""
NO_TOKEN: Final = 0
"""Token of publications whose delivery is not tracked."""

log = logging.getLogger(__name__)


class MqttNode:
    """A simulated node and its connection. Run `link.run`; call `flush` when `get_timer` is due."""

    def __init__(
        self,
        node: TopicNode | ForeignDevice,
        server: MqttServer,
        *,
        on_event: Callable[[MqttEvent], None] = lambda _: None,
        attempts: asyncio.Semaphore | None = None,
    ) -> None:
        """`on_event` is called after the node handled an event.

        `attempts`: see `ReconnectingMqttClient`.
        """
        self._node = node
        self._report_event = on_event
        self._loop = asyncio.get_running_loop()
        self.link = ReconnectingMqttClient(
            server,
            Connect(node.uid, keep_alive_s=KEEP_ALIVE_S, will=node.will),
            self._handle_event,
            attempts=attempts,
        )
        self.changed = asyncio.Event()
        """Set after each event: `get_timer` may have changed."""

    def get_timer(self) -> float | None:
        """The loop time at which to call `flush`; None while the node is not connected."""
        return self._node.get_timer() if self.link.connection is not None else None

    def flush(self) -> None:
        """Publish what is due. Publications that the connection cannot queue are dropped."""
        connection = self.link.connection
        if connection is not None:
            self._node.handle_timer(now=self._loop.time())
            for topic, payload, retain in self._node.publications_to_send():
                connection.publish(NO_TOKEN, topic, payload, qos=1, retain=retain)

    def _handle_event(self, event: MqttEvent) -> None:
        match event:
            case MqttConnected():
                connection = self.link.connection
                if connection is not None:
                    for topic in self._node.subscriptions:
                        connection.subscribe(NO_TOKEN, topic, qos=1)
                self._node.connection_made(now=self._loop.time())
            case MqttMessage(topic=topic, payload=payload):
                self._node.receive_publication(topic, payload, now=self._loop.time())
        self.flush()
        self.changed.set()
        self._report_event(event)


async def run_mqtt_node(
    config: MqttNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled.

    `opened` is called before the first attempt to connect: a node may start before its MQTT broker.
    Raises `OperatorError` if the uid, the password file or the CA file is invalid, or if the MQTT
    broker refuses the node.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - sensor values, not secrets
    topics: TopicNode | ForeignDevice = TopicNode(config, rng=rng)
    if config.dialect:
        topics = FOREIGN_NODES[config.dialect](config, rng)
    password = password_reader(config.password_file)
    tls = client_context(config.ca_file) if config.tls else None
    server = MqttServer(config.mqtt_host, config.mqtt_port, config.user, password, tls)
    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    node = MqttNode(topics, server, on_event=lambda event: _check_refusal(node, event, refused))
    opened()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.link.run(), name="mqtt connection")
        tasks.create_task(_run_node(node, topics.uid), name="mqtt node")
        await refused


def _check_refusal(node: MqttNode, event: MqttEvent, refused: asyncio.Future[None]) -> None:
    if isinstance(event, MqttRefused) and not refused.done():
        refused.set_exception(
            OperatorError(f"The MQTT broker refuses the node: {node.link.problem}.")
        )


async def _run_node(node: MqttNode, uid: str) -> None:
    loop = asyncio.get_running_loop()
    logged = ""
    while True:
        node.changed.clear()
        node.flush()
        problem = node.link.problem if node.link.connection is None else ""
        # Each reason is logged once, not per attempt.
        if problem and problem != logged:
            log.warning("node %s is not connected to its MQTT broker: %s; retrying", uid, problem)
        logged = problem or logged if node.link.connection is None else ""
        try:
            due = loop.time() + CONNECTION_CHECK_S
            timer = node.get_timer()
            async with asyncio.timeout_at(due if timer is None else min(timer, due)):
                await node.changed.wait()
        except TimeoutError:
            continue
