# SPDX-License-Identifier: BSD-3-Clause
"""Attack 31: clients disconnect at any moment of an exchange: no traceback, no leak."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyaiot.gateways.gateway import Gateway, GatewayLink
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.websocket.gateway import WebSocketGateway
from pyaiot.links import MemoryLink
from pyaiot.transport.backoff import Backoff
from tests.attacks.raw import CLOSE, PING, SMALL_BUFFER, RawPeer, frame, raw_peer
from tests.attacks.running import Log, until
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)
SOCKETS = {
    "two pings": frame(b"", PING) * 2,
    "many pings": frame(b"x" * 100, PING) * 200,
    "a close and a ping": frame(b"\x03\xe8", CLOSE) + frame(b"", PING),
    "half a frame": frame(b"x" * 100)[:50],
    "nonsense": frame(b"nonsense"),
    "a message": frame(b'{"type":"new","data":"client"}'),
    "nothing": b"",
}
REQUESTS = {
    "export": "GET /api/export?format=csv",
    "history": "GET /api/nodes/n/resources/r0/history",
    "nodes": "GET /api/nodes",
    "events": "GET /api/events",
    "command": "PUT /api/nodes/n/resources/led",
    "body": "PUT /api/nodes/n/resources/led",
    "ready": "GET /readyz",
    "metrics": "GET /metrics",
}


def reset(peer: RawPeer) -> None:
    """Reset the connection instead of closing it with a FIN (SO_LINGER of 0 seconds)."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


def leave(peer: RawPeer, *, politely: bool) -> None:
    if politely:
        with contextlib.suppress(OSError):
            peer.socket.shutdown(socket.SHUT_RDWR)
    else:
        reset(peer)


@contextlib.asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[Served]:
    """A broker with more history than a socket buffers."""
    async with serving(folder) as served:
        for number in range(64):
            served.gateway.send("n", f"r{number}", "x" * 60_000)
        await served.until(65)
        yield served


async def no_one_left(served: Served) -> None:
    await until(lambda: not served.broker.fanout.clients)
    assert await served.json("/healthz")


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("request_line", REQUESTS.values(), ids=REQUESTS.keys())
async def test_client_that_disconnects_before_the_response_causes_no_traceback(
    request_line: str, politely: bool, tmp_path: Path, log: Log
) -> None:
    async with filled(tmp_path) as served:
        for pause_s in (0.0, 0.001, 0.005, 0.02, 0.1):
            async with raw_peer(served.url, receive_buffer=SMALL_BUFFER) as peer:
                length = 9 if request_line.startswith("PUT") else 0
                await peer.send(
                    f"{request_line} HTTP/1.1\r\nHost: localhost\r\n"
                    f"Content-Length: {length}\r\n\r\n".encode()
                    + b"12345"[: length and 5]
                )
                await asyncio.sleep(pause_s)
                leave(peer, politely=politely)
                await asyncio.sleep(0.02)
        await no_one_left(served)
    assert log.tracebacks == []


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("data", SOCKETS.values(), ids=SOCKETS.keys())
async def test_client_that_drops_its_websocket_causes_no_traceback(
    data: bytes, politely: bool, tmp_path: Path, log: Log
) -> None:
    async with filled(tmp_path) as served:
        for pause_s in (0.0, 0.001, 0.02):
            async with raw_peer(served.url, receive_buffer=SMALL_BUFFER) as peer:
                head = f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n"
                await peer.send(head.encode() + (data if not pause_s else b""))
                await asyncio.sleep(pause_s)
                if pause_s:
                    await peer.send(data)
                leave(peer, politely=politely)
                await asyncio.sleep(0.02)
        await no_one_left(served)
    assert log.tracebacks == []


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("data", SOCKETS.values(), ids=SOCKETS.keys())
async def test_node_that_drops_its_websocket_causes_no_traceback(
    data: bytes, politely: bool, log: Log
) -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway(
        name="ws",
        protocol="WebSocket",
        nodes=LiveNodes(silence_limit_s=120.0, nodes_max=100),
        loop=loop,
        unix_time=time.time,
        backoff=Backoff(),
    )
    nodes = WebSocketGateway(gateway, connections_max=100)
    await nodes.open("127.0.0.1", 0)

    async def connect() -> GatewayLink:
        return MemoryLink.pair()[0]

    running = asyncio.ensure_future(nodes.run(connect))
    try:
        url = f"http://127.0.0.1:{nodes.port}/"
        for pause_s in (0.0, 0.001, 0.02):
            async with raw_peer(url, receive_buffer=SMALL_BUFFER) as peer:
                head = f"GET /node?uid=n HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n"
                await peer.send(head.encode())
                await asyncio.sleep(pause_s)
                with contextlib.suppress(ConnectionError):
                    await peer.send(data)
                leave(peer, politely=politely)
                await asyncio.sleep(0.02)
        await until(lambda: not nodes._count)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert log.tracebacks == []
