# SPDX-License-Identifier: BSD-3-Clause
"""The units of foreign devices, and their SenML names. Pure."""

import functools
from typing import Any, Final, NamedTuple

from pyaiot.readings import read_quantity

UNIT_LENGTH_MAX: Final = 16
"""Longest unit, in characters. A longer one is ignored."""
UNITS_MAX: Final = 1024
"""Largest number of cached units. Beyond it the least recently used is dropped, and parsed again
when needed."""


class DeviceUnit(NamedTuple):
    """The unit of a resource of a foreign device."""

    senml: str
    """Its SenML name (RFC 8428 section 12.1, RFC 8798 section 3); empty if it has none."""
    printed: str = ""
    """The unit to append to each value, if the value must be converted; otherwise empty."""

    def reported(self, value: Any) -> Any:
        """A value as the gateway reports it: with its unit, if the unit must be converted."""
        if self.printed and isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value}{self.printed}"
        return value


NO_UNIT: Final = DeviceUnit("")


@functools.lru_cache(maxsize=UNITS_MAX)
def read_unit(unit: str, device_class: str = "") -> DeviceUnit:
    """Parse a unit. `device_class` decides the quantity of `%`: `humidity`, `battery`, otherwise a
    ratio."""
    unit = unit.strip()
    if not unit or len(unit) > UNIT_LENGTH_MAX or not unit.isprintable():
        return NO_UNIT
    resource = "humidity" if device_class == "moisture" else device_class
    one = read_quantity(f"1.5{unit}", resource)
    if one is None:
        return NO_UNIT
    return DeviceUnit(one.unit, "" if one.number == 1.5 else unit)


def unit_of(unit: object, device_class: str = "") -> DeviceUnit:
    """`read_unit` for a value of a device, which need not be text."""
    return read_unit(unit, device_class) if isinstance(unit, str) else NO_UNIT
