# SPDX-License-Identifier: BSD-3-Clause
"""End to end through `aiot run`: posts of CoAP nodes to web clients, and commands back.

One process runs all nodes and all clients, so that both ends use one clock.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any, Final

from benchmarks.coap import CHANGED, Node, close_all
from benchmarks.event_loop import EventLoop, percentile
from benchmarks.processes import BenchmarkError, Home, Server
from benchmarks.services import everything
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import WebSocket, join

LATENCY_RATE: Final = 50
LATENCY_CLIENTS: Final = 10
LATENCY_NODES: Final = 10
POSTS_IN_FLIGHT: Final = 32
COMMAND_CLIENTS: Final = 5
COMMAND_RATE: Final = 60
"""Commands per second of all clients: each stays below its limit of 20/s."""
KNOWN_LIMIT_S: Final = 20.0
FIRST_LIMIT_S: Final = 20.0
"""A window without any delivery is extended until the first, at most by this."""


@dataclass
class System:
    """A running `aiot run` with known nodes and clients."""

    server: Server
    loop: EventLoop
    nodes: list[Node]
    clients: list[WebSocket]
    inboxes: list[list[dict[str, Any]]]
    """Received messages by client, not yet examined."""
    responses: Counter[int]
    """Answers to posts, by code."""

    def forget(self) -> None:
        for messages in self.inboxes:
            messages.clear()


@contextlib.contextmanager
def _system(home: Home, *, nodes: int, clients: int, resources: dict[str, str]) -> Iterator[System]:
    """Start a system. All nodes are known to a client when the block starts."""
    server, coap_port = everything(home)
    loop = EventLoop()
    all_nodes: list[Node] = []
    all_clients: list[WebSocket] = []
    inboxes: list[list[dict[str, Any]]] = [[] for _ in range(clients)]
    responses: Counter[int] = Counter()

    def respond(code: int) -> None:
        responses[code] += 1

    with server:
        try:
            for messages in inboxes:
                client = join(server.port)
                all_clients.append(client)
                loop.add(client, _listen(client, messages))
            for index in range(nodes):
                node = Node(index, coap_port, resources, respond)
                all_nodes.append(node)
                loop.add(node, node.receive)
            system = System(server, loop, all_nodes, all_clients, inboxes, responses)
            _announce(system)
            yield system
        finally:
            close_all(all_nodes)
            for client in all_clients:
                client.close()
            loop.close()


def _listen(client: WebSocket, messages: list[dict[str, Any]]) -> Any:
    return lambda: messages.extend(client.receive())


def _announce(system: System) -> None:
    """Post `alive` until all nodes are known, with all resources."""
    owed = {(node.uid, name) for node in system.nodes for name in system.nodes[0].resources}

    def known() -> bool:
        for message in system.inboxes[0]:
            owed.discard((message.get("uid", ""), message.get("endpoint", "")))
        system.inboxes[0].clear()
        return not owed

    limit = time.monotonic() + KNOWN_LIMIT_S
    for node in system.nodes:
        node.post("alive", f"alive:{node.uid}")
        system.loop.run_once(time.monotonic())
    while not system.loop.run_until(known, 2.0):
        if time.monotonic() > limit:
            raise BenchmarkError(f"{len(owed)} resources of nodes did not arrive at a client")
        behind = {uid for uid, _ in owed}
        for node in system.nodes:
            if node.uid in behind:
                node.post("alive", f"alive:{node.uid}")
                system.loop.run_once(time.monotonic())
    system.loop.run_for(0.3)
    system.forget()
    system.responses.clear()


def measure_latency(results: Results, home: Home, size: Size) -> None:
    resources = {"temperature": "20.0°C"}
    with _system(home, nodes=LATENCY_NODES, clients=LATENCY_CLIENTS, resources=resources) as system:
        for spread in ("evenly", "at random"):
            _latency(results, system, size, spread)


def _latency(results: Results, system: System, size: Size, spread: str) -> None:
    """Measure the latency of posts at 50/s, for each post and client."""
    chance = random.Random(1)
    gaps = (
        (chance.expovariate(LATENCY_RATE) for _ in count())
        if spread == "at random"
        else cycle([1 / LATENCY_RATE])
    )
    sent_at: dict[str, float] = {}
    latencies_ms: list[float] = []
    values = count(0 if spread == "evenly" else 100_000)

    def look() -> None:
        now = time.monotonic()
        for messages in system.inboxes:
            latencies_ms.extend(
                (now - sent_at[message["data"]]) * 1000
                for message in messages
                if message.get("data") in sent_at
            )
            messages.clear()

    posts = round(size.latency_s * LATENCY_RATE)
    cpu_before = system.server.cpu_s()
    next_at = time.monotonic()
    for node, _ in zip(cycle(system.nodes), range(posts), strict=False):
        while time.monotonic() < next_at:
            system.loop.run_once(next_at)
            look()
        value = f"{next(values) / 100:.2f}°C"
        sent_at[value] = time.monotonic()
        node.post("server", f"temperature:{value}")
        next_at += next(gaps)
    end = time.monotonic() + 1.0
    while len(latencies_ms) < posts * LATENCY_CLIENTS and time.monotonic() < end:
        system.loop.run_once(end)
        look()
    first_limit = end + FIRST_LIMIT_S
    while not latencies_ms and time.monotonic() < first_limit:
        system.loop.run_once(first_limit)
        look()
    cpu_us = (system.server.cpu_s() - cpu_before) / posts * 1e6
    missing = posts * LATENCY_CLIENTS - len(latencies_ms)
    targets = {"p50": 2.0, "p99": 25.0} if spread == "evenly" else {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        results.figures.append(
            Figure(
                "latency",
                f"CoAP post → web client, 50/s {spread}, 10 clients, {name}",
                percentile(latencies_ms, share),
                "ms",
                cpu_us=cpu_us,
                per="post to 10 clients",
                at_most=targets.get(name),
                note=f"max {number(max(latencies_ms))} ms, {missing} not delivered",
            )
        )


def measure_posts(results: Results, home: Home, size: Size) -> None:
    """Post as fast as posts are answered, a few in flight, from all nodes in turn."""
    resources = {"temperature": "20.0°C"}
    with _system(home, nodes=size.posts_nodes, clients=1, resources=resources) as system:
        values = count()
        nodes = cycle(system.nodes)
        delivered = sent = 0

        def send() -> None:
            nonlocal sent
            next(nodes).post("server", f"temperature:{next(values) / 100:.2f}°C")
            sent += 1

        def drain() -> int:
            got = sum(1 for message in system.inboxes[0] if message["type"] == "update")
            system.inboxes[0].clear()
            return got

        for _ in range(POSTS_IN_FLIGHT):
            send()
        cpu_before, own_before = system.server.cpu_s(), time.process_time()
        began = time.monotonic()
        end = began + size.posts_s
        while (now := time.monotonic()) < end or not (delivered or now > end + FIRST_LIMIT_S):
            answered = system.responses.total()
            stuck_at = now + 0.5
            system.loop.run_once(stuck_at if now >= end else min(end, stuck_at))
            if time.monotonic() >= stuck_at:
                answered -= POSTS_IN_FLIGHT  # all lost: start again
            for _ in range(system.responses.total() - answered):
                send()
            delivered += drain()
        seconds = time.monotonic() - began
        cpu = system.server.cpu_s() - cpu_before
        own_core = (time.process_time() - own_before) / seconds
        in_window = delivered
        system.loop.run_for(0.5)
        delivered += drain()
        refused = system.responses.total() - system.responses[CHANGED]
        results.figures.append(
            Figure(
                "posts",
                "CoAP posts to a web client, saturating",
                in_window / seconds,
                "posts/s",
                cpu_us=cpu / max(1, in_window) * 1e6,
                per="post",
                note=f"{sent} sent, {system.responses[CHANGED]} answered 2.04, {refused} otherwise,"
                f" {delivered} delivered; core: server {cpu / seconds:.0%}, load {own_core:.0%}",
            )
        )


def measure_commands(results: Results, home: Home, size: Size) -> None:
    """Send commands one at a time, from several clients in turn."""
    with _system(home, nodes=1, clients=COMMAND_CLIENTS, resources={"led": "0"}) as system:
        node = system.nodes[0]
        trips_ms: list[float] = []
        states: Counter[str] = Counter()
        cpu_before = system.server.cpu_s()
        next_at = time.monotonic()
        for turn in range(size.commands):
            while time.monotonic() < next_at:
                system.loop.run_once(next_at)
            system.forget()
            index = turn % COMMAND_CLIENTS
            command = {"type": "command", "id": f"c{turn}", "uid": node.uid, "endpoint": "led"}
            began = time.monotonic()
            system.clients[index].send({**command, "payload": str(turn % 2)})
            receipts: list[dict[str, Any]] = []
            while not receipts:
                if time.monotonic() > began + 10:
                    raise BenchmarkError("a command had no receipt in 10 s")
                system.loop.run_once(began + 10)
                receipts = [m for m in system.inboxes[index] if m["type"] == "receipt"]
            trips_ms.append((time.monotonic() - began) * 1000)
            states[receipts[0]["state"]] += 1
            next_at = max(next_at + 1 / COMMAND_RATE, time.monotonic())
        cpu_us = (system.server.cpu_s() - cpu_before) / size.commands * 1e6
    for name, share, target in (("p50", 0.5, 3.0), ("p99", 0.99, None)):
        results.figures.append(
            Figure(
                "commands",
                f"command, client → node → receipt, {name}",
                percentile(trips_ms, share),
                "ms",
                cpu_us=cpu_us,
                per="command",
                at_most=target,
                note=", ".join(f"{many} {state}" for state, many in states.items())
                + f", max {number(max(trips_ms))} ms",
            )
        )
