# SPDX-License-Identifier: BSD-3-Clause
"""Worker: the floor under fan-out, `transport.write` of ready bytes to each client.

How the comparison is made fair:

* The broker is measured first. How many readings each write to a client carried, and how many
  bytes, is what this program then repeats, to as many clients, for as long. Both put the same bytes
  into the same number of writes, so the kernel's part in sending is the same.
* Both are woken by the same gateway at the same pace. Most of what a quiet process costs is waking
  up, and no broker can fan out what it did not receive. Here what was received is thrown away.
* The same event loop (uvloop where it is installed), TCP_NODELAY as asyncio sets it, and the same
  process of clients at the other end, which wakes and reads in the same way.
* What is left is the broker's own: frames, parsing, state, encoding, choosing who gets what, and
  its timers (this program has none: it writes when the last reading of a write arrives).
* Two figures come of it. *CPU per delivery against one bare write*: a reading delivered to a client
  against one `transport.write` to a client here, waking included; gathering readings into one write
  is to the broker's credit. *All CPU*: the whole of the broker against the whole of this program,
  which gathers as much; here nothing is to its credit, and this is the harder one.
* If a client was late and read two writes at once, this program writes once where the broker wrote
  twice. The error is to the broker's disadvantage.
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
    """Who is connected, and what is written to them."""

    def __init__(self) -> None:
        self.clients: list[asyncio.Transport] = []
        self._data = b""
        self._readings_per_write = 0.0
        self._received = 0
        self._writes = 0
        self._cpu_began_s = 0.0

    def begin(self, *, readings_per_write: float, size: int) -> None:
        """From now on, write `size` bytes to each client for so many readings received."""
        self._data = server_frame(size)
        self._readings_per_write = readings_per_write
        self._received = self._writes = 0
        self._cpu_began_s = time.process_time()

    def on_reading(self) -> None:
        """A gateway said something."""
        self._received += 1
        if self._data and self._received >= (self._writes + 1) * self._readings_per_write:
            self._writes += 1
            for client in self.clients:
                client.write(self._data)

    def end(self) -> dict[str, Any]:
        """What it cost since `begin`."""
        cpu_s = time.process_time() - self._cpu_began_s
        self._data = b""
        return {"cpu_s": cpu_s, "writes": self._writes * len(self.clients)}


class _Peer(asyncio.Protocol):
    """A client, or, on the path `/gw`, a gateway."""

    def __init__(self, writer: BareWriter) -> None:
        self._writer = writer
        self._switched = False
        self._is_gateway = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

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
    """A frame of a server that is `size` bytes long as a whole, header included."""
    body = max(0, size - (2 if size < 128 else 4))
    header = bytes([0x81, body]) if body < 126 else b"\x81\x7e" + body.to_bytes(2, "big")
    return header + b"x" * body


async def serve() -> None:
    writer = BareWriter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Peer(writer), HOST, 0, backlog=1024)
    questions: asyncio.Queue[bytes] = asyncio.Queue()
    loop.add_reader(0, lambda: questions.put_nowait(os.read(0, 65536)))
    answer(port=server.sockets[0].getsockname()[1])
    while question := await questions.get():
        command = json.loads(question)
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
