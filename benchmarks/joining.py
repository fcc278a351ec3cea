# SPDX-License-Identifier: BSD-3-Clause
"""Joining: the time until a client has the state, and the delay that it causes for other clients.

A join is timed from the connect to the last message of the burst. One process runs the joining
clients, the watching clients and the gateway whose readings they watch.
"""

import json
import socket
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

from benchmarks.event_loop import EventLoop, percentile
from benchmarks.gateway import announcement, batches
from benchmarks.processes import HOST, BenchmarkError, Home, Server
from benchmarks.services import broker
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import (
    JOIN_LEGACY,
    JOIN_V2,
    V2,
    FrameReader,
    WebSocket,
    check_handshake,
    gateway_protocols,
    join,
    messages_frame,
    request,
)

RESOURCES: Final = 5
TOGETHER: Final = 10
WATCHERS: Final = 3
WATCH_RATE: Final = 100
ROUNDS_TOGETHER: Final = 3
JOIN_LIMIT_S: Final = 15.0
FORGOTTEN_S: Final = 2.2
"""Pause between two rounds in which the broker forgets what it has encoded."""
LAST_NODE: Final = b'"uid":"watched"'
"""The node that appears last, with the watched resource."""


class Joiner:
    """A client, from its connection to the last message of the state. It only collects bytes;
    `check` parses them."""

    def __init__(self, port: int, *, v2: bool) -> None:
        self.began_at = time.monotonic()
        self.ended_at = 0.0
        self._protocols = [V2] if v2 else []
        self._v2 = v2
        self._pieces: list[bytes] = []
        self._tail = b""
        self._switched = False
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request(port, "/ws", self._protocols))

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise BenchmarkError("a joining client was closed")
        self._pieces.append(data)
        window = self._tail + data
        self._tail = window[-4096:]
        if not self._switched and b"\r\n\r\n" in window:
            self._switched = True
            self.socket.sendall(JOIN_V2 if self._v2 else JOIN_LEGACY)
        elif self._v2 and b'"joined"' in window:
            self.ended_at = time.monotonic()
        elif not self._v2 and LAST_NODE in window:
            # The legacy state has no end marker: it ends with the node that appeared last.
            self.ended_at = time.monotonic()

    def check(self, nodes: int, values_min: int) -> None:
        """Raises `BenchmarkError` unless all nodes and values were received."""
        head, _, frames = b"".join(self._pieces).partition(b"\r\n\r\n")
        check_handshake(head, self._protocols)
        messages = [
            message
            for text in FrameReader().feed(frames)
            for one in [json.loads(text)]
            for message in (one if isinstance(one, list) else [one])
        ]
        uids = {one["uid"] for one in messages if one["type"] == "new"}
        values = {(one["uid"], one["endpoint"]) for one in messages if one["type"] == "update"}
        if len(uids) != nodes or len(values) < values_min:
            raise BenchmarkError(f"only {len(uids)} nodes and {len(values)} values were received")

    @property
    def took_ms(self) -> float:
        return (self.ended_at - self.began_at) * 1000


class Watch:
    """A gateway that sends a reading every 10 ms, and clients that measure its delay."""

    def __init__(self, loop: EventLoop, port: int, gateway: WebSocket) -> None:
        self._loop = loop
        self._gateway = gateway
        self.clients = [join(port) for _ in range(WATCHERS)]
        self.late_ms: list[float] = []
        self._sent_at: list[float] = []
        self._next_at = time.monotonic()
        for client in self.clients:
            loop.add(client, self._receiver(client))

    def _receiver(self, client: WebSocket) -> "Receiver":
        return Receiver(self, client)

    def receive(self, client: WebSocket) -> None:
        now = time.monotonic()
        for message in client.receive():
            if message.get("endpoint") == "watched":
                self.late_ms.append((now - self._sent_at[int(message["data"])]) * 1000)

    def run(self, joiners: Sequence[Joiner], seconds: float) -> list[float]:
        """Send and watch until all have joined, or for `seconds`. Returns the delays.

        At least one reading is sent and watched.
        """
        end = time.monotonic() + (JOIN_LIMIT_S if joiners else seconds)
        first = len(self._sent_at)
        self.late_ms.clear()
        while len(self._sent_at) == first or (
            time.monotonic() < end and not (joiners and all(joiner.ended_at for joiner in joiners))
        ):
            now = time.monotonic()
            if now >= self._next_at:
                self._sent_at.append(now)
                self._gateway.send(
                    {
                        "type": "update",
                        "uid": "watched",
                        "endpoint": "watched",
                        "data": str(len(self._sent_at) - 1),
                        "ts": round(time.time(), 3),
                    }
                )
                self._next_at = max(self._next_at + 1 / WATCH_RATE, now)
            self._loop.run_once(min(end, self._next_at))
        if joiners and not all(joiner.ended_at for joiner in joiners):
            raise BenchmarkError(f"a client had not joined in {JOIN_LIMIT_S:.0f} s")
        owed = (len(self._sent_at) - first) * WATCHERS
        self._loop.run_until(lambda: len(self.late_ms) >= owed, JOIN_LIMIT_S, "a watched reading")
        return list(self.late_ms)

    def close(self) -> None:
        for client in self.clients:
            client.close()


class Receiver:
    """The callback of a client for `EventLoop`."""

    def __init__(self, watch: Watch, client: WebSocket) -> None:
        self._watch = watch
        self._client = client

    def __call__(self) -> None:
        self._watch.receive(self._client)


def measure(results: Results, home: Home, size: Size) -> None:
    with broker(home) as server:
        gateway = WebSocket(server.port, "/gw", gateway_protocols(home.token(), v2=True))
        messages = announcement(size.join_nodes, RESOURCES, v2=True)
        for batch in batches(messages, 500):
            gateway.socket.sendall(messages_frame(batch))
        gateway.send({"type": "new", "uid": "watched"})
        _wait_known(server.port, size.join_nodes + 1)
        loop = EventLoop()
        watch = Watch(loop, server.port, gateway)
        try:
            _measure(results, server, watch, loop, size)
        finally:
            watch.close()
            gateway.close()
            loop.close()


def _wait_known(port: int, nodes: int) -> None:
    limit = time.monotonic() + JOIN_LIMIT_S
    while time.monotonic() < limit:
        client = WebSocket(port, "/ws", [V2])
        client.socket.sendall(JOIN_V2)
        known = client.receive_until("joined")
        client.close()
        if known[-1].get("nodes") == nodes or sum(m["type"] == "new" for m in known) >= nodes:
            return
        time.sleep(0.1)
    raise BenchmarkError("the broker has not registered all nodes")


def _measure(results: Results, server: Server, watch: Watch, loop: EventLoop, size: Size) -> None:
    undisturbed = watch.run((), size.join_pause_s * 2)
    for v2 in (True, False):
        _measure_form(results, server, watch, loop, size, undisturbed, v2=v2)


def _measure_form(
    results: Results,
    server: Server,
    watch: Watch,
    loop: EventLoop,
    size: Size,
    undisturbed: list[float],
    *,
    v2: bool,
) -> None:
    nodes = size.join_nodes + 1
    state = f"{size.join_nodes:,} nodes × {RESOURCES} resources"
    if not v2:
        state += ", legacy"

    def round_of(count: int) -> tuple[list[float], float, list[float]]:
        cpu_before = server.cpu_s()
        joiners = []
        for _ in range(count):
            joiner = Joiner(server.port, v2=v2)
            loop.add(joiner, joiner.receive)
            joiners.append(joiner)
        late = watch.run(joiners, 0)
        cpu = (server.cpu_s() - cpu_before) / count
        for joiner in joiners:
            loop.remove(joiner)
            joiner.socket.close()
            joiner.check(nodes, size.join_nodes * RESOURCES)
        # The broker keeps the encoded state for a moment.
        watch.run((), max(size.join_pause_s, FORGOTTEN_S if size.joins_alone > 1 else 0))
        return [joiner.took_ms for joiner in joiners], cpu, late

    alone = [round_of(1) for _ in range(size.joins_alone)]
    together = [round_of(TOGETHER) for _ in range(ROUNDS_TOGETHER)]
    late = [ms for _, _, round_late in alone + together for ms in round_late]
    alone_ms = [took[0] for took, _, _ in alone]
    last_ms = [max(took) for took, _, _ in together]
    results.figures += [
        Figure(
            "join",
            f"join, {state}, alone",
            median(alone_ms),
            "ms",
            cpu_us=median(cpu for _, cpu, _ in alone) * 1e6,
            per="join",
            at_most=25,
            note=f"max of {len(alone_ms)}: {number(max(alone_ms))} ms",
        ),
        Figure(
            "join",
            f"join, {state}, last of {TOGETHER} at once",
            median(last_ms),
            "ms",
            cpu_us=median(cpu for _, cpu, _ in together) * 1e6,
            per="join",
            at_most=200,
            note=f"max of {len(last_ms)}: {number(max(last_ms))} ms",
        ),
        Figure(
            "join",
            "maximum delay of other clients' readings meanwhile" + ("" if v2 else ", legacy"),
            max(late),
            "ms",
            at_most=60,
            note=f"p50 {number(percentile(late, 0.5))} ms; "
            f"undisturbed p50 {number(percentile(undisturbed, 0.5))}, "
            f"max {number(max(undisturbed))} ms",
        ),
    ]
