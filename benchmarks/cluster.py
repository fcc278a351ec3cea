# SPDX-License-Identifier: BSD-3-Clause
"""Brokers of a cluster: CPU of a reading that another broker has, of a join, and memory.

Real routers and members hand each other their packets, without a network and in this process.
"""

import gc
import time
import tracemalloc
from typing import Final

from benchmarks.processes import Home
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.router import Router
from pyaiot.cluster.member import ClusterMember
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.messages import Hello, NodeAppeared, Reading

BATCH: Final = 200
"""Readings of a frame: 10,000 per second at 50 frames per second."""
NODES: Final = 1000
RESOURCES: Final = ("temperature", "humidity", "pressure", "led", "name")
REMOTE_MAX_US: Final = 1.0
JOIN_MAX_MS: Final = 100.0
MEMORY_NODES: Final = 20_000


class Side:
    """The router and the member of a broker whose clients watch everything."""

    def __init__(self, run: str) -> None:
        self.nodes = OwnedNodes()
        self.router = Router(nodes=self.nodes)
        self.member = ClusterMember(run, run, self.router, self.nodes, 0.0)
        self.member.local.set_interest(None)


def measure(results: Results, _home: Home, size: Size) -> None:
    """The figures `cluster`."""
    rounds = max(1, size.fan_out_rounds)
    for others in (1, 2):
        found = [_readings(others) for _ in range(rounds)]
        alone, sent, received = (min(column) for column in zip(*found, strict=True))
        beside = f"with {others} other broker{'s' * (others > 1)}"
        results.figures += [
            Figure("cluster", f"a reading is sent, {beside}", sent, "µs of CPU"),
            Figure(
                *("cluster", f"a remote reading is received, {beside}", received, "µs of CPU"),
                at_most=REMOTE_MAX_US,
                note=f"the router alone takes {alone:.2f} µs for a reading of its own gateway",
            ),
        ]
    joins = [_join(NODES) for _ in range(rounds)]
    results.figures.append(
        Figure(
            "cluster",
            f"a broker joins {NODES:,} nodes of five values",
            min(joins),
            "ms of CPU of both",
            at_most=JOIN_MAX_MS,
        )
    )
    results.figures.append(
        Figure("cluster", "memory of a remote node of five values", _memory(), "bytes")
    )


def _exchange(sides: list[Side], now: float) -> None:
    """Until nothing is sent any more."""
    moved = True
    while moved:
        moved = False
        for side in sides:
            for run, packet in side.member.packets_to_send():
                moved = True
                for other in sides:
                    if other is not side and run in ("", other.member.run):
                        other.member.receive_packet(packet, now, now)


def _linked(sides: list[Side]) -> None:
    for now in (1.0, 2.0, 3.0):
        for side in sides:
            side.member.handle_timer(now, now)
        _exchange(sides, now)


def _owner(nodes: int) -> Side:
    """A broker with a gateway that has nodes with values."""
    side = Side("0" * 16)
    router = side.router
    router.gateway_connected(1, acknowledges=True, ts=1.0)
    router.from_gateway(1, Hello(name="g", protocol="CoAP", clock=0.0), now=0.0, ts=1.0)
    side.member.local.gateways_changed()
    for number in range(nodes):
        uid = f"node-{number}"
        router.from_gateway(1, NodeAppeared(uid=uid, ts=1.0), now=0.0, ts=1.0)
        for resource in RESOURCES:
            reading = Reading.received(uid, resource, "23.5°C", 1.0)
            for delivery in router.from_gateway(1, reading, now=0.0, ts=1.0):
                if isinstance(delivery, ToAll) and not delivery.is_registry:
                    side.member.local.published(delivery.message)
    return side


def _readings(others: int) -> tuple[float, float, float]:
    """Microseconds of CPU per reading: routed, sent to the others, received by one of them."""
    owner = _owner(NODES)
    rest = [Side(f"{number:016x}") for number in range(1, 1 + others)]
    _linked([owner, *rest])
    frames = 150
    batches = [
        [
            Reading.received(f"node-{(n * 7 + frame) % NODES}", "temperature", f"{n}.5°C", 5.0 + n)
            for n in range(BATCH)
        ]
        for frame in range(frames)
    ]
    gc.collect()
    began = time.process_time()
    for batch in batches:
        owner.router.known_readings(1, iter(batch))
    routed = time.process_time()
    flushes = []
    for batch in batches:
        for reading in batch:
            owner.member.local.published(reading)
        flushes.append(owner.member.packets_to_send())
    sent = time.process_time()
    other = rest[0].member
    packets = [packet for flush in flushes for run, packet in flush if run == other.run]
    gc.collect()
    begin_receive = time.process_time()
    for packet in packets:
        other.receive_packet(packet, 4.0, 4.0)
    received = time.process_time()
    per = 1e6 / (frames * BATCH)
    return (routed - began) * per, (sent - routed) * per, (received - begin_receive) * per


def _join(nodes: int) -> float:
    """Milliseconds of CPU of both sides until a broker that joins has all nodes and values."""
    owner, joining = _owner(nodes), Side("f" * 16)
    owner.member.packets_to_send()
    gc.collect()
    began = time.process_time()
    _linked([owner, joining])
    took = time.process_time() - began
    if len(joining.nodes) != nodes:
        raise AssertionError(f"{len(joining.nodes)} nodes instead of {nodes}")
    return 1000 * took


def _memory() -> float:
    owner, joining = _owner(MEMORY_NODES), Side("f" * 16)
    owner.member.packets_to_send()
    gc.collect()
    tracemalloc.start()
    _linked([owner, joining])
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / MEMORY_NODES
