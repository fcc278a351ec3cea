# SPDX-License-Identifier: BSD-3-Clause
"""The audit log that all brokers of a cluster share, in the schema `pyaiot_audit` of a database.

It has the methods of `AuditFiles`. Calls block until the server responds: a service makes them on
a thread, one at a time.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.audit.entry import SERIES, AuditEntry, from_line, to_line
from pyaiot.audit.files import AuditFilter
from pyaiot.postgres import migrate

CONNECT_LIMIT_S: Final = 5.0
"""Timeout for connecting to the server."""
CALL_LIMIT_S: Final = 5.0
"""Timeout for one statement. After it the connection is closed."""
ROW_BYTES: Final = 500
"""Estimated size of an entry with its indexes, which converts the limit in bytes into a number of
entries.
"""
SCHEMA_LOCK: Final = 0x41694155
"""Advisory lock for migrating the schema."""

MIGRATIONS: Final = (
    (
        # `body` is the line of a file. `recorded_at` is the time of the server, for the retention.
        """
        CREATE TABLE entry (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, series text NOT NULL,
            ts float8 NOT NULL, who text NOT NULL, action text NOT NULL, result text NOT NULL,
            uids text[] NOT NULL, body text NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now()
        )
        """,
        "CREATE INDEX entry_series ON entry (series, id)",
        "CREATE INDEX entry_uids ON entry USING gin (uids)",
    ),
)
"""Statements that migrate each version to the next. Append only."""

T = TypeVar("T")

_INSERT: Final = (
    "INSERT INTO entry (series, ts, who, action, result, uids, body)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_PAGE: Final = """
    SELECT id, body FROM entry WHERE id < $1 AND ($2 = '' OR action = $2)
    AND (cardinality($3::text[]) = 0 OR result = ANY($3)) AND ($4 = '' OR uids @> ARRAY[$4])
    AND ($5 = '' OR who = $5 OR substr(who, strpos(who, ':') + 1) = $5 AND strpos(who, ':') > 0)
    AND ($6::float8 IS NULL OR ts >= $6) AND ($7::float8 IS NULL OR ts < $7)
    ORDER BY id DESC LIMIT $8
"""
_END: Final = 10**12 - 1


class AuditDatabase:
    """The shared audit log. Connects when it is first used. Every method raises `OSError`."""

    def __init__(self, url: str, name: str, *, bytes_max: int, days: float) -> None:
        """`name`: the URL without its password. `bytes_max` and `days`: see `AuditFiles`."""
        self._url = url
        self._name = name
        self._rows_max = max(1, bytes_max // len(SERIES) // ROW_BYTES)
        self._days = days
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: Any = None

    def append(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries. All of them are on disk when this returns; after an error, none is."""
        rows = [
            (
                *(it.series, it.ts, _storable(it.who), it.action, it.result),
                [_storable(uid) for uid in it.uids],
                to_line(it).decode(),
            )
            for it in entries
        ]
        self._call(self._append(rows))

    def check(self) -> None:
        """Raise `OSError` if the database cannot be used."""
        self._call(self._connected())

    def remove_expired(self, _now: float, _clock: float, *, pause_s: float = 0.0) -> None:  # noqa: ARG002
        """Remove entries older than the limit of days by the clock of the server, and entries
        beyond the limit of each series. The clock of the broker is not used.
        """
        self._call(self._remove_expired())

    def page(
        self, wanted: AuditFilter, limit: int, cursor: str = ""
    ) -> tuple[list[AuditEntry], str | None]:
        """At most `limit` entries, latest first, and the cursor of the next page, if any. `cursor`
        matches `CURSOR`, or is empty.
        """
        # Cursors have the same form as those of files; here the first offset is a row id.
        before = int(cursor.partition(",")[0].partition(":")[2]) if cursor else _END
        rows = self._call(self._page(wanted, limit, before))
        lines = (from_line(row["body"].encode()) for row in rows)
        found = [entry for entry in lines if entry is not None]
        if len(rows) < limit:
            return found, None
        return found, f"0:{rows[-1]['id']},0:0,0:0"

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    async def _append(self, rows: list[tuple[Any, ...]]) -> None:
        db = await self._connected()
        async with db.transaction():
            await db.executemany(_INSERT, rows)

    async def _page(self, wanted: AuditFilter, limit: int, before: int) -> list[Any]:
        db = await self._connected()
        texts = (_storable(wanted.uid), _storable(wanted.who))
        rows: list[Any] = await db.fetch(
            *(_PAGE, before, wanted.action, sorted(wanted.results), *texts),
            *(wanted.start, wanted.end, limit),
        )
        return rows

    async def _remove_expired(self) -> None:
        db = await self._connected()
        if self._days:
            await db.execute(
                "DELETE FROM entry WHERE recorded_at < now() - $1 * interval '1 day'", self._days
            )
        for series in SERIES:
            await db.execute(
                "DELETE FROM entry WHERE series = $1 AND id <= (SELECT id FROM entry"
                " WHERE series = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
                series,
                self._rows_max,
            )

    async def _connected(self) -> Any:
        if self._db is None or self._db.is_closed():
            async with asyncio.timeout(CONNECT_LIMIT_S):
                self._db = await asyncpg.connect(
                    self._url,
                    command_timeout=CALL_LIMIT_S,
                    server_settings={
                        "search_path": "pyaiot_audit",
                        "application_name": "Pyaiot audit log",
                        "synchronous_commit": "on",
                    },
                )
            async with self._db.transaction():
                await self._db.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
                await migrate(self._db, "pyaiot_audit", MIGRATIONS, partial(OSError, 0))
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.terminate()
            self._db = None
        if self._loop is not None:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
            self._loop = None

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            try:
                return self._loop.run_until_complete(work)
            except OSError as error:
                self._disconnect()
                text = error.strerror or str(error) or "the server does not answer"
                raise OSError(0, f"{self._name}: {text}") from error
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._disconnect()
                raise OSError(0, f"{self._name}: {str(error).splitlines()[0]}") from error


def _storable(text: str) -> str:
    """PostgreSQL cannot store NUL characters."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
