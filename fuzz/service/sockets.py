# SPDX-License-Identifier: BSD-3-Clause
"""Sends inputs and valid requests."""

import contextlib
import random
import select
import socket
import struct
from collections.abc import Callable
from typing import Final

HOST: Final = "127.0.0.1"
HONEST_HOST: Final = "127.0.0.2"
"""Source address of valid requests, because each host has a separate quota."""
ANSWER_LIMIT_S: Final = 5.0
CLOSE_WAIT_S: Final = 0.02
"""How long a connection waits for an answer to an input, which may be incomplete."""
FRAME_WAIT_S: Final = 0.002


class Connections:
    """Each input is the start of a new TCP connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), 2) as tcp:
            # It is reset at the end: thousands of closed connections would take all ports.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tcp.settimeout(CLOSE_WAIT_S)
            tcp.sendall(data)
            tcp.recv(65536)

    def close(self) -> None:
        """Close nothing: no socket is open."""


class Datagrams:
    """Each input is a datagram from the same port."""

    def __init__(self, port: int) -> None:
        self._udp = udp(port)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a datagram that is too long
            self._udp.send(data)
        while select.select([self._udp], [], [], 0)[0]:
            self._udp.recv(65536)

    def close(self) -> None:
        self._udp.close()


class Frames:
    """Each input is a message on a WebSocket, or bytes in place of a frame."""

    def __init__(self, port: int, path: str, protocols: Callable[[], str], seed: int) -> None:
        self._open: Callable[[], socket.socket] = lambda: websocket(port, path, protocols())
        self._chance = random.Random(seed)
        self._tcp: socket.socket | None = None

    def send(self, data: bytes) -> None:
        try:
            if self._tcp is None:
                self._tcp = self._open()
            whole = frame(data[:65535])
            if self._chance.random() < 0.2:
                whole = bytes([self._chance.randrange(256)]) + whole[1:]
            self._tcp.sendall(whole)
            while select.select([self._tcp], [], [], FRAME_WAIT_S)[0]:
                received = self._tcp.recv(65536)
                if not received or received[-2:][:1] == b"\x88" or received[:1] == b"\x88":
                    self.close()
                    return
        except OSError:
            self.close()

    def close(self) -> None:
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None


def udp(port: int, source: str = HOST) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source, 0))
    made.connect((HOST, port))
    made.settimeout(ANSWER_LIMIT_S)
    return made


def frame(payload: bytes) -> bytes:
    """A masked text frame; a mask of zeros leaves it readable (RFC 6455 section 5.2)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return b"\x81" + length + bytes(4) + payload


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def honest_tcp(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), ANSWER_LIMIT_S, (HONEST_HOST, 0))


def websocket(port: int, path: str, protocols: str, source: str = HOST) -> socket.socket:
    tcp = socket.create_connection((HOST, port), ANSWER_LIMIT_S, (source, 0))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {HOST}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==",
        *([f"Sec-WebSocket-Protocol: {protocols}"] if protocols else []),
    ]
    tcp.sendall("\r\n".join([*lines, "", ""]).encode())
    received = tcp.recv(65536)
    if not received.startswith(b"HTTP/1.1 101"):
        tcp.close()
        raise ConnectionError(received[:100])
    return tcp
