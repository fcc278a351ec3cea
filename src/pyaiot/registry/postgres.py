# SPDX-License-Identifier: BSD-3-Clause
"""The registry in a PostgreSQL database: the table `node` of the schema `pyaiot_registry`."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from pyaiot.errors import reason_of
from pyaiot.postgres import migrate, without_password
from pyaiot.registry.documents import Document
from pyaiot.registry.record import (
    COLUMNS,
    EDITED_COLUMNS,
    OBSERVED_COLUMNS,
    NodeRecord,
    RecordRow,
)
from pyaiot.registry.refusals import StaleRevision
from pyaiot.registry.store import (
    Changes,
    Loading,
    RegistryStoreError,
    WrittenNodes,
    upsert,
)

CONNECT_LIMIT_S: Final = 5.0
"""Timeout for connecting to the server."""
STATEMENT_LIMIT_S: Final = 30.0
"""Timeout for one statement."""
LOCK_LIMIT_S: Final = 1.0
"""How long to wait for the lock of a previous writer, whose end the server may notice late."""
_LOCK_PAUSE_S: Final = 0.05
ROWS_AT_ONCE: Final = 2000
"""Number of rows fetched at once."""
WRITER_LOCK: Final = 0x41694E52
"""Advisory lock, held exclusively by a single writer or shared by the brokers of a cluster."""
WRITE_LOCK: Final = 0x41694E54
"""The advisory lock of the broker of a cluster that currently writes: brokers that wrote the same
nodes in different order would otherwise wait for each other."""
SCHEMA_LOCK: Final = 0x41694E53
"""Advisory lock held while the schema is migrated."""

_FIRST: Final = (
    # The same columns as in a file, with the same meaning (`registry/sqlite.py`).
    """
    CREATE TABLE node (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        uid text COLLATE "C" NOT NULL UNIQUE,
        protocol text NOT NULL DEFAULT '', gateway text NOT NULL DEFAULT '',
        first_seen float8 NOT NULL DEFAULT 0, last_seen float8 NOT NULL DEFAULT 0,
        boots bigint NOT NULL DEFAULT 0, reason text NOT NULL DEFAULT '',
        last_values text NOT NULL DEFAULT '[]',
        admission text NOT NULL DEFAULT 'accepted', revision bigint NOT NULL DEFAULT 0,
        label text NOT NULL DEFAULT '', room text NOT NULL DEFAULT '',
        latitude float8, longitude float8, tags text NOT NULL DEFAULT '[]',
        notes text NOT NULL DEFAULT '', interval_s float8 NOT NULL DEFAULT 0,
        offline_after_s float8 NOT NULL DEFAULT 0
    )
    """,
)

_SECURED: Final = ("ALTER TABLE node ADD COLUMN secured bigint NOT NULL DEFAULT 0",)

_DOCUMENTS: Final = (
    """
    CREATE TABLE document (
        kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, body text NOT NULL,
        PRIMARY KEY (kind, key)
    )
    """,
)

_TYPES: Final = (
    "ALTER TABLE node ADD COLUMN described text NOT NULL DEFAULT '{}'",
    "ALTER TABLE node ADD COLUMN types text NOT NULL DEFAULT '{}'",
)

MIGRATIONS: Final = (_FIRST, _SECURED, _DOCUMENTS, _TYPES)
"""Statements that migrate each version to the next. Append only."""

_OBSERVED: Final = upsert(OBSERVED_COLUMNS, "${}")
_EDITED: Final = upsert(EDITED_COLUMNS, "${}")
_ALL: Final = f"SELECT {', '.join(COLUMNS)} FROM node ORDER BY id"  # noqa: S608 - our constants

_STORED: Final = (
    f"SELECT uid, {', '.join(EDITED_COLUMNS)} FROM node"  # noqa: S608 - our constants
    " WHERE uid = ANY($1::text[])"
)

T = TypeVar("T")


class PostgresStore:
    """A `RegistryStore` in a schema of a database.

    A second writer is refused, unless all writers are brokers of a cluster. The store has its own
    event loop, which runs only during a call.
    """

    def __init__(self, url: str, *, is_shared: bool = False) -> None:
        """`is_shared`: other brokers of a cluster write the same database. Raises `OperatorError`
        for an invalid URL.
        """
        self.name = without_password(url, "--registry")
        self._url = url
        self.is_shared = is_shared
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: Any = None
        self._written = WrittenNodes()

    def open(self) -> list[NodeRecord]:
        self.close()
        self._loop = asyncio.new_event_loop()
        try:
            return self._call(self._open())
        except BaseException:
            self.close()
            raise

    def open_to_read(self) -> None:
        """Connect for reading only, without taking the lock of the writer. Raises
        `RegistryStoreError`.
        """
        self.close()
        self._loop = asyncio.new_event_loop()
        try:
            self._call(self._connect())
        except BaseException:
            self.close()
            raise

    def read(self) -> tuple[list[NodeRecord], list[Document]]:
        """Read everything in one snapshot; the store must be open. Raises `RegistryStoreError`."""
        return self._call(self._read())

    def documents(self) -> list[Document]:
        return self._call(self._documents())

    def write(self, changes: Changes) -> None:
        if self._db is None:
            raise RegistryStoreError(f"{self.name} is not open")
        self._call(self._write(changes))
        self._written.written(changes)

    def check(self) -> None:
        if self._db is None:
            raise RegistryStoreError(f"{self.name} is not open")
        self._call(self._check())

    def close(self) -> None:
        if self._db is not None:
            self._db.terminate()
            self._db = None
        if self._loop is not None:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
            self._loop = None

    async def _connect(self) -> Any:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            self._db = await asyncpg.connect(
                self._url,
                command_timeout=STATEMENT_LIMIT_S,
                server_settings={
                    "search_path": "pyaiot_registry",
                    "application_name": "Pyaiot registry",
                },
            )
        return self._db

    async def _open(self) -> list[NodeRecord]:
        db = await self._connect()
        await _take_lock(db, is_shared=self.is_shared)
        await db.execute("SELECT pg_advisory_lock($1)", SCHEMA_LOCK)
        await migrate(db, "pyaiot_registry", MIGRATIONS, _newer_schema)
        await db.execute("SELECT pg_advisory_unlock($1)", SCHEMA_LOCK)
        # Independent of the server's default.
        await db.execute("SET synchronous_commit = on")
        async with db.transaction():
            records = await _records(db)
        self._written.read(records)
        return records

    async def _read(self) -> tuple[list[NodeRecord], list[Document]]:
        async with self._db.transaction(isolation="repeatable_read", readonly=True):
            version = await self._db.fetchval("SELECT coalesce(max(version), 0) FROM version")
            if version != len(MIGRATIONS):
                raise RegistryStoreError(
                    f"its schema is {version} and that of this Pyaiot is {len(MIGRATIONS)}: run"
                    " the same version of both"
                )
            return await _records(self._db), await self._documents()

    async def _documents(self) -> list[Document]:
        if self._db is None:
            raise RegistryStoreError("it is not open")
        rows = await self._db.fetch("SELECT kind, key, body FROM document")
        return [(row["kind"], row["key"], row["body"]) for row in rows]

    async def _write(self, changes: Changes) -> None:
        async with self._db.transaction():
            if self.is_shared:
                await self._db.execute("SELECT pg_advisory_xact_lock($1)", WRITE_LOCK)
            if changes.removed:
                await self._db.execute(
                    "DELETE FROM node WHERE uid = ANY($1::text[])", list(changes.removed)
                )
            if changes.observed:
                await self._db.executemany(_OBSERVED, changes.observed)
            if changes.edited:
                if self.is_shared:
                    await self._check_revisions(changes.edited)
                await self._db.executemany(_EDITED, changes.edited)
            gone = [(kind, key) for kind, key, body in changes.documents if body is None]
            if gone:
                await self._db.executemany(
                    "DELETE FROM document WHERE kind = $1 AND key = $2", gone
                )
            kept = [it for it in changes.documents if it[2] is not None]
            if kept:
                await self._db.executemany(
                    "INSERT INTO document VALUES ($1, $2, $3)"
                    " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                    kept,
                )

    async def _check_revisions(self, edited: Sequence[RecordRow]) -> None:
        """In a transaction that holds `WRITE_LOCK`. Raises `StaleRevision` if another broker has
        stored an edit of one of the nodes, which is not known here yet."""
        rows = await self._db.fetch(_STORED, [row[0] for row in edited])
        stored = {row[0]: tuple(row) for row in rows}
        revision = 1 + EDITED_COLUMNS.index("revision")
        for row in edited:
            before = stored.get(row[0])
            if before is not None and before != tuple(row) and before[revision] >= row[revision]:
                raise StaleRevision(f"{row[0]} was edited at another broker: try again")

    async def _check(self) -> None:
        query = "SELECT uid, revision FROM node WHERE uid = ANY($1::text[])"
        self._written.check(await self._db.fetch(query, self._written.uids))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RegistryStoreError(f"{self.name} is not open")
        try:
            return self._loop.run_until_complete(work)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            text = reason_of(error) if str(error) else "the server does not answer"
            raise RegistryStoreError(f"{self.name}: {text}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise RegistryStoreError(f"{self.name}: a row is not valid ({error})") from error
        except RegistryStoreError as error:
            raise RegistryStoreError(f"{self.name}: {error}") from error


def read_registry(url: str) -> tuple[list[NodeRecord], list[Document]]:
    """Read the records and documents of a registry in one snapshot, also while it is in use.
    Raises `RegistryStoreError`, also if its schema has a different version.
    """
    store = PostgresStore(url)
    store.open_to_read()
    try:
        return store.read()
    finally:
        store.close()


async def _records(db: Any) -> list[NodeRecord]:
    """All nodes, in a transaction."""
    loading = Loading()
    cursor = await db.cursor(_ALL)
    while rows := await cursor.fetch(ROWS_AT_ONCE):
        loading.add(map(tuple, rows))
    return loading.records


async def _take_lock(db: Any, *, is_shared: bool) -> None:
    """Take the lock of the single writer, or a shared one in a cluster. Raises
    `RegistryStoreError`.
    """
    lock = "pg_try_advisory_lock_shared" if is_shared else "pg_try_advisory_lock"
    tries = round(LOCK_LIMIT_S / _LOCK_PAUSE_S)
    for _ in range(tries):
        if await db.fetchval(f"SELECT {lock}($1)", WRITER_LOCK):
            return
        await asyncio.sleep(_LOCK_PAUSE_S)
    if is_shared:
        raise RegistryStoreError("a Pyaiot that is not of a cluster writes this database")
    raise RegistryStoreError("another Pyaiot writes this database")


def _newer_schema(problem: str) -> RegistryStoreError:
    return RegistryStoreError(f"{problem}: run that one, or name another database with --registry")
