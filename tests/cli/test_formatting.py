# SPDX-License-Identifier: BSD-3-Clause
"""How commands print values: units for people, names of SenML for programs, and all digits."""

import io
import json

import pytest

from pyaiot.cli import formatting
from pyaiot.cli.terminal import Escaped, Paint
from pyaiot.client import Rows
from pyaiot.client.rows import Row
from pyaiot.messages import Reading

PLAIN = Paint(io.StringIO())


@pytest.mark.parametrize(
    ("data", "unit", "text"),
    [
        ("23.5°C", "Cel", "23.5°C"),  # as the device sent it
        (23.5, "Cel", "23.5 °C"),
        (40, "%RH", "40 %"),
        (1006.6, "hPa", "1006.6 hPa"),
        (9007199254740991, "", "9007199254740991"),
        (0.30000000000000004, "V", "0.30000000000000004 V"),
        (True, "", "true"),
        ("12345678901234567890", "", "12345678901234567890"),
    ],
)
def test_value_has_all_digits_and_a_unit_for_people(data: object, unit: str, text: str) -> None:
    reading = Reading(uid="A", resource="x", data=data, ts=1.0, unit=unit)
    assert formatting.value(reading) == text
    assert formatting.event(reading, PLAIN, json=False).endswith(f"x  {text}")
    assert formatting.resource(reading)["data"] == data
    assert formatting.resource(reading).get("unit", "") == unit


def test_table_of_the_history_has_all_digits_and_units_for_people() -> None:
    rows = Rows(
        "A",
        "x",
        [Row(ts=0.0, value=0.1234567890123456, unit="Cel"), Row(ts=1.0, value=21.0, unit="%RH")],
    )
    lines = [line.split()[2:] for line in formatting.rows(rows, PLAIN).splitlines()[1:]]
    assert lines == [["0.1234567890123456", "°C"], ["21", "%"]]


def test_steps_of_days_have_the_dates_of_their_time_zone() -> None:
    rows = Rows("A", "x", [Row(ts=1_796_079_600.0, value=1.0, unit="")])  # midnight in Paris
    assert "2026-12-01 00:00:00" in formatting.rows(rows, PLAIN, "Europe/Paris")


@pytest.mark.parametrize("control", ["\x7f", "\x9b31m", "\u202eevil", "\u200b", "\U000e0001"])
def test_json_on_a_terminal_controls_nothing(control: str) -> None:
    reading = Reading(uid="A", resource="x", data=f"é{control}", ts=1.0)
    for line in (
        formatting.as_json(formatting.resource(reading)),
        formatting.event(reading, PLAIN, json=True),
    ):
        assert line.isprintable()
        assert json.loads(line)["data"] == f"é{control}"


def test_file_on_a_terminal_controls_nothing_and_keeps_its_lines() -> None:
    data = 'uid,data\r\nA,\x1b[31mé\u202e\rB\nC,"\t"\n'.encode()
    expected = 'uid,data\nA,\\x1b[31mé\\u202e\\rB\nC,"\\t"\n'
    for size in range(1, len(data) + 1):
        escaped = Escaped()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        shown = b"".join(map(escaped.encode, pieces)).decode()
        assert shown == expected
