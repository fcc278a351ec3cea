# SPDX-License-Identifier: BSD-3-Clause
"""Downsampling and retention of a history database, in short steps between two batches."""

import math
from typing import Any, Final

from pyaiot.history.postgres.schema import WEEK
from pyaiot.history.retention import DELETION_INTERVAL_S, GRACE_S, Cutoffs, RetentionStep
from pyaiot.history.store import RetentionPolicy

MARKS_PER_STEP: Final = 500
"""Minutes or hours that one step computes."""
ROWS_PER_STEP: Final = 5000
"""Rows of one table that one step deletes."""

# PostgreSQL refuses infinite sums: the summands are limited so that the sum stays finite.
_MAKE_MINUTES: Final = """
    INSERT INTO minute
    SELECT r.series, m.at, r.unit, min(number), max(number),
        sum(greatest(-1e300, least(1e300, number))), count(*),
        (array_agg(number ORDER BY r.at DESC))[1]
    FROM unnest($1::integer[], $2::bigint[]) AS m (series, at)
    JOIN reading AS r ON r.series = m.series
        AND r.at >= m.at * 60000000 AND r.at < (m.at + 1) * 60000000
        AND r.at >= $3 AND r.at < $4
    WHERE number IS NOT NULL
    GROUP BY r.series, m.at, r.unit
    ON CONFLICT (series, at, unit) DO UPDATE SET low = excluded.low, high = excluded.high,
        total = excluded.total, count = excluded.count, last = excluded.last
"""
_MAKE_HOURS: Final = """
    INSERT INTO hour
    SELECT r.series, m.at, r.unit, min(low), max(high),
        sum(greatest(-1e305, least(1e305, total))), sum(count)::bigint,
        (array_agg(last ORDER BY r.at DESC))[1]
    FROM unnest($1::integer[], $2::bigint[]) AS m (series, at)
    JOIN minute AS r ON r.series = m.series AND r.at >= m.at * 60 AND r.at < (m.at + 1) * 60
    GROUP BY r.series, m.at, r.unit
    ON CONFLICT (series, at, unit) DO UPDATE SET low = excluded.low, high = excluded.high,
        total = excluded.total, count = excluded.count, last = excluded.last
"""
# Locks the marks in the order in which writers lock them, before the deletion.
_TAKE_MARKS: Final = """
    WITH due AS MATERIALIZED (
        SELECT step, series, at FROM stale WHERE step = $1 AND at < $2
        ORDER BY series, at LIMIT $3 FOR UPDATE
    )
    DELETE FROM stale USING due
    WHERE stale.step = due.step AND stale.series = due.series AND stale.at = due.at
    RETURNING stale.series, stale.at
"""
_DELETE_OLD: Final = (
    "DELETE FROM {0} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {0} WHERE at < $1 LIMIT $2))"
)


class PostgresRetention:
    """Remembers which step is next. Uses the writer's connection between its transactions."""

    def __init__(self, db: Any, keep: RetentionPolicy) -> None:
        self._db = db
        self._keep = keep
        self._deleted_at = -math.inf
        """The Unix time of retention at the last complete search for old rows."""

    async def step(self, now: float, retention_now: float) -> RetentionStep:
        """Do a short step in one transaction. Compute minutes and hours that ended before the Unix
        time `now`; delete rows that are too old at `retention_now`."""
        async with self._db.transaction():
            minutes = await self._take_marks(60, int(now - GRACE_S) // 60)
            if minutes:
                series, at = zip(*minutes, strict=True)
                # The range of all marks limits the partitions that are read.
                span = (min(at) * 60_000_000, (max(at) + 1) * 60_000_000)
                await self._db.execute(_MAKE_MINUTES, series, at, *span)
                # An hour is computed after all its minutes, which come first.
                await self._db.execute(
                    "INSERT INTO stale SELECT DISTINCT 3600, series, at / 60"
                    " FROM unnest($1::integer[], $2::bigint[]) AS m (series, at)"
                    " ON CONFLICT DO NOTHING",
                    series,
                    at,
                )
                return RetentionStep(more=True, built=series)
            hours = await self._take_marks(3600, int(now - 2 * GRACE_S) // 3600)
            if hours:
                await self._db.execute(_MAKE_HOURS, *zip(*hours, strict=True))
                return RetentionStep(more=True)
            return await self._delete_old(retention_now)

    async def _take_marks(self, step: int, before: int) -> list[tuple[int, int]]:
        rows = await self._db.fetch(_TAKE_MARKS, step, before, MARKS_PER_STEP)
        return [(series, at) for series, at in rows]

    async def _delete_old(self, now: float) -> RetentionStep:
        # If the time went back, there is no need to wait.
        if 0 <= now - self._deleted_at < DELETION_INTERVAL_S:
            return RetentionStep(more=False)
        cutoffs = Cutoffs.at(now, self._keep)
        week = cutoffs.readings // WEEK
        dropped = False
        for number in await partitions(self._db):
            if number < week:
                await self._db.execute(f"DROP TABLE {partition(number)}")
                dropped = True
        deleted_rows = 0
        for table, before in (
            ("minute", cutoffs.minutes),
            ("hour", cutoffs.hours),
            ("event", cutoffs.events),
            ("command", cutoffs.events),
        ):
            status = await self._db.execute(_DELETE_OLD.format(table), before, ROWS_PER_STEP)
            deleted_rows = max(deleted_rows, int(status.rpartition(" ")[2]))
        if deleted_rows >= ROWS_PER_STEP:
            return RetentionStep(more=True, dropped_partitions=dropped)
        self._deleted_at = now
        return RetentionStep(more=False, dropped_partitions=dropped)


def partition(week: int) -> str:
    """The name of the partition of a week, counted from the epoch."""
    return f"reading_{week}"


async def partitions(db: Any) -> set[int]:
    """The weeks that have a partition."""
    rows = await db.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'reading'::regclass"
    )
    return {int(name.rpartition("_")[2]) for (name,) in rows}
