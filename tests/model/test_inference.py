# SPDX-License-Identifier: BSD-3-Clause
"""Inference of the type of a resource from its name, values, unit and link."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.model import UNKNOWN, ResourceType, check_type, infer, is_evident, type_of_link
from pyaiot.model.link_types import WORDS_MAX
from pyaiot.model.words import words_like


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("led", "0", "boolean"),
        ("led", "42", "boolean"),
        ("relay1", "1", "boolean"),
        ("kitchenSwitch", 0, "boolean"),
        ("relay_2", "ON", "boolean"),
        ("anything", True, "boolean"),
        ("anything", "false", "boolean"),
        ("anything", "Off", "boolean"),
        ("anything", "0", "number"),
        ("anything", 1, "number"),
        ("light", "340 lx", "number"),
        ("temperature", "23.5°C", "number"),
        ("temperature", "--327.-6°C", "text"),
        ("version", "2026.07", "text"),
        ("greeting", "hello", "text"),
        ("position", '{"lat":48.7,"lng":2.2}', "position"),
        ("where", {"lat": 48.7, "lng": 2.2}, "position"),
        ("imu", None, "vector"),
        ("axes", [1, 2, 3], "vector"),
        ("color", "#ff8800", "colour"),
        ("rgb", {"r": 1, "g": 2, "b": 3}, "colour"),
        ("hash", "#ff8800", "text"),
        ("status", {"a": 1}, "json"),
        ("status", '{"a": 1}', "json"),
        ("status", "{no json", "text"),
        ("list", [], "json"),
        ("robot", None, "command"),
        ("nothing", None, ""),
        ("wifi", "OFFline", "text"),
    ],
)
def test_kind_of_a_resource_by_its_name_and_value(name: str, value: object, kind: str) -> None:
    assert infer(name, value).kind == kind


@pytest.mark.parametrize(
    ("name", "value", "unit", "device_class"),
    [
        ("temperature", "23.5°C", "Cel", "temperature"),
        ("t1", "23.5°C", "Cel", "temperature"),
        ("humidity", "40%", "%RH", "humidity"),
        ("battery", "40%", "%EL", "battery"),
        ("soil_moisture", "40%", "/100", "moisture"),
        ("load", "40%", "/100", ""),
        ("pressure", "1007.7hPa", "hPa", "pressure"),
        ("eco2", "400ppm", "ppm", "carbon_dioxide"),
        ("other", "400ppm", "ppm", ""),
        ("pm25", "4ug/m3", "ug/m3", "pm25"),
        # A unit of another class than the name: the unit is right.
        ("temperature", "3.3V", "V", "voltage"),
    ],
)
def test_unit_and_name_give_the_device_class(
    name: str, value: str, unit: str, device_class: str
) -> None:
    found = infer(name, value)
    assert (found.kind, found.unit, found.device_class) == ("number", unit, device_class)
    assert found.source == "unit"


def test_the_unit_of_a_reading_counts_without_its_text() -> None:
    assert infer("heat", 21.5, unit="Cel").unit == "Cel"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1", ("1", "0")),
        ("0", ("1", "0")),
        (1, ("1", "0")),
        ("OFF", ("ON", "OFF")),
        ("off", ("on", "off")),
        ("Off", ("On", "Off")),
        (False, ("true", "false")),
        ("True", ("True", "False")),
        ("oN", None),
        ("2", None),
        (None, None),
        ([1], None),
    ],
)
def test_a_value_shows_both_words_of_a_device(value: object, words: tuple[str, str] | None) -> None:
    assert words_like(value) == words
    found = infer("led", value)
    assert (found.on, found.off) == (words or ("", ""))


def test_what_a_reading_shows_anyhow_is_evident() -> None:
    assert is_evident(infer("temperature", "23.5°C"))
    assert is_evident(infer("board", "samr21-xpro"))
    assert is_evident(UNKNOWN)
    assert not is_evident(infer("led", "0"))
    assert not is_evident(infer("js", "print(1)"))
    assert not is_evident(ResourceType(kind="number", source="metadata"))
    assert not is_evident(ResourceType(kind="number", label="Heat", source="inferred"))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"rt": ["temperature-c"]}, ("number", "Cel", None)),
        ({"rt": ["light-lux"], "interfaces": ["sensor"]}, ("number", "lx", False)),
        ({"rt": ["led"]}, ("boolean", "", True)),
        ({"rt": ["oic.r.switch.binary"]}, ("boolean", "", True)),
        ({"rt": ["x", "oic.r.temperature"], "interfaces": ["oic.if.s"]}, ("number", "Cel", False)),
        ({"rt": ["saul.relay"], "interfaces": ["core.a"]}, ("boolean", "", True)),
        ({"interfaces": ["core.p"]}, ("", "", True)),
        ({"interfaces": ["core.rp"]}, ("", "", False)),
        ({"content_formats": ["50"]}, ("json", "", None)),
        ({"content_formats": ["60", "50"]}, ("json", "", None)),
        ({"content_formats": ["0", "50"]}, ("", "", None)),
        ({"content_formats": ["x", "²", "99999999999"]}, ("", "", None)),
        ({"rt": ["count"]}, ("", "", None)),
        ({}, ("", "", None)),
    ],
)
def test_attributes_of_a_link(
    attributes: dict[str, list[str]], expected: tuple[str, str, bool | None]
) -> None:
    found = type_of_link(**attributes)  # type: ignore[arg-type]
    assert (found.kind, found.unit, found.writable) == expected
    assert found.source == ("links" if found != UNKNOWN else "")


def test_the_title_of_a_link_is_the_label() -> None:
    assert type_of_link(title="Oven\n" * 40).label == ("Oven" * 16)


def test_further_words_of_a_link_are_ignored() -> None:
    assert type_of_link(rt=["x"] * WORDS_MAX + ["led"]) == UNKNOWN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.text(max_size=64), json_values, st.text(max_size=64))
def test_inference_gives_a_valid_type_for_anything(name: str, value: object, unit: str) -> None:
    check_type(infer(name, value, unit=unit))


@given(st.lists(st.text()), st.lists(st.text()), st.lists(st.text()), st.text())
def test_links_give_a_valid_type_for_anything(
    rt: list[str], interfaces: list[str], formats: list[str], title: str
) -> None:
    check_type(type_of_link(rt=rt, interfaces=interfaces, content_formats=formats, title=title))
