# SPDX-License-Identifier: BSD-3-Clause
"""Updates of WebSocket nodes to a web client, through `aiot run`."""

import time
from typing import Final

from benchmarks.processes import Home, Worker
from benchmarks.services import everything_for_websockets
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

RATE: Final = 30_000
"""Offered updates per second of all nodes."""
NODE_RATE: Final = 15
"""Maximum of one node: its limit is 20/s."""
DRAIN_LIMIT_S: Final = 10.0
ALL_KNOWN_S: Final = 1.0


def measure(results: Results, home: Home, size: Size) -> None:
    rate = min(RATE, NODE_RATE * size.websocket_nodes)
    server, ws_port = everything_for_websockets(home)
    spec = {"count": 1, "port": server.port, "path": "/ws", "v2": True, "server_pid": server.pid}
    with (
        server,
        Worker("clients", **spec) as clients,
        Worker("websocket_nodes", port=ws_port, nodes=size.websocket_nodes) as nodes,
    ):
        time.sleep(min(ALL_KNOWN_S, size.websocket_s))
        before = clients.call("read")
        own_before = nodes.cpu_s()
        sent = nodes.call("send", seconds=size.websocket_s, rate=rate)
        after = clients.call("read")
        own_core = (nodes.cpu_s() - own_before) / sent["seconds"]
        delivered = after["marks"] - before["marks"]
        seconds = after["at"] - before["at"]
        cpu_s = after["server_cpu_s"] - before["server_cpu_s"]
        limit = time.monotonic() + DRAIN_LIMIT_S
        while after["marks"] - before["marks"] < sent["sent"] and time.monotonic() < limit:
            time.sleep(0.05)
            after = clients.call("read")
        missing = sent["sent"] - (after["marks"] - before["marks"])
    cpu_us = cpu_s / max(1, delivered) * 1e6
    results.figures += [
        Figure(
            "websocket",
            f"WebSocket node update → web client, {rate:,}/s offered",
            delivered / seconds,
            "updates/s",
            cpu_us=cpu_us,
            per="update",
            at_least=20_000,
            note=f"{size.websocket_nodes} nodes, {missing} not delivered;"
            f" core: server {cpu_s / seconds:.0%}, nodes {own_core:.0%}",
        ),
        Figure(
            "websocket",
            "WebSocket node update → web client, CPU of gateway and broker",
            cpu_us,
            "µs",
            at_most=15,
        ),
    ]
