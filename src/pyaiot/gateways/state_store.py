# SPDX-License-Identifier: BSD-3-Clause
"""The state file of a gateway: records by key, which survive a restart.

A device that has registered or connected relies on it, and may never do so again. Changes are
written after `WRITE_INTERVAL_S`, in a thread. If the file cannot be used, the gateway runs without
it and logs one warning.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

WRITE_INTERVAL_S: Final = 1.0
"""Interval between two writes. If the gateway is killed, later changes are lost."""
WRITE_AGAIN_S: Final = 10.0
"""Delay before a failed write is repeated, for example on a full disk."""
RECORDS_PER_WRITE: Final = 200
"""Largest number of records that are made in one turn of the event loop, which takes some
milliseconds. Further ones follow when these are written."""
RECORDS_MAX: Final = 200_000
"""Largest number of records that are read at the start. Further ones are ignored."""
RECORD_BYTES_MAX: Final = 256 * 1024
"""Largest record, in bytes. A larger one is not stored."""

log = logging.getLogger(__name__)


class StateStore:
    """A state file, used by one process."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file; None: nothing is stored."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._at_start: dict[str, bytes] = {}
        self._written: set[str] = set()
        self._changed: set[str] = set()
        self._change = asyncio.Event()
        self._failed = False
        self._saved = False
        self._inode = 0
        """Inode of the open file, to detect that it was removed; 0: nothing is stored."""
        if path is not None:
            self._open(path)

    @property
    def is_open(self) -> bool:
        return self._database is not None

    @property
    def is_saved(self) -> bool:
        """Whether the file has all records, after `run` has ended."""
        return self._saved

    def take_records(self) -> Iterator[bytes]:
        """The records from before the start. A second call returns nothing."""
        records, self._at_start = self._at_start, {}
        yield from records.values()

    def changed(self, key: str) -> None:
        """Record that the result of `record_of` for this key has changed."""
        if self._inode:
            self._changed.add(key)
            self._change.set()

    async def run(self, record_of: Callable[[str], bytes | None]) -> None:
        """Write changes until cancelled, and then the last ones. `record_of` returns the record of
        a key; None if there is none."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._change.wait()
                await asyncio.sleep(WRITE_AGAIN_S if self._failed else WRITE_INTERVAL_S)
                self._change.clear()
                while self._changed:
                    writing = asyncio.create_task(
                        self._write_in_thread(record_of), name="state file"
                    )
                    await asyncio.shield(writing)
                    if self._failed:
                        break
        finally:
            if writing is not None and not writing.done():
                await asyncio.wait((writing,))
            self._close(record_of)

    async def _write_in_thread(self, record_of: Callable[[str], bytes | None]) -> None:
        import sqlite3  # noqa: PLC0415 - not loaded where nothing is stored

        if not self._is_in_place():
            # Deleted or replaced by another program: write all records to a new file.
            log.warning("The state file %s was removed; creating a new one", self._path)
            self._changed |= self._written
            self._written.clear()
            if not self._reopen():
                return
        records = self._take_changed(record_of, RECORDS_PER_WRITE)
        try:
            await asyncio.to_thread(self._write, records)
        except sqlite3.Error as error:
            self._not_written(records, error)
        else:
            self._done(records)

    def _is_in_place(self) -> bool:
        try:
            return self._path is None or self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def _reopen(self) -> bool:
        """Whether the file could be created. If not, another attempt follows later."""
        import sqlite3  # noqa: PLC0415

        from pyaiot.gateways.state_file import open_database  # noqa: PLC0415

        if self._path is None:
            return False
        database, self._database = self._database, None
        if database is not None:
            database.close()
        try:
            self._path.unlink(missing_ok=True)
            self._path.with_name(self._path.name + "-journal").unlink(missing_ok=True)
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = open_database(self._path)
            self._inode = self._path.stat().st_ino
        except (OSError, sqlite3.Error) as error:
            self._not_written({}, error)
            return False
        return True

    def _take_changed(
        self, record_of: Callable[[str], bytes | None], count: int | None = None
    ) -> dict[str, bytes | None]:
        """The records of `count` changed keys; None: of all."""
        keys = list(itertools.islice(self._changed, count))
        self._changed.difference_update(keys)
        records: dict[str, bytes | None] = {}
        for key in keys:
            record = record_of(key)
            if record is not None and len(record) > RECORD_BYTES_MAX:
                record = None
            if record is not None or key in self._written:
                records[key] = record
        return records

    def _write(self, records: dict[str, bytes | None]) -> None:
        database = self._database
        if database is None or not records:
            return
        with database:
            for key, record in records.items():
                if record is None:
                    database.execute("DELETE FROM records WHERE key = ?", (key,))
                else:
                    database.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (key, record))

    def _done(self, records: dict[str, bytes | None]) -> None:
        if self._failed:
            self._failed = False
            log.warning("The state file %s can be written again", self._path)
        for key, record in records.items():
            if record is None:
                self._written.discard(key)
            else:
                self._written.add(key)

    def _not_written(self, records: dict[str, bytes | None], error: Exception) -> None:
        if not self._failed:
            self._failed = True
            log.warning(
                "The state file %s cannot be written: %s. New registrations and connections are not"
                " remembered across a restart; trying again",
                self._path,
                error,
            )
        self._changed.update(records)
        self._change.set()

    def _close(self, record_of: Callable[[str], bytes | None]) -> None:
        """Close the file after a last write, which is short."""
        if self._database is None:
            return
        import sqlite3  # noqa: PLC0415

        records = self._take_changed(record_of)
        try:
            self._write(records)
        except sqlite3.Error as error:
            self._not_written(records, error)
        else:
            self._saved = self._is_in_place()
        self.close()

    def close(self) -> None:
        """Close the file without a last write."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._inode = 0

    # -- opening --------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        import sqlite3  # noqa: PLC0415

        from pyaiot.gateways.state_file import open_database  # noqa: PLC0415

        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._database = open_database(path)
                self._inode = path.stat().st_ino
                self._read()
            except sqlite3.OperationalError:
                raise  # locked, or cannot be opened: its content is not damaged
            except sqlite3.DatabaseError as error:
                self.close()
                damaged = path.with_name(path.name + ".damaged")
                log.warning("The state file %s is damaged: %s. Moved to %s", path, error, damaged)
                path.replace(damaged)
                self._database = open_database(path)
                self._inode = path.stat().st_ino
        except (OSError, sqlite3.Error) as error:
            self.close()
            log.warning(
                "The state file %s cannot be used: %s. Registrations and connections are not"
                " remembered across a restart",
                path,
                error,
            )

    def _read(self) -> None:
        database = self._database
        if database is None:
            return
        rows = database.execute("SELECT key, record FROM records LIMIT ?", (RECORDS_MAX,))
        self._at_start = {
            key: record
            for key, record in rows
            if isinstance(key, str) and isinstance(record, bytes)
        }
        self._written = set(self._at_start)
        # Records that are not restored are deleted with the first write.
        for key in self._at_start:
            self.changed(key)
