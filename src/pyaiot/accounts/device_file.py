# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite file with the credentials of devices. A separate module, so that SQLite is loaded
only when needed.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot.accounts.device_credential import CREDENTIALS_MAX, RELEASED_MAX, DeviceCredential
from pyaiot.accounts.private_database import PrivateDatabase
from pyaiot.errors import OperatorError

APPLICATION_ID: Final = 0x41694465
"""In the header of the file; identifies it as credentials of devices of Pyaiot (`AiDe`)."""
MIGRATIONS: Final = (
    # `secret` is a shared key, or the SHA-256 of a random password or token. `created_at` is in
    # Unix seconds.
    (
        """
        CREATE TABLE credential (
            id INTEGER PRIMARY KEY, uid TEXT NOT NULL, kind TEXT NOT NULL, secret BLOB NOT NULL,
            created_at REAL NOT NULL, UNIQUE (uid, kind)
        )
        """,
    ),
    # Uids whose last credential was removed, for gateways that were not running at the time. A
    # lost file releases no uid.
    ("CREATE TABLE released (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE)",),
)
"""Append only."""


class DeviceFile(PrivateDatabase):
    """The file with the credentials. Every method raises `OperatorError`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, APPLICATION_ID, MIGRATIONS, is_busy=False)
        with self._translated_errors():
            self._inode = path.stat().st_ino

    def is_at(self, path: Path) -> bool:
        with self._translated_errors():
            return path.stat().st_ino == self._inode

    def version(self) -> int:
        """A number that changes when another connection has written."""
        with self._translated_errors():
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            return int(version)

    def read(self) -> dict[tuple[str, str], DeviceCredential]:
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT uid, kind, secret, created_at FROM credential ORDER BY id"
            ).fetchall()
        return {(row[0], row[1]): DeviceCredential(*row) for row in rows}

    def read_released(self) -> list[str]:
        """The uids whose last credential was removed, oldest first."""
        with self._translated_errors():
            rows = self._db.execute("SELECT uid FROM released ORDER BY id").fetchall()
        return [uid for (uid,) in rows]

    def add(self, credential: DeviceCredential) -> None:
        uid, kind = credential.uid, credential.kind
        with self._transaction():
            (count,) = self._db.execute("SELECT count(*) FROM credential").fetchone()
            if count >= CREDENTIALS_MAX:
                raise OperatorError(
                    f"There are {CREDENTIALS_MAX} credentials of devices already: remove some with"
                    " aiot device remove."
                )
            try:
                self._db.execute(
                    "INSERT INTO credential (uid, kind, secret, created_at) VALUES (?, ?, ?, ?)",
                    (uid, kind, credential.secret, credential.created_at),
                )
            except sqlite3.IntegrityError as error:
                raise OperatorError(
                    f"The device {uid} has this credential already: aiot device remove {uid}"
                    " removes it."
                ) from error
            self._db.execute("DELETE FROM released WHERE uid = ?", (uid,))

    def remove(self, uid: str, kind: str | None) -> int:
        with self._transaction():
            removed = self._db.execute(
                "DELETE FROM credential WHERE uid = ? AND ? IN (kind, '')", (uid, kind or "")
            ).rowcount
            if removed:
                self._release(uid)
        return removed

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block in a transaction."""
        with self._translated_errors():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:  # commits, or takes back what was done before an error
                yield

    def _release(self, uid: str) -> None:
        """Record that the uid has no credential any more, unless it has another one."""
        has_other = "SELECT 1 FROM credential WHERE uid = ?"
        if self._db.execute(has_other, (uid,)).fetchone() is not None:
            return
        self._db.execute("DELETE FROM released WHERE uid = ?", (uid,))
        self._db.execute("INSERT INTO released (uid) VALUES (?)", (uid,))
        self._db.execute(
            "DELETE FROM released WHERE id NOT IN"
            " (SELECT id FROM released ORDER BY id DESC LIMIT ?)",
            (RELEASED_MAX,),
        )
