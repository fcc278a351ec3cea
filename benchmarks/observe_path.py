# SPDX-License-Identifier: BSD-3-Clause
"""Notifications of observed CoAP resources to a web client, through `aiot run`."""

import time
from typing import Final

from benchmarks.processes import Home, Worker
from benchmarks.services import everything
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

RESOURCES: Final = 5
SETTLE_S: Final = 1.0


def measure(results: Results, home: Home, size: Size) -> None:
    server, coap_port = everything(home)
    spec = {"count": 1, "port": server.port, "path": "/ws", "v2": True, "server_pid": server.pid}
    with (
        server,
        Worker("clients", **spec) as clients,
        Worker(
            "observed_nodes", port=coap_port, nodes=size.observed_nodes, resources=RESOURCES
        ) as nodes,
    ):
        time.sleep(min(SETTLE_S, size.observed_s))
        before = clients.call("read")
        sent = nodes.call("run", seconds=size.observed_s)
        time.sleep(0.1)
        after = clients.call("read")
    seconds = sent["seconds"]
    delivered = after["marks"] - before["marks"]
    cpu_s = after["server_cpu_s"] - before["server_cpu_s"]
    observed = size.observed_nodes * RESOURCES
    results.figures.append(
        Figure(
            "observe",
            f"{observed:,} observed resources, 1 notification/s each",
            100 * cpu_s / seconds,
            "% of a core",
            cpu_us=cpu_s / max(1, delivered) * 1e6,
            per="notification",
            at_most=30.0,
            note=f"{sent['sent'] / seconds:,.0f}/s sent, {sent['sent'] - delivered} not delivered;"
            f" nodes {sent['own_cpu_s'] / seconds:.0%} of a core",
        )
    )
