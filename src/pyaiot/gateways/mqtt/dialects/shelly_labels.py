# SPDX-License-Identifier: BSD-3-Clause
"""Labels of the values that Shelly devices report: `Power` for `switch:0` and `apower`. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pyaiot.gateways.mqtt.dialects.devices import LearnedDevice

_TEXTS: Final[Mapping[str, str]] = {
    # components and channels
    "switch": "Switch",
    "relay": "Switch",
    "light": "Light",
    "color": "Light",
    "white": "Light",
    "cover": "Cover",
    "roller": "Cover",
    "input": "Input",
    # values
    "apower": "Power",
    "act_power": "Power",
    "power": "Power",
    "total_act_power": "Total power",
    "aprt_power": "Apparent power",
    "total_aprt_power": "Total apparent power",
    "reactive_power": "Reactive power",
    "voltage": "Voltage",
    "current": "Current",
    "total_current": "Total current",
    "freq": "Frequency",
    "pf": "Power factor",
    "aenergy": "Energy",
    "energy": "Energy",
    "total": "Energy",
    "ret_aenergy": "Returned energy",
    "total_returned": "Returned energy",
    "temperature": "Temperature",
    "overtemperature": "Overtemperature",
    "humidity": "Humidity",
    "illuminance": "Illuminance",
    "lux": "Illuminance",
    "battery": "Battery",
    "brightness": "Brightness",
    "gain": "Brightness",
    "temp": "Colour temperature",
    "current_pos": "Position",
    "target_pos": "Target position",
    "pos": "Position",
    "uptime": "Uptime",
    "rssi": "Signal strength",
    "sta_ip": "IP address",
}
_PHASE: Final = re.compile(r"([abcn])_([a-z_]{1,24})")
"""Names of values of three phases: `a_voltage`."""
_SWITCHED: Final = frozenset({"switch", "relay", "light", "cover", "roller"})


def label_of_value(kind: str, names: Sequence[str]) -> str:
    """The label of a value of a component or channel; empty if the name of the resource is clear
    enough. `names`: the path to the value in the component; empty for the component itself."""
    if not names:
        return _TEXTS.get(kind, "")
    name = names[0]
    if kind in _SWITCHED and name == "temperature":
        return "Device temperature"
    if names == ("battery", "V"):
        return "Battery voltage"
    phase = _PHASE.fullmatch(name)
    if phase is not None and phase[2] in _TEXTS:
        return f"{_TEXTS[phase[2]]} {phase[1].upper()}"
    return _TEXTS.get(name, "")


class ChannelLabels:
    """The labels of a device. They include the channel number if several channels are of the same
    kind."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, tuple[int, str]]] = {}
        """Number and text by resource, as in the types of the device."""

    def add(
        self, device: LearnedDevice, resource: str, kind: str, number: int, names: Sequence[str]
    ) -> None:
        """Set the label of a resource with a new type."""
        text = label_of_value(kind, names)
        if not text:
            return
        labelled = self._by_kind.setdefault(kind, {})
        others = {each for each, _ in labelled.values()}
        labelled[resource] = number, text
        if others and others != {number}:
            if len(others) > 1:
                labelled = {resource: (number, text)}  # the other channels have theirs already
            for each, (its_number, its_text) in labelled.items():
                _label(device, each, f"{its_text} {its_number}")
        else:
            _label(device, resource, text)


def _label(device: LearnedDevice, resource: str, label: str) -> None:
    it = device.types.get(resource)
    if it is not None and it.label != label:
        device.types[resource] = msgspec.structs.replace(it, label=label)
        device.changed = True
