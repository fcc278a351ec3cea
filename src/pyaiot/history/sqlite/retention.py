# SPDX-License-Identifier: BSD-3-Clause
"""Downsampling and trimming of a history file, in short steps between two batches."""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyaiot.history.store import Keep

MARKS_PER_STEP: Final = 200
"""Minutes or hours that are made in one step."""
SERIES_PER_STEP: Final = 100
"""Resources that are trimmed in one step."""
ROWS_PER_STEP: Final = 2000
"""Rows of one table and resource that are trimmed in one step."""
TRIM_INTERVAL_S: Final = 600.0
"""Between the ends of two walks over all resources that trim them."""
GRACE_S: Final = 60
"""A minute is made so long after its end, an hour twice as long."""

# Sums of the largest doubles are infinite; what is kept is finite.
_TOTAL: Final = "max(-1.7e308, min(1.7e308, coalesce(sum(r.{}), 0.0)))"

_MAKE_MINUTES: Final = f"""
    INSERT OR REPLACE INTO minute
    SELECT series, minute, unit, low, high, total, count,
        (SELECT value FROM reading AS l WHERE l.series = g.series AND l.at = g.newest)
    FROM (
        SELECT r.series, m.at AS minute, r.unit, min(r.value) AS low, max(r.value) AS high,
            {_TOTAL.format("value")} AS total, count(*) AS count, max(r.at) AS newest
        FROM made AS m CROSS JOIN reading AS r
            ON r.series = m.series AND r.at >= m.at * 60000000 AND r.at < (m.at + 1) * 60000000
        WHERE typeof(r.value) = 'real'
        GROUP BY r.series, m.at, r.unit
    ) AS g
"""  # noqa: S608 - made of constants
_MAKE_HOURS: Final = f"""
    INSERT OR REPLACE INTO hour
    SELECT series, hour, unit, low, high, total, count,
        (SELECT last FROM minute AS l
            WHERE l.series = g.series AND l.at = g.newest AND l.unit = g.unit)
    FROM (
        SELECT r.series, m.at AS hour, r.unit, min(r.low) AS low, max(r.high) AS high,
            {_TOTAL.format("total")} AS total, sum(r.count) AS count, max(r.at) AS newest
        FROM made AS m CROSS JOIN minute AS r
            ON r.series = m.series AND r.at >= m.at * 60 AND r.at < (m.at + 1) * 60
        GROUP BY r.series, m.at, r.unit
    ) AS g
"""  # noqa: S608 - made of constants
# At most so many of the oldest rows of one resource that are older than a time.
_TRIM: Final = """
    DELETE FROM {table} WHERE series = ?1 AND at < min(?2, coalesce(
        (SELECT at FROM {table} WHERE series = ?1 ORDER BY at LIMIT 1 OFFSET ?3), ?2))
"""
_TRIM_READINGS, _TRIM_MINUTES, _TRIM_HOURS = (
    _TRIM.format(table=table) for table in ("reading", "minute", "hour")
)
_TRIM_BY_TIME: Final = """
    DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at < ? ORDER BY at LIMIT ?)
"""
_FORGET_SERIES: Final = """
    DELETE FROM series WHERE id = ?1
        AND NOT EXISTS (SELECT 1 FROM reading WHERE series = ?1)
        AND NOT EXISTS (SELECT 1 FROM minute WHERE series = ?1)
        AND NOT EXISTS (SELECT 1 FROM hour WHERE series = ?1)
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did."""

    more: bool
    """There is more to do at once."""
    made: Sequence[int] = ()
    """Resources some of whose minutes were made."""
    gone: Sequence[int] = ()
    """Resources of which nothing is left: their numbers may be given anew."""


class Tidying:
    """Knows what comes next. Uses the writer's connection, between its transactions."""

    def __init__(self, db: sqlite3.Connection, keep: Keep) -> None:
        self._db = db
        self._keep = keep
        self._position = 0
        """The number of the resource that was trimmed last."""
        self._walked_at = -math.inf
        """Retention's Unix time at the end of the last walk over all resources."""
        db.execute("PRAGMA temp_store = MEMORY")
        # The marks that one step is at.
        db.execute("CREATE TEMP TABLE made (series INTEGER, at INTEGER)")

    def step(self, now: float, retention_now: float) -> Done:
        """Do some milliseconds of work, in one transaction. Raises `sqlite3.Error`.

        What is made is over at the Unix time `now`; what is trimmed is too old at `retention_now`.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            done = self._step(now, retention_now)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return done

    def _step(self, now: float, retention_now: float) -> Done:
        if made := self._make(60, int(now - GRACE_S) // 60, _MAKE_MINUTES):
            # An hour is made when all its minutes are: they come first.
            self._db.execute("INSERT OR IGNORE INTO stale SELECT 3600, series, at / 60 FROM made")
            return Done(more=True, made=made)
        if self._make(3600, int(now - 2 * GRACE_S) // 3600, _MAKE_HOURS):
            return Done(more=True)
        return self._trim(retention_now)

    def _make(self, step: int, before: int, statement: str) -> list[int]:
        """Make what is marked and older than `before`, some of it. The resources it was of."""
        self._db.execute("DELETE FROM made")
        self._db.execute(
            "INSERT INTO made SELECT series, at FROM stale WHERE step = ? AND at < ? LIMIT ?",
            (step, before, MARKS_PER_STEP),
        )
        made = [series for (series,) in self._db.execute("SELECT series FROM made")]
        if made:
            self._db.execute(statement)
            self._db.execute(
                "DELETE FROM stale"
                " WHERE step = ? AND (series, at) IN (SELECT series, at FROM made)",
                (step,),
            )
        return made

    def _trim(self, now: float) -> Done:
        # A time that went back is no reason to wait.
        if 0 <= now - self._walked_at < TRIM_INTERVAL_S:
            return Done(more=False)
        # A whole hour later than what is refused as too old: what is made anew is made of all
        # its parts.
        oldest = self._keep.oldest(now)
        hour = int(oldest.readings) // 3600 - 1
        series_ids = [
            series
            for (series,) in self._db.execute(
                "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?",
                (self._position, SERIES_PER_STEP),
            )
        ]
        gone: list[int] = []
        for series in series_ids:
            trimmed = 0
            for statement, before in (
                (_TRIM_READINGS, hour * 3_600_000_000),
                (_TRIM_MINUTES, (int(oldest.minutes) // 3600 - 1) * 60),
                (_TRIM_HOURS, int(oldest.hours) // 3600 - 1),
            ):
                cursor = self._db.execute(statement, (series, before, ROWS_PER_STEP))
                trimmed = max(trimmed, cursor.rowcount)
            if trimmed >= ROWS_PER_STEP:
                return Done(more=True, gone=gone)  # the same one again
            if self._db.execute(_FORGET_SERIES, (series,)).rowcount:
                gone.append(series)
            self._position = series
        trimmed = 0
        for table in ("event", "command"):
            statement = _TRIM_BY_TIME.format(table=table)
            before = int(oldest.events * 1_000_000)
            cursor = self._db.execute(statement, (before, ROWS_PER_STEP))
            trimmed = max(trimmed, cursor.rowcount)
        if series_ids or trimmed >= ROWS_PER_STEP:
            return Done(more=True, gone=gone)
        self._position = 0
        self._walked_at = now
        return Done(more=False, gone=gone)
