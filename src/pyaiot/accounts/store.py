# SPDX-License-Identifier: BSD-3-Clause
"""The file in which tokens are stored. The command line writes it while a broker reads it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot.accounts.tokens import Token
from pyaiot.errors import OperatorError, reason_of

FILE_NAME: Final = "accounts.db"
APPLICATION_ID: Final = 0x41694163
"""In the header of the file; identifies it as the accounts of Pyaiot (`AiAc`)."""
TOKENS_MAX: Final = 10_000
"""Tokens of one broker. One more is refused."""
BUSY_LIMIT_S: Final = 5.0
"""How long to wait while another command writes the file."""

MIGRATIONS: Final = (
    # Times are Unix seconds; `expires_at` is null if the token does not expire.
    """
    CREATE TABLE token (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
        created_at REAL NOT NULL, expires_at REAL, digest BLOB NOT NULL UNIQUE
    )
    """,
)
"""A statement that migrates each version (`PRAGMA user_version`) to the next. Append only."""

_COLUMNS: Final = "name, role, created_at, expires_at, digest"


class AccountsFile:
    """Tokens in a SQLite file, readable by its owner only. Raises `OperatorError` throughout."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._path = path
        with self._translated_errors():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            if path.stat().st_mode & 0o077:
                raise OperatorError(
                    f"The file {path} can be read by other users: run chmod 600 {path}."
                )
            self._db = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None)
            try:
                self._migrate()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        self._db.close()

    def add_token(self, token: Token) -> None:
        with self._translated_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                (count,) = self._db.execute("SELECT count(*) FROM token").fetchone()
                if count >= TOKENS_MAX:
                    raise OperatorError(f"There are {TOKENS_MAX} tokens already: remove some.")
                self._db.execute(
                    f"INSERT INTO token ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                    (token.name, token.role, token.created_at, token.expires_at, token.digest),
                )
                self._db.execute("COMMIT")
            except BaseException as error:
                self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise OperatorError(
                        f"There is a token named {token.name!r} already: choose another name, or"
                        " remove it first."
                    ) from error
                raise

    def tokens(self) -> list[Token]:
        """All tokens, in the order in which they were added."""
        with self._translated_errors():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM token ORDER BY id")  # noqa: S608
            return [Token(*row) for row in rows]

    def token_with(self, digest: bytes) -> Token | None:
        """The token whose secret has this SHA-256."""
        with self._translated_errors():
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM token WHERE digest = ?",  # noqa: S608
                (digest,),
            ).fetchone()
        return None if row is None else Token(*row)

    def remove_token(self, name: str) -> bool:
        """False if there is no such token."""
        with self._translated_errors():
            return self._db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount > 0

    def _migrate(self) -> None:
        db = self._db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version > len(MIGRATIONS):
            raise OperatorError(
                f"The file {self._path} was written by a newer Pyaiot: update this one."
            )
        if application != APPLICATION_ID and (tables or application or version):
            raise OperatorError(f"The file {self._path} is a database of another program.")
        if not version:
            db.execute("PRAGMA journal_mode = WAL")
        for number, statement in enumerate(MIGRATIONS[version:], start=version + 1):
            db.execute("BEGIN IMMEDIATE")
            (version_now,) = db.execute("PRAGMA user_version").fetchone()
            if version_now < number:  # another command may have been faster
                db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
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
