# SPDX-License-Identifier: BSD-3-Clause
"""Tables of well-known resource names and units."""

from typing import Final

from pyaiot.model.types import ResourceType
from pyaiot.readings import TEXT_RESOURCES

KNOWN: Final[dict[str, ResourceType]] = {
    # Resources that the dashboard displays in a special way.
    "led": ResourceType(kind="boolean", writable=True, device_class="light"),
    "robot": ResourceType(kind="command", choices=("u", "l", "r", "s"), writable=True),
    "ribot": ResourceType(kind="command", writable=True),
    "js": ResourceType(kind="text", writable=True),
    "position": ResourceType(kind="position", writable=False),
    "imu": ResourceType(kind="vector", writable=False),
    **{
        name: ResourceType(kind="text", writable=False)
        for name in sorted(TEXT_RESOURCES - {"js", "text"})
    },
    "text": ResourceType(kind="text"),
}
"""Types by the complete name of the resource."""

SWITCHES: Final[dict[str, ResourceType]] = {
    word: ResourceType(kind="boolean", writable=writable, device_class=device_class)
    for word, writable, device_class in (
        ("led", True, "light"),
        ("lamp", True, "light"),
        ("light", True, "light"),
        ("bulb", True, "light"),
        ("relay", True, "switch"),
        ("switch", True, "switch"),
        ("plug", True, "outlet"),
        ("outlet", True, "outlet"),
        ("socket", True, "outlet"),
        ("pump", True, "switch"),
        ("heater", True, "switch"),
        ("fan", True, "switch"),
        ("buzzer", True, "switch"),
        ("siren", True, "switch"),
        ("valve", True, "switch"),
        ("motion", False, "motion"),
        ("pir", False, "motion"),
        ("presence", False, "presence"),
        ("occupancy", False, "occupancy"),
        ("contact", False, "opening"),
        ("window", False, "window"),
        ("leak", False, "moisture"),
        ("smoke", False, "smoke"),
        ("tamper", False, "tamper"),
        ("vibration", False, "vibration"),
        ("alarm", None, "problem"),
    )
}
"""Types by a word of the name, for values that are a word for true or false."""

CLASS_BY_WORD: Final[dict[str, str]] = {
    "temperature": "temperature",
    "temp": "temperature",
    "humidity": "humidity",
    "pressure": "pressure",
    "illuminance": "illuminance",
    "lux": "illuminance",
    "battery": "battery",
    "co2": "carbon_dioxide",
    "eco2": "carbon_dioxide",
    "tvoc": "volatile_organic_compounds_parts",
    "voc": "volatile_organic_compounds_parts",
    "pm25": "pm25",
    "pm10": "pm10",
    "voltage": "voltage",
    "current": "current",
    "power": "power",
    "energy": "energy",
    "frequency": "frequency",
    "rssi": "signal_strength",
    "distance": "distance",
    "moisture": "moisture",
    "weight": "weight",
    "speed": "speed",
    "duration": "duration",
    "uptime": "duration",
}
"""Device class of a number by a word of its name, if its unit belongs to that class."""

UNITS_OF_CLASS: Final[dict[str, frozenset[str]]] = {
    "temperature": frozenset({"Cel", "K"}),
    "humidity": frozenset({"%RH", "/100"}),
    "pressure": frozenset({"hPa", "Pa"}),
    "illuminance": frozenset({"lx"}),
    "battery": frozenset({"%EL", "/100"}),
    "carbon_dioxide": frozenset({"ppm"}),
    "volatile_organic_compounds_parts": frozenset({"ppb", "ppm"}),
    "pm25": frozenset({"ug/m3"}),
    "pm10": frozenset({"ug/m3"}),
    "voltage": frozenset({"V", "mV"}),
    "current": frozenset({"A", "mA"}),
    "power": frozenset({"W", "kW"}),
    "energy": frozenset({"Wh", "kWh", "J"}),
    "frequency": frozenset({"Hz", "MHz"}),
    "signal_strength": frozenset({"dBm", "dB"}),
    "distance": frozenset({"m", "mm", "cm", "km"}),
    "moisture": frozenset({"/100"}),
    "weight": frozenset({"kg", "g"}),
    "speed": frozenset({"m/s", "km/h"}),
    "duration": frozenset({"s", "min", "h", "ms"}),
}

CLASS_BY_UNIT: Final[dict[str, str]] = {
    "Cel": "temperature",
    "%RH": "humidity",
    "%EL": "battery",
    "hPa": "pressure",
    "Pa": "pressure",
    "lx": "illuminance",
    "V": "voltage",
    "mV": "voltage",
    "A": "current",
    "mA": "current",
    "W": "power",
    "kW": "power",
    "Wh": "energy",
    "kWh": "energy",
    "VA": "apparent_power",
    "var": "reactive_power",
    "Hz": "frequency",
    "MHz": "frequency",
    "dBm": "signal_strength",
    "W/m2": "irradiance",
    "mm/h": "precipitation_intensity",
    "m/s": "speed",
    "km/h": "speed",
    "pH": "ph",
}
"""Device class of a number by its unit, for units with only one meaning."""


def class_of(unit: str, words: tuple[str, ...]) -> str:
    """The device class of a number with this unit; empty if neither unit nor name indicates one."""
    for word in reversed(words):
        found = CLASS_BY_WORD.get(word, "")
        if found and unit in UNITS_OF_CLASS[found]:
            return found
    return CLASS_BY_UNIT.get(unit, "")
