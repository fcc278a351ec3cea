# SPDX-License-Identifier: BSD-3-Clause
"""Rows of history as CSV, NDJSON and SenML, a part at a time; Arrow is beside it. Pure."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec

from pyaiot.history.store import ReadingRow
from pyaiot.protocols.senml import name_of
from pyaiot.web.api.schemas import StoredReading
from pyaiot.web.problems import ProblemError

_json: Final = msgspec.json.Encoder()


class Form(Protocol):
    """Writes one answer. Not shared between answers: some remember what they wrote last."""

    content_type: str
    suffix: str
    """Of the file that a browser saves."""

    def head(self) -> bytes: ...

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        """Readings of one resource."""
        ...

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        """Steps of one resource, all with the same aggregates."""
        ...

    def tail(self) -> bytes: ...


class Csv:
    """RFC 4180 with a header line. `data` is text, or the JSON of what was no text."""

    content_type = "text/csv"
    suffix = "csv"

    def __init__(self, aggregates: Sequence[str] = ()) -> None:
        """`aggregates`: columns of steps, if there are several."""
        self._aggregates = aggregates

    def head(self) -> bytes:
        columns = ["uid", "resource", "ts", "value", "unit"]
        return _csv([[*columns, *(self._aggregates or ["data"])]])

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        # What repeats is written by `csv`, and the numbers between by msgspec: a fifth of the time.
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
            # `[1.5,20.0]` and a line end: the brackets become what stands around the numbers.
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


class Ndjson:
    """One JSON object on each line."""

    content_type = "application/x-ndjson"
    suffix = "ndjson"

    def head(self) -> bytes:
        return b""

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        return self.steps(uid, resource, stored(rows))

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        if not steps:
            return b""
        first = b'{"uid":%b,"resource":%b,' % (_json.encode(uid), _json.encode(resource))
        # No JSON text holds a line end: each one is between two rows.
        return first + _json.encode_lines(steps)[1:].replace(b"\n{", b"\n" + first)

    def tail(self) -> bytes:
        return b""


class Senml:
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
            # Section 4.1: it holds until another one comes.
            records[0]["bn"] = name_of(uid, resource)
        return separator + _json.encode(records)[1:-1]

    def tail(self) -> bytes:
        return b"]\n"


def _senml_value(data: object) -> dict[str, object]:
    if isinstance(data, bool):
        return {"vb": data}
    # SenML has no word for arrays, objects and null: their JSON is text.
    return {"vs": _data(data)}


def stored(rows: Sequence[ReadingRow]) -> list[StoredReading]:
    """Rows as the API answers them."""
    return [
        StoredReading(row.ts, row.number, row.unit)
        if row.number is not None
        else StoredReading(row.ts, None, row.unit, row.data)
        for row in rows
    ]


def _arrow(aggregates: Sequence[str]) -> Form:
    try:
        from pyaiot.web.api.arrow import Arrow  # noqa: PLC0415 - an extra, and 60 MB of memory
    except ImportError as error:
        raise ProblemError(
            406, "no-arrow", "install it beside the broker: pip install 'pyaiot[arrow]'"
        ) from error
    return Arrow(aggregates)


def form_of(name: str, aggregates: Sequence[str] = ()) -> Form:
    """A new writer of the form `csv`, `ndjson`, `senml` or `arrow`.

    Raises `ProblemError` where Arrow is not installed.
    """
    match name:
        case "arrow":
            return _arrow(aggregates)
        case "csv":
            return Csv(aggregates)
        case "ndjson":
            return Ndjson()
        case _:
            return Senml()
