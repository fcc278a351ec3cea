# SPDX-License-Identifier: BSD-3-Clause
"""Number and unit of device text: `"23.5°C"` is 23.5, `Cel`. Pure.

The whole text must be a number, followed by nothing or by a known unit. Any other text stays text,
so that no chart shows a number that the device did not send as one.
"""

import functools
import math
import re
from decimal import Decimal
from typing import Final

import msgspec

TEXT_LENGTH_MAX: Final = 64
"""Characters of text that is examined. Longer text is not a quantity."""

TEXTS_MAX: Final = 4096
"""Texts whose quantity is remembered, because sensors repeat their values. Beyond that, the one
that was not used for the longest time is forgotten, and read again when it returns."""

TEXT_RESOURCES: Final = frozenset(
    {"board", "id", "ip", "js", "mcu", "name", "os", "protocol"}
    | {"text", "twitter", "vendor", "version", "webcam"}
)
"""Resources that are text by nature: the version `2026.07` is not a quantity."""
INTEGER_MAX: Final = 2**53
"""Beyond this, positive or negative, a double does not represent every integer. Such an integer
stays text, so that identifiers are not rounded."""


class Quantity(msgspec.Struct, frozen=True, gc=False):
    """A finite number and its unit.

    `unit` is a name of the SenML registries (units: RFC 8428 section 12.1; secondary units, such
    as `hPa` and `mV`: RFC 8798 section 3), or "" for a number that came without a unit.
    """

    number: float
    unit: str


def read_quantity(data: object, resource: str = "") -> Quantity | None:
    """Return the quantity that `data`, a value of `resource`, states, or None if it states none.

    `data` is any JSON value. A JSON number is a quantity without unit; a boolean, NaN, an
    infinity and an integer beyond `INTEGER_MAX` are not. Text is `[sign] digits [. digits]
    [exponent] [unit]`. The exponent needs a sign (`1e-05`; `12e45` is more often a hash). White
    space is allowed around each part. A fraction is read as printed: `1007.7hPa` is 1007.7.
    Never raises.

    If its unit is registered (`hPa`, `mV`, `ppm`), the number is the printed one, else it is
    converted to a registered unit (`kPa` and `bar` to `hPa`, `°F` to `Cel`, `g/m3` to
    `kg/m3`). `resource` resolves ambiguous units: `%` of `humidity` is `%RH`, of
    `battery` `%EL`, of anything else `/100`, because the `%` of RFC 8428 is a ratio from 0 to 1;
    `C` and `F` are degrees for `temperature` and unknown elsewhere, where they may be coulomb
    and farad. TEXT_RESOURCES have no quantity.

    Identifiers are not quantities: digits with a leading zero and no unit (`0042`), and an unsigned
    integer directly followed by a unit of one letter (`12B`, `5A`, `3h`), unless the name of the
    resource contains a word for a quantity (`current`, `uptime`).
    """
    if type(data) is str:
        return read_text(data, resource)[1] if len(data) <= TEXT_LENGTH_MAX else None
    return None if resource in TEXT_RESOURCES else _read_json_number(data)


@functools.lru_cache(maxsize=TEXTS_MAX)
def read_text(data: str, resource: str) -> tuple[str, Quantity | None]:
    """A text of at most `TEXT_LENGTH_MAX` characters, and its quantity, see `read_quantity`.

    Readings with equal texts share one of them, which has 80 bytes.
    """
    return data, _quantity_of(data, resource)


def _quantity_of(data: str, resource: str) -> Quantity | None:
    if resource in TEXT_RESOURCES:
        return None
    match = _NUMBER_AND_UNIT.fullmatch(data)
    if match is None:
        return None
    digits, space, printed_unit = match.groups()
    if _is_identifier(digits, space, printed_unit, resource):
        return None
    unit = _REGISTERED_BY_SPELLING.get(printed_unit)
    if unit is None:
        return _read_unregistered(digits, printed_unit, resource)
    return _finite(float(digits), unit)


def _read_json_number(data: object) -> Quantity | None:
    if isinstance(data, bool) or not isinstance(data, int | float):
        return None
    if isinstance(data, int) and abs(data) > INTEGER_MAX:
        return None
    return _finite(float(data), "")


def _is_identifier(digits: str, space: str, printed_unit: str, resource: str) -> bool:
    """Whether the digits are an identifier, or an integer that a double cannot represent."""
    unsigned = digits.lstrip("+")
    if not unsigned.removeprefix("-").isdigit():
        return False  # a fraction or an exponent
    if len(unsigned) >= _INTEGER_LENGTH and abs(int(unsigned)) > INTEGER_MAX:
        return True
    if not printed_unit:
        return len(unsigned) > 1 and unsigned[0] == "0"
    if space or not digits.isdigit() or printed_unit not in _UNITS_LIKE_IDENTIFIERS:
        return False
    name = resource.lower()
    return name != "" and not any(word in name for word in _WORDS_FOR_QUANTITIES)


def _read_unregistered(digits: str, printed_unit: str, resource: str) -> Quantity | None:
    """Read a unit that must be converted, or that is ambiguous without its resource."""
    if printed_unit == "%":
        return _finite(float(digits), _PERCENTAGE_BY_RESOURCE.get(resource, "/100"))
    if resource == "temperature":
        printed_unit = _DEGREES_BY_LETTER.get(printed_unit, printed_unit)
    conversion = _CONVERSION_BY_SPELLING.get(printed_unit)
    if conversion is None:
        return None
    unit, factor, offset = conversion
    return _finite(float(Decimal(digits) * factor + offset), unit)


def _finite(number: float, unit: str) -> Quantity | None:
    return Quantity(number, unit) if math.isfinite(number) else None


# White space, including the no-break and thin spaces that typography puts before a unit.
_SPACE: Final = "[ \t\r\n\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}]*+"
# Possessive quantifiers: a text is scanned once. ASCII digits only: `\d` matches digits of every
# script. Three digits of exponent exceed the range of a double and stay within that of Decimal.
_NUMBER_AND_UNIT: Final = re.compile(
    rf"{_SPACE}([+-]?+[0-9]++(?:\.[0-9]++)?(?:[eE][+-][0-9]{{1,3}}+)?)({_SPACE})(\S*+){_SPACE}"
)
_INTEGER_LENGTH: Final = len(str(INTEGER_MAX))
# `cd` ends many hexadecimal numbers.
_UNITS_LIKE_IDENTIFIERS: Final = frozenset([*"ABHJKLTVWhlms", "cd"])
_WORDS_FOR_QUANTITIES: Final = frozenset(
    {"altitude", "ampere", "amps", "average", "bat", "brightness", "bytes", "capacity", "charge"}
    | {"consum", "current", "delay", "depth", "distance", "duration", "elevation", "energy"}
    | {"flash", "flow", "flux", "free", "heap", "height", "hour", "illum", "inductance"}
    | {"intensity", "interval", "length", "litre", "liter", "load", "lumin", "memory", "period"}
    | {"power", "pressure", "range", "runtime", "second", "size", "speed", "stack", "storage"}
    | {"supply", "temp", "tension", "time", "total", "usage", "used", "vcc", "vdd", "vin", "volt"}
    | {"volume", "water", "watt", "width"}
)

_ALTERNATIVES: Final = {
    "µ": ("µ", "\N{GREEK SMALL LETTER MU}", "u"),
    "Ω": ("Ω", "\N{OHM SIGN}", "Ohm", "ohm"),
    "°": ("°", "\N{MASCULINE ORDINAL INDICATOR}", "deg"),
    "²": ("²", "^2", "2"),
    "³": ("³", "^3", "3"),
}


def _spellings(unit: str) -> list[str]:
    """Return the ways in which devices print `unit`, a unit in its typographic form."""
    spellings = [""]
    for letter in unit:
        endings = _ALTERNATIVES.get(letter, (letter,))
        spellings = [start + end for start in spellings for end in endings]
    return spellings


# RFC 8428 section 12.1, RFC 8798 sections 2 and 3, and `ppb` and `ppt` of the IANA registry.
# Omitted are names that devices use for something else (`C` and `F`; `g` is gram or gravity; `N`
# and `S` are compass points; `%`) or that cannot be separated from the digits before them (`/`,
# `1/s`, `/100`).
_REGISTERED_UNITS: Final = """
    m kg s A K cd mol Hz rad sr Pa J W V Ohm Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2
    m3/s l/s W/m2 cd/m2 bit bit/s lat lon pH dB dBW Bspl count %RH %EL beat/min beats S/m
    B VA VAs var vars J/m kg/m3 deg
    ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm
    ug/m3 mm/h m/h ppm ppb ppt hPa mm cm km km/h
"""

_REGISTERED_BY_SPELLING: Final[dict[str, str]] = {
    "": "",
    **{unit: unit for unit in _REGISTERED_UNITS.split()},
    **{
        spelling: registered
        for unit, registered in (
            ("°C", "Cel"),
            ("℃", "Cel"),
            ("lux", "lx"),
            ("Lux", "lx"),
            ("Ω", "Ohm"),
            ("°", "deg"),
            ("m²", "m2"),
            ("m³", "m3"),
            ("L", "l"),
            ("m/s²", "m/s2"),
            ("m³/s", "m3/s"),
            ("W/m²", "W/m2"),
            ("cd/m²", "cd/m2"),
            ("kg/m³", "kg/m3"),
            ("µg/m³", "ug/m3"),
            ("mbar", "hPa"),
            ("bpm", "beat/min"),
            ("rpm", "1/min"),
            ("‰", "/1000"),
        )
        for spelling in _spellings(unit)
    },
}

_PERCENTAGE_BY_RESOURCE: Final = {"humidity": "%RH", "battery": "%EL"}
_DEGREES_BY_LETTER: Final = {"C": "°C", "F": "°F"}

# Spelling → registered unit, factor, offset. Decimal, so that 100.77kPa is 1007.7 hPa and not
# 1007.6999999999999.
_CONVERSION_BY_SPELLING: Final[dict[str, tuple[str, Decimal, Decimal]]] = {
    "°C": ("Cel", Decimal(1), Decimal(0)),  # from _DEGREES_BY_LETTER
    **{
        spelling: (registered, Decimal(factor), Decimal(0))
        for unit, registered, factor in (
            ("kPa", "hPa", "10"),
            ("bar", "hPa", "1000"),
            ("Bar", "hPa", "1000"),
            ("g/m³", "kg/m3", "0.001"),
            ("mg/m³", "ug/m3", "1000"),
            ("µV", "mV", "0.001"),
            ("kV", "V", "1000"),
            ("µA", "mA", "0.001"),
            ("mAh", "Ah", "0.001"),
            ("mW", "W", "0.001"),
            ("kJ", "J", "1000"),
            ("µs", "ms", "0.001"),
            ("µm", "mm", "0.001"),
            ("kHz", "Hz", "1000"),
            ("GHz", "MHz", "1000"),
            ("kΩ", "Ohm", "1000"),
            ("MΩ", "Ohm", "1000000"),
            ("klx", "lx", "1000"),
            ("µT", "T", "0.000001"),
            ("mT", "T", "0.001"),
            ("µS/cm", "S/m", "0.0001"),
            ("mS/cm", "S/m", "0.1"),
            ("ml", "l", "0.001"),
            ("mL", "l", "0.001"),
            ("kB", "B", "1000"),
            ("MiB", "KiB", "1024"),
            ("kbit/s", "bit/s", "1000"),
        )
        for spelling in _spellings(unit)
    },
    **dict.fromkeys(
        (*_spellings("°F"), "℉"), ("Cel", Decimal(5) / Decimal(9), Decimal(-160) / Decimal(9))
    ),
}
