# SPDX-License-Identifier: BSD-3-Clause
"""A simulated Shelly plug of the second generation. Pure."""

import random
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from pyaiot.devices.foreign.base import ForeignDevice, as_json, read_object
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.errors import OperatorError
from pyaiot.protocols.mqtt.packets import Will

_ID: Final = re.compile(r"shelly[a-z0-9]{1,24}-[0-9a-fA-F]{6,12}")


class ShellyNode(ForeignDevice):
    """See `ForeignDevice`. Its id begins with `shellyplusplugs-`, if none is set."""

    prefix: ClassVar[str] = "shellyplusplugs-"

    def __init__(self, config: NodeConfig, rng: random.Random) -> None:
        """Raises `OperatorError` for an id that no Shelly has: gateways would not recognise it."""
        super().__init__(config, rng)
        if not _ID.fullmatch(self.uid):
            raise OperatorError(
                "--uid: a Shelly has an id such as shellyplusplugs-a8032abe54dc; without --uid,"
                " one is made."
            )

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"{self.uid}/rpc",)

    @property
    def will(self) -> Will:
        return Will(f"{self.uid}/online", b"false", 1, retain=True)

    def describe(self) -> Iterator[OutgoingPublication]:
        yield OutgoingPublication(f"{self.uid}/online", b"true", retain=True)

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:
        yield self._notification(self._status(changed))

    def receive_publication(self, topic: str, payload: bytes, *, now: float) -> None:
        super().receive_publication(topic, payload, now=now)
        request = read_object(payload)
        results: dict[object, Any] = {
            "Shelly.GetStatus": self._status(frozenset({*self.values, "switch"})),
            "Shelly.GetDeviceInfo": {
                "name": self.name,
                "id": self.uid,
                "model": "SNPL-00112EU",
                "gen": 2,
                "ver": self.version,
                "app": "PlusPlugS",
            },
            "Switch.Set": {"was_on": not self.on},
        }
        method, source = request.get("method"), request.get("src")
        if isinstance(method, str) and method in results and isinstance(source, str):
            answer = {"id": request.get("id"), "src": self.uid, "result": results[method]}
            if source and not {"+", "#", "\0"} & set(source):
                self._outbox.append(OutgoingPublication(f"{source}/rpc", as_json(answer)))

    def switch_to(self, topic: str, payload: bytes) -> bool | None:  # noqa: ARG002
        request = read_object(payload)
        parameters = request.get("params")
        if request.get("method") != "Switch.Set" or not isinstance(parameters, dict):
            return None
        on = parameters.get("on")
        return on if isinstance(on, bool) else None

    def _status(self, names: frozenset[str]) -> dict[str, Any]:
        status: dict[str, Any] = {}
        if "switch" in names and self.has_switch:
            power = 8.9 if self.on else 0.0
            status["switch:0"] = {"id": 0, "output": self.on, "apower": power, "voltage": 230.1}
        if "temperature" in names and "temperature" in self.values:
            status["temperature:0"] = {"id": 0, "tC": self.values["temperature"]}
        if "humidity" in names and "humidity" in self.values:
            status["humidity:0"] = {"id": 0, "rh": self.values["humidity"]}
        return status

    def _notification(self, status: dict[str, Any]) -> OutgoingPublication:
        message = {
            "src": self.uid,
            "dst": f"{self.uid}/events",
            "method": "NotifyStatus",
            "params": status,
        }
        return OutgoingPublication(f"{self.uid}/events/rpc", as_json(message))
