# SPDX-License-Identifier: BSD-3-Clause
"""The clocks that a recorder reads: of this machine, or of the server that all brokers share."""

import time
from collections.abc import Callable
from typing import Final

from pyaiot.history.store import Writer

SERVER_TIME_LIMIT_S: Final = 1.0
"""How long a server may take to return its time. A later answer is not used."""


def boot_time() -> float:
    """Seconds of a monotonic clock, which includes the time in suspend if the system has such a
    clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class TimeSources:
    """Reads the clocks for `HistoryClock`."""

    def __init__(self, unix_time: Callable[[], float], steady_time: Callable[[], float]) -> None:
        self._unix_time = unix_time
        self._steady_time = steady_time
        self._server_offset_s: float | None = None
        """The clock of the server minus the steady one; None: there is none to be used."""

    def read_server(self, writer: Writer) -> None:
        """Compare with the clock of the server. Raises `StoreError`."""
        began = self._steady_time()
        server_time = writer.server_time()
        ended = self._steady_time()
        if server_time is not None and ended - began <= SERVER_TIME_LIMIT_S:
            self._server_offset_s = server_time - (began + ended) / 2

    def read(self) -> tuple[float, float, float]:
        """The wall clock, the steady clock, and the wall clock of this machine."""
        own, steady = self._unix_time(), self._steady_time()
        offset_s = self._server_offset_s
        return own if offset_s is None else steady + offset_s, steady, own
