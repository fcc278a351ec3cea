# SPDX-License-Identifier: BSD-3-Clause
"""Templates of Home Assistant: the common forms, and no others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.templates import (
    WHOLE,
    NoValue,
    read_command_template,
    read_template,
)

DOCUMENT: Any = {
    "a": {"b": [10, {"c": "21.66"}], "d-e": 7},
    "on": True,
    "none": None,
    "large": 1e300,
    "text": " Kitchen ",
}


def value(template: str, text: str = "3.25", document: Any = DOCUMENT) -> Any:
    return read_template(template).value(text, document)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ value }}", "3.25"),
        ("{{value|float}}", 3.25),
        ("{{- value | float | round(1) -}}", 3.2),
        ("{{ value | int }}", 3),
        ("{{ value_json.a.b[0] }}", 10),
        ("{{ value_json.a.b[1].c | float | round(1) }}", 21.7),
        ("{{ value_json['a']['d-e'] }}", 7),
        ('{{ value_json["a"]["b"][-1]["c"] }}', "21.66"),
        ("{{ value_json.a.b[0] | float / 4 }}", 2.5),
        ("{{ (value_json.a.b[1].c | float(0) / 10) | round(2) }}", 2.17),
        ("{{ ((value_json.a.b[0] + 1) * 2) | int }}", 22),
        ("{{ value_json.a.b[0] - 3 }}", 7),
        ("{{ value_json.text | trim | lower }}", "kitchen"),
        ("{{ value_json.on | is_defined }}", True),
        ("{{ value_json.on | string | upper }}", "TRUE"),
        ("{{ value_json.text | float(0) }}", 0.0),
        ("{{ value_json.text | int(default=-1) }}", -1),
    ],
)
def test_common_forms_are_understood(template: str, expected: object) -> None:
    assert value(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ value_json.missing }}",
        "{{ value_json.a.b[9] }}",
        "{{ value_json.none }}",
        "{{ value_json.a.b.c }}",
        "{{ value_json.text | float }}",
        "{{ value_json.a | int }}",
        "{{ value_json.large | int }}",
        "{{ value_json.large * 999999999 }}",
    ],
)
def test_absent_or_inexact_value_is_no_value(template: str) -> None:
    with pytest.raises(NoValue):
        value(template)
    with pytest.raises(NoValue):
        value("{{ value_json.a }}", "no JSON", None)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}{{ i }}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ value_json.__class__.__init__.__globals__['os'].popen('id').read() }}",
        "{{ value_json.items() }}",
        "{{ states('light.x') }}",
        "{{ value.split(',')[0] }}",
        "{{ value_json.a }} {{ value_json.b }}",
        "{{ 'ON' if value_json.a > 3 else 'OFF' }}",
        "{{ value_json.a | replace('x', 'y') }}",
        "{{ value * value }}",
        "{{ value / 0 }}",
        "{{ value + 1 * 2 }}",
        "{{ value ** 2 }}",
        "{{ value * 0.1 | round(1) }}",
        "{{ (value }}",
        "{{ ((((value)))) }}",
        "{{ value | round(99) }}",
        "{{ value | round(x) }}",
        "{{ value" + " | float" * 17 + " }}",
        "{{ value_json" + ".a" * 100 + " }}",
        "{{ value }}%",
        "value",
        "{{ }}",
        "x" * 300,
    ],
)
def test_other_forms_are_not_understood(template: str) -> None:
    with pytest.raises(ProtocolError, match="not understood"):
        read_template(template)


@pytest.mark.parametrize("template", [None, ""])
def test_no_template_is_the_whole_payload(template: str | None) -> None:
    assert read_template(template) is WHOLE
    assert read_command_template(template) is None


def test_attributes_of_python_are_keys_of_json() -> None:
    with pytest.raises(NoValue):
        value("{{ value_json.__class__ }}")
    assert value("{{ value_json.keys }}", "", {"keys": 5}) == 5


def test_command_template_has_one_value() -> None:
    template = read_command_template('{"speed": {{ value | int }}, "unit": "{x}"}')
    assert template is not None
    assert template.render("12.0") == '{"speed": 12, "unit": "{x}"}'
    with pytest.raises(ProtocolError, match="number"):
        template.render("fast")
    for text in ("{{ value }}{{ value }}", "{% if x %}{{ value }}", "none", "{{ value_json.x }}"):
        with pytest.raises(ProtocolError):
            read_command_template(text)


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_text_is_a_template_or_refused(template: str, text: str) -> None:
    try:
        found = read_template("{{ value" + template + " }}")
    except ProtocolError:
        return
    try:
        found.value(text, DOCUMENT)
    except NoValue:
        return
