# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the history as an Arrow IPC stream, which pandas, polars and DuckDB read directly.

This module needs pyarrow from the extra `arrow`: import it only when Arrow is requested.
"""

import io
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from pyaiot.history.store import ReadingRow
from pyaiot.web.api.history_schemas import StoredReading

_json: Final = msgspec.json.Encoder()
_FIELDS: Final = (
    ("uid", pa.string()),
    ("resource", pa.string()),
    ("time", pa.timestamp("us", tz="UTC")),
    ("value", pa.float64()),
    ("unit", pa.string()),
)
_COUNT: Final = "count"


class ArrowWriter:
    """A `FormatWriter` of one stream of record batches, each of one resource."""

    content_type = "application/vnd.apache.arrow.stream"
    suffix = "arrows"
    """As registered with IANA for the stream format; `.arrow` is for the file format."""

    def __init__(self, aggregates: Sequence[str] = ()) -> None:
        """`aggregates`: columns of steps. If empty: `data`, with other values as JSON."""
        self._aggregates = tuple(aggregates)
        more = [(name, pa.int64() if name == _COUNT else pa.float64()) for name in self._aggregates]
        self._schema = pa.schema([*_FIELDS, *(more or [("data", pa.string())])])
        self._out = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._out, self._schema)

    def head(self) -> bytes:
        return self._flush()

    def rows(self, uid: str, resource: str, rows: Sequence[ReadingRow]) -> bytes:
        values = [row.number for row in rows]
        data = [None if row.number is not None else _text(row.data) for row in rows]
        times = [row.ts for row in rows]
        return self._batch(uid, resource, times, values, [row.unit for row in rows], [data])

    def steps(self, uid: str, resource: str, steps: Sequence[StoredReading]) -> bytes:
        more: list[list[Any]] = [
            [getattr(step, name) for step in steps] for name in self._aggregates
        ]
        values = [step.value for step in steps]
        units = [step.unit for step in steps]
        none: list[Any] = [None] * len(steps)
        times = [step.ts for step in steps]
        return self._batch(uid, resource, times, values, units, more or [none])

    def tail(self) -> bytes:
        self._writer.close()
        return self._flush()

    def _batch(
        self,
        uid: str,
        resource: str,
        times: Sequence[float],
        values: Sequence[float | None],
        units: Sequence[str],
        more: Sequence[Sequence[Any]],
    ) -> bytes:
        if times:
            count = len(times)
            micros = pa.array([round(ts * 1e6) for ts in times], pa.int64())
            columns = [
                pa.repeat(pa.scalar(uid), count),
                pa.repeat(pa.scalar(resource), count),
                micros.cast(_FIELDS[2][1]),
                pa.array(values, pa.float64()),
                pa.array(units, pa.string()),
                *(
                    pa.array(column, field.type)
                    for column, field in zip(more, list(self._schema)[len(_FIELDS) :], strict=True)
                ),
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        return self._flush()

    def _flush(self) -> bytes:
        written = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return written


def _text(data: object) -> str:
    return data if isinstance(data, str) else _json.encode(data).decode()
