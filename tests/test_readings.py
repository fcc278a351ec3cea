# SPDX-License-Identifier: BSD-3-Clause
"""What devices print, and the number and unit that it states."""

import json
import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import readings
from pyaiot.messages import Reading
from pyaiot.readings import TEXT_LENGTH_MAX, TEXT_RESOURCES, Quantity, read_quantity


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("23.5°C", 23.5, "Cel"),
        ("-0.5°C", -0.5, "Cel"),
        ("+7 °C", 7.0, "Cel"),
        ("23.5\N{NO-BREAK SPACE}°C", 23.5, "Cel"),
        ("23.5℃", 23.5, "Cel"),
        ("23.5\N{MASCULINE ORDINAL INDICATOR}C", 23.5, "Cel"),
        ("23.5degC", 23.5, "Cel"),
        ("300K", 300.0, "K"),
        ("1006.60hPa", 1006.6, "hPa"),
        ("1007.7hPa", 1007.7, "hPa"),
        ("101325Pa", 101325.0, "Pa"),
        ("1013.25 mbar", 1013.25, "hPa"),
        ("120lx", 120.0, "lx"),
        ("120 lux", 120.0, "lx"),
        ("3.3V", 3.3, "V"),
        ("3300mV", 3300.0, "mV"),
        ("20mA", 20.0, "mA"),
        ("1.5A", 1.5, "A"),
        ("60W", 60.0, "W"),
        ("12.5Wh", 12.5, "Wh"),
        ("1.2kWh", 1.2, "kWh"),
        ("400ppm", 400.0, "ppm"),
        ("12ppb", 12.0, "ppb"),
        ("9.81m/s2", 9.81, "m/s2"),
        ("9.81 m/s²", 9.81, "m/s2"),
        ("-71dBm", -71.0, "dBm"),
        ("2s", 2.0, "s"),
        ("250ms", 250.0, "ms"),
        ("5min", 5.0, "min"),
        ("50Hz", 50.0, "Hz"),
        ("868MHz", 868.0, "MHz"),
        ("1.8m", 1.8, "m"),
        ("15mm", 15.0, "mm"),
        ("3cm", 3.0, "cm"),
        ("42km", 42.0, "km"),
        ("12.5µg/m³", 12.5, "ug/m3"),
        ("470Ω", 470.0, "Ohm"),
        ("470\N{OHM SIGN}", 470.0, "Ohm"),
        ("7.2pH", 7.2, "pH"),
        ("90°", 90.0, "deg"),
        ("45%RH", 45.0, "%RH"),
        ("5‰", 5.0, "/1000"),
        ("1500rpm", 1500.0, "1/min"),
        ("5 m", 5.0, "m"),
    ],
)
def test_a_registered_unit_keeps_the_printed_number(text: str, number: float, unit: str) -> None:
    assert read_quantity(text) == Quantity(number, unit)


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("100.77kPa", 1007.7, "hPa"),
        ("1.01325bar", 1013.25, "hPa"),
        ("1.01325Bar", 1013.25, "hPa"),
        ("32°F", 0.0, "Cel"),
        ("212 °F", 100.0, "Cel"),
        ("-40℉", -40.0, "Cel"),
        ("98.6degF", 37.0, "Cel"),
        ("0.05g/m3", 0.00005, "kg/m3"),
        ("0.05 g/m³", 0.00005, "kg/m3"),
        ("1.1mg/m3", 1100.0, "ug/m3"),
        ("1500µA", 1.5, "mA"),
        ("1500\N{GREEK SMALL LETTER MU}A", 1.5, "mA"),
        ("1500uA", 1.5, "mA"),
        ("2.4GHz", 2400.0, "MHz"),
        ("32.768kHz", 32768.0, "Hz"),
        ("4.7kΩ", 4700.0, "Ohm"),
        ("4.7kOhm", 4700.0, "Ohm"),
        ("2100mAh", 2.1, "Ah"),
        ("45.2µT", 0.0000452, "T"),
        ("2MiB", 2048.0, "KiB"),
    ],
)
def test_an_unregistered_unit_is_converted_without_a_rounding_error(
    text: str, number: float, unit: str
) -> None:
    assert read_quantity(text) == Quantity(number, unit)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("-12", -12.0),
        ("3.25", 3.25),
        (" 42\r\n", 42.0),
        ("1e-05", 0.00001),
        ("1.5E+3", 1500.0),
        ("-05", -5.0),
        ("05.5", 5.5),
        ("9007199254740992", 9007199254740992.0),
    ],
)
def test_a_plain_number_has_an_empty_unit(text: str, number: float) -> None:
    assert read_quantity(text) == Quantity(number, "")


@pytest.mark.parametrize(
    "text",
    [
        "--327.-6°C",
        "42949672.-1hPa",
        '{"lat":48.714784,"lng":2.205502}',
        '[{"type":"acc","values":[304,488,448]},{"type":"gyro","values":[1,0,0]}]',
        "[1]",
        '"23.5"',
        "true",
        "null",
        "",
        " ",
        "°C",
        "%",
        "-",
        ".",
        ".5V",
        "5.",
        "5.V",
        "-.5",
        "1007.-7",
        "- 5",
        "+-5",
        "1,5°C",
        "1 000",
        "1_000",
        "0x1F",
        "12e45",
        "1e5",
        "1e-",
        "1e-1000",
        "1e+3001",
        "1e+999",
        "1e+308kV",
        "nan",
        "inf",
        "-Infinity",
        "NaN°C",
        "12:30",
        "2026-10-02",
        "192.168.1.1",
        "1.2.3",
        "fe80::1",
        "1/2",
        "5/100",
        "51/min",
        "23.5°C\x00",
        "8\x1f",
        "23.5°C 40%",
        "23.5 ° C",
        "5 parsec",
        "12g",
        "48.7N",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "\N{FULLWIDTH DIGIT FIVE}V",
        "5\N{SUPERSCRIPT TWO}",
        "\N{MINUS SIGN}5°C",
        "\ud800",
        "led:1",
        "ok",
    ],
)
def test_odd_text_stays_text(text: str) -> None:
    assert read_quantity(text) is None


def test_a_percentage_is_named_by_its_resource() -> None:
    assert read_quantity("40.82%", "humidity") == Quantity(40.82, "%RH")
    assert read_quantity("0.00%", "humidity") == Quantity(0.0, "%RH")
    assert read_quantity("87 %", "battery") == Quantity(87.0, "%EL")
    # RFC 8428 section 12.1: its `%` is a ratio from 0 to 1; RFC 8798 registers `/100`.
    assert read_quantity("0.00%") == Quantity(0.0, "/100")
    assert read_quantity("40.82%", "dwnld") == Quantity(40.82, "/100")


@pytest.mark.parametrize("letter", ["C", "F"])
def test_a_bare_letter_is_degrees_only_for_a_temperature(letter: str) -> None:
    assert read_quantity(f"50{letter}") is None
    assert read_quantity(f"50{letter}", "charge") is None
    expected = {"C": 50.0, "F": 10.0}[letter]
    assert read_quantity(f"50{letter}", "temperature") == Quantity(expected, "Cel")


@pytest.mark.parametrize(
    "text",
    [
        *("007", "000012300007", " 00 ", "+0033612345678", "012B"),
        *("9007199254740993", "-9007199254740993", "9007199254740993 B", "1" * 40),
    ],
)
def test_integers_that_a_double_would_round_stay_text(text: str) -> None:
    assert read_quantity(text, "serial") is None


@pytest.mark.parametrize("text", ["5A", "12B", "3h", "7m", "42s", "1K", "9V", "300W", "2l", "04cd"])
@pytest.mark.parametrize("resource", ["room", "seat", "gate", "Serial-No", "revision", "sku"])
def test_an_id_that_looks_like_a_quantity_stays_text(text: str, resource: str) -> None:
    assert read_quantity(text, resource) is None


@pytest.mark.parametrize(
    ("text", "resource", "number", "unit"),
    [
        ("5A", "current", 5.0, "A"),
        ("5A", "motorCurrent", 5.0, "A"),
        ("5A", "", 5.0, "A"),
        ("12B", "free_memory", 12.0, "B"),
        ("3h", "uptime", 3.0, "h"),
        ("9V", "vbat", 9.0, "V"),
        ("7m", "distance", 7.0, "m"),
        ("5.5A", "pump", 5.5, "A"),
        ("-5A", "pump", -5.0, "A"),
        ("5 A", "pump", 5.0, "A"),
        ("5mA", "pump", 5.0, "mA"),
        ("05°C", "room", 5.0, "Cel"),
    ],
)
def test_a_quantity_is_recognised_by_its_name_its_fraction_or_its_unit(
    text: str, resource: str, number: float, unit: str
) -> None:
    assert read_quantity(text, resource) == Quantity(number, unit)


@pytest.mark.parametrize("resource", sorted(TEXT_RESOURCES))
def test_resources_that_are_text_by_nature_have_no_quantity(resource: str) -> None:
    assert read_quantity("2026.07", resource) is None
    assert read_quantity(2026.07, resource) is None


@pytest.mark.parametrize(
    ("data", "number"),
    [(0, 0.0), (-5, -5.0), (23.5, 23.5), (1e308, 1e308), (2**53, 2.0**53), (-0.0, 0.0)],
)
def test_a_json_number_is_a_quantity_without_unit(data: object, number: float) -> None:
    assert read_quantity(data, "temperature") == Quantity(number, "")


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        False,
        math.nan,
        math.inf,
        -math.inf,
        pytest.param(10**5000, id="integer of 5,000 digits"),
        pytest.param(-(10**309), id="integer beyond a double"),
        2**53 + 1,
        -(2**53) - 1,
        [],
        [1],
        {},
        {"value": 1},
        b"23.5",
        object(),
    ],
)
def test_other_json_values_are_not_quantities(data: object) -> None:
    assert read_quantity(data) is None


def test_text_beyond_the_limit_is_refused() -> None:
    longest = "1".rjust(TEXT_LENGTH_MAX)
    assert read_quantity(longest) == Quantity(1.0, "")
    assert read_quantity(" " + longest) is None
    assert read_quantity("1" + "0" * 4999) is None
    assert read_quantity(" " * 100_000 + "x") is None


def test_no_part_of_an_odd_text_raises() -> None:
    texts = ["--327.-6°C", "42949672.-1hPa", '{"lat":48.7}', "1e+308kPa", "23.5 °C", "-1.5e-05 V"]
    for text in texts:
        for start in range(len(text)):
            for end in range(start, len(text) + 1):
                read_quantity(text[start:end])


def test_every_returned_unit_is_registered() -> None:
    registered = {*readings._REGISTERED_UNITS.split(), "", "1/min", "/1000"}
    assert set(readings._REGISTERED_BY_SPELLING.values()) <= registered
    assert {unit for unit, *_ in readings._CONVERSION_BY_SPELLING.values()} <= registered


def test_a_quantity_is_an_unchangeable_value_that_msgspec_encodes() -> None:
    quantity = Quantity(23.5, "Cel")
    with pytest.raises(AttributeError):
        quantity.number = 0.0  # type: ignore[misc]
    assert json.loads(msgspec.json.encode(quantity)) == {"number": 23.5, "unit": "Cel"}


@given(
    st.decimals(-(10**12), 10**12, allow_nan=False, places=3),
    st.sampled_from(sorted(readings._REGISTERED_BY_SPELLING)),
    st.sampled_from(["", " ", "\t"]),
)
def test_a_printed_number_is_read_back_exactly(number: Decimal, unit: str, space: str) -> None:
    quantity = read_quantity(f"{number:f}{space}{unit}")
    assert quantity == Quantity(float(number), readings._REGISTERED_BY_SPELLING[unit])


@given(st.text())
def test_any_text_gives_nothing_or_a_finite_number(text: str) -> None:
    quantity = read_quantity(text, "temperature")
    assert quantity is None or math.isfinite(quantity.number)


@given(st.from_regex(r"[-+]?[0-9.,eE +\-]{0,12}(°C|hPa|%|C|F|kPa|bar)?", fullmatch=True))
def test_the_text_of_a_quantity_begins_with_its_number(text: str) -> None:
    quantity = read_quantity(text)
    if quantity is not None and quantity.unit == "":
        assert quantity.number == float(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_no_json_value_raises(data: object) -> None:
    quantity = read_quantity(data)
    assert quantity is None or math.isfinite(quantity.number)


def test_readings_with_equal_texts_share_one() -> None:
    first, second = (Reading.received(uid, "t", f"{uid[1:]}1.5 °C", 1.0) for uid in ("a2", "b2"))
    assert first.data == "21.5 °C"
    assert first.data is second.data
    assert (first.number, first.unit) == (21.5, "Cel")
    long = "x" * (TEXT_LENGTH_MAX + 1)
    assert Reading.received("a", "t", long, 1.0).data is long
