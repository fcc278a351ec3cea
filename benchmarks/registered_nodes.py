# SPDX-License-Identifier: BSD-3-Clause
"""A registry of many offline nodes: start of the broker, its memory, and pages of the HTTP API.

Half of the nodes have a label, a room and tags. Each has five last values. Memory is compared with
that of a broker whose registry is empty.
"""

import json
import time
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import quote

from benchmarks import registry_fan_out
from benchmarks.api import get
from benchmarks.processes import BenchmarkError, Home, Server
from benchmarks.services import broker_with_registry
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from pyaiot.messages import Reading
from pyaiot.registry.last_values import encode_values
from pyaiot.registry.record import Annotations, NodeRecord, edited_row, observed_row
from pyaiot.registry.sqlite import SqliteStore
from pyaiot.registry.store import Changes

GATEWAYS: Final = 4
ROOMS: Final = 50
PAGE: Final = 1000
"""Nodes per page."""


def measure(results: Results, home: Home, size: Size) -> None:
    nodes = size.registered
    full, empty = home.path / "registry-full.db", home.path / "registry-empty.db"
    _fill(full, nodes)
    with broker_with_registry(home, empty) as server:
        before = server.resident_bytes()
    server = broker_with_registry(home, full)
    try:
        took_s = server.wait_ready("/readyz")
        resident = server.resident_bytes()
        cpu = server.cpu_s()
        results.figures += [
            Figure(
                "registry",
                f"aiot broker with {nodes:,} offline nodes, from its start until it is ready",
                took_s,
                "s",
                cpu_us=cpu * 1e6,
                per="start",
                at_most=3,
                note=f"file of {full.stat().st_size / 1e6:.0f} MB",
            ),
            Figure(
                "registry",
                "memory of an offline node with 5 values",
                (resident - before) / nodes,
                "bytes",
                at_most=1000,
                note=f"{resident / 1e6:.0f} MB with {nodes:,} nodes, {before / 1e6:.0f} MB with"
                " none; half of them with label, room and tags",
            ),
        ]
        for name, path in (
            ("first page of nodes", ""),
            ("page from the middle", f"&cursor={nodes // 2}"),
            ("last page", f"&cursor={nodes - PAGE}"),
            ("nodes with a tag that few have", "&tag=rare"),
            ("nodes with a tag that many have", "&tag=board"),
            ("nodes with words that one has", f"&q={quote(f'lamp {nodes // 2 * 2 - 2}')}"),
            ("nodes with words that nobody has", "&q=nobody%20has"),
        ):
            _pages(results, server, size, name, f"/api/nodes?state=offline{path}")
    finally:
        server.end()
    registry_fan_out.measure(results, home, size, full)


def _pages(results: Results, server: Server, size: Size, name: str, path: str) -> None:
    count = len(json.loads(get(server.port, path))["nodes"])
    took_s = []
    cpu_before = server.cpu_s()
    for _ in range(size.registry_requests):
        began = time.monotonic()
        body = get(server.port, path)
        took_s.append(time.monotonic() - began)
    cpu = server.cpu_s() - cpu_before
    if not body.startswith(b'{"nodes":['):
        raise BenchmarkError(f"the API answered {body[:100]!r}")
    results.figures.append(
        Figure(
            "registry",
            f"GET /api/nodes: {name}",
            median(took_s) * 1000,
            "ms",
            cpu_us=cpu / size.registry_requests * 1e6,
            per="page",
            at_most=20,
            note=f"{count} nodes, {len(body) / 1e3:.0f} kB; max {number(max(took_s) * 1000)} ms",
        )
    )


def _fill(path: Path, nodes: int) -> None:
    now = time.time()
    store = SqliteStore(path)
    store.open()
    try:
        observed, edited = [], []
        for at in range(nodes):
            uid = f"board-{at:06x}"
            readings = [
                Reading.received(uid, resource, data, now - at)
                for resource, data in (
                    *(("temperature", f"{at % 40}.5°C"), ("humidity", f"{at % 100}%")),
                    *(("led", str(at % 2)), ("board", "iotlab-m3"), ("os", "riot")),
                )
            ]
            added = Annotations()
            if at % 2 == 0:
                added = Annotations(
                    label=f"Lamp {at}",
                    room=f"Room {at % ROOMS}",
                    tags=("board", "rare") if at % (nodes // 20) == 0 else ("board",),
                )
            record = NodeRecord(
                uid=uid,
                protocol="CoAP",
                gateway=f"gateway {at % GATEWAYS}",
                first_seen=now - 1e6,
                last_seen=now - at,
                reason="silent",
                revision=1 - at % 2,
                annotations=added,
                values=encode_values(readings),
            )
            observed.append((*observed_row(record), record.values.decode()))
            if at % 2 == 0:
                edited.append(edited_row(record))
        store.write(Changes(observed=observed, edited=edited))
    finally:
        store.close()
