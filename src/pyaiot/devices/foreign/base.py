# SPDX-License-Identifier: BSD-3-Clause
"""What simulated foreign devices share: sensors, a switch, and when they publish. Pure."""

import json
import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, NamedTuple

from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.schedule import Schedule
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.protocols.mqtt.node_topics import check_topic_name
from pyaiot.protocols.mqtt.packets import Will

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


class SimulatedSensor(NamedTuple):
    """A sensor as foreign devices name it."""

    title: str
    unit: str


QUANTITIES: Final = {
    "temperature": SimulatedSensor("Temperature", "°C"),
    "humidity": SimulatedSensor("Humidity", "%"),
    "pressure": SimulatedSensor("Pressure", "hPa"),
    "illuminance": SimulatedSensor("Illuminance", "lx"),
}
"""The sensors that foreign devices have. Flags for others have no effect."""


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class ForeignDevice(ABC):
    """A device without its connection: see `TopicNode`, whose methods it has."""

    prefix: ClassVar[str] = ""
    """Begins its id, if `--uid` sets none."""

    def __init__(self, config: NodeConfig, rng: random.Random) -> None:
        """Raises `OperatorError` for an id that is not valid in a topic."""
        self.uid = config.uid or f"{self.prefix}{rng.getrandbits(48):012x}"
        try:
            check_topic_name(self.uid, "uid")
        except ProtocolError as error:
            raise OperatorError(f"--uid: {error}.") from error
        self.name = config.name
        self.version = config.version
        self.has_switch = config.led
        self.on = False
        self._sensors = Schedule(config, rng)
        self.values: dict[str, float] = dict(_numbers(self._sensors.read_all()))
        """The latest value of each sensor in `QUANTITIES`."""
        self._outbox: list[OutgoingPublication] = []

    @property
    @abstractmethod
    def subscriptions(self) -> tuple[str, ...]:
        """The topics of its commands."""
        ...

    @property
    @abstractmethod
    def will(self) -> Will:
        """What the MQTT broker publishes when the connection is lost."""
        ...

    @abstractmethod
    def describe(self) -> Iterable[OutgoingPublication]:
        """What it publishes when it connects, before its values."""
        ...

    @abstractmethod
    def report(self, changed: frozenset[str]) -> Iterable[OutgoingPublication]:
        """Publications of sensors, by their names, and of `switch`."""
        ...

    @abstractmethod
    def switch_to(self, topic: str, payload: bytes) -> bool | None:
        """The state that a command requests; None: it is not a command to switch."""
        ...

    # -- as `TopicNode` -------------------------------------------------------------------------

    def connection_made(self, *, now: float) -> None:
        self._outbox = list(self.describe())
        self._sensors.start(now=now)
        self._publish({*self.values, *(["switch"] if self.has_switch else [])})

    @property
    def has_publications(self) -> bool:
        return bool(self._outbox)

    def get_timer(self) -> float | None:
        due = self._sensors.get_timer()
        return due if due is not None and due < math.inf else None

    def handle_timer(self, *, now: float) -> None:
        changed = dict(_numbers(self._sensors.read_due(now=now)))
        self.values |= changed
        if changed:
            self._publish(changed)

    def publications_to_send(self) -> list[OutgoingPublication]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_publication(self, topic: str, payload: bytes, *, now: float) -> None:  # noqa: ARG002
        """Handle a command. Other messages are ignored."""
        state = self.switch_to(topic, payload) if self.has_switch else None
        if state is not None:
            self.on = state
            self._publish(["switch"])

    def _publish(self, names: Iterable[str]) -> None:
        self._outbox += self.report(frozenset(names))


def _numbers(texts: dict[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in texts.items():
        found = _NUMBER.match(text)
        if name in QUANTITIES and found is not None:
            yield name, float(found[0])


def read_object(payload: bytes) -> dict[str, Any]:
    """A JSON object; empty if the payload is none."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
