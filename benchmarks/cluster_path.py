# SPDX-License-Identifier: BSD-3-Clause
"""Brokers of a cluster as processes: CPU of a reading that reaches its clients, beside one broker.

One broker alone, two and three run at the same time, each with a gateway and the same clients, and
get the same readings in turn. CPU is the sum of the brokers, that of the nats-server is counted
apart: it is one process per machine for any number of brokers.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.processes import (
    HOST,
    BenchmarkError,
    Home,
    Server,
    Worker,
    cpu_s,
    free_port,
)
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

GROUP: Final = "cluster"
BROKERS: Final = (1, 2, 3)
CLIENTS: Final = (6, 300)
NODES: Final = 100
RATE: Final = 1000
BATCH: Final = 10
RATIO_MAX: Final = 1.25
ARRIVED_LIMIT_S: Final = 20.0


@dataclass
class Topology:
    """Some brokers, a gateway at the first one, and clients."""

    brokers: list[Server]
    gateway: Worker
    clients: list[tuple[Worker, int]]
    """And how many."""
    nats_pid: int = 0

    def marks(self) -> int:
        marks: int = sum(worker.call("read")["marks"] for worker, _ in self.clients)
        return marks

    def wait(self, marks: int) -> None:
        until = time.monotonic() + ARRIVED_LIMIT_S
        while self.marks() < marks:
            if time.monotonic() > until:
                raise BenchmarkError(f"{len(self.brokers)} brokers: readings did not arrive")
            time.sleep(0.02)

    def cpu_s(self) -> float:
        return sum(broker.cpu_s() for broker in self.brokers)

    def window(self, seconds: float) -> tuple[float, float]:
        """Microseconds of the brokers, and of the nats-server, per delivery."""
        count = sum(number for _, number in self.clients)
        marks, began, nats = self.marks(), self.cpu_s(), self._nats_s()
        sent = self.gateway.call("send", rate=RATE, seconds=seconds, batch=BATCH)["sent"]
        self.wait(marks + sent * count)
        per = 1e6 / (sent * count)
        return (self.cpu_s() - began) * per, (self._nats_s() - nats) * per

    def _nats_s(self) -> float:
        return cpu_s(self.nats_pid) if self.nats_pid else 0.0


def measure(results: Results, home: Home, size: Size) -> None:
    """The figures `cluster-path`."""
    for name, places in (
        ("one client, which is not at the gateway's broker", {1: [1], 2: [0, 1], 3: [0, 0, 1]}),
        *(
            (f"{count} clients, spread over the brokers", {n: [count // n] * n for n in BROKERS})
            for count in CLIENTS
        ),
    ):
        _measure(results, home, size, name, places)


def _measure(
    results: Results, home: Home, size: Size, name: str, places: dict[int, list[int]]
) -> None:
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in BROKERS}
    with contextlib.ExitStack() as stack:
        topologies = {
            number: stack.enter_context(_topology(home, where)) for number, where in places.items()
        }
        for topology in topologies.values():
            topology.window(min(0.5, size.posts_s))
        for _ in range(size.fan_out_rounds * 3):
            for number, topology in topologies.items():
                found[number].append(topology.window(size.posts_s / 2))
    for number in BROKERS:
        ratios = [
            ours / alone for (ours, _), (alone, _) in zip(found[number], found[1], strict=True)
        ]
        cpu_us = median(ours for ours, _ in found[number])
        nats_us = median(nats for _, nats in found[number])
        what = f"{name}: {number} broker{'s' * (number > 1)}"
        if number == 1:
            results.figures.append(
                Figure(GROUP, what, cpu_us, "µs of CPU", cpu_us=cpu_us, per="delivery")
            )
            continue
        results.figures.append(
            Figure(
                GROUP,
                what,
                median(ratios),
                "× one broker",
                cpu_us=cpu_us,
                per="delivery",
                at_most=RATIO_MAX,
                note=f"{min(ratios):.2f} to {max(ratios):.2f}; and {nats_us:.1f} µs of nats-server",
            )
        )


@contextlib.contextmanager
def nats_server() -> Iterator[tuple[int, int]]:
    """Its port and process id."""
    port = free_port()
    program = Path(sys.executable).with_name("nats-server")
    with subprocess.Popen(
        [program, "-a", HOST, "-p", str(port)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield port, process.pid
        finally:
            process.kill()


def broker_of(home: Home, nats_port: int | None) -> Server:
    """A broker that keeps nothing, alone or of a cluster."""
    port = free_port()
    arguments = ["-m", "pyaiot", "broker", "--web-port", str(port)]
    arguments += ["--key-file", str(home.key_file), "--history", "off", "--registry", "off"]
    if nats_port is not None:
        arguments += ["--cluster", f"nats://{HOST}:{nats_port}", "--cluster-broker", f"at {port}"]
    return Server(arguments, home=home, port=port)


@contextlib.contextmanager
def _topology(home: Home, where: list[int]) -> Iterator[Topology]:
    """One broker for each element, which is the number of its clients."""
    with contextlib.ExitStack() as stack:
        nats_port, nats_pid = None, 0
        if len(where) > 1:
            nats_port, nats_pid = stack.enter_context(nats_server())
        brokers = [stack.enter_context(broker_of(home, nats_port)) for _ in where]
        gateway = stack.enter_context(
            Worker(
                "gateway",
                path="/gw",
                token=home.token(),
                nodes=NODES,
                resources=1,
                dated=False,
                port=brokers[0].port,
                v2=True,
            )
        )
        clients = [
            (
                stack.enter_context(
                    Worker(
                        "clients",
                        path="/ws",
                        count=count,
                        server_pid=broker.pid,
                        port=broker.port,
                        v2=True,
                    )
                ),
                count,
            )
            for broker, count in zip(brokers, where, strict=True)
            if count
        ]
        topology = Topology(brokers, gateway, clients, nats_pid)
        topology.wait(NODES * sum(where))
        yield topology
