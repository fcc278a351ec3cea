# SPDX-License-Identifier: BSD-3-Clause
"""Runs a coroutine until it ends or the process receives a signal, and sets up logging."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from pyaiot.config import LogSection
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact
from pyaiot.transport.descriptors import raise_descriptor_limit

Result = TypeVar("Result")


def run_until_signal(
    service: Coroutine[Any, Any, Result],
    log: LogSection,
    *,
    quiet: bool = False,
    short_lived: bool = False,
) -> Result | None:
    """Run until `service` ends, and return its result; None after SIGINT, SIGTERM or SIGHUP.

    SIGHUP, which a closed terminal sends, has no effect under `nohup`.

    `quiet`: log warnings only. `short_lived`: do without uvloop, which takes time to import.
    Raises `OperatorError`.
    """
    _set_up_logging(log, quiet=quiet)
    raise_descriptor_limit()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if not short_lived:
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415 - not on every platform

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(_until_signal(service))
        except* OperatorError as errors:
            raise _first(errors) from None


async def _until_signal(service: Coroutine[Any, Any, Result]) -> Result | None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(service, name="service")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        # A killed service would lose what it has not written yet.
        # A service of systemd has no terminal: there it asks to read files again, if there are any.
        managed = "NOTIFY_SOCKET" in os.environ
        loop.add_signal_handler(signal.SIGHUP, (lambda: None) if managed else task.cancel)
    with contextlib.suppress(asyncio.CancelledError), _watched(loop):
        return await task
    return None


def _watched(loop: asyncio.AbstractEventLoop) -> contextlib.AbstractContextManager[None]:
    if "NOTIFY_SOCKET" not in os.environ:
        return contextlib.nullcontext()
    from pyaiot.systemd.notify import watched  # noqa: PLC0415 - commands do not need it

    return watched(loop, os.environ)


def _first(errors: BaseExceptionGroup[OperatorError]) -> OperatorError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OperatorError)  # noqa: S101 - `except*` selected it
    return error


class TextFormatter(logging.Formatter):
    """One line of text, with the passwords in URLs masked."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `process`,
    and `exception` with the traceback, if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "process": record.process,
        }
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        # Line ends and control characters in the names of devices are escaped: it is one line.
        return json.dumps(entry)


def _set_up_logging(log: LogSection, *, quiet: bool) -> None:
    level = logging.DEBUG if log.debug else logging.WARNING if quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    if log.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))
    # It logs a warning for each connection that offers an unknown subprotocol.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
