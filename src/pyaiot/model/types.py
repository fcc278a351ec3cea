# SPDX-License-Identifier: BSD-3-Clause
"""The type of a resource, its limits, and how the statements of several sources are merged."""

import math
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError

CHOICES_MAX: Final = 64
"""Choices of one resource. A type with more is refused; `fitted` drops the whole list."""
CHOICE_LENGTH_MAX: Final = 64
"""Characters of a choice, and of the words for on and off. As for the number of choices."""
TYPE_TEXT_LENGTH_MAX: Final = 64
"""Characters of the label, the unit and the device class. Longer ones are refused; `fitted`
truncates the label and drops the others."""
PRECISION_MAX: Final = 9
"""Digits after the decimal point that a type may ask for. More are refused."""

ResourceKind: TypeAlias = Literal[
    "number", "boolean", "enum", "text", "command", "colour", "position", "vector", "json"
]
Source: TypeAlias = Literal["people", "metadata", "links", "unit", "inferred"]
"""The origin of a statement, the most reliable first: a person, metadata of the device, the
attributes of its CoRE link, the unit of its readings, or its name and first value."""
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
    """What a resource is. A field with its default is unknown."""

    kind: ResourceKind | Literal[""] = ""
    """`number`, `boolean`, `enum` (one of `choices`), `text`, `command` (written, without a state:
    a button), `colour`, `position` (latitude and longitude), `vector` (numbers), `json`."""
    unit: _Text = ""
    """Of a number: its SenML name, such as `Cel`, or else any text."""
    minimum: float | None = None
    """Of a number: the least that may be written. Of a text: its least number of characters."""
    maximum: float | None = None
    """Of a number: the greatest that may be written. Of a text: its greatest number of
    characters."""
    step: float | None = None
    """Of a number: the distance between two values, for controls. Other values may be written."""
    precision: Annotated[int, Meta(ge=0, le=PRECISION_MAX)] | None = None
    """Of a number: the digits to show after the decimal point, 0 to 9."""
    choices: Annotated[tuple[_Choice, ...], Meta(max_length=CHOICES_MAX)] = ()
    """Of an enum or a command: the texts that may be written, in the words of the device."""
    writable: bool | None = None
    """Whether commands may write it."""
    label: _Text = ""
    """Its name for people."""
    device_class: _Text = ""
    """What it measures or switches, in the words of Home Assistant: `temperature`, `outlet`."""
    on: _Word = ""
    """Of a boolean: the word of the device for true. Of a command without choices: its payload."""
    off: _Word = ""
    """Of a boolean: the word of the device for false."""
    form: ColourForm | Literal[""] = ""
    """Of a colour: how the device writes red. `hex`: `#ff0000`; `rgb`: `255,0,0`; `json`:
    `{"r":255,"g":0,"b":0}`."""
    source: Source | Literal[""] = ""
    """The origin of its kind."""


UNKNOWN: Final = ResourceType()

_GROUPS: Final[tuple[tuple[str, ...], ...]] = (
    *(("minimum", "maximum"), ("on", "off"), ("unit",), ("step",), ("precision",), ("choices",)),
    *(("form",), ("device_class",), ("writable",), ("label",)),
)
"""Fields that are taken from one source: the limits of two may contradict each other."""
_OF_KINDS: Final[dict[tuple[str, ...], frozenset[str]]] = {
    ("minimum", "maximum"): frozenset({"number", "text"}),
    ("on", "off"): frozenset({"boolean", "command"}),
    ("unit",): frozenset({"number"}),
    ("step",): frozenset({"number"}),
    ("precision",): frozenset({"number"}),
    ("choices",): frozenset({"enum", "command"}),
    ("form",): frozenset({"colour"}),
}
"""The kinds for which a group means something; absent: any."""
_OF_EVERY_KIND: Final = frozenset({("writable",), ("label",)})
"""Groups that count whatever kind their source stated."""


def check_type(it: ResourceType) -> ResourceType:
    """Return the type if it is valid. Raises `ProtocolError` with the reason otherwise."""
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
    """A valid type with what is valid of this one: for metadata that a device sent. Never raises.

    A label that is too long is truncated. Choices are dropped if one is not valid, because a part
    of them would refuse values that the device accepts.
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
    """One type from those of several sources, the most reliable first. Never raises.

    The first that states a kind decides it. Of the others, fields that depend on the kind count
    if they are about the same kind.
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
    """All that is known of a resource. `device` is what its gateway sent: metadata or links.

    A link whose format is JSON says little, because a number is JSON too: what is inferred from a
    value comes first.
    """
    if people is None and device is None:
        return inferred or UNKNOWN
    if device is not None and device.source == "links" and device.kind == "json":
        return merge(people, inferred, device)
    return merge(people, device, inferred)


def certain(people: ResourceType | None, device: ResourceType | None) -> ResourceType:
    """What people and metadata say of a resource: enough to refuse a command."""
    is_metadata = device is not None and device.source == "metadata"
    return merge(people, device if is_metadata else None)
