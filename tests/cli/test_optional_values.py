# SPDX-License-Identifier: BSD-3-Clause
"""Flags whose value may be omitted."""

import pytest

from pyaiot.cli.app import with_values


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("run --homeassistant", "run --homeassistant=on"),
        ("run --homeassistant --debug", "run --homeassistant=on --debug"),
        ("run --homeassistant mqtt://ha", "run --homeassistant mqtt://ha"),
        ("run --homeassistant=mqtt://ha --debug", "run --homeassistant=mqtt://ha --debug"),
        ("set led -- --homeassistant", "set led -- --homeassistant"),
        ("run --homeassistant --", "run --homeassistant=on --"),
        ("", ""),
    ],
)
def test_a_flag_without_a_value_has_its_usual_one(typed: str, expected: str) -> None:
    assert with_values(typed.split()) == expected.split()
