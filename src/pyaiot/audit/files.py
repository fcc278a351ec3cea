# SPDX-License-Identifier: BSD-3-Clause
"""The files of the audit log.

A series is a sequence of segments: `changes-000001.jsonl` and so on. Segments are append-only, so
that positions in them stay valid. The broker and the command line append to the last segment,
under a lock. Calls block until the disk responds: a service makes them on a thread.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pyaiot.audit.entry import SERIES, AuditEntry, Series, from_line, to_line

SEGMENTS_MIN: Final = 8
"""Number of segments, of equal size, into which the space of a series is divided."""
SEGMENT_BYTES_MAX: Final = 4_000_000
"""Size at which a segment ends, unless the share of the space is smaller."""
SEGMENT_LIFE_S: Final = 7 * 86_400.0
"""Age of its first entry at which a segment ends, so that retention can remove it in time."""
SCAN_BYTES_MAX: Final = 8_000_000
"""Bytes that one query reads at most. Then it returns what it has found; the rest is on further
pages.
"""
_DAY_S: Final = 86_400.0
_NAME: Final = re.compile(r"([a-z]+)-([0-9]{6,9})\.jsonl")
_END: Final = 10**12 - 1
"""An offset beyond the end of every segment."""
CURSOR: Final = r"^[0-9]{1,9}:[0-9]{1,12}(,[0-9]{1,9}:[0-9]{1,12}){2}$"
"""A cursor: segment and offset in each series."""


class AuditFilter(msgspec.Struct, frozen=True):
    """Conditions of a query, all of which must hold. Empty or None: no condition."""

    who: str = ""
    """A principal as in the entries, or its name without the kind."""
    uid: str = ""
    action: str = ""
    results: frozenset[str] = frozenset()
    """Any of these."""
    start: float | None = None
    """Unix time, inclusive."""
    end: float | None = None
    """Unix time, exclusive."""

    def matches(self, entry: AuditEntry) -> bool:
        return (
            (not self.action or self.action == entry.action)
            and (not self.results or entry.result in self.results)
            and (not self.uid or self.uid in entry.uids)
            and (not self.who or self.who in (entry.who, entry.who.partition(":")[2]))
            and (self.start is None or entry.ts >= self.start)
            and (self.end is None or entry.ts < self.end)
        )


class AuditFiles:
    """The folder of the log. Files have mode 0600 and the folder 0700. Every method raises
    `OSError`.
    """

    def __init__(self, folder: Path, *, bytes_max: int, days: float) -> None:
        """`bytes_max`: limit for all files together. `days`: how long entries are kept; 0: no
        limit.
        """
        share = bytes_max // len(SERIES)
        self.folder = folder
        self._segment_bytes = min(SEGMENT_BYTES_MAX, share // SEGMENTS_MIN)
        self._segments_max = share // self._segment_bytes
        self._days = days
        self._expired: dict[Path, float] = {}
        """Segments that the last check found expired, with the monotonic time of that check."""

    def close(self) -> None:
        """Does nothing: files are open only while they are used."""

    def append(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries. All of them are on disk when this returns; after an error, none of a
        series is.
        """
        batches: dict[Series, list[AuditEntry]] = {}
        for entry in entries:
            batches.setdefault(entry.series, []).append(entry)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            for series, batch in batches.items():
                self._append(series, batch)

    def check(self) -> None:
        """Raise `OSError` if the folder cannot be written."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            pass

    def remove_expired(self, now: float, clock: float, *, pause_s: float) -> None:
        """Remove segments whose last entry is older than the limit of days.

        `now` is Unix time, `clock` is monotonic. A segment is removed only if two checks,
        `pause_s` apart, found it expired, so that a clock that is wrong for some minutes removes
        nothing.
        """
        if not self._days or not self.folder.exists():
            return
        expired: dict[Path, float] = {}
        with self._locked():
            for series in SERIES:
                for _, path in self._segments(series):
                    if path.stat().st_mtime > now - self._days * _DAY_S:
                        continue
                    since = self._expired.get(path, clock)
                    if clock - since >= pause_s:
                        path.unlink()
                    else:
                        expired[path] = since
        self._expired = expired

    def page(
        self, wanted: AuditFilter, limit: int, cursor: str = ""
    ) -> tuple[list[AuditEntry], str | None]:
        """At most `limit` entries, latest first, and the cursor of the next page, if any.

        A page may have fewer entries, even none, and still a cursor: see `SCAN_BYTES_MAX`.
        `cursor` matches `CURSOR`, or is empty.
        """
        positions = [_position(part) for part in cursor.split(",")] if cursor else [None] * 3
        readers = [
            _Reader(self._segments(series), position, wanted)
            for series, position in zip(SERIES, positions, strict=True)
        ]
        found: list[AuditEntry] = []
        budget = SCAN_BYTES_MAX
        while budget > 0 and len(found) < limit:
            for reader in readers:
                budget -= reader.look(budget)
            heads = [reader for reader in readers if reader.head is not None]
            if budget <= 0 or not heads:
                break
            newest = max(heads, key=lambda reader: reader.head.ts if reader.head else 0.0)
            assert newest.head is not None  # noqa: S101 - selected above
            found.append(newest.head)
            newest.take()
        if all(reader.ended for reader in readers):
            return found, None
        return found, ",".join(reader.cursor for reader in readers)

    # -- segments -------------------------------------------------------------------------------

    def _append(self, series: Series, batch: Sequence[AuditEntry]) -> None:
        segments = self._segments(series)
        number = segments[-1][0] if segments else 1
        if segments and self._is_full(segments[-1][1], batch[0].ts):
            number += 1
        path = self.folder / f"{series}-{number:06d}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            lines = b"".join(map(to_line, batch))
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # a crash cut off the last line
            try:
                _write_all(descriptor, lines)
                os.fdatasync(descriptor)
            except OSError:
                # Everything is written again later, so what was written so far must be removed.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        for _, old in self._segments(series)[: -self._segments_max]:
            old.unlink(missing_ok=True)

    def _is_full(self, path: Path, ts: float) -> bool:
        if path.stat().st_size >= self._segment_bytes:
            return True
        with path.open("rb") as file:
            first = from_line(file.readline())
        # A clock that is or was ahead costs one segment at most.
        return first is not None and abs(ts - first.ts) > SEGMENT_LIFE_S

    def _segments(self, series: Series) -> list[tuple[int, Path]]:
        """The segments by number."""
        if not self.folder.exists():
            return []
        found = []
        for path in self.folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None and name[1] == series:
                found.append((int(name[2]), path))
        return sorted(found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class _Reader:
    """Reads the matching entries of one series backwards."""

    def __init__(
        self,
        segments: list[tuple[int, Path]],
        position: tuple[int, int] | None,
        wanted: AuditFilter,
    ) -> None:
        """`position`: segment and offset at which the entries end; None: at the newest."""
        self.head: AuditEntry | None = None
        if position is None:
            position = (segments[-1][0] if segments else 0, _END)
        self._segments = [item for item in segments if item[0] <= position[0]]
        self._position = position
        self._wanted = wanted
        self._number, self._end = position
        self._lines: list[bytes] = []
        """Unread lines of the open segment. They end at `_end`."""

    @property
    def ended(self) -> bool:
        return self.head is None and not self._lines and not self._segments

    @property
    def cursor(self) -> str:
        return f"{self._number}:{self._end}" if not self.ended else "0:0"

    def look(self, budget: int) -> int:
        """Find the next matching entry, reading at most `budget` bytes. Returns the number of
        bytes read.
        """
        read = 0
        while self.head is None and read < budget:
            if not self._lines and not self._open():
                break
            line = self._lines[-1]
            read += len(line)
            entry = from_line(line)
            if entry is not None and self._wanted.matches(entry):
                self.head = entry
            else:
                self._skip()
        return read

    def take(self) -> None:
        """Remove the entry that was found."""
        self.head = None
        self._skip()

    def _skip(self) -> None:
        self._end -= len(self._lines.pop())

    def _open(self) -> bool:
        """Read the next segment with lines. Returns False if there is none."""
        while self._segments:
            number, path = self._segments.pop()
            start = self._wanted.start
            try:
                # Its last entry is older than all requested ones.
                is_older = start is not None and path.stat().st_mtime < start - 60
                data = b"" if is_older else path.read_bytes()
            except FileNotFoundError:
                continue  # removed meanwhile
            if number == self._position[0]:
                data = data[: self._position[1]]
            self._number, self._end = number, len(data)
            self._lines = data.splitlines(keepends=True)
            if self._lines:
                return True
        return False


def _position(text: str) -> tuple[int, int]:
    number, _, offset = text.partition(":")
    return int(number), int(offset)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
