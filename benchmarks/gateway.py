# SPDX-License-Identifier: BSD-3-Clause
"""Worker: a gateway that sends prepared readings, at a fixed rate or as fast as accepted."""

import json
import select
import socket
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any, Final

from benchmarks.processes import run_worker
from benchmarks.wire import (
    MARKED_FRAME_MAX,
    frame,
    gateway_protocols,
    messages_frame,
)
from benchmarks.wire import connect as open_websocket

ROUNDS: Final = 20
"""Number of different values of each resource. After the last one they repeat."""
ANNOUNCE_BATCH: Final = 200
FINISH_LIMIT_S: Final = 0.5
"""Time after the end of a run to complete a partially sent chunk."""
ANNOUNCE_LIMIT_S: Final = 20.0
SEND_BUFFER: Final = 128 * 1024
"""Small, so that little is buffered in the kernel."""


def uid(number: int) -> str:
    return f"bench-{number:05}"


def resource(number: int) -> str:
    return ("temperature", "heat", "board", "air", "water")[number % 5] + (
        f"-{number // 5}" if number >= 5 else ""
    )


def reading(node: int, number: int, turn: int, *, v2: bool, dated: bool = True) -> dict[str, Any]:
    """A reading as the CoAP gateway sends it, with one `°`; with its time if `dated`."""
    value = 20 + (turn % 100) + node % 7 / 10
    message: dict[str, Any] = {
        "type": "update",
        "uid": uid(node),
        "endpoint": resource(number),
        "data": f"{value:.1f}°C",
    }
    if v2:
        message |= {"value": round(value, 1), "unit": "Cel"}
        return {**message, "ts": round(time.time(), 3)} if dated else message
    return {**message, "dst": "all"}


def announcement(nodes: int, resources: int, *, v2: bool) -> Iterator[dict[str, Any]]:
    """Messages that announce all nodes and the first value of each resource."""
    if v2:
        yield {
            "type": "hello",
            "name": "benchmark",
            "protocol": "CoAP",
            "version": "0",
            "instance": "benchmark",
        }
    for node in range(nodes):
        if v2:
            yield {"type": "new", "uid": uid(node), "ts": round(time.time(), 3)}
        else:
            yield {"type": "new", "uid": uid(node), "dst": "all"}
        for number in range(resources):
            yield reading(node, number, 0, v2=v2)


def encode(messages: list[dict[str, Any]], *, v2: bool) -> bytes:
    """One frame of `pyaiot.v2`, or one legacy frame per message."""
    if v2:
        return messages_frame(messages)
    texts = [
        json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        for message in messages
    ]
    assert max(map(len, texts)) <= MARKED_FRAME_MAX
    return b"".join(map(frame, texts))


def batches(messages: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(messages, size)):
        yield batch


class Gateway:
    """A link to the broker, and the readings to send."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._v2 = bool(spec["v2"])
        self._nodes = int(spec["nodes"])
        self._resources = int(spec["resources"])
        protocols = gateway_protocols(spec["token"], v2=self._v2)
        self._socket, _ = open_websocket(spec["port"], spec["path"], protocols)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._socket.setblocking(False)
        self._rest = memoryview(b"")
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLOUT)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._readings = [
            reading(node, number, turn, v2=self._v2, dated=bool(spec.get("dated", True)))
            for turn in range(1, ROUNDS + 1)
            for number in range(self._resources)
            for node in range(self._nodes)
        ]
        self._encoded: dict[int, list[tuple[bytes, int]]] = {}
        for batch in batches(
            announcement(self._nodes, self._resources, v2=self._v2), ANNOUNCE_BATCH
        ):
            if not self._send(encode(batch, v2=self._v2), time.monotonic() + ANNOUNCE_LIMIT_S):
                raise TimeoutError("the broker did not accept the announcement")

    def send(self, *, rate: float, seconds: float, batch: int) -> dict[str, Any]:
        """Send `rate` readings per second, or, if 0, as many as accepted, in batches of `batch`.

        At least one batch is sent, even if the system schedules this process late.
        """
        if batch not in self._encoded:
            self._encoded[batch] = [
                (encode(part, v2=self._v2), len(part))
                for part in batches(iter(self._readings), batch)
            ]
        chunks = cycle(self._encoded[batch])
        sent = 0
        began = time.monotonic()
        end = began + seconds
        cpu_began = time.process_time()
        while (now := time.monotonic()) < end or not sent:
            if rate:
                due_at = began + sent / rate
                if due_at > now:
                    time.sleep(min(due_at, end) - now)
                    continue
            chunk, readings = next(chunks)
            if not self._send(chunk, end):
                break
            sent += readings
        return {
            "sent": sent,
            "seconds": time.monotonic() - began,
            "own_cpu_s": time.process_time() - cpu_began,
        }

    def _send(self, chunk: bytes, end: float) -> bool:
        """Send a chunk. False if nothing of it was sent before `end`.

        A partially sent chunk is completed before the next one.
        """
        if not self._send_rest(end):
            return False
        self._rest = memoryview(chunk)
        if not self._send_rest(end) and len(self._rest) == len(chunk):
            self._rest = memoryview(b"")
            return False
        self._send_rest(end + FINISH_LIMIT_S)
        if self._readable.poll(0):
            self._read()
        return True

    def _send_rest(self, end: float) -> bool:
        while self._rest:
            try:
                self._rest = self._rest[self._socket.send(self._rest) :]
            except BlockingIOError:
                if time.monotonic() >= end:
                    return False
                self._wait()
        return True

    def _wait(self) -> None:
        for _, events in self._poll.poll(20):
            if events & select.POLLIN:
                self._read()

    def _read(self) -> None:
        if not self._socket.recv(65536):
            raise ConnectionError("the broker closed the link")


if __name__ == "__main__":
    run_worker(Gateway, "send")
