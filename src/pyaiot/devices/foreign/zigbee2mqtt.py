# SPDX-License-Identifier: BSD-3-Clause
"""A simulated Zigbee2MQTT bridge with one device. Pure."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pyaiot.devices.foreign.base import QUANTITIES, ForeignDevice, as_json, read_object
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.protocols.mqtt.packets import Will


class Zigbee2MqttNode(ForeignDevice):
    """See `ForeignDevice`. Its id is the IEEE address of the device, and its friendly name."""

    prefix: ClassVar[str] = "0x"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"zigbee2mqtt/{self.uid}/set",)

    @property
    def will(self) -> Will:
        return Will("zigbee2mqtt/bridge/state", as_json({"state": "offline"}), 1, retain=True)

    def describe(self) -> Iterator[OutgoingPublication]:
        exposes: list[dict[str, Any]] = [
            {
                "type": "numeric",
                "name": name,
                "property": name,
                "label": QUANTITIES[name].title,
                "access": 1,
                "unit": QUANTITIES[name].unit,
            }
            for name in self.values
        ]
        if self.has_switch:
            state = {
                "type": "binary",
                "name": "state",
                "property": "state",
                "access": 7,
                "value_on": "ON",
                "value_off": "OFF",
            }
            exposes.append({"type": "switch", "features": [state]})
        device = {
            "ieee_address": self.uid,
            "type": "Router",
            "supported": True,
            "disabled": False,
            "friendly_name": self.uid,
            "software_build_id": self.version,
            "definition": {"model": "SIM-1", "vendor": "Pyaiot", "exposes": exposes},
        }
        online = as_json({"state": "online"})
        yield OutgoingPublication("zigbee2mqtt/bridge/state", online, retain=True)
        yield OutgoingPublication("zigbee2mqtt/bridge/devices", as_json([device]), retain=True)
        yield OutgoingPublication(f"zigbee2mqtt/{self.uid}/availability", online, retain=True)

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:  # noqa: ARG002
        state: dict[str, Any] = {**self.values}
        if self.has_switch:
            state["state"] = "ON" if self.on else "OFF"
        yield OutgoingPublication(f"zigbee2mqtt/{self.uid}", as_json(state))

    def switch_to(self, topic: str, payload: bytes) -> bool | None:  # noqa: ARG002
        state = read_object(payload).get("state")
        words = {"ON": True, "OFF": False, "TOGGLE": not self.on}
        return words.get(state.upper()) if isinstance(state, str) else None
