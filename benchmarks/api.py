# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP API: reads per second, and exported readings per second in constant memory.

Reads use persistent connections with one request at a time. An export is read at full speed, and
its rows are counted.
"""

import json
import random
import socket
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.event_loop import EventLoop
from benchmarks.gateway import announcement, batches, uid
from benchmarks.processes import HOST, BenchmarkError, Home, Server
from benchmarks.services import broker, broker_with_history
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import WebSocket, gateway_protocols, messages_frame
from pyaiot.history.rows import batch_of
from pyaiot.history.sqlite.writer import SqliteWriter
from pyaiot.history.store import RetentionPolicy
from pyaiot.messages import Reading

CONNECTIONS: Final = 16
NODES: Final = 100
RESOURCES: Final = 5
BATCH: Final = 5000
SERIES: Final = 100
SAMPLE_S: Final = 0.05
EXPORT_LIMIT_S: Final = 120.0
FIRST_LIMIT_S: Final = 20.0
"""A window without any answer is extended until the first, at most by this."""
MARKS: Final = {"csv": b",Cel,\r\n", "ndjson": b'"unit":"Cel"}', "senml": b'"u":"Cel"'}
"""Bytes that occur once in each row of a format."""


class Requester:
    """A connection that sends the next request when it receives an answer."""

    def __init__(self, port: int, path: str, headers: str = "") -> None:
        """`headers`: further lines of the request, each with its line end."""
        self.answers = 0
        self.active = True
        self._request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{headers}\r\n".encode()
        self._received = b""
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self._request)

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise BenchmarkError("a connection of the API was closed")
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchmarkError(f"the API answered {head.splitlines()[0]!r}")
        self._received = b""
        self.answers += 1
        if self.active:
            self.socket.sendall(self._request)


def measure(results: Results, home: Home, size: Size) -> None:
    with broker(home) as server:
        gateway = WebSocket(server.port, "/gw", gateway_protocols(home.token(), v2=True))
        for batch in batches(announcement(NODES, RESOURCES, v2=True), 500):
            gateway.socket.sendall(messages_frame(batch))
        try:
            wait_known(server.port)
            for name, path, least in (
                ("one value", "/api/nodes/{uid}/resources/temperature", 3000),
                (f"a node with {RESOURCES} values", "/api/nodes/{uid}", 3000),
            ):
                _reads(results, server, size, name, path, least)
        finally:
            gateway.close()
    _exports(results, home, size)


def wait_known(port: int) -> None:
    limit = time.monotonic() + 10.0
    while time.monotonic() < limit:
        body = get(port, "/api/nodes")
        if len(json.loads(body)["nodes"]) == NODES:
            return
        time.sleep(0.05)
    raise BenchmarkError("the broker has not registered all nodes")


def get(port: int, path: str) -> bytes:
    with socket.create_connection((HOST, port), timeout=10.0) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(1 << 20):
            received += piece
    return received.partition(b"\r\n\r\n")[2]


def _reads(
    results: Results, server: Server, size: Size, name: str, path: str, least: float
) -> None:
    loop = EventLoop()
    requesters = [Requester(server.port, path.format(uid=uid(n))) for n in range(CONNECTIONS)]
    for requester in requesters:
        loop.add(requester, requester.receive)
    try:
        loop.run_for(size.api_s / 4)
        before, cpu_before, began = count(requesters), server.cpu_s(), time.monotonic()
        loop.run_for(size.api_s)
        loop.run_until(lambda: count(requesters) > before, FIRST_LIMIT_S, "the answer to a read")
        answers = count(requesters) - before
        cpu, took_s = server.cpu_s() - cpu_before, time.monotonic() - began
        for requester in requesters:
            requester.active = False
    finally:
        for requester in requesters:
            loop.remove(requester)
            requester.socket.close()
        loop.close()
    results.figures.append(
        Figure(
            "api",
            f"reads of {name}",
            answers / took_s,
            "/s",
            cpu_us=cpu / answers * 1e6,
            per="read",
            at_least=least,
            note=f"{CONNECTIONS} connections; one core used for {cpu / took_s:.0%}",
        )
    )


def count(requesters: list[Requester]) -> int:
    return sum(requester.answers for requester in requesters)


# -- exports --------------------------------------------------------------------------------------


def _exports(results: Results, home: Home, size: Size) -> None:
    path = home.path / "export.db"
    rows = size.export_rows
    _fill(path, rows)
    with broker_with_history(home, path) as server:
        for form in MARKS:
            before = server.resident_bytes()
            cpu_before, began = server.cpu_s(), time.monotonic()
            found, received, most, half = _export(server, f"/api/export?format={form}", rows, form)
            took_s, cpu = time.monotonic() - began, server.cpu_s() - cpu_before
            if found != rows:
                raise BenchmarkError(f"{found} of {rows} rows were exported as {form}")
            results.figures.append(
                Figure(
                    "api",
                    f"export of {rows:,} readings as {form}",
                    rows / took_s,
                    "rows/s",
                    cpu_us=cpu / rows * 1e6,
                    per="row",
                    at_least=200_000,
                    note=f"{received / took_s / 1e6:.0f} MB/s; memory at most"
                    f" {number((most - before) / 1e6)} MB more than before, and"
                    f" {number((most - half) / 1e6)} MB more in the second half than in the first",
                )
            )


def _fill(path: Path, rows: int) -> None:
    """Write a history of `rows` readings over the last ten days, with its aggregates."""
    now = time.time()
    step_s = 10 * 86_400.0 / rows
    chance = random.Random(1)
    writer = SqliteWriter(path, RetentionPolicy(), run="benchmark")
    try:
        for first in range(0, rows, BATCH):
            readings = [
                Reading.received(
                    f"n{at % SERIES}",
                    "temperature",
                    f"{chance.uniform(-20, 40):.2f}°C",
                    now - (rows - at) * step_s,
                )
                for at in range(first, min(rows, first + BATCH))
            ]
            writer.write(batch_of(readings, now=now), now)
        while writer.run_retention(now):
            pass
    finally:
        writer.close()


def _export(server: Server, path: str, rows: int, form: str) -> tuple[int, int, int, int]:
    """Rows and bytes received; the server's peak memory, in total and in the first half."""
    samples: list[tuple[int, int]] = []
    stop = threading.Event()
    found = 0

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            samples.append((found, server.resident_bytes()))

    mark = MARKS[form]
    sampler = threading.Thread(target=sample)
    sampler.start()
    received, tail = 0, b""
    try:
        with socket.create_connection((HOST, server.port), timeout=EXPORT_LIMIT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
            while data := connection.recv(1 << 20):
                # A mark may be split: include the end of the previous piece.
                found += (tail + data).count(mark) - tail.count(mark)
                tail = (tail + data)[-len(mark) :]
                received += len(data)
    finally:
        stop.set()
        sampler.join()
    memory = [resident for _, resident in samples] or [server.resident_bytes()]
    first = [resident for count, resident in samples if count <= rows / 2] or memory
    return found, received, max(memory), max(first)
