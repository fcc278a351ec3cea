# SPDX-License-Identifier: BSD-3-Clause
"""Ranges, pages and cursors: what the questions to every store have in common. Pure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pyaiot.history.rows import MICROSECONDS
from pyaiot.history.store import ROWS_MAX, BadQuery, BucketRow, Page, TooManyRows

EXPORT_ROWS: Final = 5000
"""Rows of an export that are read at once."""

SHORT_ROWS_MAX: Final = 1000
"""A question that reads at most so many rows is short, and does not wait for wide ones."""
SHORT_READINGS_S: Final = 3600
"""Steps made of readings are short up to a range of so many seconds."""
SHORT_FILTER_S: Final = 86_400.0
"""Events and commands that are looked for by node or kind are short up to such a range."""

CURSOR_LENGTH_MAX: Final = 2000
"""Characters of a cursor: two names of 64, each of which may be escaped. Longer: refused."""

_ALL: Final = (1 << 62) // MICROSECONDS
"""A Unix time after all others."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time in microseconds, the direction, and how much of it."""

    start: int
    end: int
    newest_first: bool
    limit: int

    @classmethod
    def of(
        cls,
        start: float | None,
        end: float | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> "Span":
        """Raises `TooManyRows` or `BadQuery`."""
        if limit > ROWS_MAX:
            raise TooManyRows(f"an answer has at most {ROWS_MAX} rows: page, or export")
        if limit < 1:
            raise BadQuery("a page has at least one row")
        return cls(microseconds(start or 0.0), microseconds(end), newest_first, limit)

    @property
    def is_wide(self) -> bool:
        """Whether more rows may be read than a short question reads."""
        return self.limit > SHORT_ROWS_MAX

    def is_wide_filtered(self, *, filtered: bool) -> bool:
        """The same where rows that do not match are read too."""
        range_s = (self.end - self.start) / MICROSECONDS
        return self.is_wide or (filtered and range_s > SHORT_FILTER_S)

    @property
    def order(self) -> str:
        return "DESC" if self.newest_first else "ASC"

    @property
    def beyond(self) -> str:
        """How what comes after a row compares with it."""
        return "<" if self.newest_first else ">"


def microseconds(ts: float | None) -> int:
    """Of a Unix time; None is after all others. Raises `BadQuery` for what is no time."""
    if ts is None:
        ts = _ALL
    if not 0 <= ts <= _ALL:
        raise BadQuery("a time is in Unix seconds, not before 1970")
    return round(ts * MICROSECONDS)


def encode_cursor(*position: int | str) -> str:
    return json.dumps(position, separators=(",", ":"))


def decode_cursor(cursor: str | None, *types: type) -> list[Any] | None:
    """Raises `BadQuery`."""
    if cursor is None:
        return None
    try:
        position = json.loads(cursor) if len(cursor) <= CURSOR_LENGTH_MAX else None
    except (ValueError, RecursionError):
        position = None
    if not isinstance(position, list) or [type(item) for item in position] != list(types):
        raise BadQuery("this cursor is none of this question's")
    return position


def page_of(
    rows: list[Any],
    limit: int,
    make: Callable[[Any], R],
    cursor: Callable[[Any], str],
) -> Page[R]:
    """One row more than the page was asked for: whether there are more."""
    more = len(rows) > limit
    return Page([make(row) for row in rows[:limit]], cursor(rows[limit - 1]) if more else None)


@dataclass(frozen=True, slots=True)
class Steps:
    """Whole steps that hold a range of time, in seconds."""

    start: int
    end: int
    step_s: int

    @classmethod
    def of(cls, start: float, end: float, step_s: int) -> "Steps":
        """Raises `BadQuery`."""
        if step_s < 1:
            raise BadQuery("a step is a whole number of seconds, at least 1")
        last = -(-microseconds(end) // (step_s * MICROSECONDS)) * step_s
        return cls(microseconds(start) // MICROSECONDS // step_s * step_s, last, step_s)

    @property
    def is_wide(self) -> bool:
        """Whether more rows may be read than a short question reads."""
        range_s = self.end - self.start
        if self.level == 1:
            return range_s > SHORT_READINGS_S
        return range_s > 2 * SHORT_ROWS_MAX * self.level

    @property
    def level(self) -> int:
        """Seconds of the coarsest table that fits: 3600, 60, or 1 for the readings."""
        return 3600 if self.step_s % 3600 == 0 else 60 if self.step_s % 60 == 0 else 1


def steps_of(rows: list[Any], limit: int, units: dict[int, str]) -> list[BucketRow]:
    """Of begin, unit, least, greatest, sum, count and last. Raises `TooManyRows`."""
    if len(rows) > limit:
        raise TooManyRows(f"there are more than {limit} steps: narrow the range, or widen the step")
    found = [
        # Of the largest doubles, the sum is infinite and the mean is not.
        BucketRow(ts, units[unit], low, min(max(total / count, low), high), high, count, newest)
        for ts, unit, low, high, total, count, newest in rows
    ]
    found.sort(key=lambda row: (row.ts, row.unit))
    return found
