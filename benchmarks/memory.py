# SPDX-License-Identifier: BSD-3-Clause
"""Memory of idle nodes, and resident memory of a stalled client, which joins and reads no more.

The broker has 1,000 nodes × 5 resources. A gateway sends readings of all of them: for a second as
fast as accepted, which fills the kernel's buffers, then 2,000 per second. Another client reads
everything, so the figure is the growth after the stalled clients connect, divided by their number.
"""

import socket
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks import node_memory
from benchmarks.joining import RESOURCES
from benchmarks.processes import Home, Worker
from benchmarks.services import broker
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import JOIN_V2, V2, connect

FLOOD_S: Final = 1.0
RATE: Final = 2000
RECEIVE_BUFFER: Final = 4096
SAMPLE_S: Final = 0.1
TCP_ESTABLISHED: Final = 1
"""The state of a connection, first byte of TCP_INFO (linux/tcp_states.h)."""


def kernel_bytes(port: int, clients: list[socket.socket]) -> int:
    """Bytes in the kernel's send queues of these connections (proc(5), tcp)."""
    ports = {client.getsockname()[1] for client in clients}
    total = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, remote, _state, queues = line.split()[1:5]
        if int(local[-4:], 16) == port and int(remote[-4:], 16) in ports:
            total += int(queues.partition(":")[0], 16)
    return total


def measure(results: Results, home: Home, size: Size) -> None:
    """Memory of idle nodes, by structure, and of a client that reads nothing."""
    node_memory.measure(results, size)
    node_memory.measure_crowd(results, size)
    _measure_stalled(results, home, size)


def _measure_stalled(results: Results, home: Home, size: Size) -> None:
    # The queue of a history would count as memory of the clients.
    with broker(home, history=False) as server:
        spec = {"port": server.port, "v2": True}
        with (
            Worker(
                "gateway",
                path="/gw",
                token=home.token(),
                nodes=size.join_nodes,
                resources=RESOURCES,
                **spec,
            ) as gateway,
            Worker("clients", path="/ws", count=1, server_pid=server.pid, **spec) as reader,
        ):
            warm_up_s = min(3.0, size.stalled_s / 3)
            gateway.call("send", rate=RATE, seconds=warm_up_s, batch=1)
            before = server.resident_bytes()
            stalled = []
            for _ in range(size.stalled_clients):
                connection, _rest = connect(server.port, "/ws", [V2], receive_buffer=RECEIVE_BUFFER)
                connection.sendall(JOIN_V2)
                stalled.append(connection)
            samples = [server.resident_bytes()]
            stop = threading.Event()

            def sample() -> None:
                while not stop.wait(SAMPLE_S):
                    samples.append(server.resident_bytes())

            sampler = threading.Thread(target=sample)
            sampler.start()
            cpu_before = server.cpu_s()
            flood_s = min(FLOOD_S, size.stalled_s / 3)
            sent = gateway.call("send", rate=0, seconds=flood_s, batch=50)["sent"]
            sent += gateway.call("send", rate=RATE, seconds=size.stalled_s - flood_s, batch=1)[
                "sent"
            ]
            cpu = server.cpu_s() - cpu_before
            time.sleep(SAMPLE_S)
            stop.set()
            sampler.join()
            closed = reader.call("read")["closed"]
            given_up = sum(
                connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED
                for connection in stalled
            )
            kernel = kernel_bytes(server.port, stalled) / size.stalled_clients
            for connection in stalled:
                connection.close()
    growth = (max(samples) - before) / size.stalled_clients
    late = (samples[-1] - before) / size.stalled_clients
    results.figures.append(
        Figure(
            "memory",
            "memory of a stalled client, at most",
            growth / 1e6,
            "MB",
            cpu_us=cpu / max(1, sent) * 1e6,
            per="update",
            at_most=2,
            note=f"{size.stalled_clients} stalled for {size.stalled_s:.0f} s, {RATE:,} updates/s; "
            f"{given_up} closed by the broker by then, {number(late / 1e6)} MB at the end, and "
            f"{number(kernel / 1e6)} MB each in the kernel's send queue; "
            f"the server had {before / 1e6:.0f} MB before"
            + (", and closed the client that reads" if closed else ""),
        )
    )
