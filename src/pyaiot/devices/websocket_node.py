# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated WebSocket node (legacy protocol, section 6). Pure.

Messages and `now` go in; messages and the time of the next timer come out. `websocket_node_runner`
runs it on a connection.
"""

import logging
import random
from typing import Final

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.schedule import Schedule
from pyaiot.devices.websocket_node_config import WebSocketNodeConfig
from pyaiot.errors import ProtocolError
from pyaiot.protocols.websocket_node import (
    Discover,
    Named,
    NodeProblem,
    Update,
    Write,
    decode_to_node,
    encode,
)

_FIRMWARE: Final = {"os": "linux", "vendor": "Pyaiot"}

log = logging.getLogger(__name__)


class SimulatedWebSocketNode:
    """The node without its connection. `now` is in seconds, on any monotonic clock.

    Call `connection_made` for each connection, and `handle_timer` when `get_timer` is due. After
    each call, send what `messages_to_send` returns.
    """

    def __init__(self, config: WebSocketNodeConfig, *, rng: random.Random) -> None:
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        self._nameless = config.nameless
        self._sensors = Schedule(config, rng)
        self._actuators = {
            name: actuator for name, actuator in ACTUATORS.items() if getattr(config, name)
        }
        self.values = {
            "name": config.name,
            "version": config.version,
            "board": config.board,
            **_FIRMWARE,
            **self._sensors.read_all(),
            **{name: actuator.initial_text for name, actuator in self._actuators.items()},
        }
        """The text of each resource, by its name."""
        self._outbox: list[bytes] = []

    def connection_made(self, *, now: float) -> None:
        self._outbox = [] if self._nameless else [encode(Named(self.uid))]
        self._sensors.start(now=now)

    def get_timer(self) -> float | None:
        """When to call `handle_timer`; None if the node has no sensors."""
        return self._sensors.get_timer()

    def handle_timer(self, *, now: float) -> None:
        """Report the sensors that are due. Does nothing before `get_timer`."""
        texts = self._sensors.read_due(now=now)
        if texts:
            self._report(texts)

    def messages_to_send(self) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_message(self, data: bytes) -> None:
        """Handle a message of the gateway. Invalid messages and refused writes get no answer."""
        try:
            message = decode_to_node(data)
        except ProtocolError as error:
            log.debug("node %s dropped an invalid message: %s", self.uid, error)
            return
        match message:
            case Discover():
                self._report(self.values)
            case Write(resource=resource, payload=payload):
                self._write(resource, payload)
            case NodeProblem(detail=detail):
                log.warning("the gateway refused node %s: %s", self.uid, detail)

    def _write(self, resource: str, payload: str) -> None:
        actuator = self._actuators.get(resource)
        try:
            text = actuator.write(payload.encode()) if actuator else None
        except ValueError:
            text = None
        if text is not None:
            self._report({resource: text})

    def _report(self, texts: dict[str, str]) -> None:
        self.values.update(texts)
        self._outbox.append(encode(Update(dict(texts))))
