# SPDX-License-Identifier: BSD-3-Clause
"""The log on standard error: as text, for the journal of systemd, or as JSON. It has a rate limit.

A log that grows with the traffic of a faulty device would fill the disk, or push the messages that
matter out of the journal.
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from pyaiot.config import LogSection
from pyaiot.redaction import redact

SAME_PER_MINUTE_MAX: Final = 100
"""Lines of one kind in a minute. Further ones are counted, and the count is logged after it. Debug
lines have no limit."""
KINDS_MAX: Final = 1000
"""Kinds of lines that are counted. Further ones have no limit; the program has about 400."""
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
    """Text with the priority of each line in front (sd-daemon(3)), without the time: the journal
    adds it."""

    def format(self, record: logging.LogRecord) -> str:
        found = (number for level, number in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(found, _DEBUG_PRIORITY)}>"
        # Each line of a traceback is an entry of its own.
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `process`,
    `worker` if there are several, and `exception` with the traceback, if there is one.
    """

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
        # Line ends and control characters in the names of devices are escaped: it is one line.
        return json.dumps(entry)


class LogRateLimit(logging.Filter):
    """Leaves out lines of a kind that is logged too often. A kind: a logger and a text without its
    values."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], list[float]] = {}
        """Of each kind: the end of its minute, and its lines in this minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = self._clock()
        key = record.name, str(record.msg)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) < KINDS_MAX:
                self._kinds[key] = [now + _MINUTE_S, 1]
            return True
        if now >= kind[0]:
            suppressed = int(kind[1]) - SAME_PER_MINUTE_MAX
            kind[0], kind[1] = now + _MINUTE_S, 0
            if suppressed > 0:
                record = self._mentioned(record, suppressed)
        kind[1] += 1
        return kind[1] <= SAME_PER_MINUTE_MAX

    @staticmethod
    def _mentioned(record: logging.LogRecord, suppressed: int) -> logging.LogRecord:
        record.msg = f"{record.getMessage()} (and {suppressed} lines like this one were left out)"
        record.args = ()
        return record


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether a stream is connected to the journal of systemd (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
    return False


def set_up_logging(log: LogSection, *, quiet: bool, process: str = "") -> None:
    """Log to standard error. `quiet`: warnings only. `process`: its name, if there are several."""
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(process)
    handler.addFilter(LogRateLimit())
    logging.basicConfig(handlers=[handler])
    apply_log_settings(log, quiet=quiet)
    # It logs a warning for each connection that offers an unknown subprotocol.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def apply_log_settings(log: LogSection, *, quiet: bool = False) -> None:
    """Use these settings from now on, in a process that has called `set_up_logging`."""
    level = logging.DEBUG if log.debug else logging.WARNING if quiet else logging.INFO
    logging.getLogger().setLevel(level)
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))
    for handler in logging.getLogger().handlers:
        if any(isinstance(it, LogRateLimit) for it in handler.filters):
            handler.setFormatter(_formatter(log, handler.get_name() or ""))


def _formatter(log: LogSection, process: str) -> logging.Formatter:
    if log.format == "json":
        return JsonFormatter(process)
    source = f"{process} %(name)s" if process else "%(name)s"
    if is_journal(os.environ, sys.stderr):
        return JournalFormatter(f"{source}: %(message)s")
    return TextFormatter(f"%(asctime)s %(levelname)s {source}: %(message)s")
