# SPDX-License-Identifier: BSD-3-Clause
"""The queries of a history file. Each is a function of a read-only connection."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from pyaiot.history.paging import (
    EXPORT_ROWS,
    Span,
    Steps,
    commands_page,
    decode_cursor,
    encode_cursor,
    events_page,
    is_running,
    microseconds,
    page_of,
    state_row,
    steps_of,
    uids_of,
)
from pyaiot.history.rows import MICROSECONDS, Value, data_of
from pyaiot.history.store import (
    BucketRow,
    Chunk,
    CommandRow,
    EventRow,
    LastRow,
    Page,
    ReadingRow,
    StateAt,
)


def last(
    db: sqlite3.Connection, uid: str | None, until: float | None, limit: int, cursor: str | None
) -> Page[LastRow]:
    span = Span.of(None, until, limit)
    position = decode_cursor(cursor, str, str) or ["", ""]
    where, values = _series_beyond(position, uid, ">")
    rows = db.execute(
        "SELECT s.uid, s.resource, r.at, r.value, u.name"  # noqa: S608 - of constants
        " FROM series AS s CROSS JOIN reading AS r CROSS JOIN unit AS u"
        f" WHERE {where}"
        " AND r.series = s.id"
        " AND r.at = (SELECT max(at) FROM reading WHERE series = s.id AND at <= ?)"
        " AND u.id = r.unit"
        " ORDER BY s.uid, s.resource LIMIT ?",
        (*values, span.end, limit + 1),
    ).fetchall()
    return page_of(
        rows,
        limit,
        lambda row: LastRow(row[0], row[1], _reading(row[2], row[3], row[4])),
        lambda row: encode_cursor(row[0], row[1]),
    )


def state_at(
    db: sqlite3.Connection, uid: str | None, at: float, limit: int, cursor: str | None
) -> StateAt:
    values = last(db, uid, at, limit, cursor)
    until = microseconds(at)
    states = [
        state_row(
            uid,
            db.execute(
                "SELECT kind, at, detail FROM event WHERE uid = ? AND at <= ?"
                " AND kind IN ('appeared', 'reset', 'left') ORDER BY at DESC, id DESC LIMIT 1",
                (uid, until),
            ).fetchone(),
        )
        for uid in uids_of(values)
    ]
    recorder = db.execute(
        "SELECT kind FROM event WHERE uid = '' AND at <= ?"
        " AND kind IN ('started', 'stopped') ORDER BY at DESC, id DESC LIMIT 1",
        (until,),
    ).fetchone()
    return StateAt(values, states, was_recorded=is_running(recorder))


def readings(
    db: sqlite3.Connection, uid: str, resource: str, span: Span, cursor: str | None
) -> Page[ReadingRow]:
    start, end = span.range_after(cursor)
    series = _series(db, uid, resource)
    if series is None:
        return Page([], None)
    units = _units(db)
    rows = db.execute(
        "SELECT at, value, unit FROM reading"  # noqa: S608 - the order is one of two words
        f" WHERE series = ? AND at >= ? AND at < ? ORDER BY at {span.order} LIMIT ?",
        (series, start, end, span.limit + 1),
    ).fetchall()
    return page_of(
        rows,
        span.limit,
        lambda row: _reading(row[0], row[1], units[row[2]]),
        lambda row: encode_cursor(row[0]),
    )


def export(
    db: sqlite3.Connection,
    uid: str | None,
    resource: str | None,
    span: Span,
    after: tuple[str, str, int] | None,
) -> tuple[list[Chunk], tuple[str, str, int] | None]:
    """Up to `EXPORT_ROWS` readings after a position, and the new position; None at the end."""
    units = _units(db)
    chunks: list[Chunk] = []
    left = EXPORT_ROWS
    position: tuple[str, str, int] | None = after or ("", "", -1)
    while position is not None and left > 0:
        position, chunk = _export_one(db, uid, resource, span, position, left, units)
        if chunk is not None:
            chunks.append(chunk)
            left -= len(chunk.rows)
        left -= 1  # One row is for the lookup, which also bounds the number of empty resources.
    return chunks, position


def _export_one(
    db: sqlite3.Connection,
    uid: str | None,
    resource: str | None,
    span: Span,
    position: tuple[str, str, int],
    limit: int,
    units: dict[int, str],
) -> tuple[tuple[str, str, int] | None, Chunk | None]:
    """Readings of the resource at `position` or of the next one, and the new position."""
    where, values = _series_beyond(position, uid, ">=")
    if resource is not None:
        where, values = where + " AND s.resource = ?", [*values, resource]
    row = db.execute(
        "SELECT s.id, s.uid, s.resource FROM series AS s"  # noqa: S608 - of constants
        f" WHERE {where} ORDER BY s.uid, s.resource LIMIT 1",
        values,
    ).fetchone()
    if row is None:
        return None, None
    same = (row[1], row[2]) == position[:2]
    start = max(span.start, position[2] + 1) if same else span.start
    rows = db.execute(
        "SELECT at, value, unit FROM reading WHERE series = ? AND at >= ? AND at < ?"
        " ORDER BY at LIMIT ?",
        (row[0], start, span.end, limit),
    ).fetchall()
    chunk = None
    if rows:
        chunk = Chunk(
            row[1], row[2], [_reading(at, value, units[unit]) for at, value, unit in rows]
        )
    if len(rows) == limit:
        return (row[1], row[2], rows[-1][0]), chunk
    # No name sorts between this one and this one followed by U+0000.
    return (row[1], row[2] + "\0", -1), chunk


def events(
    db: sqlite3.Connection,
    uid: str | None,
    kinds: Sequence[str],
    span: Span,
    cursor: str | None,
) -> Page[EventRow]:
    marks = ",".join("?" * len(kinds))
    where = f" AND kind IN ({marks})" if kinds else ""
    rows = _by_time(
        db,
        "SELECT id, at, kind, uid, gateway, detail, until, lost FROM event",
        uid,
        span,
        cursor,
        (where, kinds),
    )
    return events_page(rows, span.limit)


def commands(
    db: sqlite3.Connection, uid: str | None, span: Span, cursor: str | None
) -> Page[CommandRow]:
    rows = _by_time(
        db,
        "SELECT id, at, uid, resource, payload, client, who, client_id, state, detail, elapsed_ms"
        " FROM command",
        uid,
        span,
        cursor,
    )
    return commands_page(rows, span.limit)


def _by_time(
    db: sqlite3.Connection,
    select: str,
    uid: str | None,
    span: Span,
    cursor: str | None,
    more: tuple[str, Sequence[str]] = ("", ()),
) -> list[Any]:
    """Rows of `event` or `command`, ordered by time, then by the order in which they were
    written."""
    where, values = "at >= ? AND at < ?" + more[0], [span.start, span.end, *more[1]]
    if uid is not None:
        where, values = where + " AND uid = ?", [*values, uid]
    if position := decode_cursor(cursor, int, int):
        where, values = where + f" AND (at, id) {span.beyond} (?, ?)", [*values, *position]
    order = f"ORDER BY at {span.order}, id {span.order} LIMIT ?"
    return db.execute(f"{select} WHERE {where} {order}", [*values, span.limit + 1]).fetchall()


def _series(db: sqlite3.Connection, uid: str, resource: str) -> int | None:
    row = db.execute(
        "SELECT id FROM series WHERE uid = ? AND resource = ?", (uid, resource)
    ).fetchone()
    return row[0] if row else None


def _units(db: sqlite3.Connection) -> dict[int, str]:
    return dict(db.execute("SELECT id, name FROM unit"))


def _reading(at: int, value: Value, unit: str) -> ReadingRow:
    if type(value) is float:
        return ReadingRow(at / MICROSECONDS, value, unit)
    return ReadingRow(at / MICROSECONDS, None, unit, data_of(value))


def _series_beyond(position: Sequence[Any], uid: str | None, beyond: str) -> tuple[str, list[Any]]:
    """A condition and its values: resources of all nodes or of one node, after a position."""
    if uid is None:
        return f"(s.uid, s.resource) {beyond} (?, ?)", [position[0], position[1]]
    first = position[1] if position[0] == uid else ""
    return f"s.uid = ? AND s.resource {beyond} ?", [uid, first]


def buckets(
    db: sqlite3.Connection,
    uid: str,
    resource: str,
    start: float,
    end: float,
    step_s: int,
    limit: int,
) -> list[BucketRow]:
    """See `History.buckets`."""
    Span.of(start, end, limit)
    steps = Steps.of(start, end, step_s)
    series = _series(db, uid, resource)
    if series is None:
        return []
    values = {"series": series, "start": steps.start, "end": steps.end, "step": step_s}
    rows = db.execute(_BUCKETS[steps.level], {**values, "limit": limit + 1}).fetchall()
    return steps_of(rows, limit, _units(db))


# Parts of the result, each with its time in seconds. Rows that are marked as stale are computed
# from the level below. The queries iterate over the marks, because there are few.
_RAW: Final = """
    SELECT at / 1000000.0 AS ts, unit, value AS low, value AS high, value AS total, 1 AS count,
        value AS last
    FROM reading
    WHERE series = :series AND at >= :start * 1000000 AND at < :end * 1000000
        AND typeof(value) = 'real'
"""
_STALE_RAW: Final = """
    SELECT r.at / 1000000.0, unit, value, value, value, 1, value
    FROM stale AS s CROSS JOIN reading AS r
    WHERE s.step = 60 AND s.series = :series AND s.at >= :start / 60 AND s.at < :end / 60
        AND r.series = :series AND r.at >= s.at * 60000000 AND r.at < (s.at + 1) * 60000000
        AND typeof(value) = 'real'
"""
_MINUTES: Final = f"""
    SELECT m.at * 60 AS ts, unit, low, high, total, count, last
    FROM minute AS m
    WHERE m.series = :series AND m.at >= :start / 60 AND m.at < :end / 60
        AND NOT EXISTS (SELECT 1 FROM stale WHERE step = 60 AND series = :series AND at = m.at)
    UNION ALL
    {_STALE_RAW}
"""  # noqa: S608 - made of constants
# An hour is stale as soon as one of its minutes is, even if it is not marked yet.
_HOURS: Final = f"""
    SELECT h.at * 3600 AS ts, unit, low, high, total, count, last
    FROM hour AS h
    WHERE h.series = :series AND h.at >= :start / 3600 AND h.at < :end / 3600
        AND h.at NOT IN (SELECT at FROM open)
    UNION ALL
    SELECT m.at * 60, unit, low, high, total, count, last
    FROM open AS o CROSS JOIN minute AS m
    WHERE m.series = :series AND m.at >= o.at * 60 AND m.at < (o.at + 1) * 60
        AND NOT EXISTS (SELECT 1 FROM stale WHERE step = 60 AND series = :series AND at = m.at)
    UNION ALL
    {_STALE_RAW}
"""  # noqa: S608 - made of constants
_OPEN: Final = """
    open AS MATERIALIZED (
        SELECT at FROM stale WHERE step = 3600 AND series = :series
            AND at >= :start / 3600 AND at < :end / 3600
        UNION
        SELECT at / 60 FROM stale WHERE step = 60 AND series = :series
            AND at >= :start / 60 AND at < :end / 60
    ),
"""
# SQLite takes a bare column from the row of the only `max()`: the last number of a step.
_FOLD: Final = """
    WITH {more} part AS MATERIALIZED (
        SELECT CAST(ts AS INTEGER) / :step * :step AS bucket, * FROM ({parts})
    )
    SELECT f.bucket, f.unit, f.low, f.high, f.total, f.count, l.last
    FROM (
        SELECT bucket, unit, min(low) AS low, max(high) AS high,
            coalesce(sum(total), 0.0) AS total, sum(count) AS count
        FROM part GROUP BY bucket, unit
    ) AS f
    JOIN (SELECT bucket, unit, last, max(ts) FROM part GROUP BY bucket, unit) AS l
        USING (bucket, unit)
    ORDER BY f.bucket, f.unit LIMIT :limit
"""
_BUCKETS: Final = {
    1: _FOLD.format(more="", parts=_RAW),
    60: _FOLD.format(more="", parts=_MINUTES),
    3600: _FOLD.format(more=_OPEN, parts=_HOURS),
}
