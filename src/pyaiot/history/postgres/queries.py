# SPDX-License-Identifier: BSD-3-Clause
"""The queries of a history database. Each is a coroutine that takes a connection."""

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
from pyaiot.history.postgres.writer import value_of
from pyaiot.history.rows import MICROSECONDS, data_of
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


class _Statement:
    """An SQL statement and its values, composed part by part."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> "_Statement":
        """Append text. Each `?` in it is replaced by the placeholder of the next value."""
        for value in values:
            self.values.append(value)
            text = text.replace("?", f"${len(self.values)}", 1)
        self.text += text
        return self

    async def rows(self, db: Any) -> list[Any]:
        return list(await db.fetch(self.text, *self.values))


async def last(
    db: Any, uid: str | None, until: float | None, limit: int, cursor: str | None
) -> Page[LastRow]:
    span = Span.of(None, until, limit)
    position = decode_cursor(cursor, str, str) or ["", ""]
    query = _Statement(
        "SELECT s.uid, s.resource, r.at, u.name, r.number, r.data, r.json FROM series AS s"
        " JOIN LATERAL (SELECT * FROM reading WHERE series = s.id"
    )
    query.add(" AND at <= ? ORDER BY at DESC LIMIT 1) AS r", span.end)
    query.add(" ON true JOIN unit AS u ON u.id = r.unit")
    query.add(" WHERE (s.uid, s.resource) > (?, ?)", *position)
    if uid is not None:
        query.add(" AND s.uid = ?", uid)
    rows = await query.add(" ORDER BY s.uid, s.resource LIMIT ?", limit + 1).rows(db)
    return page_of(
        rows,
        limit,
        lambda row: LastRow(row[0], row[1], _reading(*row[2:])),
        lambda row: encode_cursor(row[0], row[1]),
    )


async def state_at(db: Any, uid: str | None, at: float, limit: int, cursor: str | None) -> StateAt:
    values = await last(db, uid, at, limit, cursor)
    until = microseconds(at)
    uids = uids_of(values)
    events = await db.fetch(
        "SELECT n.uid, e.kind, e.at, e.detail FROM unnest($1::text[]) AS n (uid)"
        " JOIN LATERAL (SELECT * FROM event WHERE uid = n.uid AND at <= $2"
        " AND kind IN ('appeared', 'reset', 'left') ORDER BY at DESC, id DESC LIMIT 1) AS e"
        " ON true",
        uids,
        until,
    )
    found = {row[0]: tuple(row[1:]) for row in events}
    recorder = await db.fetchrow(
        "SELECT kind FROM event WHERE uid = '' AND at <= $1"
        " AND kind IN ('started', 'stopped') ORDER BY at DESC, id DESC LIMIT 1",
        until,
    )
    states = [state_row(uid, found.get(uid)) for uid in uids]
    return StateAt(values, states, was_recorded=is_running(recorder))


async def readings(
    db: Any, uid: str, resource: str, span: Span, cursor: str | None
) -> Page[ReadingRow]:
    start, end = span.range_after(cursor)
    series = await _series(db, uid, resource)
    if series is None:
        return Page([], None)
    units = await _units(db)
    rows = await db.fetch(
        "SELECT at, unit, number, data, json FROM reading"  # noqa: S608 - the order is one of two
        f" WHERE series = $1 AND at >= $2 AND at < $3 ORDER BY at {span.order} LIMIT $4",
        series,
        start,
        end,
        span.limit + 1,
    )
    return page_of(
        list(rows),
        span.limit,
        lambda row: _reading(row[0], units[row[1]], *row[2:]),
        lambda row: encode_cursor(row[0]),
    )


async def export(
    db: Any,
    uid: str | None,
    resource: str | None,
    span: Span,
    after: tuple[str, str, int],
) -> tuple[list[Chunk], tuple[str, str, int] | None]:
    """Up to `EXPORT_ROWS` readings after a position, and the new position; None at the end."""
    units = await _units(db)
    chunks: list[Chunk] = []
    left = EXPORT_ROWS
    position: tuple[str, str, int] | None = after
    while position is not None and left > 0:
        query = _Statement("SELECT id, uid, resource FROM series WHERE true")
        query.add(" AND (uid, resource) >= (?, ?)", position[0], position[1])
        if uid is not None:
            query.add(" AND uid = ?", uid)
        if resource is not None:
            query.add(" AND resource = ?", resource)
        found = await query.add(" ORDER BY uid, resource LIMIT 2").rows(db)
        if found and position[2] == _DONE and (found[0][1], found[0][2]) == position[:2]:
            found = found[1:]
        if not found:
            return chunks, None
        series, its_uid, its_resource = found[0]
        same = (its_uid, its_resource) == position[:2]
        start = max(span.start, position[2] + 1) if same else span.start
        rows = await db.fetch(
            "SELECT at, unit, number, data, json FROM reading"
            " WHERE series = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4",
            series,
            start,
            span.end,
            left,
        )
        if rows:
            readings = [_reading(row[0], units[row[1]], *row[2:]) for row in rows]
            chunks.append(Chunk(its_uid, its_resource, readings))
        at = rows[-1][0] if len(rows) == left else _DONE
        position = (its_uid, its_resource, at)
        left -= len(rows) + 1  # one row is for the lookup
    return chunks, position


async def events(
    db: Any, uid: str | None, kinds: Sequence[str], span: Span, cursor: str | None
) -> Page[EventRow]:
    query = _Statement(
        "SELECT id, at, kind, uid, gateway, detail, until, lost FROM event WHERE true"
    )
    if kinds:
        query.add(" AND kind = ANY (?::text[])", list(kinds))
    rows = await _by_time(db, query, uid, span, cursor)
    return events_page(rows, span.limit)


async def commands(db: Any, uid: str | None, span: Span, cursor: str | None) -> Page[CommandRow]:
    query = _Statement(
        "SELECT id, at, uid, resource, payload, client, who, client_id, state, detail, elapsed_ms"
        " FROM command WHERE true"
    )
    rows = await _by_time(db, query, uid, span, cursor)
    return commands_page(rows, span.limit)


async def _by_time(
    db: Any, query: _Statement, uid: str | None, span: Span, cursor: str | None
) -> list[Any]:
    """Rows of `event` or `command`, ordered by time, then by the order in which they were
    written."""
    query.add(" AND at >= ? AND at < ?", span.start, span.end)
    if uid is not None:
        query.add(" AND uid = ?", uid)
    if position := decode_cursor(cursor, int, int):
        query.add(f" AND (at, id) {span.beyond} (?, ?)", *position)
    query.add(f" ORDER BY at {span.order}, id {span.order} LIMIT ?", span.limit + 1)
    return await query.rows(db)


async def buckets(
    db: Any, uid: str, resource: str, start: float, end: float, step_s: int, limit: int
) -> list[BucketRow]:
    """See `History.buckets`."""
    Span.of(start, end, limit)
    steps = Steps.of(start, end, step_s)
    series = await _series(db, uid, resource)
    if series is None:
        return []
    values = (series, steps.start, steps.end, step_s, limit + 1)
    rows = [tuple(row) for row in await db.fetch(_BUCKETS[steps.level], *values)]
    return steps_of(rows, limit, await _units(db))


async def _series(db: Any, uid: str, resource: str) -> int | None:
    series: int | None = await db.fetchval(
        "SELECT id FROM series WHERE uid = $1 AND resource = $2", uid, resource
    )
    return series


async def _units(db: Any) -> dict[int, str]:
    return dict(await db.fetch("SELECT id, name FROM unit"))


def _reading(
    at: int, unit: str, number: float | None, data: str | None, json: str | None
) -> ReadingRow:
    if number is not None:
        return ReadingRow(at / MICROSECONDS, number, unit)
    return ReadingRow(at / MICROSECONDS, None, unit, data_of(value_of(None, data, json)))


_DONE: Final = 1 << 62
"""The position after all readings of a resource."""

# Parts of the result, each with its time in microseconds. Rows that are marked as stale are
# computed from the level below. Values: series, begin, end and step in seconds, limit.
_RAW: Final = """
    SELECT at AS us, unit, number AS low, number AS high, number AS total, 1 AS count,
        number AS last
    FROM reading
    WHERE series = $1 AND at >= $2::bigint * 1000000 AND at < $3::bigint * 1000000
        AND number IS NOT NULL
"""
_STALE_RAW: Final = """
    SELECT r.at, unit, number, number, number, 1, number
    FROM stale AS s JOIN reading AS r
        ON r.series = $1 AND r.at >= s.at * 60000000 AND r.at < (s.at + 1) * 60000000
        AND r.at >= $2::bigint * 1000000 AND r.at < $3::bigint * 1000000
    WHERE s.step = 60 AND s.series = $1 AND s.at >= $2::bigint / 60 AND s.at < $3::bigint / 60
        AND number IS NOT NULL
"""
_FRESH: Final = "NOT EXISTS (SELECT FROM stale WHERE step = 60 AND series = $1 AND at = m.at)"
_MINUTES: Final = f"""
    SELECT m.at * 60000000 AS us, unit, low, high, total, count, last
    FROM minute AS m
    WHERE m.series = $1 AND m.at >= $2::bigint / 60 AND m.at < $3::bigint / 60 AND {_FRESH}
    UNION ALL {_STALE_RAW}
"""  # noqa: S608 - made of constants
# An hour is stale as soon as one of its minutes is, even if it is not marked yet.
_HOURS: Final = f"""
    SELECT h.at * 3600000000 AS us, unit, low, high, total, count, last
    FROM hour AS h
    WHERE h.series = $1 AND h.at >= $2::bigint / 3600 AND h.at < $3::bigint / 3600
        AND h.at NOT IN (SELECT at FROM open)
    UNION ALL
    SELECT m.at * 60000000, unit, low, high, total, count, last
    FROM open AS o JOIN minute AS m
        ON m.series = $1 AND m.at >= o.at * 60 AND m.at < (o.at + 1) * 60
    WHERE {_FRESH}
    UNION ALL {_STALE_RAW}
"""  # noqa: S608 - made of constants
_OPEN: Final = """
    open AS (
        SELECT at FROM stale WHERE step = 3600 AND series = $1
            AND at >= $2::bigint / 3600 AND at < $3::bigint / 3600
        UNION
        SELECT at / 60 FROM stale WHERE step = 60 AND series = $1
            AND at >= $2::bigint / 60 AND at < $3::bigint / 60
    ),
"""
_FOLD: Final = """
    WITH {more} part AS ({parts})
    SELECT us / 1000000 / $4::bigint * $4::bigint AS bucket, unit, min(low), max(high),
        sum(greatest(-1e300, least(1e300, total))), sum(count)::bigint,
        (array_agg(last ORDER BY us DESC))[1]
    FROM part GROUP BY bucket, unit ORDER BY bucket, unit LIMIT $5
"""
_BUCKETS: Final = {
    1: _FOLD.format(more="", parts=_RAW),
    60: _FOLD.format(more="", parts=_MINUTES),
    3600: _FOLD.format(more=_OPEN, parts=_HOURS),
}
