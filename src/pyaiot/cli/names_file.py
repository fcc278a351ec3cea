# SPDX-License-Identifier: BSD-3-Clause
"""What people add to nodes as a CSV file. Pure.

A column that is absent changes nothing; an empty cell clears.
"""

import csv
import difflib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pyaiot.client import RegistryEntry
from pyaiot.errors import OperatorError, ProtocolError, expected
from pyaiot.messages import check_uid
from pyaiot.registry.record import NOTHING_ADDED, TAG_LENGTH_MAX, TAGS_MAX, Edit

UID: Final = "uid"
FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "label": "label",
        "room": "room",
        "tags": "tags",
        "latitude": "latitude",
        "longitude": "longitude",
        "notes": "notes",
        "interval": "interval_s",
        "offline_after": "offline_after_s",
    }
)
"""Columns after the uid, and the fields of a node."""
COLUMNS: Final = (UID, *FIELDS)
_COLUMN_OF: Final = {field: column for column, field in FIELDS.items()}
_NUMBERS: Final = frozenset({"latitude", "longitude", "interval", "offline_after"})
_DELIMITERS: Final = (";", ",")
_SAMPLE: Final = "uid,label,room"
_SHOWN_MAX: Final = 40
"""Characters of a wrong cell in an error."""


class NodeLine(msgspec.Struct, frozen=True):
    """A line of the file: the fields of a node, with None for those that it clears."""

    number: int
    uid: str
    fields: Mapping[str, Any]


class Change(msgspec.Struct, frozen=True):
    """What a line changes."""

    uid: str
    action: str
    """`new`, `accept`, `edit` or `same`."""
    fields: Mapping[str, Any]
    """The fields that change, as `Client.register` takes them."""
    texts: tuple[str, ...]
    """A text for people for each of these fields."""


class InvalidLine(OperatorError):
    """A line is wrong."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"line {number}: {text}")


def decode(data: bytes) -> str:
    """The text of a file. Raises `OperatorError`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperatorError("the text is not UTF-8: save the table as CSV UTF-8") from error


def parse(text: str) -> tuple[list[NodeLine], list[InvalidLine]]:
    """The lines of a file, and what is wrong with the others. Raises `OperatorError` for a file
    without a valid header.
    """
    delimiter = _delimiter(text)
    lines = _lines(text, delimiter)
    nodes: list[NodeLine] = []
    errors: list[InvalidLine] = []
    number_of: dict[str, int] = {}
    columns: list[str] | None = None
    while True:
        try:
            number, cells = next(lines)
            if columns is None:
                columns = _header(number, cells)
                continue
            node = _node(number, columns, cells, delimiter)
            if node.uid in number_of:
                raise InvalidLine(number, f"{node.uid} is in line {number_of[node.uid]} already")
            number_of[node.uid] = number
            nodes.append(node)
        except StopIteration:
            break
        except InvalidLine as error:
            if columns is None:
                raise
            errors.append(error)
    if columns is None:
        raise InvalidLine(1, f"the file is empty: the first line names columns, such as {_SAMPLE}")
    return nodes, errors


def changes(lines: Iterable[NodeLine], known: Mapping[str, RegistryEntry]) -> list[Change]:
    """What the lines change of the nodes that the registry has."""
    return [_change(line, known.get(line.uid)) for line in lines]


def render(nodes: Iterable[RegistryEntry]) -> str:
    """The file of these nodes."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for node in nodes:
        cells = (_cell(field, getattr(node, field)) for field in FIELDS.values())
        writer.writerow([node.uid, *cells])
    return file.getvalue()


# -- reading ------------------------------------------------------------------------------------


def _delimiter(text: str) -> str:
    header = text.lstrip().partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells with the number of their first line. Empty lines are left out. Raises `InvalidLine`."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    while True:
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InvalidLine(number, f"it is not valid CSV ({error})") from error
        if any(cells):
            yield number, cells


def _header(number: int, cells: Sequence[str]) -> list[str]:
    columns = [cell.casefold() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if UID not in columns:
        raise InvalidLine(number, f"it must name the columns, among them uid, such as {_SAMPLE}")
    for cell, column in zip(cells, columns, strict=False):
        if column not in COLUMNS:
            close = difflib.get_close_matches(column, COLUMNS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COLUMNS)}"
            raise InvalidLine(number, f"there is no column {cell!r} ({hint})")
        if columns.count(column) > 1:
            raise InvalidLine(number, f"the column {column} occurs twice")
    return columns


def _node(number: int, columns: Sequence[str], cells: Sequence[str], delimiter: str) -> NodeLine:
    rest = [cell for cell in cells[len(columns) :] if cell]
    if rest or len(cells) < len(columns):
        hint = f' (quote a cell with a {delimiter!r}: "a{delimiter}b")' if rest else ""
        raise InvalidLine(
            number, f"it has {len(cells)} cells, but there are {len(columns)} columns{hint}"
        )
    by_column = dict(zip(columns, cells, strict=False))
    try:
        uid = check_uid(by_column.pop(UID))
    except ProtocolError as error:
        raise InvalidLine(number, str(error)) from error
    fields = {
        FIELDS[column]: _value(number, column, cell, delimiter) if cell else None
        for column, cell in by_column.items()
    }
    try:
        msgspec.convert(fields, Edit).apply(NOTHING_ADDED)
    except msgspec.ValidationError as error:
        raise InvalidLine(number, _requirement(str(error), by_column)) from error
    except ProtocolError as error:
        raise InvalidLine(number, str(error)) from error
    return NodeLine(number, uid, fields)


def _value(number: int, column: str, cell: str, delimiter: str) -> object:
    if column == "tags":
        return tuple(dict.fromkeys(tag.strip() for tag in cell.split(",") if tag.strip()))
    if column not in _NUMBERS:
        return cell
    # Tables with semicolons come from places that write 48,7 for 48.7.
    digits = cell.replace(",", ".") if delimiter == ";" else cell
    try:
        value = float(digits)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidLine(number, f"{column} is {cell!r}, but it must be a number")
    return value


def _requirement(error: str, cells: Mapping[str, str]) -> str:
    """The sentence for a value that is out of bounds."""
    field = error.rpartition("$.")[2].rstrip("`").partition("[")[0]
    column = _COLUMN_OF.get(field, field)
    if column == "tags":
        return f"there are at most {TAGS_MAX} tags, each of at most {TAG_LENGTH_MAX} characters"
    return f"{column} is {_short(cells[column])!r}, but it must be {expected(error)}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


# -- comparing ----------------------------------------------------------------------------------


def _change(line: NodeLine, known: RegistryEntry | None) -> Change:
    fields: dict[str, Any] = {}
    texts = []
    for field, value in line.fields.items():
        cleared = getattr(NOTHING_ADDED, field)
        before = cleared if known is None else getattr(known, field)
        after = cleared if value is None else value
        if before != after:
            fields[field] = value
            old, new = (_cell(field, it) or "–" for it in (before, after))
            texts.append(f"{_COLUMN_OF[field]} {old} → {new}")
    if known is None:
        action = "new"
    elif known.state == "waiting":
        action = "accept"
    else:
        action = "edit" if fields else "same"
    return Change(line.uid, action, fields, tuple(texts))


def _cell(field: str, value: object) -> str:
    """A value as a cell; empty if nobody added one."""
    if value == getattr(NOTHING_ADDED, field):
        return ""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple | list):
        return ",".join(value)
    return str(value)
