# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated node over MQTT or MQTT-SN. Pure.

It uses the topics of the legacy protocol, section 4. Publications and `now` go in; publications and
the time of the next timer come out.
"""

import math
import random
from typing import TYPE_CHECKING, Final, NamedTuple

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.schedule import Schedule, next_occurrence
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

if TYPE_CHECKING:
    from pyaiot.protocols.mqtt.packets import Will

CHECK_PERIOD_S: Final = 30.0
"""Seconds between two announcements on `node/check`."""
VALUES_PAUSE_S: Final = 1.0
"""Delay between the list of resources and the publication of all values."""
_FIRMWARE: Final = {"os": "micropython", "vendor": "Pyaiot"}


class OutgoingPublication(NamedTuple):
    """A payload and its topic."""

    topic: str
    payload: bytes
    retain: bool = False


class TopicNode:
    """The node without its connection. `now` is in seconds, on any monotonic clock.

    Subscribe to `subscriptions` and call `connection_made` for each new session. Call
    `handle_timer` when `get_timer` is due. After each call, send what `publications_to_send`
    returns.
    """

    def __init__(self, config: NodeConfig, *, rng: random.Random) -> None:
        """Raises `OperatorError` for a uid that is not valid in a topic."""
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        try:
            check_topic_name(self.uid, "uid")
        except ProtocolError as error:
            raise OperatorError(f"--uid: {error}.") from error
        self._sensors = Schedule(config, rng)
        actuators = {
            name: actuator for name, actuator in ACTUATORS.items() if getattr(config, name)
        }
        self._actuators = {
            set_topic(self.uid, name): (name, actuator) for name, actuator in actuators.items()
        }
        self._discover = discover_topic(self.uid)
        self.values = {
            "name": config.name,
            "version": config.version,
            "board": config.board,
            **_FIRMWARE,
            **self._sensors.read_all(),
            **{name: actuator.initial_text for name, actuator in actuators.items()},
        }
        """The text of each resource, by its name."""
        self.will: Will | None = None
        self.subscriptions = (GATEWAY_CHECK, self._discover, *self._actuators)
        self._outbox: list[OutgoingPublication] = []
        self._check_due = math.inf
        self._values_due = math.inf

    def connection_made(self, *, now: float) -> None:
        self._outbox.clear()
        self._check_due = now
        self._values_due = math.inf
        self._sensors.start(now=now)

    @property
    def has_publications(self) -> bool:
        """Whether `publications_to_send` would return any."""
        return bool(self._outbox)

    def get_timer(self) -> float | None:
        """When to call `handle_timer`; None if nothing will be due."""
        sensors_due = self._sensors.get_timer()
        due = min(self._check_due, self._values_due)
        if sensors_due is not None:
            due = min(due, sensors_due)
        return due if due < math.inf else None

    def handle_timer(self, *, now: float) -> None:
        """Publish what is due. Does nothing before `get_timer`."""
        if now >= self._check_due:
            self._check_due = next_occurrence(self._check_due, CHECK_PERIOD_S, now)
            self._check()
        for resource, text in self._sensors.read_due(now=now).items():
            self._report(resource, text)
        if now >= self._values_due:
            self._values_due = math.inf
            for resource, text in self.values.items():
                self._report(resource, text)

    def publications_to_send(self) -> list[OutgoingPublication]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_publication(self, topic: str, payload: bytes, *, now: float) -> None:
        """Handle a publication of the gateway. Unknown and refused requests get no answer."""
        if topic == GATEWAY_CHECK:
            self._check()
        elif topic == self._discover:
            if payload == DISCOVER_RESOURCES:
                resources = encode_resources(list(self.values))
                self._outbox.append(OutgoingPublication(resources_topic(self.uid), resources))
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
        self._outbox.append(OutgoingPublication(NODE_CHECK, encode_check(self.uid)))

    def _report(self, resource: str, text: str) -> None:
        self.values[resource] = text
        topic = value_topic(self.uid, resource)
        self._outbox.append(OutgoingPublication(topic, encode_value(text)))
