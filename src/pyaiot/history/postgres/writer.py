# SPDX-License-Identifier: BSD-3-Clause
"""The only connection that writes a history database."""

import asyncio
from collections.abc import Coroutine
from itertools import chain
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.errors import reason_of
from pyaiot.history.clock import ClockState
from pyaiot.history.postgres.retention import PostgresRetention, partition, partitions
from pyaiot.history.postgres.schema import MIGRATIONS, SCHEMA_LOCK, WEEK, WORKER_LOCK, WRITER_LOCK
from pyaiot.history.retention import GRACE_S
from pyaiot.history.rows import MICROSECONDS, NewReading, Value, WriteBatch
from pyaiot.history.series_index import SeriesIndex, candidate_times
from pyaiot.history.store import RetentionPolicy, RowsRefused, StoreError, StoreReplaced
from pyaiot.postgres import migrate

CONNECT_LIMIT_S: Final = 5.0
"""Longest time for the server to accept a connection."""
STATEMENT_LIMIT_S: Final = 30.0
"""Longest time of one statement. After that the writer reconnects."""
LOCK_LIMIT_S: Final = 1.0
"""How long a previous writer may take to end: the server notices its end with a delay."""
_LOCK_PAUSE_S: Final = 0.05
_MINUTE: Final = 60 * MICROSECONDS
_INSERT: Final = "INSERT INTO reading SELECT * FROM incoming ON CONFLICT DO NOTHING"
_INSERT_RETURNING: Final = f"{_INSERT} RETURNING series, at"
_MARK: Final = (
    "INSERT INTO stale SELECT 60, * FROM unnest($1::integer[], $2::bigint[]) ON CONFLICT DO NOTHING"
)
_MARK_SHARED: Final = (
    "INSERT INTO stale SELECT 60, * FROM unnest($1::integer[], $2::bigint[])"
    " ON CONFLICT (step, series, at) DO UPDATE SET at = excluded.at"
)
"""Locks an existing mark, so that the broker which takes it waits for these readings."""

T = TypeVar("T")


class PostgresWriter:
    """Writes batches, each in one transaction that the server has committed when `write` returns.

    Several brokers may write the same rows at once. Each takes its locks in the same order, which
    prevents deadlocks: partitions (in a separate transaction before the batch), series, units,
    readings by series and time, marks.

    It has its own event loop, which runs only during a call.
    """

    def __init__(
        self,
        url: str,
        name: str,
        keep: RetentionPolicy,
        *,
        run: str,
        is_shared: bool = False,
    ) -> None:
        """Connect, and create or migrate the tables. Raises `StoreError`. `name`: the URL without
        its password. `run` identifies the commands of this process. `is_shared`: other brokers of a
        cluster write the same database, and one of them downsamples."""
        self._is_shared = is_shared
        self._is_worker = not is_shared
        self._name = name
        self._run_id = run
        self._keep = keep
        self._index = SeriesIndex()
        self._weeks: set[int] = set()
        self._loop = asyncio.new_event_loop()
        try:
            self._db: Any = self._call(self._open(url))
        except BaseException:
            self._loop.close()
            raise
        self._last_written: tuple[object, ...] | None = None
        """Node, resource and time of the last reading that was written."""
        self._retention = PostgresRetention(self._db, keep)

    def write(self, batch: WriteBatch, now: float) -> None:
        """Commit the batch in one transaction. Raises `StoreError` or `RowsRefused`."""
        try:
            self._call(self._write(batch, now))
        except BaseException:
            self._index.clear()
            self._weeks.clear()
            raise

    def run_retention(self, now: float, *, retention_now: float | None = None) -> bool:
        """Do one short step. Raises `StoreError`."""
        if not self._is_worker:
            self._is_worker = self._call(
                self._db.fetchval("SELECT pg_try_advisory_lock($1)", WORKER_LOCK)
            )
            if not self._is_worker:
                self._index.forget_idle(now)
                return False
        step = self._call(
            self._retention.step(now, now if retention_now is None else retention_now)
        )
        self._index.minutes_built(step.built)
        self._index.forget_idle(now)
        if step.dropped_partitions:
            self._weeks.clear()
        return step.more

    def location_problem(self) -> str:
        """A server cannot be moved away: always empty."""
        return ""

    def reusable_bytes(self) -> int:
        """The disk of a server is not watched: always 0."""
        return 0

    def verify(self, retention_now: float) -> None:
        """Raises `StoreError`."""
        if self._last_written is None:
            return
        if self._last_written[2] < self._keep.oldest(retention_now).readings * MICROSECONDS:  # type: ignore[operator]
            return
        query = (
            "SELECT 1 FROM series AS s JOIN reading AS r ON r.series = s.id"
            " WHERE s.uid = $1 AND s.resource = $2 AND r.at = $3"
        )
        if self._call(self._db.fetchval(query, *self._last_written)) is None:
            raise StoreReplaced(f"{self._name}: rows that were written no longer exist")

    def clock_state(self) -> ClockState | None:
        """The saved state; for an older database, the time of the newest row."""
        return self._call(self._clock_state())

    def server_time(self) -> float | None:
        """That of the database, for brokers of a cluster. Raises `StoreError`."""
        if not self._is_shared:
            return None
        query = "SELECT extract(epoch FROM clock_timestamp())::float8"
        return float(self._call(self._db.fetchval(query)))

    def save_clock(self, state: ClockState) -> None:
        """Raises `StoreError`."""
        if not self._is_worker:
            return
        self._call(
            self._db.execute(
                "INSERT INTO clock VALUES (1, $1, $2, $3) ON CONFLICT (id) DO UPDATE SET"
                " trusted = excluded.trusted, wall = excluded.wall, agreed_s = excluded.agreed_s",
                *(state.trusted, state.wall, state.agreed_s),
            )
        )

    def close(self) -> None:
        self._db.terminate()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(work)
        except (
            asyncpg.DataError,
            asyncpg.IntegrityConstraintViolationError,
            UnicodeError,
        ) as error:
            text = str(error).splitlines()[0]
            raise RowsRefused(f"{self._name}: rows are left out: {text}") from error
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            raise StoreReplaced(f"{self._name}: the tables were deleted") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StoreError(describe(self._name, error)) from error
        except StoreError as error:
            raise StoreError(f"{self._name}: {error}") from error

    async def _open(self, url: str) -> Any:
        db = await connect(url)
        try:
            await _take_lock(db, is_shared=self._is_shared)
            await db.execute("SELECT pg_advisory_lock($1)", SCHEMA_LOCK)
            await migrate(db, "pyaiot", MIGRATIONS, _newer_schema)
            await db.execute("SELECT pg_advisory_unlock($1)", SCHEMA_LOCK)
            # Overrides the default of the server.
            await db.execute("SET synchronous_commit = on")
            await db.execute(
                "CREATE TEMP TABLE incoming (series integer, at bigint, unit integer,"
                " number float8, data text, json text) ON COMMIT DELETE ROWS"
            )
            self._weeks = await partitions(db)
        except BaseException:
            db.terminate()
            raise
        return db

    async def _clock_state(self) -> ClockState | None:
        saved = await self._db.fetchrow("SELECT trusted, wall, agreed_s FROM clock")
        if saved is not None:
            return ClockState(*saved)
        newest = await self._db.fetchval(
            "SELECT greatest((SELECT max(at) FROM event), (SELECT max(r.at) FROM series AS s"
            " CROSS JOIN LATERAL (SELECT at FROM reading WHERE series = s.id"
            " ORDER BY at DESC LIMIT 1) AS r))"
        )
        return None if newest is None else ClockState.of_newest(newest / MICROSECONDS)

    async def _write(self, batch: WriteBatch, now: float) -> None:
        if batch.readings:
            await self._prepare_partitions(batch.readings, now)
        async with self._db.transaction():
            if batch.readings:
                await self._write_readings(batch.readings, now)
            if batch.events:
                await self._db.executemany(
                    "INSERT INTO event (at, kind, uid, gateway, detail, until, lost)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    [
                        (e.at, e.kind, e.uid, e.gateway, e.detail, e.until, e.lost)
                        for e in batch.events
                    ],
                )
            if batch.commands:
                await self._db.executemany(
                    "INSERT INTO command (at, run, number, uid, resource, payload, client,"
                    " who, client_id, state, detail, elapsed_ms)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
                    " ON CONFLICT (run, number) DO UPDATE SET client_id = excluded.client_id,"
                    " state = excluded.state, detail = excluded.detail,"
                    " elapsed_ms = excluded.elapsed_ms",
                    [
                        (
                            *(c.at, self._run_id, c.number, c.uid, c.resource, c.payload),
                            *(c.client, c.who, c.client_id, c.state, c.detail, c.elapsed_ms),
                        )
                        for c in batch.commands
                    ],
                )

    async def _write_readings(self, readings: list[NewReading], now: float) -> None:
        keys, units = self._index.missing(readings)
        if keys:
            await self._learn(sorted(keys))
        if units:
            await self._learn_units(sorted(units))
        oldest = int(self._keep.oldest(now).readings * MICROSECONDS)
        rows, late, marks = self._index.rows(readings, oldest)
        records = [
            (series, at, unit, *_columns(value))
            for series, at, value, unit in chain(zip(*[iter(rows)] * 4, strict=True), late)
        ]
        if records:
            if self._is_shared or late:
                records.sort(key=_series_and_time)  # equal ones in the order of `records`
            await self._make_partitions({int(at) // WEEK for _, at, *_ in records})
            await self._db.copy_records_to_table("incoming", records=records)
            if late:
                inserted = {(series, at) for series, at in await self._db.fetch(_INSERT_RETURNING)}
                inserted.difference_update(zip(rows[::4], rows[1::4], strict=True))
            else:
                await self._db.execute(_INSERT)
        for row in sorted(late, key=_series_and_time):
            if row[:2] in inserted:
                inserted.remove(row[:2])
            else:
                await self._write_late(*row)
        if rows:
            self._last_written = (*self._index.last_key, rows[-3])
        if self._is_shared:
            marks = _shared_marks(rows, late, marks, now)
        if marks:
            await self._db.execute(
                _MARK_SHARED if self._is_shared else _MARK,
                *zip(*marks, strict=True),
            )

    async def _write_late(self, series: int, at: int, value: Value, unit: int) -> None:
        """Insert a reading whose time may be used already, unless an equal reading exists."""
        columns = _columns(value)
        for moment in candidate_times(at):
            await self._make_partitions({moment // WEEK})
            if await self._db.fetchval(
                "INSERT INTO reading VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
                " RETURNING 1",
                *(series, moment, unit, *columns),
            ):
                return
            other = await self._db.fetchrow(
                "SELECT number, data, json FROM reading WHERE series = $1 AND at = $2",
                *(series, moment),
            )
            if tuple(other) == columns:
                return

    async def _prepare_partitions(self, readings: list[NewReading], now: float) -> None:
        """Create the partitions of a batch before its transaction.

        To create one, the server locks the table `reading` against all others, until the
        transaction ends. Two transactions that have read the table and then create a partition
        would wait for each other.
        """
        oldest = int(self._keep.oldest(now).readings * MICROSECONDS)
        times = [at for _, at, _, _ in readings if at >= oldest]
        # Readings with equal times are stored some microseconds later, perhaps in the next week.
        weeks = {(at + more) // WEEK for at in times for more in (0, MICROSECONDS)}
        if weeks - self._weeks:
            async with self._db.transaction():
                await self._make_partitions(weeks)

    async def _make_partitions(self, weeks: set[int]) -> None:
        for week in weeks - self._weeks:
            if self._is_shared:
                await self._db.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            await self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {partition(week)} PARTITION OF reading"
                f" FOR VALUES FROM ({week * WEEK}) TO ({(week + 1) * WEEK})"
            )
            self._weeks.add(week)

    async def _learn(self, keys: list[tuple[str, str]]) -> None:
        uids, resources = zip(*keys, strict=True)
        await self._db.execute(
            "INSERT INTO series (uid, resource) SELECT * FROM unnest($1::text[], $2::text[])"
            " ON CONFLICT DO NOTHING",
            uids,
            resources,
        )
        rows = await self._db.fetch(
            "SELECT s.id, s.uid, s.resource, r.at, r.number, r.data, r.json"
            " FROM unnest($1::text[], $2::text[]) AS k (uid, resource)"
            " JOIN series AS s USING (uid, resource)"
            " LEFT JOIN LATERAL (SELECT * FROM reading WHERE series = s.id"
            " ORDER BY at DESC LIMIT 1) AS r ON true",
            uids,
            resources,
        )
        for series, uid, resource, at, number, data, json in rows:
            self._index.learn(series, (uid, resource), at or 0, value_of(number, data, json))

    async def _learn_units(self, names: list[str]) -> None:
        await self._db.execute(
            "INSERT INTO unit (name) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", names
        )
        rows = await self._db.fetch(
            "SELECT name, id FROM unit WHERE name = ANY ($1::text[])", names
        )
        self._index.units.update(dict(rows))


async def connect(url: str) -> Any:
    """A connection that uses the schema `pyaiot`."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_LIMIT_S,
        command_timeout=STATEMENT_LIMIT_S,
        server_settings={"search_path": "pyaiot", "application_name": "pyaiot history"},
    )


def value_of(number: float | None, data: str | None, json: str | None) -> Value:
    """The value from the three columns. One of them is set."""
    if number is not None:
        return number
    return json.encode() if json is not None else data or ""


def _newer_schema(problem: str) -> StoreError:
    return StoreError(f"{problem}: run that one, or name another database with --history")


def describe(name: str, error: Exception) -> str:
    """The problem with the database, in one line."""
    text = reason_of(error)
    if isinstance(error, asyncpg.DiskFullError):
        return f"{name}: the disk of the server is full"
    return f"{name}: {text}"


async def _take_lock(db: Any, *, is_shared: bool) -> None:
    """Become the only writer, or one of the writers of a cluster. Raises `StoreError`."""
    lock = "pg_try_advisory_lock_shared" if is_shared else "pg_try_advisory_lock"
    for _ in range(round(LOCK_LIMIT_S / _LOCK_PAUSE_S)):
        if await db.fetchval(f"SELECT {lock}($1)", WRITER_LOCK):
            return
        await asyncio.sleep(_LOCK_PAUSE_S)
    if is_shared:
        raise StoreError("a Pyaiot that is not of a cluster is writing this database")
    raise StoreError("another Pyaiot is writing this database")


def _series_and_time(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[0], row[1]


def _shared_marks(
    rows: list[Any], late: list[Any], marks: list[tuple[int, int]], now: float
) -> list[tuple[int, int]]:
    """Marks, in the same order for all writers.

    Another broker may have downsampled the minute of a late reading since this writer marked it, so
    it is marked again.
    """
    old = (now - GRACE_S) * MICROSECONDS
    found = set(marks)
    found |= {
        (series, int(at) // _MINUTE)
        for series, at, value in zip(rows[::4], rows[1::4], rows[2::4], strict=True)
        if at < old and isinstance(value, int | float)
    }
    found |= {
        (series, at // _MINUTE)
        for series, at, value, _ in late
        if at < old and isinstance(value, int | float)
    }
    return sorted(found)


def _columns(value: int | Value) -> tuple[float | None, str | None, str | None]:
    if isinstance(value, bytes):
        return None, None, value.decode()
    if isinstance(value, str):
        return None, value, None
    return float(value), None, None
