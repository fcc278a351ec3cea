# SPDX-License-Identifier: BSD-3-Clause
"""Readings of WebSocket nodes to many clients of `aiot run`, with one worker and with two."""

import time
from pathlib import Path
from typing import Final

from benchmarks.processes import BenchmarkError, Home, Worker, cpu_s
from benchmarks.services import everything_for_websockets
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

CLIENTS: Final = 1000
RATE: Final = 150
"""Readings per second, each to all clients."""
NODES: Final = 20
KNOWN_S: Final = 1.5
"""Time limit until all workers have connected and received the state of all nodes."""
START_LIMIT_S: Final = 20.0


def measure(results: Results, home: Home, size: Size) -> None:
    """The figures `workers`."""
    for count in (1, 2):
        all_us, busiest, delivered = _measure(home, size, count)
        results.figures.append(
            Figure(
                "workers",
                f"a reading to {CLIENTS:,} clients, {RATE}/s, {count} worker{'s' * (count > 1)}",
                busiest * 100,
                "% of a core of the busiest worker",
                cpu_us=all_us,
                per="delivery, all workers",
                note=f"{delivered:,} deliveries",
            )
        )


def _measure(home: Home, size: Size, count: int) -> tuple[float, float, int]:
    """CPU of all workers for a delivery in µs, the share of a core of the busiest, deliveries."""
    flags = ("--workers", str(count), "--history", "off", "--registry", "off")
    server, ws_port = everything_for_websockets(home, *flags)
    spec = {"count": CLIENTS, "port": server.port, "path": "/ws", "v2": True}
    with server:
        pids = _workers(server.pid, count)
        with (
            Worker("clients", server_pid=server.pid, **spec) as clients,
            Worker("websocket_nodes", port=ws_port, nodes=NODES) as nodes,
        ):
            time.sleep(KNOWN_S)
            nodes.call("send", seconds=0.3, rate=RATE)
            time.sleep(0.5)
            before, marks = [cpu_s(pid) for pid in pids], clients.call("read")["marks"]
            began = time.monotonic()
            nodes.call("send", seconds=size.websocket_s, rate=RATE)
            time.sleep(0.2)
            seconds = time.monotonic() - began
            used = [cpu_s(pid) - start for pid, start in zip(pids, before, strict=True)]
            delivered = clients.call("read")["marks"] - marks
    if not delivered:
        raise BenchmarkError("nothing was delivered")
    return sum(used) / delivered * 1e6, max(used) / seconds, delivered


def _workers(first: int, count: int) -> list[int]:
    """The processes of all workers, once they serve clients."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
        found = [int(pid) for pid in children.split() if _is_worker(int(pid))]
        if len(found) == count - 1:
            time.sleep(KNOWN_S)
            return [first, *found]
        time.sleep(0.05)
    raise BenchmarkError("the workers did not start")


def _is_worker(pid: int) -> bool:
    return b"worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
