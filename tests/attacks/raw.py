# SPDX-License-Identifier: BSD-3-Clause
"""Raw TCP peers that send arbitrary HTTP and WebSocket frames (RFC 6455)."""

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from tests.time_limits import time_limit

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CUT_OFF_LIMIT_S: Final = 6.0
SMALL_BUFFER: Final = 4096
"""Receive buffer of a peer that does not read, so that it stalls soon."""


@dataclass(frozen=True)
class Frame:
    """A received frame."""

    opcode: int
    payload: bytes

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        assert self.opcode == CLOSE, self
        (code,) = struct.unpack_from("!H", self.payload)
        return code, self.payload[2:].decode()

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A frame of a client (RFC 6455 section 5.2), valid or not."""
    head = bytearray([fin << 7 | reserved << 4 | opcode])
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head.append(mask_bit | size)
    elif size < 1 << 16:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    # A mask of zeros leaves the payload readable.
    return bytes(head) + (bytes(4) if masked else b"") + payload


class RawPeer:
    """A TCP connection that sends and reads what the test sets."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._loop = asyncio.get_running_loop()
        self._received = b""

    # -- HTTP -----------------------------------------------------------------------------------

    async def request(self, path: str, *headers: str, host: str | None = "127.0.0.1") -> bytes:
        """Send a GET and return the head of the response."""
        lines = [f"GET {path} HTTP/1.1"]
        if host is not None:
            lines.append(f"Host: {host}")
        await self.send("\r\n".join([*lines, *headers, "", ""]).encode("utf-8", "surrogateescape"))
        return await self._until(b"\r\n\r\n")

    async def answer(self) -> bytes:
        """The head of the next response."""
        return await self._until(b"\r\n\r\n")

    async def body(self, length: int) -> bytes:
        """The next `length` bytes, which follow the head of a response."""
        return await self._take(length)

    async def upgrade(self, path: str, *headers: str, host: str | None = "127.0.0.1") -> int:
        """Request a WebSocket. Returns the status, 101 on success."""
        head = await self.request(
            path,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
            *headers,
            host=host,
        )
        return int(head.split()[1])

    # -- WebSocket ------------------------------------------------------------------------------

    async def send_json(self, message: object) -> None:
        """Send a message as JSON in a text frame."""
        await self.send(frame(json.dumps(message, ensure_ascii=False).encode()))

    async def next(self) -> Frame:
        """The next frame. Raises `ConnectionError` at the end."""
        head = await self._take(2)
        size = head[1]
        assert size < 128, "a server does not mask"
        if size == 126:
            (size,) = struct.unpack("!H", await self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._take(8))
        assert head[0] & 0xF0 == 0x80, "unfragmented frames without reserved bits"
        return Frame(head[0] & 0x0F, await self._take(size))

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame. Frames before it are dropped."""
        while True:
            received = await self.next()
            if received.opcode == CLOSE:
                return received.close

    # -- bytes ----------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    def send_now(self, data: bytes) -> bool:
        """Send what the kernel accepts without waiting. False if it accepts nothing."""
        with contextlib.suppress(BlockingIOError):
            self.socket.send(data)
            return True
        return False

    async def cut_off(self) -> None:
        """Wait until the server has aborted the connection, without reading."""
        async with time_limit(CUT_OFF_LIMIT_S):
            with contextlib.suppress(ConnectionError):
                while True:
                    self.send_now(b"x")
                    await asyncio.sleep(0.01)

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            await self._read()
        head, _, self._received = self._received.partition(mark)
        return head

    async def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._read()
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    async def _read(self) -> None:
        data = await self._loop.sock_recv(self.socket, 1 << 16)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._received += data


@contextlib.asynccontextmanager
async def raw_peer(url: str, *, receive_buffer: int | None = None) -> AsyncIterator[RawPeer]:
    """A connection to the port of `url`, closed without a close frame."""
    found = re.search(r"//([0-9.]+):(\d+)/", url)
    assert found is not None
    with socket.socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (found[1], int(found[2])))
        yield RawPeer(sock)


@contextlib.asynccontextmanager
async def raw_client(
    url: str, *, extended: bool = False, receive_buffer: int | None = None
) -> AsyncIterator[RawPeer]:
    """A client of the broker that sends raw frames."""
    async with raw_peer(url, receive_buffer=receive_buffer) as peer:
        offer = ["Sec-WebSocket-Protocol: pyaiot.v2"] if extended else []
        assert await peer.upgrade("/ws", *offer) == 101
        if extended:
            assert (await peer.next()).json[0]["type"] == "hello"
        yield peer


@contextlib.asynccontextmanager
async def raw_gateway(url: str, token: str, *, extended: bool = True) -> AsyncIterator[RawPeer]:
    """A gateway that has authenticated and sent no message yet."""
    async with raw_peer(url) as peer:
        offer = f"pyaiot.v2, token, {token}" if extended else f"token, {token}"
        assert await peer.upgrade("/gw", "Sec-WebSocket-Protocol: " + offer) == 101
        yield peer
