# SPDX-License-Identifier: BSD-3-Clause
"""What a resource is, by its name, its unit and a value of it."""

import re
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.model.decoding import read_colour, read_json, read_position, read_vector
from pyaiot.model.known import KNOWN, SWITCHES, class_of
from pyaiot.model.types import UNKNOWN, ResourceType, merge
from pyaiot.model.words import DEFAULT_WORDS, words_like
from pyaiot.readings import read_quantity

_WORD: Final = re.compile(r"[a-z]+[0-9]*|[A-Z]+(?![a-z])[0-9]*|[A-Z][a-z]*[0-9]*")
_COLOURS: Final = frozenset({"color", "colour", "rgb"})


def infer(name: str, value: object = None, *, unit: str = "") -> ResourceType:
    """What the name, the unit and a value of a resource say of it: `source` is `unit` or
    `inferred`. Never raises.

    `unit` is that of a reading, if the device sent one; by default it is read from `value`.
    `value` None: unknown. Numbers, texts and JSON get their kind from the value. `0` and `1` are a
    boolean if the name contains a word for one (`relay1`).
    """
    words = words_of(name)
    quantity = read_quantity(value, name)
    unit = unit or (quantity.unit if quantity is not None else "")
    by_unit = UNKNOWN
    if unit and unit.isprintable():
        by_unit = ResourceType(
            kind="number", unit=unit, device_class=class_of(unit, words), source="unit"
        )
    return merge(by_unit, _by_name(name, words, value))


def is_evident(it: ResourceType) -> bool:
    """Whether a reading alone says as much: a number or a text of which nothing else is known.
    Such types are not sent to clients."""
    return (
        it.source in ("", "unit", "inferred")
        and it.kind in ("", "number", "text")
        and it.writable is not True
        and not it.label
        and (it.minimum, it.maximum, it.step, it.precision) == (None, None, None, None)
    )


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without numbers at their end: `relay_1`, `doorContact2`.

    A word with digits counts with and without them: `pm25` is `pm25` and `pm`.
    """
    found: list[str] = []
    for word in _WORD.findall(name):
        lower = word.lower()
        found += (lower.rstrip("0123456789"), lower)
    return tuple(dict.fromkeys(found))


def _by_name(name: str, words: tuple[str, ...], value: object) -> ResourceType:
    found = KNOWN.get(name) or _by_value(words, value)
    if not found.kind:
        return UNKNOWN
    on, off = ("", "")
    if found.kind == "boolean":
        on, off = words_like(value) or ("", "")
    return msgspec.structs.replace(found, source="inferred", on=on, off=off)


def _by_value(words: tuple[str, ...], value: object) -> ResourceType:
    """Without a unit, which `infer` has examined."""
    pair = words_like(value)
    if pair is not None:
        switch = next((SWITCHES[word] for word in words if word in SWITCHES), None)
        if switch is not None:
            return switch
        if pair != DEFAULT_WORDS:
            return _BOOLEAN
    if value is None:
        return UNKNOWN
    if read_quantity(value) is not None:
        return _NUMBER
    if _COLOURS.intersection(words) and read_colour(value) is not None:
        return _colour(value)
    if isinstance(value, str) and value.lstrip()[:1] not in ("{", "["):
        return _TEXT
    return _by_structure(value)


def _by_structure(value: object) -> ResourceType:
    """Of an object or an array, or the text of one."""
    if read_position(value) is not None and not isinstance(value, list):
        return _POSITION
    if read_vector(value) is not None:
        return _VECTOR
    try:
        read_json(value)
    except ProtocolError:
        return _TEXT
    return _JSON


def _colour(value: object) -> ResourceType:
    match value:
        case str() if value.lstrip()[:1] not in ("{", "["):
            return ResourceType(kind="colour", form="rgb" if "," in value else "hex")
        case _:
            return ResourceType(kind="colour", form="json")


_NUMBER: Final = ResourceType(kind="number")
_BOOLEAN: Final = ResourceType(kind="boolean")
_TEXT: Final = ResourceType(kind="text")
_POSITION: Final = ResourceType(kind="position")
_VECTOR: Final = ResourceType(kind="vector")
_JSON: Final = ResourceType(kind="json")
