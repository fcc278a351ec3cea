# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite file of accounts: opens and migrates it, and reopens it when it was replaced.

The command line writes the file while a broker uses it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from pyaiot.accounts.private_database import PrivateDatabase

FILE_NAME: Final = "accounts.db"
APPLICATION_ID: Final = 0x41694163
"""In the header of the file; identifies it as the accounts of Pyaiot (`AiAc`)."""

MIGRATIONS: Final = (
    # Times are Unix seconds. `digest` is the SHA-256 of a random secret.
    (
        """
        CREATE TABLE token (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
            created_at REAL NOT NULL, expires_at REAL, digest BLOB NOT NULL UNIQUE
        )
        """,
        """
        CREATE TABLE user (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
            password TEXT NOT NULL, created_at REAL NOT NULL
        )
        """,
        # `user` is empty if the session was opened with an invitation.
        """
        CREATE TABLE session (
            digest BLOB PRIMARY KEY, user TEXT NOT NULL, role TEXT NOT NULL,
            created_at REAL NOT NULL, expires_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE invitation (
            digest BLOB PRIMARY KEY, role TEXT NOT NULL, is_of_start INTEGER NOT NULL,
            expires_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    (
        # A gateway has one row for each of its tokens.
        """
        CREATE TABLE gateway_token (
            id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, created_at REAL NOT NULL,
            expires_at REAL, digest BLOB NOT NULL UNIQUE
        )
        """,
    ),
    # `scope`: see `Scope.to_json`.
    tuple(
        f"ALTER TABLE {table} ADD COLUMN scope TEXT NOT NULL DEFAULT ''"
        for table in ("token", "user", "session", "invitation")
    ),
)
"""Statements that migrate each version (`PRAGMA user_version`) to the next. Append only."""

FileVersion: TypeAlias = tuple[int, int, int]
"""Changes with each modification of the file."""


class AccountsDatabase(PrivateDatabase):
    """The open file. It may be changed or replaced by the command line at any time. Every method
    raises `OperatorError`.
    """

    def __init__(self, path: Path | None, *, creates: bool = True) -> None:
        """Open the file. None: a database in memory, which ends with the process.

        `creates` False: do not create the file; until it exists, there are no accounts.
        """
        self._creates = creates
        self._file = path
        self._openings = 0
        self._identity: tuple[int, int] | None = None
        super().__init__(self._to_open(), APPLICATION_ID, MIGRATIONS)
        self._identity = self._identity_now()

    @property
    def version(self) -> FileVersion:
        """Changes with each modification, by this process or another one."""
        others = 0
        if self._path is not None:  # only this process has a database in memory
            with self._translated_errors():
                (others,) = self._db.execute("PRAGMA data_version").fetchone()
        return self._openings, others, self._db.total_changes

    @property
    def own_changes(self) -> tuple[int, int]:
        """Changes with each modification by this process. Does not read the file."""
        return self._openings, self._db.total_changes

    def stamp(self) -> tuple[int, ...]:
        """Changes with each modification by any process, as far as the file system shows it. Two
        modifications within the resolution of its timestamps may have the same stamp.
        """
        found: list[int] = []
        for name in () if self._file is None else (str(self._file), f"{self._file}-wal"):
            try:
                status = os.stat(name)  # noqa: PTH116 - for each request: a Path takes longer
            except OSError:
                found.append(-1)
            else:
                found += (status.st_ino, status.st_size, status.st_mtime_ns)
        return tuple(found)

    def refresh(self) -> None:
        """Reopen the file if it was deleted, replaced or created since it was opened."""
        with self._translated_errors():
            if self._identity_now() == self._identity:
                return
        before = self._db
        # Until the new file is open, nobody has access: the old one is no longer valid.
        self._identity = None
        self._openings += 1
        self._db = self._open(None)
        before.close()
        self._path = self._to_open()
        if self._path is not None:
            identity = self._identity_now()
            nothing, self._db = self._db, self._open(self._path)
            nothing.close()
            self._identity = identity or self._identity_now()

    def _to_open(self) -> Path | None:
        with self._translated_errors():
            exists = self._file is not None and self._file.exists()
        return self._file if self._creates or exists else None

    def _identity_now(self) -> tuple[int, int] | None:
        """Identifies the file; None if there is none."""
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block in a transaction: all of its changes are made, or none."""
        with self._translated_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield
