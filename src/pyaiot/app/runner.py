# SPDX-License-Identifier: BSD-3-Clause
"""Runs a coroutine until it ends or the process receives a signal."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from pyaiot.app.log_output import set_up_logging
from pyaiot.config import LogSection
from pyaiot.errors import OperatorError
from pyaiot.transport.descriptors import raise_descriptor_limit

STARTED_AFTER_S: Final = 5.0
"""Delay after the start at which all objects are excluded from later garbage collections: scanning
these 90,000 objects would block the event loop for 30 ms."""

Result = TypeVar("Result")


def run_until_signal(
    service: Coroutine[Any, Any, Result],
    log: LogSection,
    *,
    quiet: bool = False,
    short_lived: bool = False,
    process: str = "",
) -> Result | None:
    """Run until `service` ends, and return its result; None after SIGINT, SIGTERM or SIGHUP.

    SIGHUP, which a closed terminal sends, has no effect under `nohup`. `quiet`: log warnings only.
    `short_lived`: do not use uvloop, which takes time to import. `process`: its name in the log, if
    there are several. Raises `OperatorError`.
    """
    set_up_logging(log, quiet=quiet, process=process)
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
            problem = _first(errors)
    # In `except*`, a raised exception would be wrapped in a group again (Python 3.11.2 of Debian
    # 12).
    raise problem from None


async def _until_signal(service: Coroutine[Any, Any, Result]) -> Result | None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(service, name="service")
    loop.call_later(STARTED_AFTER_S, gc.freeze)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        # A killed service would lose unwritten data. For a service of systemd, which has no
        # terminal, SIGHUP means that files are to be read again, if there are any.
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
