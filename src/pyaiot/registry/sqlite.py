# SPDX-License-Identifier: BSD-3-Clause
"""The registry in its own file: SQLite with a write-ahead log."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot.registry.documents import Document
from pyaiot.registry.record import (
    COLUMNS,
    EDITED_COLUMNS,
    OBSERVED_COLUMNS,
    NodeRecord,
)
from pyaiot.registry.store import (
    Changes,
    Loading,
    RegistryStoreError,
    WrittenNodes,
    upsert,
)

APPLICATION_ID: Final = 0x41694E52
"""In the header of the file; identifies it as a registry of Pyaiot (`AiNR`)."""
BUSY_LIMIT_S: Final = 2.0
"""How long to wait while another program has locked the file."""

_FIRST: Final = (
    # Times are Unix time in seconds, 0 if unknown. `last_values` and `tags` are JSON.
    """
    CREATE TABLE node (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE,
        protocol TEXT NOT NULL DEFAULT '', gateway TEXT NOT NULL DEFAULT '',
        first_seen REAL NOT NULL DEFAULT 0, last_seen REAL NOT NULL DEFAULT 0,
        boots INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        last_values TEXT NOT NULL DEFAULT '[]',
        admission TEXT NOT NULL DEFAULT 'accepted', revision INTEGER NOT NULL DEFAULT 0,
        label TEXT NOT NULL DEFAULT '', room TEXT NOT NULL DEFAULT '',
        latitude REAL, longitude REAL, tags TEXT NOT NULL DEFAULT '[]',
        notes TEXT NOT NULL DEFAULT '', interval_s REAL NOT NULL DEFAULT 0,
        offline_after_s REAL NOT NULL DEFAULT 0
    )
    """,
)

_SECURED: Final = ("ALTER TABLE node ADD COLUMN secured INTEGER NOT NULL DEFAULT 0",)
"""1: the node proved its uid with a credential."""

_DOCUMENTS: Final = (
    """
    CREATE TABLE document (
        kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID
    """,
)
"""`body` is JSON."""

_TYPES: Final = (
    "ALTER TABLE node ADD COLUMN described TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE node ADD COLUMN types TEXT NOT NULL DEFAULT '{}'",
)
"""Types of resources, as JSON objects: `described` by gateways, `types` from people."""

MIGRATIONS: Final = (_FIRST, _SECURED, _DOCUMENTS, _TYPES)
"""Statements that migrate each version (`PRAGMA user_version`) to the next. Append only."""


_OBSERVED: Final = upsert(OBSERVED_COLUMNS)
_EDITED: Final = upsert(EDITED_COLUMNS)
_ALL: Final = f"SELECT {', '.join(COLUMNS)} FROM node ORDER BY id"  # noqa: S608


class SqliteStore:
    """A `RegistryStore` in one file. A second process that wants to write it is refused."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.is_shared = False
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock: int | None = None
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._written = WrittenNodes()

    def open(self) -> list[NodeRecord]:
        self.close()
        try:
            with self._translated_errors():
                self._take_lock()
                self._db = db = self._connect()
                version = checked_version(db)
                # Not before: another program's file stays as it is.
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                migrate(db, version)
                self._identity = self._file_identity()
                loading = Loading()
                loading.add(db.execute(_ALL))
                self._written.read(loading.records)
                return loading.records
        except BaseException:
            self.close()
            raise

    def documents(self) -> list[Document]:
        if self._db is None:
            raise RegistryStoreError(f"{self._path} is not open")
        with self._translated_errors():
            return self._db.execute("SELECT kind, key, body FROM document").fetchall()

    def write(self, changes: Changes) -> None:
        db = self._db
        if db is None:
            raise RegistryStoreError(f"{self._path} is not open")
        with self._translated_errors():
            try:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(
                    "DELETE FROM node WHERE uid = ?", [(uid,) for uid in changes.removed]
                )
                db.executemany(_OBSERVED, changes.observed)
                db.executemany(_EDITED, changes.edited)
                gone = [(kind, key) for kind, key, body in changes.documents if body is None]
                db.executemany("DELETE FROM document WHERE kind = ? AND key = ?", gone)
                kept = [it for it in changes.documents if it[2] is not None]
                db.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", kept)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise
        # Checked after the commit: the file may have been deleted just before it.
        self._check_file()
        self._written.written(changes)

    def check(self) -> None:
        db = self._db
        if db is None:
            raise RegistryStoreError(f"{self._path} is not open")
        self._check_file()
        with self._translated_errors():
            query = "SELECT uid, revision FROM node WHERE uid = ?"
            found = (db.execute(query, (uid,)).fetchone() for uid in self._written.uids)
            self._written.check(row for row in found if row is not None)

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RegistryStoreError(
                "another Pyaiot writes it: stop that one, or name another file with --registry"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        # Created with the right mode. Only if it does not exist: closing a file releases the locks
        # that SQLite has on it.
        if not self._path.exists():
            self._path.touch(mode=0o600)
        return sqlite3.connect(
            self._path, timeout=BUSY_LIMIT_S, isolation_level=None, check_same_thread=False
        )

    def _check_file(self) -> None:
        if self._file_identity() != self._identity:
            raise RegistryStoreError(f"{self._path}: the file was deleted or replaced")

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, LookupError, TypeError) as error:
            raise RegistryStoreError(_describe(self._path, error)) from error
        except RegistryStoreError as error:
            raise RegistryStoreError(f"{self._path}: {error}") from error


def checked_version(db: sqlite3.Connection) -> int:
    """The version of the file; 0 for an empty one.

    Raises `RegistryStoreError` for a file of another program or of a newer version of Pyaiot.
    """
    version: int
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise RegistryStoreError(
            f"its schema, version {version}, was written by a newer Pyaiot: run that one, or name"
            " another file with --registry"
        )
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (tables or application or version):
        raise RegistryStoreError("the file is a database of another program")
    return version


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Migrate the file to the version of this program, one transaction for each step."""
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")


def _describe(path: Path, error: Exception) -> str:
    """The problem with the file, and what to do about it."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return f"{path}: the disk is full"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path}: another program has locked the file"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return f"{path}: the file cannot be written"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"{path}: the file is damaged: move it away, and a new one is created ({error})"
        case _ if isinstance(error, ValueError | LookupError | TypeError):
            return f"{path}: the file is damaged: move it away, and a new one is created ({error})"
        case _:
            return f"{path}: {getattr(error, 'strerror', None) or error}"
