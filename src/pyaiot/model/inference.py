# SPDX-License-Identifier: BSD-3-Clause
"""Infers the type of a resource from its name, its unit and a value."""

import functools
import re
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.model.decoding import read_colour, read_json, read_position, read_vector
from pyaiot.model.known import KNOWN, SWITCHES, class_of
from pyaiot.model.types import UNKNOWN, ResourceType, merge
from pyaiot.model.words import DEFAULT_WORDS, words_like
from pyaiot.readings import read_quantity

NAMES_MAX: Final = 4096
"""Largest number of cached results. Beyond it, the least recently used one is dropped and computed
again when needed.
"""

_WORD: Final = re.compile(r"[a-z]+[0-9]*|[A-Z]+(?![a-z])[0-9]*|[A-Z][a-z]*[0-9]*")
_COLOURS: Final = frozenset({"color", "colour", "rgb"})


def infer(name: str, value: object = None, *, unit: str = "") -> ResourceType:
    """The type that name, unit and value of a resource suggest; its `source` is `unit` or
    `inferred`. Never raises.

    `unit`: that of the reading, if the device sent one; by default it is parsed from `value`.
    `value` None: unknown. Numbers, text and JSON get their kind from the value. `0` and `1` are a
    boolean if the name contains a word for one (`relay1`). Results are cached by name and form of
    the value, and equal types are the same object.
    """
    quantity = None
    if not unit:
        quantity = read_quantity(value, name)
        unit = "" if quantity is None else quantity.unit
    if unit:
        return _by_unit(name, unit)
    if name in KNOWN:
        return _known(name, words_like(value))
    if value is None:
        return UNKNOWN
    words = words_like(value)
    if words is not None:
        found = _switch(name, words)
        if found is not None:
            return found
    if quantity is not None:
        return _NUMBER
    return _by_value(name, value)


@functools.lru_cache(maxsize=NAMES_MAX)
def _by_unit(name: str, unit: str) -> ResourceType:
    known = KNOWN.get(name)
    if not unit.isprintable():
        return UNKNOWN if known is None else _known(name, None)
    device_class = class_of(unit, words_of(name))
    it = ResourceType(kind="number", unit=unit, device_class=device_class, source="unit")
    return merge(it, known)


@functools.lru_cache(maxsize=NAMES_MAX)
def _known(name: str, words: tuple[str, str] | None) -> ResourceType:
    return _inferred(KNOWN[name], words)


@functools.lru_cache(maxsize=NAMES_MAX)
def _switch(name: str, words: tuple[str, str]) -> ResourceType | None:
    """The type of a resource whose value is a word for true or false; None if it is a number."""
    for word in words_of(name):
        if word in SWITCHES:
            return _inferred(SWITCHES[word], words)
    return None if words == DEFAULT_WORDS else _inferred(ResourceType(kind="boolean"), words)


def _inferred(it: ResourceType, words: tuple[str, str] | None) -> ResourceType:
    on, off = words if words is not None and it.kind == "boolean" else ("", "")
    return msgspec.structs.replace(it, source="inferred", on=on, off=off)


def is_evident(it: ResourceType) -> bool:
    """Whether the reading alone suggests this type: a number or a text without further details.
    Such types are not sent to clients.
    """
    return (
        it.source in ("", "unit", "inferred")
        and it.kind in ("", "number", "text")
        and it.writable is not True
        and not it.label
        and (it.minimum, it.maximum, it.step, it.precision) == (None, None, None, None)
    )


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without trailing numbers: `relay_1`, `doorContact2`. A
    word with digits is included with and without them: `pm25` gives `pm25` and `pm`.
    """
    found: list[str] = []
    for word in _WORD.findall(name):
        lower = word.lower()
        found += (lower.rstrip("0123456789"), lower)
    return tuple(dict.fromkeys(found))


def _by_value(name: str, value: object) -> ResourceType:
    """The type of a value that is neither a number nor a word for true or false."""
    if _may_be_colour(name) and read_colour(value) is not None:
        return _colour(value)
    if isinstance(value, str) and value.lstrip()[:1] not in ("{", "["):
        return _TEXT
    return _by_structure(value)


@functools.lru_cache(maxsize=NAMES_MAX)
def _may_be_colour(name: str) -> bool:
    return not _COLOURS.isdisjoint(words_of(name))


def _by_structure(value: object) -> ResourceType:
    """The type of an object or array, or of its text."""
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
    if not isinstance(value, str) or value.lstrip()[:1] in ("{", "["):
        return _JSON_COLOUR
    return _RGB_COLOUR if "," in value else _HEX_COLOUR


_NUMBER: Final = ResourceType(kind="number", source="inferred")
_TEXT: Final = ResourceType(kind="text", source="inferred")
_POSITION: Final = ResourceType(kind="position", source="inferred")
_VECTOR: Final = ResourceType(kind="vector", source="inferred")
_JSON: Final = ResourceType(kind="json", source="inferred")
_HEX_COLOUR: Final = ResourceType(kind="colour", form="hex", source="inferred")
_RGB_COLOUR: Final = ResourceType(kind="colour", form="rgb", source="inferred")
_JSON_COLOUR: Final = ResourceType(kind="colour", form="json", source="inferred")
