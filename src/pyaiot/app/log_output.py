# SPDX-License-Identifier: BSD-3-Clause
"""The log on standard error: as text, for the journal of systemd, or as JSON.

It has a rate limit. Otherwise the traffic of a faulty device could fill the disk, or push important
messages out of the journal.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from pyaiot.config import LogSection
from pyaiot.redaction import redact

SAME_PER_MINUTE_MAX: Final = 100
"""Largest number of lines of one kind per minute. Of the lines beyond it, the last one is logged at
the end of the minute, with the number of the others. Debug lines have no limit."""
KINDS_MAX: Final = 1000
"""Largest number of kinds that are counted. Lines of further kinds have no limit; the program has
about 400 kinds."""
_MINUTE_S: Final = 60.0
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY: Final = 7


class TextFormatter(logging.Formatter):
    """One line of text, with the passwords in URLs masked."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JournalFormatter(TextFormatter):
    """Text with the priority before each line (sd-daemon(3)), and without the time: the journal
    adds it."""

    def format(self, record: logging.LogRecord) -> str:
        found = (number for level, number in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(found, _DEBUG_PRIORITY)}>"
        # Each line of a traceback is a separate entry.
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `process`,
    `worker` if there are several, and `exception` with the traceback, if any."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "process": record.process,
            **self._worker,
        }
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        # Line ends and control characters in the names of devices are escaped, so that the entry is
        # one line.
        return json.dumps(entry)


class _Kind(msgspec.Struct):
    """The lines of one kind in the current minute."""

    ends_at: float
    lines: int = 0
    last: logging.LogRecord | None = None
    """The last line that was left out."""

    def start(self, now: float) -> int:
        """Begin the next minute. Returns how many lines were left out in the previous one."""
        left_out = max(self.lines - SAME_PER_MINUTE_MAX, 0)
        self.ends_at, self.lines, self.last = now + _MINUTE_S, 0, None
        return left_out


class LogRateLimit(logging.Filter):
    """Leaves out lines of a kind that is logged too often. Lines of one kind have the same logger
    and the same text without values."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float], None] = lambda _delay_s: None,
    ) -> None:
        """`call_later(delay_s)` schedules a call of `due` after that time, once for all kinds."""
        super().__init__()
        self._clock = clock
        self._call_later = call_later
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._is_waiting = False
        """Whether a call of `due` is scheduled."""
        # Several threads log, and another thread calls `due`.
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = self._clock()
        key = record.name, str(record.msg)
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None:
                if len(self._kinds) < KINDS_MAX:
                    self._kinds[key] = _Kind(now + _MINUTE_S, 1)
                return True
            if now >= kind.ends_at and (left_out := kind.start(now)):
                record = _with_count(record, left_out)
            kind.lines += 1
            if kind.lines <= SAME_PER_MINUTE_MAX:
                return True
            kind.last = record
            if self._is_waiting:
                return False
            self._is_waiting = True
        self._call_later(kind.ends_at - now)
        return False

    def due(self) -> list[logging.LogRecord]:
        """For each kind whose minute has ended: the last line that was left out, with the number of
        the others."""
        now = self._clock()
        records = []
        with self._lock:
            for kind in self._kinds.values():
                if kind.last is not None and now >= kind.ends_at:
                    last = kind.last
                    records.append(_with_count(last, kind.start(now) - 1))
            waiting = [kind.ends_at for kind in self._kinds.values() if kind.last is not None]
            self._is_waiting = bool(waiting)
        if waiting:
            self._call_later(min(waiting) - now)
        return records


def _with_count(record: logging.LogRecord, left_out: int) -> logging.LogRecord:
    if left_out:
        record.msg = f"{record.getMessage()} (and {left_out} lines like this one were left out)"
        record.args = ()
    return record


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines within the rate limit, and at the end of each minute the lines that `due`
    returns."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._limit = LogRateLimit(clock, self._report_later)
        self.addFilter(self._limit)

    def report(self) -> None:
        """Write the lines that are due."""
        for record in self._limit.due():
            # Not `handle`, which would count it.
            self.acquire()
            try:
                self.emit(record)
            finally:
                self.release()

    def _report_later(self, delay_s: float) -> None:
        # A thread, not the event loop: services without a loop log, too, and a loop may be busy.
        timer = threading.Timer(delay_s, self.report)
        timer.name = "log report"
        timer.daemon = True
        timer.start()


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether a stream is connected to the journal of systemd (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
    return False


def set_up_logging(log: LogSection, *, quiet: bool, process: str = "") -> None:
    """Log to standard error. `quiet`: warnings only. `process`: its name, if there are several."""
    handler = LimitedHandler(sys.stderr)
    handler.set_name(process)
    logging.basicConfig(handlers=[handler])
    apply_log_settings(log, quiet=quiet)
    # aiohttp logs a warning for each connection that offers an unknown subprotocol.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def apply_log_settings(log: LogSection, *, quiet: bool = False) -> None:
    """Apply these settings, in a process that has called `set_up_logging`."""
    level = logging.DEBUG if log.debug else logging.WARNING if quiet else logging.INFO
    logging.getLogger().setLevel(level)
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LimitedHandler):
            handler.setFormatter(_formatter(log, handler.get_name() or ""))


def _formatter(log: LogSection, process: str) -> logging.Formatter:
    if log.format == "json":
        return JsonFormatter(process)
    source = f"{process} %(name)s" if process else "%(name)s"
    if is_journal(os.environ, sys.stderr):
        return JournalFormatter(f"{source}: %(message)s")
    return TextFormatter(f"%(asctime)s %(levelname)s {source}: %(message)s")
