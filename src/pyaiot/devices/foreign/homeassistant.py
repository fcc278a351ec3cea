# SPDX-License-Identifier: BSD-3-Clause
"""A simulated device that announces itself with Home Assistant discovery. Pure."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pyaiot.devices.foreign.base import QUANTITIES, ForeignDevice, as_json
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.protocols.mqtt.packets import Will


class HomeAssistantNode(ForeignDevice):
    """See `ForeignDevice`. Its id is its identifier, and the first level of its topics."""

    prefix: ClassVar[str] = "sim-"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"{self.uid}/switch/set",)

    @property
    def will(self) -> Will:
        return Will(f"{self.uid}/status", b"offline", 1, retain=True)

    def describe(self) -> Iterator[OutgoingPublication]:
        components: dict[str, Any] = {
            name: {
                "p": "sensor",
                "name": QUANTITIES[name].title,
                "uniq_id": f"{self.uid}_{name}",
                "stat_t": "~/state",
                "val_tpl": f"{{{{ value_json.{name} | float }}}}",
                "dev_cla": name,
                "stat_cla": "measurement",
                "unit_of_meas": QUANTITIES[name].unit,
            }
            for name in self.values
        }
        if self.has_switch:
            components["switch"] = {
                "p": "switch",
                "name": "Switch",
                "uniq_id": f"{self.uid}_switch",
                "stat_t": "~/switch",
                "cmd_t": "~/switch/set",
            }
        config = {
            "~": self.uid,
            "dev": {
                "ids": [self.uid],
                "name": self.name,
                "mf": "Simulated",
                "mdl": "SIM-1",
                "sw": self.version,
            },
            "o": {"name": "simulated"},
            "cmps": components,
            "avty_t": "~/status",
        }
        yield OutgoingPublication(
            f"homeassistant/device/{self.uid}/config", as_json(config), retain=True
        )
        yield OutgoingPublication(f"{self.uid}/status", b"online", retain=True)

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:
        if "switch" in changed:
            state = b"ON" if self.on else b"OFF"
            yield OutgoingPublication(f"{self.uid}/switch", state, retain=True)
        if changed - {"switch"}:
            yield OutgoingPublication(f"{self.uid}/state", as_json(self.values))

    def switch_to(self, topic: str, payload: bytes) -> bool | None:  # noqa: ARG002
        return {b"ON": True, b"OFF": False}.get(payload)
