# SPDX-License-Identifier: BSD-3-Clause
"""The supported templates of Home Assistant discovery. Pure.

A template is read into a path and a list of filters. There are no loops, calls, names or files, so
a template of a device can only select, convert and round a value.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.readings import INTEGER_MAX

TEMPLATE_LENGTH_MAX: Final = 256
"""Longest template, in characters. Longer ones are not understood."""
STEPS_MAX: Final = 16
"""Largest number of names, indexes and filters in a template."""
DEPTH_MAX: Final = 3
"""Largest depth of nested parentheses in a template."""
DIGITS_MAX: Final = 10
"""Largest number of decimals that `round` keeps."""

_PLACEHOLDER: Final = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_HEAD: Final = re.compile(r"\s*(value_json|value)\b")
_STEP: Final = re.compile(
    r"""\.([A-Za-z_][A-Za-z0-9_]*)(?!\w|\s*\()"""
    r"""|\[\s*(?:'([^'\\]*)'|"([^"\\]*)"|(-?\d{1,4}))\s*\]"""
)
_FILTER: Final = re.compile(r"\s*\|\s*([a-z_]+)\s*(?:\(\s*([^()]{0,32}?)\s*\))?")
_FACTOR: Final = re.compile(r"\s*([*/+-])\s*(\d{1,9}(?:\.\d{1,9})?)")


class NoValue(Exception):
    """The payload lacks the value that the template selects."""


class Template(msgspec.Struct, frozen=True):
    """Selects a value of a payload and converts it."""

    is_json: bool
    """Whether it selects from JSON, and not the whole text."""
    path: tuple[str | int, ...] = ()
    filters: tuple[Callable[[Any], Any], ...] = ()

    def value(self, text: str, document: Any) -> Any:
        """The value. `document`: the text parsed as JSON, or None if it is not JSON. Raises
        `NoValue`."""
        value: Any = text
        if self.is_json:
            value = pick(document, self.path)
        for apply in self.filters:
            value = apply(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise NoValue
        return value


WHOLE: Final = Template(is_json=False)
"""The values that mean that there is no template."""


class CommandTemplate(msgspec.Struct, frozen=True):
    """A text that contains the value of a command."""

    before: str
    filters: tuple[Callable[[Any], Any], ...]
    after: str

    def render(self, value: str) -> str:
        """Raises `ProtocolError` for a value that a filter refuses."""
        result: Any = value
        try:
            for apply in self.filters:
                result = apply(result)
        except NoValue:
            raise ProtocolError("a number is expected") from None
        return f"{self.before}{result}{self.after}"


def read_template(text: object) -> Template:
    """Parse a template; None and empty text stand for the whole payload. Raises `ProtocolError` for
    an unsupported template."""
    if text is None or text == "":
        return WHOLE
    found = None if not _is_short(text) else _PLACEHOLDER.fullmatch(str(text).strip())
    if found is None:
        raise _unknown(text)
    template = _read_expression(found[1].strip(), text)
    if len(template.path) + len(template.filters) > STEPS_MAX:
        raise _unknown(text)
    return template


def _read_expression(inner: str, text: object, depth: int = 0) -> Template:
    """Parse a path with filters and arithmetic, or such an expression in parentheses with more of
    them."""
    if inner.startswith("("):
        end = _closing(inner)
        if end is None or depth >= DEPTH_MAX:
            raise _unknown(text)
        template = _read_expression(inner[1:end].strip(), text, depth + 1)
        more = _read_filters(inner[end + 1 :], text)
        return Template(template.is_json, template.path, (*template.filters, *more))
    head = _HEAD.match(inner)
    if head is None:
        raise _unknown(text)
    at = head.end()
    path: list[str | int] = []
    while (step := _STEP.match(inner, at)) is not None:
        attribute, single, double, index = step.groups()
        named = next((it for it in (attribute, single, double) if it is not None), None)
        path.append(int(index) if named is None else named)
        at = step.end()
    is_json = head[1] == "value_json"
    if path and not is_json:
        raise _unknown(text)
    return Template(is_json, tuple(path), _read_filters(inner[at:], text))


def _closing(inner: str) -> int | None:
    """The position of the parenthesis that closes the first one."""
    depth = 0
    for index, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return index
    return None


def read_command_template(text: object) -> CommandTemplate | None:
    """The template of a command; None if absent. Raises `ProtocolError`."""
    if text is None or text == "":
        return None
    if not _is_short(text):
        raise _unknown(text)
    parts = _PLACEHOLDER.split(str(text))
    if len(parts) != 3 or "{%" in str(text) or "{#" in str(text):
        raise _unknown(text)
    before, inner, after = parts
    head = _HEAD.match(inner)
    if head is None or head[1] != "value":
        raise _unknown(text)
    return CommandTemplate(before, _read_filters(inner[head.end() :], text), after)


def _read_filters(rest: str, text: object) -> tuple[Callable[[Any], Any], ...]:
    filters: list[Callable[[Any], Any]] = []
    at = 0
    while at < len(rest):
        if (found := _FILTER.match(rest, at)) is not None:
            if any(getattr(it, "is_arithmetic", False) for it in filters):
                raise _unknown(text)  # in Jinja, it would apply only to the preceding number
            make = _FILTERS.get(found[1])
            if make is None:
                raise _unknown(text)
            try:
                filters.append(make(found[2] or ""))
            except ValueError:
                raise _unknown(text) from None
        elif (found := _FACTOR.match(rest, at)) is not None:
            filters.append(_arithmetic(found[1], float(found[2]), filters, text))
        elif not rest[at:].strip():
            break
        else:
            raise _unknown(text)
        at = found.end()
        if len(filters) > STEPS_MAX:
            raise _unknown(text)
    return tuple(filters)


def _arithmetic(
    sign: str, operand: float, before: Sequence[Callable[[Any], Any]], text: object
) -> Callable[[Any], Any]:
    """One arithmetic operation with a number, applied to the preceding result. Jinja evaluates a
    product after a sum first, so that form is not understood."""
    if sign == "/" and operand == 0:
        raise _unknown(text)
    if sign in "*/" and any(getattr(it, "is_sum", False) for it in before):
        raise _unknown(text)

    def apply(value: Any) -> Any:
        number = _number(value)
        match sign:
            case "*":
                return number * operand
            case "/":
                return number / operand
            case "+":
                return number + operand
            case _:
                return number - operand

    apply.is_arithmetic = True  # type: ignore[attr-defined]
    apply.is_sum = sign in "+-"  # type: ignore[attr-defined]
    return apply


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise NoValue from None
    if not math.isfinite(number):
        raise NoValue
    return number


def _default_of(argument: str) -> float | None:
    return float(argument.removeprefix("default=").strip()) if argument else None


def _make_float(argument: str) -> Callable[[Any], Any]:
    default = _default_of(argument)

    def apply(value: Any) -> Any:
        try:
            return _number(value)
        except NoValue:
            if default is None:
                raise
            return default

    return apply


def _make_int(argument: str) -> Callable[[Any], Any]:
    convert = _make_float(argument)

    def apply(value: Any) -> int:
        number = convert(value)
        if not math.isfinite(number) or abs(number) > INTEGER_MAX:
            raise NoValue
        return int(number)

    return apply


def _make_round(argument: str) -> Callable[[Any], Any]:
    digits = int(argument) if argument else 0
    if not 0 <= digits <= DIGITS_MAX:
        raise ValueError
    # Jinja keeps a float, also without decimals.
    return lambda value: round(_number(value), digits)


def _make_text(change: Callable[[str], str]) -> Callable[[str], Callable[[Any], Any]]:
    def make(argument: str) -> Callable[[Any], Any]:
        if argument:
            raise ValueError
        return lambda value: change(_as_text(value))

    return make


def _make_nothing(argument: str) -> Callable[[Any], Any]:
    if argument:
        raise ValueError
    return lambda value: value


_FILTERS: Final[Mapping[str, Callable[[str], Callable[[Any], Any]]]] = {
    "float": _make_float,
    "int": _make_int,
    "round": _make_round,
    "lower": _make_text(str.lower),
    "upper": _make_text(str.upper),
    "string": _make_text(str),
    "trim": _make_text(str.strip),
    "is_defined": _make_nothing,
}


def _as_text(value: Any) -> str:
    """A value as Jinja prints it, which is the form of Python."""
    return value if isinstance(value, str) else str(value)


def pick(document: Any, path: Sequence[str | int]) -> Any:
    """The value at a path in a JSON document. Raises `NoValue` if it is absent or null."""
    value = document
    for step in path:
        value = _pick(value, step)
    if value is None:
        raise NoValue
    return value


def _pick(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping) and isinstance(step, str):
        if step in value:
            return value[step]
    elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        return value[step]
    raise NoValue


def _is_short(text: object) -> bool:
    return isinstance(text, str) and len(text) <= TEMPLATE_LENGTH_MAX


def _unknown(text: object) -> ProtocolError:
    shown = str(text)[:TEMPLATE_LENGTH_MAX]
    return ProtocolError(f"this template is not understood: {shown}")
