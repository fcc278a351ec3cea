# SPDX-License-Identifier: BSD-3-Clause
"""Checks what a person or a program writes, and formats it for the device."""

from typing import Final

from pyaiot.errors import ProtocolError
from pyaiot.model.decoding import (
    decode,
    read_boolean,
    read_colour,
    read_number,
    read_position,
    text_of,
)
from pyaiot.model.types import ResourceType
from pyaiot.model.words import DEFAULT_WORDS
from pyaiot.readings import read_quantity

_CHOICES_SHOWN: Final = 120
"""Longest list of choices in an error message, in characters."""

READ_ONLY: Final = "the resource is read-only"
"""Why every command is refused, regardless of its value."""


def payload_for(it: ResourceType, certain: ResourceType, value: object) -> str:
    """The payload of a command, in the representation that the device uses.

    `it`: everything known about the resource. `certain`: what people and the metadata of the
    device state. Only `certain` can refuse a value, with a `ProtocolError` that states what is
    allowed. Inferred types may be wrong, so a value that does not fit one is sent unchanged.
    """
    try:
        return encode(it, value)
    except ProtocolError:
        encode(certain, value)
        return text_of(value)


def encode(it: ResourceType, value: object) -> str:
    """Format `value`, a JSON value or text that a person typed.

    For a boolean, `true`, `on`, `1` and `yes` in any case are equivalent, and become the word of
    the device. A number loses its unit, and a choice gets the case that the device uses. Raises
    `ProtocolError` with what is allowed if the type does not allow the value. The message does not
    quote the value, because it is logged, and payloads must not be.
    """
    if it.writable is False:
        raise ProtocolError(READ_ONLY)
    match it.kind:
        case "number":
            return _number(it, value)
        case "boolean":
            truth = read_boolean(value, it)
            if truth is None:
                on, off = _words(it)
                raise ProtocolError(f"it takes {on} or {off}")
            return _words(it)[0 if truth else 1]
        case "enum":
            return _choice(it, value)
        case "command":
            return _choice(it, value) if it.choices else it.on or text_of(value)
        case "text":
            return _text(it, value)
        case "colour":
            return _colour(it, value)
        case "position":
            position = read_position(value)
            if position is not None:
                return f'{{"lat":{_digits(position.lat)},"lng":{_digits(position.lng)}}}'
        case "vector" | "json":
            return _structure(it, value)
        case _:
            return text_of(value)
    raise ProtocolError("it takes latitude,longitude such as 48.7,2.2")


def _structure(it: ResourceType, value: object) -> str:
    try:
        decode(it, value)
    except ProtocolError as error:
        named = "JSON" if it.kind == "json" else "a list of numbers"
        raise ProtocolError(f"it takes {named}") from error
    return text_of(value)


def _words(it: ResourceType) -> tuple[str, str]:
    return (it.on, it.off) if it.on and it.off else DEFAULT_WORDS


def _number(it: ResourceType, value: object) -> str:
    number = read_number(value)
    if number is None:
        raise ProtocolError(f"it takes a number{_range(it)}")
    digits = text_of(value).strip()
    if isinstance(value, str) and digits[-1:] not in "0123456789":
        quantity = read_quantity(value)
        if quantity is not None and it.unit and quantity.unit != it.unit:
            raise ProtocolError(f"it takes a number in {it.unit}")
        digits = _digits(number)
    below = it.minimum is not None and number < it.minimum
    if below or (it.maximum is not None and number > it.maximum):
        raise ProtocolError(f"it takes a number{_range(it)}")
    return digits


def _digits(number: float) -> str:
    """The shortest exact representation, without `.0`."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _range(it: ResourceType) -> str:
    unit = f" {it.unit}" if it.unit and it.kind == "number" else ""
    low = "" if it.minimum is None else _digits(float(it.minimum))
    high = "" if it.maximum is None else _digits(float(it.maximum))
    if low and high:
        return f" from {low} to {high}{unit}"
    if low:
        return f" of at least {low}{unit}"
    return f" of at most {high}{unit}" if high else ""


def _choice(it: ResourceType, value: object) -> str:
    text = text_of(value)
    if not it.choices or text in it.choices:
        return text
    wanted = text.strip().casefold()
    similar = [choice for choice in it.choices if choice.casefold() == wanted]
    if len(similar) == 1:
        return similar[0]
    allowed = ", ".join(it.choices)
    if len(allowed) > _CHOICES_SHOWN:
        allowed = f"{allowed[:_CHOICES_SHOWN]}…"
    raise ProtocolError(f"it takes one of {allowed}")


def _text(it: ResourceType, value: object) -> str:
    text = text_of(value)
    length = len(text)
    below = it.minimum is not None and length < it.minimum
    if below or (it.maximum is not None and length > it.maximum):
        raise ProtocolError(f"it takes a text{_range(it)} characters")
    return text


def _colour(it: ResourceType, value: object) -> str:
    rgb = read_colour(value)
    if rgb is None:
        raise ProtocolError("it takes a colour such as #ff8800")
    red, green, blue = rgb
    match it.form:
        case "rgb":
            return f"{red},{green},{blue}"
        case "json":
            return f'{{"r":{red},"g":{green},"b":{blue}}}'
        case _:
            return f"#{red:02x}{green:02x}{blue:02x}"
