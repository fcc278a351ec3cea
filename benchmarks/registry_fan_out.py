# SPDX-License-Identifier: BSD-3-Clause
"""Fan-out of a broker that stores a registry of many offline nodes, beside one that has none."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.fan_out import Subject, Window
from benchmarks.processes import Home, Worker
from benchmarks.services import broker_with_registry
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number

RATE: Final = 1000
"""Updates per second."""


def measure(results: Results, home: Home, size: Size, path: Path) -> None:
    """The same load on both, in turn: the median of the ratios of CPU per delivery.

    `path`: the file of the registry.
    """
    clients = size.fan_out_judged
    pairs: list[tuple[Window, Window]] = []
    with (
        _subject(home, size, clients, "off") as without,
        _subject(home, size, clients, str(path)) as storing,
    ):
        for at in range(size.history_rounds):
            order = (without, storing) if at % 2 else (storing, without)
            windows = {it.name: it.paced(RATE, size.fan_out_window_s) for it in order}
            pairs.append((windows["off"], windows[str(path)]))
    ratios = [_cpu_us(after) / _cpu_us(before) for before, after in pairs]
    cpu = [median(_cpu_us(pair[at]) for pair in pairs) for at in (0, 1)]
    results.figures.append(
        Figure(
            "registry",
            f"CPU of fan-out to {clients} clients, {RATE:,} updates/s, with {size.registered:,}"
            " offline nodes",
            median(ratios),
            "× without",
            cpu_us=cpu[1],
            per="delivery",
            at_most=1.03,
            note=f"{number(cpu[0])} µs each without a registry; ratios"
            f" {number(min(ratios))} to {number(max(ratios))}",
        )
    )


def _cpu_us(window: Window) -> float:
    return window.cpu_s / max(1, window.deliveries) * 1e6


@contextlib.contextmanager
def _subject(home: Home, size: Size, clients: int, registry: str) -> Iterator[Subject]:
    """A broker with this registry, its gateway and its clients."""
    with broker_with_registry(home, registry) as server:
        spec = {"port": server.port, "v2": True}
        gateway = Worker(
            "gateway",
            path="/gw",
            token=home.token(),
            nodes=size.fan_out_nodes,
            resources=1,
            dated=False,
            **spec,
        )
        with (
            gateway,
            Worker("clients", path="/ws", count=clients, server_pid=server.pid, **spec) as counters,
        ):
            subject = Subject(registry, clients, server, gateway, counters)
            subject.wait_quiet(size.fan_out_nodes * clients)
            yield subject
