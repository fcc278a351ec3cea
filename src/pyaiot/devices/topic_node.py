# SPDX-License-Identifier: BSD-3-Clause
"""A simulated node on the topics of PROTOCOLS 4, whether over MQTT or MQTT-SN. Pure.

Publications and `now` go in; publications and the time of the next wake-up come out.
"""

import math
import random
from typing import Final, NamedTuple

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.schedule import Schedule, next_due
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.protocols.mqtt.node_topics import (
    DISCOVER_RESOURCES,
    DISCOVER_VALUES,
    GATEWAY_CHECK,
    NODE_CHECK,
    check_topic_name,
    discover_topic,
    encode_check,
    encode_resources,
    encode_value,
    resources_topic,
    set_topic,
    value_topic,
)

CHECK_PERIOD_S: Final = 30.0
"""The node says so often that it is there."""
VALUES_PAUSE_S: Final = 1.0
"""After its list of resources, a node tells all values so much later, asked or not."""
_FIRMWARE: Final = {"os": "micropython", "vendor": "Pyaiot"}


class Published(NamedTuple):
    """A topic, and what is said there."""

    topic: str
    payload: bytes


class TopicNode:
    """The node without its connection. `now` is in seconds, on any clock that never goes back.

    Call `connected` when its subscriptions hold. After each call, send what `to_send` gives, and
    call it again at `next_wake`.
    """

    def __init__(self, config: NodeConfig, *, rng: random.Random) -> None:
        """Raises `OperatorError` for a uid that cannot stand in a topic."""
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        try:
            check_topic_name(self.uid, "uid")
        except ProtocolError as error:
            raise OperatorError(f"--uid: {error}.") from error
        self._sensors = Schedule(config, rng)
        actuators = {name: it for name, it in ACTUATORS.items() if getattr(config, name)}
        self._actuators = {set_topic(self.uid, name): (name, it) for name, it in actuators.items()}
        self._discover = discover_topic(self.uid)
        self.values = {
            "name": config.name,
            "version": config.version,
            "board": config.board,
            **_FIRMWARE,
            **self._sensors.read_all(),
            **{name: actuator.at_start for name, actuator in actuators.items()},
        }
        """The text of each resource, by its name."""
        self.subscriptions = (GATEWAY_CHECK, self._discover, *self._actuators)
        self._outbox: list[Published] = []
        self._check_due = math.inf
        self._values_due = math.inf

    def connected(self, *, now: float) -> None:
        self._outbox.clear()
        self._check_due = now
        self._values_due = math.inf
        self._sensors.start(now=now)

    @property
    def next_wake(self) -> float:
        """When `to_send` has something again: at once, if something waits already."""
        if self._outbox:
            return -math.inf
        return min(self._check_due, self._values_due, self._sensors.next_due)

    def to_send(self, *, now: float) -> list[Published]:
        if now >= self._check_due:
            self._check_due = next_due(self._check_due, CHECK_PERIOD_S, now)
            self._check()
        for resource, text in self._sensors.read_due(now=now).items():
            self._report(resource, text)
        if now >= self._values_due:
            self._values_due = math.inf
            for resource, text in self.values.items():
                self._report(resource, text)
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive(self, topic: str, payload: bytes, *, now: float) -> None:
        """A publication of the gateway. What it cannot understand or do, it says nothing to."""
        if topic == GATEWAY_CHECK:
            self._check()
        elif topic == self._discover:
            if payload == DISCOVER_RESOURCES:
                listed = encode_resources(list(self.values))
                self._outbox.append(Published(resources_topic(self.uid), listed))
                self._values_due = now + VALUES_PAUSE_S
            elif payload == DISCOVER_VALUES:
                self._values_due = now
        elif topic in self._actuators:
            resource, actuator = self._actuators[topic]
            try:
                self._report(resource, actuator.write(payload))
            except ValueError:
                return

    def _check(self) -> None:
        self._outbox.append(Published(NODE_CHECK, encode_check(self.uid)))

    def _report(self, resource: str, text: str) -> None:
        self.values[resource] = text
        self._outbox.append(Published(value_topic(self.uid, resource), encode_value(text)))
