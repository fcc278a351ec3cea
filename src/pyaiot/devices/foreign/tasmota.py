# SPDX-License-Identifier: BSD-3-Clause
"""A simulated Tasmota plug with a relay and a sensor. Pure."""

from collections.abc import Iterator
from typing import ClassVar

from pyaiot.devices.foreign.base import QUANTITIES, ForeignDevice, as_json
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.protocols.mqtt.packets import Will


class TasmotaNode(ForeignDevice):
    """See `ForeignDevice`. Its id is its topic."""

    prefix: ClassVar[str] = "tasmota_"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"cmnd/{self.uid}/#",)

    @property
    def will(self) -> Will:
        return Will(f"tele/{self.uid}/LWT", b"Offline", 1, retain=True)

    def describe(self) -> Iterator[OutgoingPublication]:
        mac = f"{hash_of(self.uid):012X}"
        config = {
            "dn": self.name,
            "fn": [self.name, *[None] * 7],
            "mac": mac,
            "md": "Simulated plug",
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": self.version,
            "t": self.uid,
            "ft": "%prefix%/%topic%/",
            "tp": ["cmnd", "stat", "tele"],
            "rl": [int(self.has_switch), *[0] * 7],
            "ver": 1,
        }
        yield OutgoingPublication(f"tele/{self.uid}/LWT", b"Online", retain=True)
        yield OutgoingPublication(f"tasmota/discovery/{mac}/config", as_json(config), retain=True)

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:
        power = "ON" if self.on else "OFF"
        if "switch" in changed:
            yield OutgoingPublication(f"stat/{self.uid}/RESULT", as_json({"POWER": power}))
            yield OutgoingPublication(f"stat/{self.uid}/POWER", power.encode())
        if changed - {"switch"}:
            sensor = {QUANTITIES[name].title: value for name, value in self.values.items()}
            message = {"Time": "1970-01-01T00:00:00", "BME280": sensor, "TempUnit": "C"}
            yield OutgoingPublication(f"tele/{self.uid}/SENSOR", as_json(message))

    def switch_to(self, topic: str, payload: bytes) -> bool | None:
        if topic.rpartition("/")[2].upper() not in {"POWER", "POWER1"}:
            return None
        words = {b"ON": True, b"1": True, b"OFF": False, b"0": False, b"TOGGLE": not self.on}
        return words.get(payload.upper())


def hash_of(text: str) -> int:
    """48 bits that depend on a text, in each process the same."""
    return int.from_bytes(text.encode()[:64].rjust(6, b"\0")[-6:], "big")
