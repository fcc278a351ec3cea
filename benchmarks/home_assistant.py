# SPDX-License-Identifier: BSD-3-Clause
"""The cost of Home Assistant: compares a broker that shows its nodes there with one that does not.

Both run at the same time and get readings in turns. Their CPU time is compared round by round, so
that other work on the machine affects both alike.
"""

import re
import statistics
import time
from typing import Final

from benchmarks.api import NODES, get, wait_known
from benchmarks.gateway import announcement, batches, reading
from benchmarks.mqtt_path import nats_server
from benchmarks.processes import HOST, BenchmarkError, Home, Server
from benchmarks.services import broker, broker_with_home_assistant
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from benchmarks.wire import WebSocket, gateway_protocols, messages_frame

RESOURCES: Final = 10
"""Resources of each node."""
RATE: Final = NODES * RESOURCES
"""Readings per second: one per resource, each with a new value."""
TOGETHER: Final = 10
"""Readings per frame."""
CORE_MAX: Final = 15.0
"""Percent of a core that Home Assistant may add."""
ROUNDS: Final = 5
SETTLE_S: Final = 20.0
"""States are published again for 15 s after the last node was announced."""


def measure(results: Results, home: Home, size: Size) -> None:
    with (
        nats_server(home) as mqtt_port,
        broker(home, history=False) as without,
        broker_with_home_assistant(home, f"mqtt://{HOST}:{mqtt_port}") as shown,
    ):
        gateways = [_announced(home, server) for server in (without, shown)]
        try:
            for server in (without, shown):
                wait_known(server.port)
            time.sleep(min(SETTLE_S, size.mqtt_s))
            both = list(zip((without, shown), gateways, strict=True))
            added = []
            for turn in range(ROUNDS):
                off, on = (_busy(server, link, turn, _seconds(size)) for server, link in both)
                added.append((on - off) * 100)
            published = _published(shown) / _sent(size)
        finally:
            for gateway in gateways:
                gateway.close()
    if published < 0.9:
        raise BenchmarkError(f"only {published:.0%} of the readings were published")
    results.figures.append(
        Figure(
            "home-assistant",
            f"{RATE:,} readings/s to Home Assistant over MQTT",
            statistics.median(added),
            "% of a core",
            at_most=CORE_MAX,
            note=f"beside a broker without it; {NODES} nodes with {RESOURCES} resources; {ROUNDS}"
            f" rounds from {min(added):.1f} to {max(added):.1f} %",
        )
    )


def _seconds(size: Size) -> int:
    """Readings of one round."""
    return max(1, round(size.mqtt_s / ROUNDS))


def _sent(size: Size) -> int:
    """Sends readings to one server."""
    return ROUNDS * _seconds(size) * RATE


def _published(server: Server) -> int:
    """Messages that were published for Home Assistant, since the start."""
    found = re.search(rb"homeassistant_published_total (\d+)", get(server.port, "/metrics"))
    return int(found[1]) if found else 0


def _announced(home: Home, server: Server) -> WebSocket:
    gateway = WebSocket(server.port, "/gw", gateway_protocols(home.token(), v2=True))
    for batch in batches(announcement(NODES, RESOURCES, v2=True), 500):
        gateway.socket.sendall(messages_frame(batch))
    return gateway


def _busy(server: Server, gateway: WebSocket, turn: int, seconds: int) -> float:
    """The share of a core that the server uses at `RATE` readings per second."""
    frames = [
        messages_frame(messages)
        for second in range(seconds)
        for messages in batches(
            (
                reading(number % NODES, number // NODES, turn * seconds + second + 1, v2=True)
                for number in range(RATE)
            ),
            TOGETHER,
        )
    ]
    began, cpu_before = time.monotonic(), server.cpu_s()
    for number, frame in enumerate(frames):
        ahead_s = began + number * TOGETHER / RATE - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)
        gateway.socket.sendall(frame)
    took_s = time.monotonic() - began
    if took_s > 2 * seconds:
        raise BenchmarkError(f"{RATE} readings/s were not sent: {took_s:.1f} s for {seconds} s")
    return (server.cpu_s() - cpu_before) / took_s
