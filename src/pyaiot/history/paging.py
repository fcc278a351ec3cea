# SPDX-License-Identifier: BSD-3-Clause
"""Ranges, pages and cursors of queries, shared by all stores. Pure."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from pyaiot.history.rows import MICROSECONDS
from pyaiot.history.store import (
    ROWS_MAX,
    BadQuery,
    BucketRow,
    CommandRow,
    EventRow,
    LastRow,
    Page,
    StateRow,
    TooManyRows,
)

EXPORT_ROWS: Final = 5000
"""Rows of an export that one query reads."""

SHORT_ROWS_MAX: Final = 1000
"""Largest number of rows of a short query, which does not wait for wide ones."""
SHORT_READINGS_S: Final = 3600
"""Longest range for which steps that are computed from readings are a short query."""
SHORT_FILTER_S: Final = 86_400.0
"""Longest range for which events and commands filtered by node or kind are a short query."""

CURSOR_LENGTH_MAX: Final = 2000
"""Longest cursor in characters: two names of 64, which may be escaped. A longer one is refused."""

_ALL: Final = (1 << 62) // MICROSECONDS
"""A Unix time later than all others."""

R = TypeVar("R")


class Span(msgspec.Struct, frozen=True):
    """A time range in microseconds, with its order and the number of rows."""

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
            raise TooManyRows(f"a response has at most {ROWS_MAX} rows: use pages or an export")
        if limit < 1:
            raise BadQuery("a page has at least one row")
        return cls(microseconds(start or 0.0), microseconds(end), newest_first, limit)

    @property
    def is_wide(self) -> bool:
        """Whether the query may read more rows than a short one may."""
        return self.limit > SHORT_ROWS_MAX

    def is_wide_filtered(self, *, filtered: bool) -> bool:
        """The same if the query also reads rows that do not match."""
        range_s = (self.end - self.start) / MICROSECONDS
        return self.is_wide or (filtered and range_s > SHORT_FILTER_S)

    @property
    def order(self) -> str:
        return "DESC" if self.newest_first else "ASC"

    @property
    def beyond(self) -> str:
        """The operator that selects the rows after a given row."""
        return "<" if self.newest_first else ">"

    def range_after(self, cursor: str | None) -> tuple[int, int]:
        """Start and end of the readings that follow a cursor. Raises `BadQuery`."""
        position = decode_cursor(cursor, int)
        if position is None:
            return self.start, self.end
        if self.newest_first:
            return self.start, int(position[0])
        return int(position[0]) + 1, self.end


def microseconds(ts: float | None) -> int:
    """The microseconds of a Unix time; None is later than all others. Raises `BadQuery` if it is
    out of range."""
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
        raise BadQuery("the cursor does not belong to this query")
    return position


def page_of(
    rows: list[Any],
    limit: int,
    make: Callable[[Any], R],
    cursor: Callable[[Any], str],
) -> Page[R]:
    """A page of `rows`. They may have one row more than `limit`: it shows that there is a next
    page."""
    more = len(rows) > limit
    return Page([make(row) for row in rows[:limit]], cursor(rows[limit - 1]) if more else None)


def events_page(rows: list[Any], limit: int) -> Page[EventRow]:
    """Converts rows of id and the fields of `EventRow`, with times in microseconds."""
    return page_of(
        rows,
        limit,
        lambda row: EventRow(
            row[1] / MICROSECONDS,
            row[2],
            row[3],
            row[4],
            row[5],
            None if row[6] is None else row[6] / MICROSECONDS,
            row[7],
        ),
        lambda row: encode_cursor(row[1], row[0]),
    )


def commands_page(rows: list[Any], limit: int) -> Page[CommandRow]:
    """Converts rows of id and the fields of `CommandRow`, with times in microseconds."""
    return page_of(
        rows,
        limit,
        lambda row: CommandRow(row[1] / MICROSECONDS, *row[2:]),
        lambda row: encode_cursor(row[1], row[0]),
    )


def uids_of(page: Page[LastRow]) -> list[str]:
    """The nodes of a page, each once, in order."""
    return list(dict.fromkeys(row.uid for row in page.rows))


def state_row(uid: str, event: Any | None) -> StateRow:
    """The state from the kind, time in microseconds and detail of the last event of a node; None if
    it has no event."""
    if event is None:
        return StateRow(uid, None, 0.0, "")
    return StateRow(uid, event[0], event[1] / MICROSECONDS, event[2])


def is_running(event: Any | None) -> bool:
    """Whether the recorder was running after its last event. A killed recorder wrote no event."""
    return event is not None and event[0] != "stopped"


class Steps(msgspec.Struct, frozen=True):
    """Whole steps that contain a range of time, in seconds."""

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
        """Whether the query may read more rows than a short one may."""
        range_s = self.end - self.start
        if self.level == 1:
            return range_s > SHORT_READINGS_S
        return range_s > 2 * SHORT_ROWS_MAX * self.level

    @property
    def level(self) -> int:
        """Resolution in seconds of the coarsest usable table: 3600, 60, or 1 for the readings."""
        return 3600 if self.step_s % 3600 == 0 else 60 if self.step_s % 60 == 0 else 1


def steps_of(rows: list[Any], limit: int, units: dict[int, str]) -> list[BucketRow]:
    """Converts rows of start, unit, minimum, maximum, sum, count and last. Raises `TooManyRows`."""
    if len(rows) > limit:
        raise TooManyRows(f"there are more than {limit} steps: narrow the range, or widen the step")
    found = [
        # The sum of the largest doubles is infinite; their mean is not.
        BucketRow(ts, units[unit], low, min(max(total / count, low), high), high, count, newest)
        for ts, unit, low, high, total, count, newest in rows
    ]
    found.sort(key=lambda row: (row.ts, row.unit))
    return found
