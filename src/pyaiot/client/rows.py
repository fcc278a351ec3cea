# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the history, also as a pandas or polars table. Pure."""

import importlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, overload

import msgspec

from pyaiot.errors import OperatorError


class Row(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A reading, or an aggregate of the readings of one step.

    A reading has a `value` if it was numeric, else `data`. A step starts at `ts` and has the
    requested aggregates.
    """

    ts: float
    """Unix time in seconds."""
    value: float | None = None
    unit: str = ""
    """Unit of the number (SenML name); empty: none."""
    data: Any = None
    """The value, if it was not numeric."""
    min: float | None = None
    mean: float | None = None
    max: float | None = None
    last: float | None = None
    count: int | None = None

    @property
    def time(self) -> datetime:
        """`ts` as a `datetime` in UTC."""
        return datetime.fromtimestamp(self.ts, UTC)


class Rows(Sequence[Row]):
    """Readings or steps of one resource, oldest first."""

    def __init__(self, uid: str, resource: str, rows: Sequence[Row]) -> None:
        self.uid = uid
        self.resource = resource
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows": ...
    def __getitem__(self, index: int | slice) -> "Row | Rows":
        if isinstance(index, slice):
            return Rows(self.uid, self.resource, self._rows[index])
        return self._rows[index]

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self.resource!r} of {self.uid!r}>"

    def columns(self) -> dict[str, list[Any]]:
        """Columns by name: `time`, `value`, `unit`, and each other field that any row has."""
        columns: dict[str, list[Any]] = {
            "time": [row.time for row in self._rows],
            "value": [row.value for row in self._rows],
            "unit": [row.unit for row in self._rows],
        }
        for name in ("data", "min", "mean", "max", "last", "count"):
            values = [getattr(row, name) for row in self._rows]
            if any(value is not None for value in values):
                columns[name] = values
        return columns

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, indexed by time in UTC.

        Raises `OperatorError` if pandas is not installed.
        """
        pandas = _installed("pandas")
        columns = self.columns()
        index = pandas.DatetimeIndex(pandas.to_datetime(columns.pop("time"), utc=True), name="time")
        return pandas.DataFrame(columns, index=index)

    def to_polars(self) -> Any:
        """A `polars.DataFrame` with a column `time` in UTC. Values in `data` are JSON text.

        Raises `OperatorError` if polars is not installed.
        """
        polars = _installed("polars")
        columns = self.columns()
        if "data" in columns:  # a polars column has one type
            columns["data"] = [
                value
                if value is None or isinstance(value, str)
                else msgspec.json.encode(value).decode()
                for value in columns["data"]
            ]
        return polars.DataFrame(
            columns,
            schema_overrides={
                "time": polars.Datetime("us", "UTC"),
                "value": polars.Float64,
                "unit": polars.String,
            },
        )


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OperatorError(
            f"{name} is not installed. Install it with pip install {name}."
        ) from error
