# SPDX-License-Identifier: BSD-3-Clause
"""SIGHUP: a service reads its settings, keys and certificates again.

Settings that can be applied take effect at once. The log names those that need a restart.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from pyaiot.app.log_output import apply_log_settings
from pyaiot.config import Config, settings
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact

log = logging.getLogger(__name__)

ReadSettings: TypeAlias = Callable[[], Config]
"""Reads the settings again, with the flags of the command line. Raises `OperatorError`."""
Apply: TypeAlias = Callable[[Config], None]
"""Applies settings to a running service. If it raises `OperatorError`, it has changed nothing."""

_LOG: Final = ("log.debug", "log.format")


class Reload:
    """Handles SIGHUP for a service."""

    def __init__(self, config: Config, read: ReadSettings | None = None) -> None:
        """`read` None: the settings stay unchanged; only files are read again."""
        self._config = config
        self._read = read
        self._files: list[Callable[[], None]] = []
        self._applied: dict[str, Apply] = {}
        if read is not None:
            self.apply(_LOG, lambda new: apply_log_settings(new.log))

    @property
    def config(self) -> Config:
        """The settings in effect."""
        return self._config

    def file(self, reload: Callable[[], None]) -> None:
        """Register a function that reads a file again. It handles its errors itself."""
        self._files.append(reload)

    def apply(self, keys: Iterable[str], apply: Apply) -> None:
        """Register a function that applies settings while the service runs."""
        self._applied.update(dict.fromkeys(keys, apply))

    def run(self) -> None:
        """Read the settings and all files again."""
        self._read_settings()
        for reload in self._files:
            reload()

    def _read_settings(self) -> None:
        if self._read is None:
            return
        try:
            new = self._read()
            changed = changed_settings(self._config, new)
            applied = [key for key in changed if key in self._applied]
            for apply in dict.fromkeys(self._applied[key] for key in applied):
                apply(new)
        except OperatorError as error:
            log.error("the settings are unchanged: %s", redact(str(error)))  # noqa: TRY400
            return
        waiting = [key for key in changed if key not in self._applied]
        if applied:
            log.info("the settings were read again; applied: %s", ", ".join(applied))
        if waiting:
            log.warning("these settings need a restart: %s", ", ".join(waiting))
        if not changed:
            log.info("the settings were read again; nothing changed")
        self._config = _with_applied(self._config, new, applied)

    @contextmanager
    def on_hangup(self) -> Iterator[None]:
        """Handle SIGHUP until the block ends. If nothing can be read again, or the terminal of the
        process is closed, SIGHUP ends the process."""
        if self._read is None and not self._files:
            yield
            return
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        # Under `nohup`, the signal stays ignored: the process outlives its terminal.
        had_terminal = has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

        def hangup() -> None:
            if had_terminal and not has_terminal() and task is not None:
                task.cancel()
            else:
                self.run()

        loop.add_signal_handler(signal.SIGHUP, hangup)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


def changed_settings(old: Config, new: Config) -> list[str]:
    """The keys of the settings that differ."""
    return [it.key for it in settings() if old.value(it) != new.value(it)]


def _with_applied(old: Config, new: Config, applied: Iterable[str]) -> Config:
    """The settings in effect: the old settings, with those sections replaced that were applied."""
    return old.with_values({key: _value(new, key) for key in applied})


def _value(config: Config, key: str) -> object:
    return next(config.value(it) for it in settings() if it.key == key)


def has_terminal() -> bool:
    """Whether the process has a controlling terminal that is not closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
