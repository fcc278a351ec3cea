# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite database of a state file.

It is a separate module, so that SQLite is loaded only when needed.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

VERSION: Final = 1
"""Version of the content. A file of another version is moved away."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open a database for exclusive use. Raises `sqlite3.Error`, `OSError`."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    # Used by one thread at a time: the event loop awaits the writing thread.
    database = sqlite3.connect(path, timeout=0.0, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = NORMAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"unsupported version {version}")
        with database:
            database.execute("BEGIN EXCLUSIVE")
            database.execute(
                "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, record BLOB NOT NULL)"
                " WITHOUT ROWID"
            )
            database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.close()
        raise
    return database
