# SPDX-License-Identifier: BSD-3-Clause
"""The state file of a gateway: records that survive its restart, by key.

Devices that are told once that they are registered or connected rely on it, and some never ask
again. What changed is written a moment later (`WRITE_INTERVAL_S`), in a thread. A file that cannot
be used costs what it held and no more: the gateway serves without it, and says so once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

WRITE_INTERVAL_S: Final = 1.0
"""Between two writes of what changed. So much is lost when the gateway is killed."""
WRITE_AGAIN_S: Final = 10.0
"""Until a write that failed is tried again, as on a full disk."""
RECORDS_MAX: Final = 200_000
"""Records that are read at the start. Others are left out."""
RECORD_BYTES_MAX: Final = 256 * 1024
"""Bytes of one record. A larger one is not kept."""

log = logging.getLogger(__name__)


class Kept:
    """One file, of one process."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, or make it; None: nothing is kept."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._at_start: dict[str, bytes] = {}
        self._written: set[str] = set()
        self._changed: set[str] = set()
        self._change = asyncio.Event()
        self._failed = False
        self._inode = 0
        """Of the open file, to see that it is still there; 0: nothing is kept."""
        if path is not None:
            self._open(path)

    @property
    def is_open(self) -> bool:
        return self._database is not None

    def take_records(self) -> Iterator[bytes]:
        """What was kept before the start, once."""
        records, self._at_start = self._at_start, {}
        yield from records.values()

    def changed(self, key: str) -> None:
        """What `record_of` tells of this key is another record now, or none."""
        if self._inode:
            self._changed.add(key)
            self._change.set()

    async def run(self, record_of: Callable[[str], bytes | None]) -> None:
        """Write what changes, until cancelled, and the rest then."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._change.wait()
                await asyncio.sleep(WRITE_AGAIN_S if self._failed else WRITE_INTERVAL_S)
                self._change.clear()
                writing = asyncio.create_task(self._write_in_thread(record_of), name="state file")
                await asyncio.shield(writing)
        finally:
            if writing is not None and not writing.done():
                await asyncio.wait((writing,))
            self._close(record_of)

    async def _write_in_thread(self, record_of: Callable[[str], bytes | None]) -> None:
        import sqlite3  # noqa: PLC0415 - who keeps nothing does not pay for it

        if not self._is_in_place():
            # Somebody deleted or replaced it: all of it is written to a new one.
            log.warning("The state file %s was removed; it is made anew", self._path)
            self._changed |= self._written
            self._written.clear()
            if not self._reopen():
                return
        records = self._take_changed(record_of)
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
        """Whether it could be opened. If not, it is tried again later."""
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

    def _take_changed(self, record_of: Callable[[str], bytes | None]) -> dict[str, bytes | None]:
        records: dict[str, bytes | None] = {}
        for key in self._changed:
            record = record_of(key)
            if record is not None and len(record) > RECORD_BYTES_MAX:
                record = None
            if record is not None or key in self._written:
                records[key] = record
        self._changed.clear()
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
            log.warning("The state file %s is written again", self._path)
        for key, record in records.items():
            if record is None:
                self._written.discard(key)
            else:
                self._written.add(key)

    def _not_written(self, records: dict[str, bytes | None], error: Exception) -> None:
        if not self._failed:
            self._failed = True
            log.warning(
                "The state file %s cannot be written: %s. What registers or connects now is not"
                " remembered over a restart; trying again",
                self._path,
                error,
            )
        self._changed.update(records)
        self._change.set()

    def _close(self, record_of: Callable[[str], bytes | None]) -> None:
        """With a last write, which is short."""
        if self._database is None:
            return
        import sqlite3  # noqa: PLC0415

        records = self._take_changed(record_of)
        try:
            self._write(records)
        except sqlite3.Error as error:
            self._not_written(records, error)
        self.close()

    def close(self) -> None:
        """Give the file back, without a last write."""
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
                raise  # it is locked, or cannot be opened; its content is not to blame
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
                "The state file %s cannot be used: %s. What registers or connects is not remembered"
                " over a restart",
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
        # What of it is not taken at the start is deleted with the first write.
        for key in self._at_start:
            self.changed(key)
