# SPDX-License-Identifier: BSD-3-Clause
"""The whole road through `aiot run`: posts of CoAP nodes to web clients, and commands back.

One process is all nodes and all clients, so that one clock times both ends.
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
from benchmarks.processes import BenchmarkError, Home, Server
from benchmarks.services import everything
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.turns import Turns, percentile
from benchmarks.wire import WebSocket, join

LATENCY_RATE: Final = 50
LATENCY_CLIENTS: Final = 10
LATENCY_NODES: Final = 10
POSTS_IN_FLIGHT: Final = 32
COMMAND_CLIENTS: Final = 5
COMMAND_RATE: Final = 60
"""Commands a second over all clients: below the limit of 20/s for each."""
KNOWN_LIMIT_S: Final = 20.0


@dataclass
class Road:
    """A running `aiot run`, nodes that it knows, and clients."""

    server: Server
    turns: Turns
    nodes: list[Node]
    clients: list[WebSocket]
    heard: list[list[dict[str, Any]]]
    """Messages that arrived and were not yet looked at, by client."""
    responses: Counter[int]
    """Answers to posts, by code."""

    def forget(self) -> None:
        for messages in self.heard:
            messages.clear()


@contextlib.contextmanager
def _road(home: Home, *, nodes: int, clients: int, resources: dict[str, str]) -> Iterator[Road]:
    """All nodes have said `alive` and are known to a client when this begins."""
    server, coap_port = everything(home)
    turns = Turns()
    all_nodes: list[Node] = []
    all_clients: list[WebSocket] = []
    heard: list[list[dict[str, Any]]] = [[] for _ in range(clients)]
    responses: Counter[int] = Counter()

    def respond(code: int) -> None:
        responses[code] += 1

    with server:
        try:
            for messages in heard:
                client = join(server.port)
                all_clients.append(client)
                turns.add(client, _listen(client, messages))
            for index in range(nodes):
                node = Node(index, coap_port, resources, respond)
                all_nodes.append(node)
                turns.add(node, node.receive)
            road = Road(server, turns, all_nodes, all_clients, heard, responses)
            _announce(road)
            yield road
        finally:
            close_all(all_nodes)
            for client in all_clients:
                client.close()
            turns.close()


def _listen(client: WebSocket, messages: list[dict[str, Any]]) -> Any:
    return lambda: messages.extend(client.receive())


def _announce(road: Road) -> None:
    """Nodes say that they are alive until each is known, with all its resources."""
    owed = {(node.uid, name) for node in road.nodes for name in road.nodes[0].resources}

    def known() -> bool:
        for message in road.heard[0]:
            owed.discard((message.get("uid", ""), message.get("endpoint", "")))
        road.heard[0].clear()
        return not owed

    limit = time.monotonic() + KNOWN_LIMIT_S
    for node in road.nodes:
        node.post("alive", f"alive:{node.uid}")
        road.turns.turn(time.monotonic())
    while not road.turns.run_until(known, 2.0):
        if time.monotonic() > limit:
            raise BenchmarkError(f"{len(owed)} resources of nodes are not known to a client")
        behind = {uid for uid, _ in owed}
        for node in road.nodes:
            if node.uid in behind:
                node.post("alive", f"alive:{node.uid}")
                road.turns.turn(time.monotonic())
    road.turns.run_for(0.3)
    road.forget()
    road.responses.clear()


def measure_latency(results: Results, home: Home, size: Size) -> None:
    resources = {"temperature": "20.0°C"}
    with _road(home, nodes=LATENCY_NODES, clients=LATENCY_CLIENTS, resources=resources) as road:
        for spread in ("evenly", "at random"):
            _latency(results, road, size, spread)


def _latency(results: Results, road: Road, size: Size, spread: str) -> None:
    """Posts at 50/s; a latency for each post and client."""
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
        for messages in road.heard:
            latencies_ms.extend(
                (now - sent_at[message["data"]]) * 1000
                for message in messages
                if message.get("data") in sent_at
            )
            messages.clear()

    posts = round(size.latency_s * LATENCY_RATE)
    cpu_before = road.server.cpu_s()
    next_at = time.monotonic()
    for node, _ in zip(cycle(road.nodes), range(posts), strict=False):
        while time.monotonic() < next_at:
            road.turns.turn(next_at)
            look()
        value = f"{next(values) / 100:.2f}°C"
        sent_at[value] = time.monotonic()
        node.post("server", f"temperature:{value}")
        next_at += next(gaps)
    end = time.monotonic() + 1.0
    while len(latencies_ms) < posts * LATENCY_CLIENTS and time.monotonic() < end:
        road.turns.turn(end)
        look()
    cpu_us = (road.server.cpu_s() - cpu_before) / posts * 1e6
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
    """Posts as fast as they are answered, a few in flight, round all nodes."""
    resources = {"temperature": "20.0°C"}
    with _road(home, nodes=size.posts_nodes, clients=1, resources=resources) as road:
        values = count()
        nodes = cycle(road.nodes)
        delivered = sent = 0

        def send() -> None:
            nonlocal sent
            next(nodes).post("server", f"temperature:{next(values) / 100:.2f}°C")
            sent += 1

        def drain() -> int:
            got = sum(1 for message in road.heard[0] if message["type"] == "update")
            road.heard[0].clear()
            return got

        for _ in range(POSTS_IN_FLIGHT):
            send()
        cpu_before, own_before = road.server.cpu_s(), time.process_time()
        began = time.monotonic()
        end = began + size.posts_s
        while time.monotonic() < end:
            answered = road.responses.total()
            stuck_at = time.monotonic() + 0.5
            road.turns.turn(min(end, stuck_at))
            if time.monotonic() >= stuck_at:
                answered -= POSTS_IN_FLIGHT  # all lost: begin anew
            for _ in range(road.responses.total() - answered):
                send()
            delivered += drain()
        seconds = time.monotonic() - began
        cpu = road.server.cpu_s() - cpu_before
        own_core = (time.process_time() - own_before) / seconds
        in_window = delivered
        road.turns.run_for(0.5)
        delivered += drain()
        refused = road.responses.total() - road.responses[CHANGED]
        results.figures.append(
            Figure(
                "posts",
                "CoAP posts to a web client, saturating",
                in_window / seconds,
                "posts/s",
                cpu_us=cpu / max(1, in_window) * 1e6,
                per="post",
                note=f"{sent} sent, {road.responses[CHANGED]} answered 2.04, {refused} otherwise, "
                f"{delivered} delivered; core: server {cpu / seconds:.0%}, load {own_core:.0%}",
            )
        )


def measure_commands(results: Results, home: Home, size: Size) -> None:
    """Commands one after the other, from several clients in turn."""
    with _road(home, nodes=1, clients=COMMAND_CLIENTS, resources={"led": "0"}) as road:
        node = road.nodes[0]
        trips_ms: list[float] = []
        states: Counter[str] = Counter()
        cpu_before = road.server.cpu_s()
        next_at = time.monotonic()
        for turn in range(size.commands):
            while time.monotonic() < next_at:
                road.turns.turn(next_at)
            road.forget()
            index = turn % COMMAND_CLIENTS
            command = {"type": "command", "id": f"c{turn}", "uid": node.uid, "endpoint": "led"}
            began = time.monotonic()
            road.clients[index].send({**command, "payload": str(turn % 2)})
            receipts: list[dict[str, Any]] = []
            while not receipts:
                if time.monotonic() > began + 10:
                    raise BenchmarkError("a command had no receipt in 10 s")
                road.turns.turn(began + 10)
                receipts = [m for m in road.heard[index] if m["type"] == "receipt"]
            trips_ms.append((time.monotonic() - began) * 1000)
            states[receipts[0]["state"]] += 1
            next_at = max(next_at + 1 / COMMAND_RATE, time.monotonic())
        cpu_us = (road.server.cpu_s() - cpu_before) / size.commands * 1e6
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
