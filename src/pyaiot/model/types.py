# SPDX-License-Identifier: BSD-3-Clause
"""The type of a resource, its limits, and the rules for merging types from several sources."""

import math
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError

CHOICES_MAX: Final = 64
"""Largest number of choices of one resource. A type with more is refused; `fitted` drops the whole
list.
"""
CHOICE_LENGTH_MAX: Final = 64
"""Longest choice, and longest word for on and off, in characters. Handled like too many choices."""
TYPE_TEXT_LENGTH_MAX: Final = 64
"""Longest label, unit and device class, in characters. Longer ones are refused; `fitted` truncates
the label and drops the others.
"""
PRECISION_MAX: Final = 9
"""Largest precision of a type, in digits after the decimal point. A higher one is refused."""

ResourceKind: TypeAlias = Literal[
    "number", "boolean", "enum", "text", "command", "colour", "position", "vector", "json"
]
Source: TypeAlias = Literal["people", "metadata", "links", "unit", "inferred"]
"""The source of a statement, most reliable first: a person, metadata of the device, attributes of
its CoRE link, the unit of its readings, or its name and first value.
"""
ColourForm: TypeAlias = Literal["hex", "rgb", "json"]

_Text = Annotated[str, Meta(max_length=TYPE_TEXT_LENGTH_MAX)]
_Word = Annotated[str, Meta(max_length=CHOICE_LENGTH_MAX)]
_Choice = Annotated[str, Meta(min_length=1, max_length=CHOICE_LENGTH_MAX)]


class ResourceType(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
):
    """The type of a resource. A field that has its default is unknown."""

    kind: ResourceKind | Literal[""] = ""
    """`number`, `boolean`, `enum` (one of `choices`), `text`, `command` (written, without a state:
    a button), `colour`, `position` (latitude and longitude), `vector` (numbers), `json`."""
    unit: _Text = ""
    """Unit of a number: its SenML name, such as `Cel`, or otherwise any text."""
    minimum: float | None = None
    """Smallest number that may be written; for text, the smallest number of characters."""
    maximum: float | None = None
    """Largest number that may be written; for text, the largest number of characters."""
    step: float | None = None
    """Step between the numbers that a control offers. Other values may be written."""
    precision: Annotated[int, Meta(ge=0, le=PRECISION_MAX)] | None = None
    """Digits of a number to show after the decimal point, 0 to 9."""
    choices: Annotated[tuple[_Choice, ...], Meta(max_length=CHOICES_MAX)] = ()
    """For an enum or a command: the values that may be written, as the device expects them."""
    writable: bool | None = None
    """Whether commands may write it."""
    label: _Text = ""
    """Label for people."""
    device_class: _Text = ""
    """Device class, as defined by Home Assistant: `temperature`, `outlet`."""
    on: _Word = ""
    """For a boolean: the word of the device for true. For a command without choices:
    its payload.
    """
    off: _Word = ""
    """For a boolean: the word of the device for false."""
    form: ColourForm | Literal[""] = ""
    """For a colour: how the device writes red. `hex`: `#ff0000`; `rgb`: `255,0,0`; `json`:
    `{"r":255,"g":0,"b":0}`.
    """
    source: Source | Literal[""] = ""
    """Source of the kind."""


UNKNOWN: Final = ResourceType()

_GROUPS: Final[tuple[tuple[str, ...], ...]] = (
    *(("minimum", "maximum"), ("on", "off"), ("unit",), ("step",), ("precision",), ("choices",)),
    *(("form",), ("device_class",), ("writable",), ("label",)),
)
"""Groups of fields that are taken from one source, because the limits of two sources may
contradict each other.
"""
_OF_KINDS: Final[dict[tuple[str, ...], frozenset[str]]] = {
    ("minimum", "maximum"): frozenset({"number", "text"}),
    ("on", "off"): frozenset({"boolean", "command"}),
    ("unit",): frozenset({"number"}),
    ("step",): frozenset({"number"}),
    ("precision",): frozenset({"number"}),
    ("choices",): frozenset({"enum", "command"}),
    ("form",): frozenset({"colour"}),
}
"""The kinds to which a group applies; absent: all."""
_OF_EVERY_KIND: Final = frozenset({("writable",), ("label",)})
"""Groups that apply to every kind that their source may state."""


def check_type(it: ResourceType) -> ResourceType:
    """Return the type if it is valid. Otherwise raises `ProtocolError` with the reason."""
    texts = (it.unit, it.label, it.device_class, it.on, it.off, *it.choices)
    if not all(text.isprintable() for text in texts):
        raise ProtocolError("the texts of a type have printable characters only")
    if max(len(it.unit), len(it.label), len(it.device_class)) > TYPE_TEXT_LENGTH_MAX:
        raise ProtocolError(
            f"unit, label and device class have at most {TYPE_TEXT_LENGTH_MAX} characters"
        )
    _check_numbers(it)
    _check_choices(it)
    return it


def _check_numbers(it: ResourceType) -> None:
    numbers = [number for number in (it.minimum, it.maximum, it.step) if number is not None]
    if not all(map(math.isfinite, numbers)):
        raise ProtocolError("minimum, maximum and step are finite numbers")
    if it.minimum is not None and it.maximum is not None and it.minimum > it.maximum:
        raise ProtocolError("the minimum is greater than the maximum")
    if it.step is not None and it.step <= 0:
        raise ProtocolError("the step is greater than 0")
    if it.precision is not None and not 0 <= it.precision <= PRECISION_MAX:
        raise ProtocolError(f"the precision is 0 to {PRECISION_MAX} digits")


def _check_choices(it: ResourceType) -> None:
    if len(it.choices) > CHOICES_MAX:
        raise ProtocolError(f"a resource has at most {CHOICES_MAX} choices")
    if not all(0 < len(choice) <= CHOICE_LENGTH_MAX for choice in it.choices):
        raise ProtocolError(f"a choice has 1 to {CHOICE_LENGTH_MAX} characters")
    if len(set(it.choices)) < len(it.choices):
        raise ProtocolError("a choice is there twice")
    if it.kind == "enum" and not it.choices and it.source == "people":
        raise ProtocolError("an enum has choices")
    if max(len(it.on), len(it.off)) > CHOICE_LENGTH_MAX:
        raise ProtocolError(f"words for on and off have at most {CHOICE_LENGTH_MAX} characters")
    if it.kind != "command" and bool(it.on) != bool(it.off):
        raise ProtocolError("a boolean has a word for on and one for off, or none")
    if it.on and it.on.strip().casefold() == it.off.strip().casefold():
        raise ProtocolError("the words for on and off are the same")


def fitted(it: ResourceType) -> ResourceType:
    """The valid part of a type that a device described. Never raises.

    A label that is too long is truncated. If one choice is invalid, all are dropped, because a
    partial list would refuse values that the device accepts.
    """
    label = "".join(filter(str.isprintable, it.label))[:TYPE_TEXT_LENGTH_MAX]
    changes: dict[str, Any] = {"label": label}
    for names in (
        *(("unit",), ("device_class",), ("choices",), ("on", "off"), ("step",), ("precision",)),
        ("minimum", "maximum"),
    ):
        part = {name: getattr(it, name) for name in names}
        if names == ("on", "off"):
            part["kind"] = it.kind
        try:
            check_type(ResourceType(**part))
        except ProtocolError:
            changes.update((name, getattr(UNKNOWN, name)) for name in names)
    return msgspec.structs.replace(it, **changes)


def implied_kind(it: ResourceType) -> ResourceKind | Literal[""]:
    """The kind of a type, or what its other fields imply."""
    if it.kind:
        return it.kind
    if it.choices:
        return "enum"
    if it.on and it.off:
        return "boolean"
    if it.unit or it.step is not None or it.precision is not None:
        return "number"
    return ""


def merge(*types: ResourceType | None) -> ResourceType:
    """Merge types from several sources, most reliable first. Never raises.

    The first source that states a kind decides it. Fields of the other sources that depend on the
    kind are used if they are for the same kind.
    """
    stated = [it for it in types if it is not None and it is not UNKNOWN]
    if not stated:
        return UNKNOWN
    kind, source = next(
        ((found, it.source) for it in stated if (found := implied_kind(it))), ("", stated[0].source)
    )
    merged: dict[str, Any] = {"kind": kind, "source": source}
    for it in stated:
        is_same_kind = implied_kind(it) in ("", kind)
        for names in _GROUPS:
            if names[0] in merged or not (is_same_kind or names in _OF_EVERY_KIND):
                continue
            if kind not in _OF_KINDS.get(names, (kind,)):
                continue
            values = {name: getattr(it, name) for name in names}
            if any(value != getattr(UNKNOWN, name) for name, value in values.items()):
                merged.update(values)
    return ResourceType(**merged)


def resolve(
    people: ResourceType | None, device: ResourceType | None, inferred: ResourceType | None
) -> ResourceType:
    """Everything known about a resource. `device`: metadata or links that its gateway sent.

    The format JSON of a link is not specific, because a number is JSON too: a type inferred from a
    value takes precedence.
    """
    if people is None and device is None:
        return inferred or UNKNOWN
    if device is not None and device.source == "links" and device.kind == "json":
        return merge(people, inferred, device)
    return merge(people, device, inferred)


def certain(people: ResourceType | None, device: ResourceType | None) -> ResourceType:
    """What people and metadata state about a resource; sufficient to refuse a command."""
    is_metadata = device is not None and device.source == "metadata"
    return merge(people, device if is_metadata else None)
