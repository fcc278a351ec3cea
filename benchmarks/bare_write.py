# SPDX-License-Identifier: BSD-3-Clause
"""Worker: the lower bound of fan-out, `transport.write` of prepared bytes to each client.

How the comparison is made fair:

* The broker is measured first. This program repeats its writes: the same number of readings and
  bytes per write, to the same number of clients, for the same time. The kernel's cost is the same.
* Both receive the same readings from the same gateway at the same rate. Wake-ups are most of the
  cost of an idle process. This program discards the readings.
* Both use the same event loop (uvloop if installed), TCP_NODELAY as set by asyncio, and the same
  process of clients.
* The difference is the broker's own work: frames, parsing, state, encoding, selection of
  recipients, and timers (this program writes when the last reading of a write arrives).
* There are two figures. *CPU per delivery against one bare write* compares a delivered reading with
  one `transport.write`, including wake-ups; batching readings is an advantage of the broker. *All
  CPU* compares the total of both programs, which batch equally; this is the stricter figure.
* If a slow client reads two writes at once, this program writes once where the broker wrote twice.
  The error is to the broker's disadvantage.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any, Final, cast

from benchmarks.plain_broker import new_event_loop
from benchmarks.processes import HOST, answer
from benchmarks.wire import V2

SWITCH: Final = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    f"Sec-WebSocket-Protocol: {V2}\r\n\r\n"
).encode()


class BareWriter:
    """The clients and the bytes that are written to them."""

    def __init__(self) -> None:
        self.clients: list[asyncio.Transport] = []
        self._data = b""
        self._readings_per_write = 0.0
        self._received = 0
        self._writes = 0
        self._cpu_began_s = 0.0

    def begin(self, *, readings_per_write: float, size: int) -> None:
        """Start writing `size` bytes to each client per `readings_per_write` readings received."""
        self._data = server_frame(size)
        self._readings_per_write = readings_per_write
        self._received = self._writes = 0
        self._cpu_began_s = time.process_time()

    def on_reading(self) -> None:
        """Count a reading of the gateway; write when a write is complete."""
        self._received += 1
        if self._data and self._received >= (self._writes + 1) * self._readings_per_write:
            self._writes += 1
            for client in self.clients:
                client.write(self._data)

    def end(self) -> dict[str, Any]:
        """CPU time and number of writes since `begin`."""
        cpu_s = time.process_time() - self._cpu_began_s
        self._data = b""
        return {"cpu_s": cpu_s, "writes": self._writes * len(self.clients)}


class _Peer(asyncio.Protocol):
    """A client, or a gateway on the path `/gw`."""

    def __init__(self, writer: BareWriter) -> None:
        self._writer = writer
        self._switched = False
        self._is_gateway = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of uvloop

    def data_received(self, data: bytes) -> None:
        if not self._switched:
            self._switched = True
            self._is_gateway = data.startswith(b"GET /gw ")
            self._transport.write(SWITCH)
            if not self._is_gateway:
                self._writer.clients.append(self._transport)
        elif self._is_gateway:
            self._writer.on_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._transport in self._writer.clients:
            self._writer.clients.remove(self._transport)


def server_frame(size: int) -> bytes:
    """A server frame of `size` bytes, including its header."""
    body = max(0, size - (2 if size < 128 else 4))
    header = bytes([0x81, body]) if body < 126 else b"\x81\x7e" + body.to_bytes(2, "big")
    return header + b"x" * body


async def serve() -> None:
    writer = BareWriter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Peer(writer), HOST, 0, backlog=1024)
    commands: asyncio.Queue[bytes] = asyncio.Queue()
    loop.add_reader(0, lambda: commands.put_nowait(os.read(0, 65536)))
    answer(port=server.sockets[0].getsockname()[1])
    while line := await commands.get():
        command = json.loads(line)
        if command.pop("do") == "begin":
            writer.begin(**command)
            answer()
        else:
            answer(**writer.end())
    loop.remove_reader(0)
    for client in writer.clients:
        client.abort()
    server.close()


def main() -> None:
    assert json.loads(sys.argv[1]) == {}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
