# SPDX-License-Identifier: BSD-3-Clause
"""Fan-out of a broker that stores a registry of many offline nodes, compared with one without.

Two processes in turns measure the complete broker. Their results vary by a tenth, because the
number of readings per flush depends on the machine. So the ratio is also computed from its parts in
this process: the CPU time of a flush that writes to TCP connections; how much longer a flush with
the registry takes, in a thousand turns without the system calls, which vary most; and the CPU time
of storing the values later.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.fan_out import Subject, Window, subject_of
from benchmarks.processes import Home
from benchmarks.scopes import GATEWAY, NullSink, StoppedTimer
from benchmarks.services import broker_with_registry
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from pyaiot.broker.broker import Broker
from pyaiot.broker.subscriber import Sink
from pyaiot.messages import Join, NodeAppeared, Reading
from pyaiot.registry.service import VALUES_INTERVAL_S, RegistryService
from pyaiot.registry.sqlite import SqliteStore

RATE: Final = 1000
"""Updates per second."""
FLUSHES_PER_S: Final = 50


def measure(results: Results, home: Home, size: Size, path: Path) -> None:
    """The same load on both, in turn. `path`: the file of the registry."""
    _measure_parts(results, size, path)
    _measure_processes(results, home, size, path)


class Connections:
    """TCP connections over loopback to clients in this process."""

    def __init__(self, count: int) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=count) as server:
            self.clients = [socket.create_connection(server.getsockname()) for _ in range(count)]
            self.sinks = [ConnectionSink(server.accept()[0]) for _ in range(count)]

    def read(self) -> None:
        """What has arrived at the clients."""
        for client in self.clients:
            client.recv(1 << 20)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for sink in self.sinks:
            sink.connection.close()


class ConnectionSink:
    """The broker's end of a connection whose client reads everything."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def write(self, data: bytes) -> None:
        self.connection.sendall(data)

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        """Never called."""


def _measure_parts(results: Results, size: Size, path: Path) -> None:
    rounds = size.history_rounds * 200
    nodes, count = size.fan_out_nodes, size.fan_out_judged
    with contextlib.closing(Connections(count)) as connections:
        connected = _broker(connections.sinks, nodes)
        connections.read()
        whole = []
        for at in range(rounds):
            whole.append(_flush(connected, at, nodes))
            connections.read()
    with Path(os.devnull).open("wb") as nowhere:
        sinks = [NullSink(nowhere.fileno())] * count
        without = _broker(sinks, nodes)
        stores = []
        for _ in range(size.history_rounds):
            storing = _broker(sinks, nodes)
            stores.append(asyncio.run(_store(storing, path, nodes)))
        differences = []
        for at in range(rounds):
            order = (without, storing) if at % 2 else (storing, without)
            took = {id(it): _flush(it, at, nodes) for it in order}
            differences.append(took[id(storing)] - took[id(without)])
    base = median(whole)
    low, more, high = (it / base for it in quantiles(differences, n=4))
    stored = median(stores) / (VALUES_INTERVAL_S * FLUSHES_PER_S) / base
    results.figures.append(
        Figure(
            "registry",
            f"CPU of fan-out to {count} clients, {RATE:,} updates/s, with"
            f" {len(storing.router.registry):,} nodes in the registry, from its parts",
            1 + more + stored,
            "× without",
            cpu_us=(1 + more + stored) * base / (RATE / FLUSHES_PER_S * count) * 1e6,
            per="delivery",
            at_most=1.03,
            note=f"flushes {100 * more:+.1f} % (half of {rounds} turns {100 * low:+.1f} to"
            f" {100 * high:+.1f} %), {nodes} nodes stored every {VALUES_INTERVAL_S:.0f} s"
            f" {100 * stored:+.1f} %",
        )
    )


def _broker(sinks: Sequence[Sink], nodes: int) -> Broker:
    broker = Broker(flush_interval_s=1 / FLUSHES_PER_S, timer=StoppedTimer(), unix_time=time.time)
    broker.router.gateway_connected(GATEWAY, acknowledges=True, ts=0.0)
    for at in range(nodes):
        first = (
            NodeAppeared(uid=f"node{at}"),
            Reading.received(f"node{at}", "temperature", "0", 1.0),
        )
        for message in first:
            broker.router.from_gateway(GATEWAY, message, now=0.0, ts=1.0)
    for sink in sinks:
        broker.from_client(broker.client_connected(sink), Join(data="client"))
    return broker


def _flush(broker: Broker, at: int, nodes: int) -> float:
    """CPU seconds to take the readings of one flush and write them to all clients."""
    readings = [
        Reading.received(f"node{(at * 20 + i) % nodes}", "temperature", f"{at}.{i}°C", 1.0 + at)
        for i in range(RATE // FLUSHES_PER_S)
    ]
    began = time.thread_time()
    sequences, _ = broker.router.known_readings(GATEWAY, iter(readings))
    broker.fanout.publish_readings(readings, sequences)
    broker.fanout.flush()
    return time.thread_time() - began


async def _store(broker: Broker, path: Path, nodes: int) -> float:
    """Load the registry. CPU seconds of this process to store the latest values of all nodes."""
    registry, store = broker.router.registry, SqliteStore(path)
    service = RegistryService(registry, broker, store, unix_time=time.time)
    async with service.running():
        await service.loaded.wait()
        for at in range(nodes // (RATE // FLUSHES_PER_S) + 1):
            _flush(broker, at, nodes)
        began = time.process_time()
    return time.process_time() - began


def _measure_processes(results: Results, home: Home, size: Size, path: Path) -> None:
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
            " offline nodes, in turns in two processes",
            median(ratios),
            "× without",
            cpu_us=cpu[1],
            per="delivery",
            note=f"{number(cpu[0])} µs each without a registry; ratios"
            f" {number(min(ratios))} to {number(max(ratios))}",
        )
    )


def _cpu_us(window: Window) -> float:
    return window.cpu_s / max(1, window.deliveries) * 1e6


def _subject(
    home: Home, size: Size, clients: int, registry: str
) -> contextlib.AbstractContextManager[Subject]:
    """A broker with this registry, its gateway and its clients."""
    return subject_of(registry, broker_with_registry(home, registry), home, size, clients)
