# SPDX-License-Identifier: BSD-3-Clause
"""Downsampling and retention of a history file, in short steps between two batches."""

import math
import sqlite3
from typing import Final

from pyaiot.history.retention import DELETION_INTERVAL_S, GRACE_S, Cutoffs, RetentionStep
from pyaiot.history.store import RetentionPolicy

MARKS_PER_STEP: Final = 200
"""Minutes or hours that one step computes."""
SERIES_PER_STEP: Final = 100
"""Series from which one step deletes old rows."""
ROWS_PER_STEP: Final = 2000
"""Rows of one table and series that one step deletes."""

# The sum of the largest doubles is infinite; the stored sum must be finite.
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
# Deletes up to ?3 of the oldest rows of a series that are older than ?2.
_DELETE_OLD: Final = """
    DELETE FROM {table} WHERE series = ?1 AND at < min(?2, coalesce(
        (SELECT at FROM {table} WHERE series = ?1 ORDER BY at LIMIT 1 OFFSET ?3), ?2))
"""
_DELETE_OLD_READINGS, _DELETE_OLD_MINUTES, _DELETE_OLD_HOURS = (
    _DELETE_OLD.format(table=table) for table in ("reading", "minute", "hour")
)
_DELETE_OLD_BY_TIME: Final = """
    DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE at < ? ORDER BY at LIMIT ?)
"""
_DELETE_SERIES: Final = """
    DELETE FROM series WHERE id = ?1
        AND NOT EXISTS (SELECT 1 FROM reading WHERE series = ?1)
        AND NOT EXISTS (SELECT 1 FROM minute WHERE series = ?1)
        AND NOT EXISTS (SELECT 1 FROM hour WHERE series = ?1)
"""


class SqliteRetention:
    """Remembers which step is next. Uses the writer's connection between its transactions."""

    def __init__(self, db: sqlite3.Connection, keep: RetentionPolicy) -> None:
        self._db = db
        self._keep = keep
        self._position = 0
        """The id of the series whose old rows were deleted last."""
        self._deleted_at = -math.inf
        """The Unix time of retention at the end of the last pass over all series."""
        db.execute("PRAGMA temp_store = MEMORY")
        # The marks of the current step.
        db.execute("CREATE TEMP TABLE made (series INTEGER, at INTEGER)")

    def step(self, now: float, retention_now: float) -> RetentionStep:
        """Do a few milliseconds of work in one transaction. Raises `sqlite3.Error`.

        Compute minutes and hours that ended before the Unix time `now`; delete rows that are too
        old at `retention_now`.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = self._step(now, retention_now)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return result

    def _step(self, now: float, retention_now: float) -> RetentionStep:
        if built := self._build(60, int(now - GRACE_S) // 60, _MAKE_MINUTES):
            # An hour is computed after all its minutes, which come first.
            self._db.execute("INSERT OR IGNORE INTO stale SELECT 3600, series, at / 60 FROM made")
            return RetentionStep(more=True, built=built)
        if self._build(3600, int(now - 2 * GRACE_S) // 3600, _MAKE_HOURS):
            return RetentionStep(more=True)
        return self._delete_old(retention_now)

    def _build(self, step: int, before: int, statement: str) -> list[int]:
        """Compute some of the marked rows older than `before`. Returns their series."""
        self._db.execute("DELETE FROM made")
        self._db.execute(
            "INSERT INTO made SELECT series, at FROM stale WHERE step = ? AND at < ? LIMIT ?",
            (step, before, MARKS_PER_STEP),
        )
        built = [series for (series,) in self._db.execute("SELECT series FROM made")]
        if built:
            self._db.execute(statement)
            self._db.execute(
                "DELETE FROM stale"
                " WHERE step = ? AND (series, at) IN (SELECT series, at FROM made)",
                (step,),
            )
        return built

    def _delete_old(self, now: float) -> RetentionStep:
        # If the time went back, there is no need to wait.
        if 0 <= now - self._deleted_at < DELETION_INTERVAL_S:
            return RetentionStep(more=False)
        cutoffs = Cutoffs.at(now, self._keep)
        series_ids = [
            series
            for (series,) in self._db.execute(
                "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?",
                (self._position, SERIES_PER_STEP),
            )
        ]
        deleted: list[int] = []
        for series in series_ids:
            deleted_rows = 0
            for statement, before in (
                (_DELETE_OLD_READINGS, cutoffs.readings),
                (_DELETE_OLD_MINUTES, cutoffs.minutes),
                (_DELETE_OLD_HOURS, cutoffs.hours),
            ):
                cursor = self._db.execute(statement, (series, before, ROWS_PER_STEP))
                deleted_rows = max(deleted_rows, cursor.rowcount)
            if deleted_rows >= ROWS_PER_STEP:
                return RetentionStep(more=True, deleted=deleted)  # series has more
            if self._db.execute(_DELETE_SERIES, (series,)).rowcount:
                deleted.append(series)
            self._position = series
        deleted_rows = 0
        for table in ("event", "command"):
            statement = _DELETE_OLD_BY_TIME.format(table=table)
            cursor = self._db.execute(statement, (cutoffs.events, ROWS_PER_STEP))
            deleted_rows = max(deleted_rows, cursor.rowcount)
        if series_ids or deleted_rows >= ROWS_PER_STEP:
            return RetentionStep(more=True, deleted=deleted)
        self._position = 0
        self._deleted_at = now
        return RetentionStep(more=False, deleted=deleted)
