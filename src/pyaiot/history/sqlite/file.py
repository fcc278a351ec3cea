# SPDX-License-Identifier: BSD-3-Clause
"""A history file as a store: its lock, its writer and its readers."""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from pyaiot.errors import OperatorError
from pyaiot.history.sqlite.reader import SqliteReader
from pyaiot.history.sqlite.writer import SqliteWriter, file_identity
from pyaiot.history.store import RetentionPolicy, StoreError


class SqliteFile:
    """A `Store` in one file. A second process that tries to write it is refused."""

    def __init__(self, path: Path, keep: RetentionPolicy) -> None:
        self.name = str(path)
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._keep = keep
        self._run = secrets.token_hex(8)
        self._lock: int | None = None

    def claim(self) -> None:
        """Create the folder and lock the file for this process. Raises `OperatorError`."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperatorError(
                f"The history {self._path} cannot be written: {error.strerror}. Name another"
                " file with --history, or use --history off."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise OperatorError(
                f"The history {self._path} is being written by another Pyaiot: stop that one, name"
                " another file with --history, or use --history off."
            ) from error

    def release(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = None

    def open_writer(self) -> SqliteWriter:
        """Raises `StoreError`."""
        self._hold_lock()
        # Only if it does not exist: closing a file releases the locks that SQLite has on it.
        if not self._path.exists():
            with contextlib.suppress(OSError):  # the error of SQLite is clearer
                self._path.touch(mode=0o600)
        return SqliteWriter(self._path, self._keep, run=self._run)

    def _hold_lock(self) -> None:
        """Take the lock again if its file or folder was deleted in the meantime."""
        if self._lock is None:
            return
        status = os.fstat(self._lock)
        if file_identity(self._lock_path) == (status.st_dev, status.st_ino):
            return
        self.release()
        try:
            self.claim()
        except OperatorError as error:
            raise StoreError(str(error)) from error

    def history(self) -> SqliteReader:
        return SqliteReader(self._path)
