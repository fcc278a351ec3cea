# SPDX-License-Identifier: BSD-3-Clause
"""Start of `aiot run` until the dashboard is served, and its cost when idle."""

import time
from statistics import median

from benchmarks.processes import Home
from benchmarks.services import everything
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number

SETTLE_S = 0.5


def measure(results: Results, home: Home, size: Size) -> None:
    took_s: list[float] = []
    cpus: list[float] = []
    for start in range(size.starts):
        server, _ = everything(home)
        try:
            took_s.append(server.wait_ready())
            cpus.append(server.cpu_s())
            if start == size.starts - 1:
                time.sleep(min(SETTLE_S, size.idle_s))
                cpu_before, began = server.cpu_s(), time.monotonic()
                time.sleep(size.idle_s)
                idle_core = (server.cpu_s() - cpu_before) / (time.monotonic() - began)
                resident = server.resident_bytes()
        finally:
            server.end()
    results.figures += [
        Figure(
            "start",
            "aiot run, from its start until the page is served",
            median(took_s),
            "s",
            cpu_us=median(cpus) * 1e6,
            per="start",
            at_most=1,
            note=f"max of {len(took_s)}: {number(max(took_s))} s",
        ),
        Figure("start", "aiot run, idle, resident memory", resident / 1e6, "MB", at_most=60),
        Figure(
            "start",
            f"aiot run, idle for {size.idle_s:.0f} s",
            idle_core * 100,
            "% of a core",
            cpu_us=idle_core * 1e6,
            per="second",
            at_most=1,
        ),
    ]
