# SPDX-License-Identifier: BSD-3-Clause
"""WebSocket (RFC 6455) on plain sockets: the small, cheap subset that load generators need.

It does not use `pyaiot`: the measurement must not change with the code under test.
"""

import base64
import json
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.processes import HOST, BenchmarkError

V2: Final = "pyaiot.v2"
MARK: Final = b"\xb0"
"""The second byte of `°` in UTF-8. It occurs once in each reading and nowhere else.

It occurs neither in ASCII nor in the header of a frame shorter than 126 bytes, so counting it with
`bytes.count` counts readings.
"""
MARKED_FRAME_MAX: Final = 125

_TEXT, BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_HANDSHAKE_MAX: Final = 16 * 1024


def request(port: int, path: str, protocols: Sequence[str]) -> bytes:
    """The handshake of a client (RFC 6455 section 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {HOST}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if protocols:
        lines.append("Sec-WebSocket-Protocol: " + ", ".join(protocols))
    return "\r\n".join([*lines, "", ""]).encode()


def connect(
    port: int, path: str, protocols: Sequence[str] = (), *, receive_buffer: int | None = None
) -> tuple[socket.socket, bytes]:
    """A blocking socket after the handshake, and the bytes received after it."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(20.0)
    connection.connect((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request(port, path, protocols))
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        if not piece or len(received) > _HANDSHAKE_MAX:
            raise BenchmarkError(f"no answer to the handshake for {path}: {received!r}")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    check_handshake(head, protocols)
    return connection, rest


def check_handshake(head: bytes, protocols: Sequence[str]) -> None:
    """Raises `BenchmarkError` unless the server switched protocols, to `pyaiot.v2` if offered."""
    if not head.startswith(b"HTTP/1.1 101"):
        raise BenchmarkError(f"the handshake was refused: {head.splitlines()[0]!r}")
    if V2 in protocols and V2.encode() not in head:
        raise BenchmarkError("the server did not choose pyaiot.v2")


def frame(text: bytes, opcode: int = _TEXT) -> bytes:
    """A masked frame, as a client sends it."""
    size = len(text)
    first = bytes([0x80 | opcode])
    if size < 126:
        header = first + bytes([0x80 | size])
    elif size < 65536:
        header = first + b"\xfe" + size.to_bytes(2, "big")
    else:
        header = first + b"\xff" + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pad = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(text, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
    return header + mask + masked


def messages_frame(messages: Iterable[Any]) -> bytes:
    """One frame of `pyaiot.v2`."""
    return frame(json.dumps(list(messages), ensure_ascii=False, separators=(",", ":")).encode())


PONG: Final = frame(b"", _PONG)
"""An unsolicited pong serves as a heartbeat (RFC 6455 section 5.5.3)."""
JOIN_LEGACY: Final = frame(b'{"type":"new","data":"client"}')
JOIN_V2: Final = frame(b'[{"type":"new","data":"client"}]')


def gateway_protocols(token: str, *, v2: bool) -> list[str]:
    """The subprotocols that a gateway offers."""
    return [V2, "token", token] if v2 else ["token", token]


class FrameReader:
    """Parses server frames: bytes in, texts out."""

    def __init__(self) -> None:
        self._bytes = b""
        self.pings = 0
        """Pings not yet answered."""

    def feed(self, received: bytes) -> list[bytes]:
        """The complete texts. Raises `BenchmarkError` if the server closes."""
        data = self._bytes + received
        texts = []
        at = 0
        while len(data) - at >= 2:
            size = data[at + 1]
            start = at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                start += width
                if len(data) < start:
                    break
                size = int.from_bytes(data[at + 2 : start], "big")
            if len(data) < start + size:
                break
            payload = data[start : start + size]
            match data[at] & 0x0F:
                case 1:
                    texts.append(payload)
                case 9:
                    self.pings += 1
                case 8:
                    raise BenchmarkError(f"the server closed: {payload!r}")
                case _:
                    pass
            at = start + size
        self._bytes = data[at:]
        return texts


class WebSocket:
    """A peer of the broker that parses messages, to measure latencies and commands."""

    def __init__(self, port: int, path: str, protocols: Sequence[str]) -> None:
        self.socket, rest = connect(port, path, protocols)
        self._reader = FrameReader()
        self._early = rest

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages as one frame of `pyaiot.v2`."""
        self.socket.sendall(messages_frame(messages))

    def receive(self) -> list[dict[str, Any]]:
        """Wait for bytes. Returns the messages of all complete frames."""
        received = self._early or self.socket.recv(1 << 18)
        if not received:
            raise BenchmarkError("the server closed the connection")
        self._early = b""
        messages: list[dict[str, Any]] = []
        for text in self._reader.feed(received):
            decoded = json.loads(text)
            messages.extend(decoded if isinstance(decoded, list) else [decoded])
        for _ in range(self._reader.pings):
            self.socket.sendall(PONG)
        self._reader.pings = 0
        return messages

    def receive_until(self, kind: str) -> list[dict[str, Any]]:
        """Messages up to and including the first of type `kind`."""
        messages: list[dict[str, Any]] = []
        while not any(message["type"] == kind for message in messages):
            messages += self.receive()
        return messages

    def close(self) -> None:
        self.socket.close()


def join(port: int) -> WebSocket:
    """A client of `pyaiot.v2` that has received the state of the broker."""
    client = WebSocket(port, "/ws", [V2])
    client.socket.sendall(JOIN_V2)
    client.receive_until("joined")
    return client
