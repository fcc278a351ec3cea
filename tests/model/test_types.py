# SPDX-License-Identifier: BSD-3-Clause
"""Types of resources: which are valid, and which source takes precedence."""

import math

import msgspec
import pytest

from pyaiot.errors import ProtocolError
from pyaiot.model import (
    CHOICE_LENGTH_MAX,
    CHOICES_MAX,
    TYPE_TEXT_LENGTH_MAX,
    UNKNOWN,
    ResourceType,
    certain,
    check_type,
    fitted,
    merge,
    resolve,
)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"label": "a" * (TYPE_TEXT_LENGTH_MAX + 1)}, "at most 64 characters"),
        ({"unit": "\n"}, "printable"),
        ({"device_class": "\x00"}, "printable"),
        ({"minimum": 2.0, "maximum": 1.0}, "greater than the maximum"),
        ({"minimum": math.nan}, "finite"),
        ({"maximum": math.inf}, "finite"),
        ({"step": 0.0}, "greater than 0"),
        ({"precision": 10}, "0 to 9"),
        ({"choices": tuple(map(str, range(CHOICES_MAX + 1)))}, "at most 64 choices"),
        ({"choices": ("a" * (CHOICE_LENGTH_MAX + 1),)}, "1 to 64 characters"),
        ({"choices": ("",)}, "1 to 64 characters"),
        ({"choices": ("a", "a")}, "twice"),
        ({"kind": "enum", "source": "people"}, "an enum has choices"),
        ({"kind": "boolean", "on": "ON"}, "a word for on and one for off"),
        ({"kind": "boolean", "on": "x", "off": "X"}, "the same"),
        ({"kind": "boolean", "on": "x ", "off": "x"}, "the same"),
        ({"on": "a" * 65, "off": "b"}, "at most 64 characters"),
    ],
)
def test_a_type_that_is_not_valid_is_refused(fields: dict[str, object], reason: str) -> None:
    it = ResourceType(**fields)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=reason):
        check_type(it)
    # The invalid part is dropped, or truncated, and the rest stays.
    rest = fitted(msgspec.structs.replace(it, writable=True, source="metadata"))
    assert check_type(rest).writable is True


def test_the_greatest_types_are_valid() -> None:
    it = ResourceType(
        kind="enum",
        choices=tuple(str(i).rjust(CHOICE_LENGTH_MAX, "x") for i in range(CHOICES_MAX)),
        label="l" * TYPE_TEXT_LENGTH_MAX,
    )
    assert check_type(it) is it
    assert fitted(it) == it
    check_type(ResourceType(minimum=1, maximum=1, step=0.1, precision=9))


def test_metadata_with_too_many_choices_loses_all_of_them() -> None:
    """A part of the choices would refuse values that the device accepts."""
    many = tuple(map(str, range(CHOICES_MAX + 1)))
    assert fitted(ResourceType(kind="enum", choices=many)) == ResourceType(kind="enum")


def test_a_label_that_is_too_long_is_truncated() -> None:
    assert fitted(ResourceType(label="a\n" * 100)).label == "a" * TYPE_TEXT_LENGTH_MAX


def test_a_press_of_a_button_has_one_word() -> None:
    button = ResourceType(kind="command", on="PRESS")
    assert check_type(button) is button
    assert fitted(button) == button


METADATA = ResourceType(kind="number", unit="%", minimum=0, maximum=254, source="metadata")
INFERRED = ResourceType(kind="number", unit="/100", device_class="battery", source="inferred")


def test_each_field_comes_from_the_most_reliable_source() -> None:
    people = ResourceType(maximum=100, label="Dimmer", source="people")
    assert merge(people, METADATA, INFERRED) == ResourceType(
        kind="number",
        unit="%",
        # Both limits from one source: those of two may contradict each other.
        maximum=100,
        label="Dimmer",
        device_class="battery",
        source="metadata",
    )


def test_fields_of_another_kind_do_not_count() -> None:
    people = ResourceType(kind="enum", choices=("low", "high"), source="people")
    writable = ResourceType(kind="text", writable=True, label="Mode", source="links")
    assert merge(people, METADATA, writable) == ResourceType(
        kind="enum", choices=("low", "high"), writable=True, label="Mode", source="people"
    )


def test_limits_and_class_of_another_kind_do_not_count() -> None:
    number = ResourceType(kind="number", source="people")
    text = ResourceType(kind="text", maximum=20, device_class="x", source="metadata")
    assert merge(number, text) == number
    command = ResourceType(kind="command", choices=("a",), on="PRESS", source="metadata")
    enum = ResourceType(kind="enum", choices=("b",), source="people")
    assert merge(enum, command).choices == ("b",)
    assert merge(ResourceType(kind="boolean", source="people"), command).on == ""


def test_a_part_of_a_type_implies_its_kind() -> None:
    text = ResourceType(kind="text", source="inferred")
    assert merge(ResourceType(unit="Cel", source="people"), text).kind == "number"
    assert merge(ResourceType(choices=("a",), source="people"), text).kind == "enum"
    assert merge(ResourceType(on="an", off="aus", source="people"), text).kind == "boolean"
    # The length of a text, or the range of a number.
    assert merge(ResourceType(maximum=10, source="people"), text).kind == "text"


def test_nothing_known_is_unknown() -> None:
    assert merge() is UNKNOWN
    assert merge(None, UNKNOWN) is UNKNOWN
    assert resolve(None, None, None) is UNKNOWN


def test_both_words_come_from_one_source() -> None:
    people = ResourceType(kind="boolean", source="people")
    device = ResourceType(kind="boolean", on="ON", off="OFF", source="metadata")
    assert merge(people, device, ResourceType(kind="boolean", on="1", off="0")).on == "ON"


def test_a_link_with_json_does_not_make_a_number_json() -> None:
    link = ResourceType(kind="json", label="Heat", source="links")
    number = ResourceType(kind="number", unit="Cel", source="unit")
    assert resolve(None, link, number).kind == "number"
    assert resolve(None, link, number).label == "Heat"
    assert resolve(None, link, None).kind == "json"


def test_links_and_inference_are_not_certain() -> None:
    links = ResourceType(kind="boolean", writable=False, source="links")
    assert certain(None, links) is UNKNOWN
    assert certain(None, METADATA) == METADATA
    assert certain(ResourceType(unit="Cel", source="people"), None).kind == "number"
