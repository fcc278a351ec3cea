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
import time
from collections.abc import Generator
from typing import ClassVar, Final

import pytest

PUT_OFF_S: Final = 1.0
"""The end of the process is put off at most this often: each time a thread ends and another one
starts, which takes as long as a small test. It comes up to this much later."""
NEVER: Final = float("-inf")


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
        self._put_off_at = NEVER

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        signal.signal(signal.SIGALRM, self._fail)
        signal.setitimer(signal.ITIMER_REAL, self._limit_s)
        if (now := time.monotonic()) - self._put_off_at > PUT_OFF_S:
            self._end_process_after(self._limit_s + self._cleanup_limit_s + PUT_OFF_S)
            self._put_off_at = now
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if nextitem is None:
                faulthandler.cancel_dump_traceback_later()
                self._put_off_at = NEVER

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector) -> None:
        """pytest has just cancelled the end of the process, and the fixtures of the test follow."""
        if isinstance(node, pytest.Item):
            self._end_process_after(self._cleanup_limit_s)
            self._put_off_at = NEVER  # the next test has more time again

    def _end_process_after(self, limit_s: float) -> None:
        # This thread needs no Python code: it also ends a process that handles no signals.
        faulthandler.dump_traceback_later(limit_s, exit=True, file=self._stderr)

    def _fail(self, _number: int, _frame: object) -> None:
        faulthandler.dump_traceback(file=self._stderr)
        pytest.fail(f"the test hangs: it was ended after {self._limit_s:g} s")

    def pytest_unconfigure(self) -> None:
        os.close(self._stderr)
