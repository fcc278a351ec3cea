# SPDX-License-Identifier: BSD-3-Clause
"""Describes the fields of a struct for people."""

import ast
import inspect
import types
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any JSON"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: its name on the wire, and its properties in words."""

    wire: str
    type: str
    default: str
    limit: str
    meaning: str


def fields(struct: type[msgspec.Struct]) -> list[Field]:
    """The fields of a struct, in order. Raises `LookupError` for a field without a docstring."""
    hints = get_type_hints(struct, include_extras=True)
    docs = docstrings(struct)
    found = []
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        meaning = docs.get(field.name) or described(hint)
        if not meaning:
            raise LookupError(f"{struct.__name__}.{field.name} has no description")
        default = "required" if field.required else shown(_default_of(field))
        found.append(Field(field.encode_name, kind(hint), default, limit(hint), meaning))
    return found


@cache
def docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstrings below the fields in the source, each on one line."""
    (class_,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(class_, ast.ClassDef)  # noqa: S101 - it is the source of a class
    found = {}
    for field, text in zip(class_.body, class_.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(doc))),
            ):
                found[name] = " ".join(doc.split())
    return found


def described(hint: Any) -> str:
    """The description in a type's `Meta`; the last one counts."""
    return next((meta.description for meta in reversed(metas(hint)) if meta.description), "")


def metas(hint: Any) -> list[Meta]:
    """The `Meta` of a type, also of the alternative that is not None."""
    if get_origin(hint) is Annotated:
        inner, *rest = get_args(hint)
        return metas(inner) + [meta for meta in rest if isinstance(meta, Meta)]
    if get_origin(hint) in (Union, types.UnionType):
        return [meta for part in get_args(hint) for meta in metas(part)]
    return []


def bare(hint: Any) -> Any:
    """The type without `Annotated` and without `None`."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        parts = get_args(hint)
        if all(get_origin(part) is Literal for part in parts):
            return Literal[tuple(value for part in parts for value in get_args(part) if value)]
        (part,) = (part for part in get_args(hint) if part is not type(None))
        return bare(part)
    return hint


def kind(hint: Any) -> str:
    """A type in words: `text`, `list of text`, or the possible values."""
    plain = bare(hint)
    if get_origin(plain) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(plain))
    if get_origin(plain) is tuple:
        return f"list of {kind(get_args(plain)[0])}"
    if get_origin(plain) is dict:
        key, value = map(kind, get_args(plain))
        return f"table of {key} and {value}"
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        names = (f"`{field.encode_name}`" for field in msgspec.structs.fields(plain))
        return f"objects with {', '.join(names)}"
    return WORDS[plain]


def limit(hint: Any) -> str:
    """The limits of a type in words; for a list, also those of its items."""
    plain = bare(hint)
    is_list = get_origin(plain) is tuple
    is_table = get_origin(plain) is dict
    unit = "items" if is_list else "entries" if is_table else "characters"
    words = []
    for meta in metas(hint):
        low, high = meta.min_length, meta.max_length
        if low is not None and high is not None:
            words.append(f"{low} to {high} {unit}")
        elif high is not None:
            words.append(f"at most {high:,} {unit}")
        elif low is not None:
            words.append(f"at least {low} {unit}")
        if meta.ge is not None and meta.le is not None:
            words.append(f"{meta.ge:,.12g} to {meta.le:,.12g}")
            continue
        words += [
            f"{sign} {number:,.12g}"
            for sign, number in (
                (">", meta.gt),
                ("≥", meta.ge),
                ("<", meta.lt),
                ("≤", meta.le),
            )
            if number is not None
        ]
    if is_list and (items := limit(get_args(plain)[0])):
        words.append(f"each {items}")
    if is_table:
        key, value = map(limit, get_args(plain))
        words += [f"{what} {of}" for what, of in (("keys", key), ("values", value)) if of]
    return ", ".join(words)


def _default_of(field: Any) -> Any:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def shown(value: Any) -> str:
    """A default in JSON; a field without one is `absent`."""
    if value is None:
        return "absent"
    return f"`{msgspec.json.encode(value).decode()}`"


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {line} |\n" for line in escaped)
