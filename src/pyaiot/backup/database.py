# SPDX-License-Identifier: BSD-3-Clause
"""Copies and checks of SQLite files."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from pyaiot.backup.parts import Part
from pyaiot.errors import OperatorError

BUSY_LIMIT_S: Final = 10.0
"""Timeout for a lock that another program holds on the file. Then the copy fails."""


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as a consistent snapshot, even while it is written. Raises
    `OperatorError`.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(_open(source, "ro")) as db,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            db.backup(copy)
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise OperatorError(f"{source} cannot be copied: {error}.") from error


def schema_of(path: Path, part: Part) -> int:
    """Schema version of a database of this part; 0 for an empty file. Raises `OperatorError` if
    the file belongs to another program or cannot be read.
    """
    try:
        with contextlib.closing(_open(path, "ro")) as db:
            version: int
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise OperatorError(f"{path} cannot be read: {error}.") from error
    if application != part.application_id and (tables or application or version):
        raise OperatorError(f"{path} is a database of another program.")
    return version


def check_database(path: Path, part: Part) -> None:
    """Raises `OperatorError` unless this program can use the database."""
    version = schema_of(path, part)
    if version > part.schema:
        raise OperatorError(
            f"The {part.name} has schema {version} of a newer version: update Pyaiot."
        )
    try:
        with contextlib.closing(_open(path, "ro")) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            (result,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise OperatorError(f"The {part.name} is damaged: {error}.") from error
    if result != "ok":
        raise OperatorError(f"The {part.name} is damaged: {str(result).splitlines()[-1]}.")


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_LIMIT_S,
        isolation_level=None,
    )
