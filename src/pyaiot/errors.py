# SPDX-License-Identifier: BSD-3-Clause
"""Errors, by the party that has to act: the operator, the peer, or the network. Pure."""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final


class PyaiotError(Exception):
    """Base class of the errors that this package raises on purpose."""


class OperatorError(PyaiotError):
    """The operator must change something. The text is one sentence that names it.

    The command line prints it and exits with code 2.
    """


class NotInstalled(OperatorError):
    """A program or package that a part needs is not there. The other parts work without it."""


TEXT_FILE_ENCODING: Final = "utf-8-sig"
"""The encoding of files that people write: UTF-8. A byte order mark, which some editors of Windows
put first, is ignored."""


def reason_of(error: Exception) -> str:
    """The reason of an error in one line, without the `errno`, the path and the address."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start + 1}); save it in this encoding"
    text: str = getattr(error, "strerror", None) or str(error)
    numbers = re.findall(r"\[Errno (\d+)\]", text) or [getattr(error, "errno", None)]
    if "Connect call failed" in text and numbers[0]:  # of asyncio, for each address
        return os.strerror(int(numbers[0]))
    return text.splitlines()[0] if text else type(error).__name__


_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a table",
}
_RANGES: Final = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than"}


def expected(error: str) -> str:
    """The requirement on a value, from the message of a validation error of msgspec."""
    error = error.partition(" - at ")[0]
    if found := re.fullmatch(r"Expected `(\w+)` (of length )?([<>]=?) ([-+.\w]+)", error):
        kind, length, relation, limit = found.groups()
        units = ("character", "characters") if kind == "str" else ("entry", "entries")
        unit = units[limit != "1"]
        of = f" {unit} long" if length else ""
        return f"{_RANGES[relation]} {limit.removesuffix('.0')}{of}"
    if found := re.fullmatch(r"Expected `([\w| ]+)`(, got `\w+`)?", error):
        return " or ".join(_KINDS.get(kind, kind) for kind in found[1].split(" | "))
    if found := re.fullmatch(r"Expected `str` matching regex '(.+)'", error):
        return f"text of the form {found[1]}"
    return error[:1].lower() + error[1:]


def requirement(error: str, kind: object = None) -> str:
    """The same with the name of the value, for JSON: `limit must be a whole number`.

    `kind`: the type of the whole body or query, to list the choices of a value that has some. Other
    messages of msgspec, such as that of an unknown field, are sentences already.
    """
    text, _, place = error.partition(" - at ")
    name = place.strip("`").removeprefix("$").lstrip(".") or "the body"
    if found := re.fullmatch(r"Invalid enum value (.+)", text):
        choices = ", ".join(_choices(kind, place))
        return f"{name} cannot be {found[1]}" + (f": use one of {choices}" if choices else "")
    if text.endswith("out of range"):
        return f"{name} is out of range"
    if not text.startswith("Expected"):
        return error
    return f"{name} must be {expected(text)}".replace("a table", "an object")


def _choices(kind: object, place: str) -> tuple[str, ...]:
    """The choices at a place in a type, such as `$.rules[0].state`; empty if they are not known."""
    from msgspec import inspect  # noqa: PLC0415 - 3 ms that only an error needs

    kinds = [inspect.type_info(kind)] if kind is not None else []
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", place.strip("`").removeprefix("$")):
        kinds = [inner for outer in _options(kinds) for inner in _inside(outer, step)]
    literals = (it for it in _options(kinds) if isinstance(it, inspect.LiteralType))
    return tuple(str(value) for it in literals for value in it.values)


def _options(kinds: Iterable[Any]) -> Iterator[Any]:
    """The types, with the members of unions in place of each union."""
    for kind in kinds:
        yield from getattr(kind, "types", (kind,))


def _inside(kind: Any, step: str) -> Iterator[Any]:
    """The types of a field, or of the items of a list or table."""
    if step.startswith("["):
        items = (getattr(kind, name, None) for name in ("item_type", "value_type"))
        yield from (item for item in items if item is not None)
    yield from (it.type for it in getattr(kind, "fields", ()) if it.encode_name == step)


class ProtocolError(PyaiotError):
    """The peer sent invalid bytes: answer or drop them, and go on. Retrying does not help."""


class NotEnoughBytes(ProtocolError):
    """The bytes end too early. On a stream, wait for more; a datagram is invalid."""


class LinkLost(PyaiotError):
    """The connection was lost or could not be made. Reconnect with backoff."""


class Refused(PyaiotError):
    """Well-formed, but not allowed: a foreign uid, a reserved name, a limit. Report it."""


class TooFast(Refused):
    """The peer exceeds its rate limit. It may try again in `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
