# SPDX-License-Identifier: BSD-3-Clause
"""Ends a test that hangs in spite of its own time limits, for example in a system call.

After `hang_limit_s` the test fails. If its fixtures then need more than `hang_cleanup_limit_s`, the
process prints its stacks and ends: pytest-xdist reports the test as crashed, and runs the others in
a new process.
"""

import faulthandler
import os
import signal
import sys
from collections.abc import Generator
from typing import ClassVar, Final

import pytest


class HangLimits:
    """A plugin of pytest."""

    SETTINGS: ClassVar = {
        "hang_limit_s": (300.0, "the time that a test may take"),
        "hang_cleanup_limit_s": (60.0, "the time that the fixtures of a test that hangs may take"),
    }
    """Options of pytest's configuration file, with their defaults and descriptions."""

    def __init__(self, limit_s: float, cleanup_limit_s: float) -> None:
        self._limit_s: Final = limit_s
        self._cleanup_limit_s: Final = cleanup_limit_s
        # While a test runs, pytest captures its standard error.
        self._stderr: Final = os.dup(sys.stderr.fileno())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        signal.signal(signal.SIGALRM, self._fail)
        signal.setitimer(signal.ITIMER_REAL, self._limit_s)
        self._end_process_after(self._limit_s + self._cleanup_limit_s)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector) -> None:
        """pytest has just cancelled the end of the process, and the fixtures of the test follow."""
        if isinstance(node, pytest.Item):
            self._end_process_after(self._cleanup_limit_s)

    def _end_process_after(self, limit_s: float) -> None:
        # This thread needs no Python code: it also ends a process that handles no signals.
        faulthandler.dump_traceback_later(limit_s, exit=True, file=self._stderr)

    def _fail(self, _number: int, _frame: object) -> None:
        faulthandler.dump_traceback(file=self._stderr)
        pytest.fail(f"the test hangs: it was ended after {self._limit_s:g} s")

    def pytest_unconfigure(self) -> None:
        os.close(self._stderr)
