# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the history as CSV, NDJSON and SenML, part by part; `arrow.py` has Arrow. Pure."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec

from pyaiot.history.store import ReadingRow
from pyaiot.protocols.senml import name_of
from pyaiot.web.api.history_schemas import StoredReading
from pyaiot.web.problems import ProblemError

_json: Final = msgspec.json.Encoder()


class FormatWriter(Protocol):
    """Writes one response. Use a new writer for each response: some keep state between parts."""

    content_type: str
    suffix: str
    """Suffix of the file name under which a browser saves it."""

    def head(self) -> bytes: ...

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        """Readings of one resource."""
        ...

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        """Steps of one resource, all with the same aggregates."""
        ...

    def tail(self) -> bytes: ...


class CsvWriter:
    """RFC 4180 with a header line. `data` is text; values other than text are JSON."""

    content_type = "text/csv"
    suffix = "csv"

    def __init__(self, aggregates: Sequence[str] = ()) -> None:
        """`aggregates`: the columns of steps, if there are several."""
        self._aggregates = aggregates

    def head(self) -> bytes:
        columns = ["uid", "resource", "ts", "value", "unit"]
        return _csv([[*columns, *(self._aggregates or ["data"])]])

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        # `csv` writes the repeated parts and msgspec the numbers: five times as fast.
        first = _csv([(uid, resource, "")])[:-2]
        parts: list[bytes] = []
        for unit, run in groupby(rows, _unit_of_number):
            if unit is None:
                parts.append(
                    _csv([(uid, resource, row.ts, None, row.unit, _data(row.data)) for row in run])
                )
                continue
            lines = _json.encode_lines([(row.ts, row.number) for row in run])
            last = b"," + _csv([(unit, "")])
            # A line is `[1.5,20.0]`: the brackets are replaced by the repeated columns.
            parts.append(lines.replace(b"[", first).replace(b"]\n", last))
        return b"".join(parts)

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        more = self._aggregates
        return _csv(
            [
                (
                    *(uid, resource, step.ts, step.value, step.unit),
                    *([getattr(step, name) for name in more] if more else [None]),
                )
                for step in steps
            ]
        )

    def tail(self) -> bytes:
        return b""


def _unit_of_number(row: ReadingRow) -> str | None:
    return None if row.number is None else row.unit


def _data(data: object) -> str:
    return data if isinstance(data, str) else _json.encode(data).decode()


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


class NdjsonWriter:
    """One JSON object on each line."""

    content_type = "application/x-ndjson"
    suffix = "ndjson"

    def head(self) -> bytes:
        return b""

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        return self.steps(uid, resource, stored_readings(rows))

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        if not steps:
            return b""
        first = b'{"uid":%b,"resource":%b,' % (_json.encode(uid), _json.encode(resource))
        # JSON text contains no line breaks, so each one separates two rows.
        return first + _json.encode_lines(steps)[1:].replace(b"\n{", b"\n" + first)

    def tail(self) -> bytes:
        return b""


class SenmlWriter:
    """One pack of RFC 8428. Names are `pyaiot:<uid>/<resource>`; see `senml.name_of`."""

    content_type = "application/senml+json"
    suffix = "senml.json"

    def __init__(self) -> None:
        self._base: tuple[str, str] | None = None

    def head(self) -> bytes:
        return b"["

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        return self._records(
            uid,
            resource,
            [
                {"t": row.ts, "v": row.number, **({"u": row.unit} if row.unit else {})}
                if row.number is not None
                else {"t": row.ts, **_senml_value(row.data)}
                for row in rows
            ],
        )

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        return self._records(
            uid,
            resource,
            [
                {"t": step.ts, "v": step.value, **({"u": step.unit} if step.unit else {})}
                for step in steps
            ],
        )

    def _records(self, uid: str, resource: str, records: list[dict[str, Any]]) -> bytes:
        if not records:
            return b""
        separator = b"" if self._base is None else b","
        if self._base != (uid, resource):
            self._base = (uid, resource)
            # It applies until the next base name (RFC 8428 section 4.1).
            records[0]["bn"] = name_of(uid, resource)
        return separator + _json.encode(records)[1:-1]

    def tail(self) -> bytes:
        return b"]\n"


def _senml_value(data: object) -> dict[str, object]:
    if isinstance(data, bool):
        return {"vb": data}
    # SenML has no arrays, objects or null: they are written as JSON text.
    return {"vs": _data(data)}


def stored_readings(rows: Sequence[ReadingRow]) -> list[StoredReading]:
    """The readings of the store in the form of the API."""
    return [
        StoredReading(row.ts, row.number, row.unit)
        if row.number is not None
        else StoredReading(row.ts, None, row.unit, row.data)
        for row in rows
    ]


def _arrow(aggregates: Sequence[str]) -> FormatWriter:
    try:
        from pyaiot.web.api.arrow import ArrowWriter  # noqa: PLC0415 - an extra, and 60 MB of memory
    except ImportError as error:
        raise ProblemError(
            406,
            "no-arrow",
            "install it in the environment of the broker: pip install 'pyaiot[arrow]'",
        ) from error
    return ArrowWriter(aggregates)


def format_writer(name: str, aggregates: Sequence[str] = ()) -> FormatWriter:
    """A new writer of the format `csv`, `ndjson`, `senml` or `arrow`.

    Raises `ProblemError` if Arrow is not installed.
    """
    match name:
        case "arrow":
            return _arrow(aggregates)
        case "csv":
            return CsvWriter(aggregates)
        case "ndjson":
            return NdjsonWriter()
        case _:
            return SenmlWriter()
