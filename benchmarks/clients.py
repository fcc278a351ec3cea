# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many web clients in one process that only count readings.

They must cost far less than the server: they read into one buffer and count readings by their mark
(`wire.MARK`).
"""

import contextlib
import json
import os
import select
import socket
import sys
import time
from typing import Any, Final

from benchmarks.processes import answer, cpu_s
from benchmarks.wire import JOIN_LEGACY, JOIN_V2, MARK, PONG, V2, connect

BUFFER_SIZE: Final = 256 * 1024  # fits in the L2 cache
PONG_INTERVAL_S: Final = 10.0
"""Pings are not parsed here. An unsolicited pong keeps the connection alive."""


class Client:
    """One connection and its count."""

    __slots__ = ("_header", "_left", "_mark", "_tail", "closed", "marks", "socket")

    def __init__(self, connection: socket.socket, mark: bytes = MARK) -> None:
        self.socket = connection
        self._mark = mark
        self._tail = b""
        """The last bytes of the payload so far, which may be the beginning of a mark."""
        self.marks = 0
        self.closed = False
        self._left = 0  # bytes of the current frame not yet received
        self._header = b""

    def count(self, data: bytes | bytearray, size: int) -> None:
        """Count marks in the payload of frames."""
        at = 0
        while at < size:
            if not self._left:
                at = self._read_header(data, at, size)
                continue
            end = min(size, at + self._left)
            self.marks += data.count(self._mark, at, end)
            if more := len(self._mark) - 1:
                self.marks += (self._tail + data[at : min(end, at + more)]).count(self._mark)
                self._tail = bytes(self._tail + data[max(at, end - more) : end])[-more:]
            self._left -= end - at
            at = end

    def _read_header(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Read a header that may be split. Returns the offset after it."""
        had = len(self._header)
        header = self._header + data[at : min(size, at + 10 - had)]
        length = header[1] if len(header) > 1 else 0
        header_size = 2 + (2 if length == 126 else 8 if length == 127 else 0)
        if len(header) < header_size:
            self._header = bytes(header)
            return size
        self._header = b""
        self._left = length if header_size == 2 else int.from_bytes(header[2:header_size], "big")
        return at + header_size - had


class Clients:
    """All clients."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._v2 = bool(spec["v2"])
        self._server_pid = int(spec["server_pid"])
        self._bytes = 0
        self._reads = 0
        self._closed = 0
        self._marks = 0
        self._last_read_at = time.monotonic()
        self._clients: dict[int, Client] = {}
        for _ in range(spec["count"]):
            protocols = spec.get("protocols", [V2] if self._v2 else [])
            connection, rest = connect(spec["port"], spec["path"], protocols)
            client = Client(connection, spec.get("mark", "").encode() or MARK)
            self._clients[connection.fileno()] = client
            self._count(client, rest, len(rest))
            if "first" in spec:
                connection.sendall(bytes.fromhex(spec["first"]))
            if spec.get("join", True):
                connection.sendall(JOIN_V2 if self._v2 else JOIN_LEGACY)

    def run(self) -> None:
        """Read until standard input ends."""
        buffer = bytearray(BUFFER_SIZE)
        poll = select.epoll()
        poll.register(0, select.EPOLLIN)
        for descriptor in self._clients:
            poll.register(descriptor, select.EPOLLIN)
        pong_at = time.monotonic() + PONG_INTERVAL_S
        while True:
            now = time.monotonic()
            if now >= pong_at:
                pong_at = now + PONG_INTERVAL_S
                self._send_pongs()
            for descriptor, _ in poll.poll(pong_at - now if pong_at > now else 0):
                if descriptor == 0:
                    line = os.read(0, 65536)
                    if not line:
                        return
                    self._execute(json.loads(line))
                    continue
                client = self._clients[descriptor]
                try:
                    size = client.socket.recv_into(buffer)
                except OSError:
                    size = 0
                if not size:
                    poll.unregister(descriptor)
                    client.closed = True
                    self._closed += 1
                    continue
                self._reads += 1
                self._count(client, buffer, size)

    def _count(self, client: Client, data: bytes | bytearray, size: int) -> None:
        self._bytes += size
        if self._v2:
            before = client.marks
            client.count(data, size)
            self._marks += client.marks - before
        else:
            marks = data.count(MARK, 0, size)
            client.marks += marks
            self._marks += marks
        self._last_read_at = time.monotonic()

    def _send_pongs(self) -> None:
        for client in self._clients.values():
            if not client.closed:
                with contextlib.suppress(ConnectionError):  # the next read fails
                    client.socket.sendall(PONG)

    def _execute(self, command: dict[str, Any]) -> None:
        assert command["do"] == "read"
        answer(
            at=time.monotonic(),
            last_read_at=self._last_read_at,
            server_cpu_s=cpu_s(self._server_pid),
            own_cpu_s=time.process_time(),
            marks=self._marks,
            bytes=self._bytes,
            reads=self._reads,
            closed=self._closed,
        )


def main() -> None:
    try:
        clients = Clients(json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - every error is reported to the parent
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(connected=True)
    clients.run()


if __name__ == "__main__":
    main()
