# SPDX-License-Identifier: BSD-3-Clause
"""A simulated Homie device, version 5. Pure."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pyaiot.devices.foreign.base import QUANTITIES, ForeignDevice, as_json
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.protocols.mqtt.packets import Will


class HomieNode(ForeignDevice):
    """See `ForeignDevice`. Its id is that of the Homie device."""

    prefix: ClassVar[str] = "sim-"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"homie/5/{self.uid}/+/+/set",)

    @property
    def will(self) -> Will:
        return Will(f"homie/5/{self.uid}/$state", b"lost", 1, retain=True)

    def describe(self) -> Iterator[OutgoingPublication]:
        properties: dict[str, Any] = {
            name: {
                "name": QUANTITIES[name].title,
                "datatype": "float",
                "unit": QUANTITIES[name].unit,
            }
            for name in self.values
        }
        if self.has_switch:
            properties["switch"] = {"name": "Switch", "datatype": "boolean", "settable": True}
        description = {
            "homie": "5.0",
            "version": 1,
            "name": self.name,
            "nodes": {"main": {"name": "Main", "properties": properties}},
        }
        yield OutgoingPublication(f"homie/5/{self.uid}/$state", b"init", retain=True)
        yield OutgoingPublication(
            f"homie/5/{self.uid}/$description", as_json(description), retain=True
        )
        yield OutgoingPublication(f"homie/5/{self.uid}/$state", b"ready", retain=True)

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:
        for name in changed:
            text = str(self.on).lower() if name == "switch" else str(self.values[name])
            topic = f"homie/5/{self.uid}/main/{name}"
            yield OutgoingPublication(topic, text.encode(), retain=True)

    def switch_to(self, topic: str, payload: bytes) -> bool | None:
        if not topic.endswith("/main/switch/set"):
            return None
        return {b"true": True, b"false": False}.get(payload)
