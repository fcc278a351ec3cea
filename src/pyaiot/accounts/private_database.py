# SPDX-License-Identifier: BSD-3-Clause
"""A SQLite file that only its owner can read, for accounts and for credentials of devices."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of

BUSY_LIMIT_S: Final = 5.0
"""Timeout for a lock that another command holds on the file."""


class PrivateDatabase:
    """A database with mode 0600 in a folder with mode 0700. Every method raises `OperatorError`."""

    def __init__(
        self,
        path: Path | None,
        application_id: int,
        migrations: Sequence[Sequence[str]],
        *,
        is_busy: bool = True,
        busy_limit_s: float = BUSY_LIMIT_S,
    ) -> None:
        """Open or create the file. None: a database in memory, which ends with the process.

        `application_id`: identifies the file in its header. `migrations`: statements that migrate
        each version (`PRAGMA user_version`) to the next. `is_busy`: the file is written often, and
        uses a write-ahead log; otherwise it is a single file that can be copied and replaced while
        it is in use. `busy_limit_s`: how long to wait for another process.
        """
        self._path = path
        self._application_id = application_id
        self._migrations = migrations
        self._is_busy = is_busy
        self._busy_limit_s = busy_limit_s
        self._db = self._open(path)

    def close(self) -> None:
        self._db.close()

    def _open(self, path: Path | None) -> sqlite3.Connection:
        """Open another connection. None: to a new database in memory."""
        with self._translated_errors():
            if path is None:
                db = sqlite3.connect(":memory:", isolation_level=None)
                self._migrate(db)
                return db
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            if path.stat().st_mode & 0o077:
                raise OperatorError(
                    f"The file {path} can be read by other users: run chmod 600 {path}."
                )
            db = sqlite3.connect(path, timeout=self._busy_limit_s, isolation_level=None)
            try:
                self._migrate(db)
            except BaseException:
                db.close()
                raise
            return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != self._application_id and (tables or application or version):
            raise OperatorError(f"The file {self._path} is a database of another program.")
        if version > len(self._migrations):
            raise OperatorError(
                f"The file {self._path} was written by a newer Pyaiot: update this one."
            )
        if not version and self._is_busy:
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        for number, statements in enumerate(self._migrations[version:], start=version + 1):
            db.execute("BEGIN IMMEDIATE")
            (version_now,) = db.execute("PRAGMA user_version").fetchone()
            if version_now < number:  # another command may have been faster
                for statement in statements:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {self._application_id}")
                db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OperatorError(
                f"The file {self._path} cannot be used: {reason_of(error)}."
            ) from error
