# SPDX-License-Identifier: BSD-3-Clause
"""Units and device classes of Home Assistant for the units of SenML. Pure.

Home Assistant refuses a class that it does not know, and warns of a unit that does not belong to
the class. https://www.home-assistant.io/integrations/sensor/#device-class lists both.
"""

from typing import Final, NamedTuple


class Unit(NamedTuple):
    """How Home Assistant represents a SenML unit."""

    text: str
    """Unit of measurement; empty: none."""
    device_class: str = ""
    """Device class, if the unit implies one."""
    others: tuple[str, ...] = ()
    """Further device classes that this unit may have, if metadata names one."""
    factor: float = 1.0
    """Factor by which a number is multiplied."""


_VOLUMES: Final = ("volume", "water", "gas")
_MASSES: Final = ("pm1", "pm10", "pm25", "ozone", "nitrogen_dioxide", "sulphur_dioxide")

UNITS: Final[dict[str, Unit]] = {
    "": Unit("", others=("aqi", "ph", "power_factor")),
    "Cel": Unit("°C", "temperature"),
    "K": Unit("K", "temperature"),
    "%RH": Unit("%", "humidity", ("moisture",)),
    "%EL": Unit("%", "battery"),
    "/100": Unit("%", others=("battery", "humidity", "moisture", "power_factor")),
    "/1000": Unit("‰"),
    "Pa": Unit("Pa", "pressure", ("atmospheric_pressure",)),
    "hPa": Unit("hPa", "pressure", ("atmospheric_pressure",)),
    "lx": Unit("lx", "illuminance"),
    "lm": Unit("lm"),
    "cd": Unit("cd"),
    "W": Unit("W", "power"),
    "kW": Unit("kW", "power"),
    "VA": Unit("VA", "apparent_power"),
    "kVA": Unit("VA", "apparent_power", factor=1000.0),
    "var": Unit("var", "reactive_power"),
    "kvar": Unit("var", "reactive_power", factor=1000.0),
    "V": Unit("V", "voltage"),
    "mV": Unit("mV", "voltage"),
    "A": Unit("A", "current"),
    "mA": Unit("mA", "current"),
    "Hz": Unit("Hz", "frequency"),
    "MHz": Unit("MHz", "frequency"),
    "Wh": Unit("Wh", "energy", ("energy_storage",)),
    "kWh": Unit("kWh", "energy", ("energy_storage",)),
    "J": Unit("J", "energy", ("energy_storage",)),
    "Ah": Unit("Ah"),
    "Ohm": Unit("Ω"),
    "T": Unit("T"),
    "m": Unit("m", "distance"),
    "cm": Unit("cm", "distance"),
    "mm": Unit("mm", "distance", ("precipitation",)),
    "km": Unit("km", "distance"),
    "m/s": Unit("m/s", "speed", ("wind_speed",)),
    "km/h": Unit("km/h", "speed", ("wind_speed",)),
    "mm/h": Unit("mm/h", "precipitation_intensity"),
    "m/h": Unit("m/h"),
    "m/s2": Unit("m/s²"),
    "m2": Unit("m²"),
    "kg": Unit("kg", "weight"),
    "s": Unit("s", "duration"),
    "ms": Unit("ms", "duration"),
    "min": Unit("min", "duration"),
    "h": Unit("h", "duration"),
    "l": Unit("L", "volume_storage", _VOLUMES[:2]),
    "m3": Unit("m³", "volume_storage", _VOLUMES),
    "m3/s": Unit("m³/s"),
    "l/s": Unit("L/s"),
    "kg/m3": Unit("kg/m³"),
    "ug/m3": Unit("µg/m³", others=_MASSES),
    "ppm": Unit(
        "ppm",
        others=("carbon_dioxide", "carbon_monoxide", "volatile_organic_compounds_parts"),
    ),
    "ppb": Unit("ppb", others=("volatile_organic_compounds_parts",)),
    "ppt": Unit("ppt"),
    "dB": Unit("dB", others=("sound_pressure", "signal_strength")),
    "dBm": Unit("dBm", "signal_strength"),
    "bit": Unit("bit", "data_size"),
    "B": Unit("B", "data_size"),
    "KiB": Unit("KiB", "data_size"),
    "GB": Unit("GB", "data_size"),
    "bit/s": Unit("bit/s", "data_rate"),
    "Mbit/s": Unit("Mbit/s", "data_rate"),
    "B/s": Unit("B/s", "data_rate"),
    "MB/s": Unit("MB/s", "data_rate"),
    "W/m2": Unit("W/m²", "irradiance"),
    "S/m": Unit("mS/cm", "conductivity", factor=10.0),
    "pH": Unit("", "ph"),
    "deg": Unit("°"),
    "rad": Unit("rad"),
    "lat": Unit("°"),
    "lon": Unit("°"),
    "beat/min": Unit("bpm"),
    "1/min": Unit("rpm"),
    "count": Unit(""),
}
"""By SenML unit. Any other unit is unchanged and has no device class."""

TOTALS: Final = frozenset({"energy", "gas", "water", "volume"})
"""Classes of meters, which only count up: Home Assistant does not allow `measurement` for them."""

BINARY_CLASSES: Final = frozenset(
    {"battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door"}
    | {"garage_door", "gas", "heat", "light", "lock", "moisture", "motion", "moving", "occupancy"}
    | {"opening", "plug", "power", "presence", "problem", "running", "safety", "smoke", "sound"}
    | {"tamper", "update", "vibration", "window"}
)
SWITCH_CLASSES: Final = frozenset({"outlet", "switch"})
BUTTON_CLASSES: Final = frozenset({"identify", "restart", "update"})


def unit_of(senml: str) -> Unit:
    """How Home Assistant represents this unit."""
    return UNITS.get(senml) or Unit(senml)


def number_class(unit: Unit, stated: str) -> str:
    """The device class of a number: the stated one if the unit allows it, otherwise that of the
    unit.
    """
    return stated if stated in unit.others else unit.device_class
