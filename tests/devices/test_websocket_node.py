# SPDX-License-Identifier: BSD-3-Clause
"""The simulated WebSocket node: its messages, and reconnection to its gateway."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pyaiot.devices import websocket_node_runner
from pyaiot.devices.websocket_node import SimulatedWebSocketNode
from pyaiot.devices.websocket_node_config import WebSocketNodeConfig
from pyaiot.devices.websocket_node_runner import run_websocket_node
from tests.programs import free_port

NOW = 1000.0


def node(**its: Any) -> SimulatedWebSocketNode:
    """A node that has just connected."""
    it = SimulatedWebSocketNode(WebSocketNodeConfig(uid="lamp", **its), rng=random.Random(1))
    it.connection_made(now=NOW)
    return it


def sent(it: SimulatedWebSocketNode, now: float = NOW) -> list[Any]:
    it.handle_timer(now=now)
    return [json.loads(message) for message in it.messages_to_send()]


def test_node_sends_its_uid_first() -> None:
    it = node(led=True, temperature=True)
    it.receive_message(b'{"request":"discover"}')
    first, second = sent(it)
    assert first == {"type": "new", "uid": "lamp"}
    assert second["type"] == "update"
    assert {"name", "board", "os", "led", "temperature"} <= second["data"].keys()


def test_nameless_node_sends_no_uid() -> None:
    it = node(led=True, nameless=True)
    assert sent(it) == []


def test_every_sensor_is_reported_once_a_period() -> None:
    it = node(temperature=True, pressure=True, period_s=2.0)
    sent(it)
    counts = {"temperature": 0, "pressure": 0}
    now = NOW
    while (timer := it.get_timer()) is not None and timer < NOW + 20:
        now = timer
        for message in sent(it, now):
            for resource in message["data"]:
                counts[resource] += 1
    assert counts == {"temperature": 10, "pressure": 10}


def test_node_without_sensors_has_no_timer() -> None:
    assert node(led=True).get_timer() is None


@pytest.mark.parametrize(
    ("resource", "payload"), [("led", "1"), ("robot", "u"), ("ribot", "1:-2:3\n"), ("js", "é=1")]
)
def test_write_is_done_and_reported(resource: str, payload: str) -> None:
    it = node(led=True, robot=True, ribot=True, js=True)
    sent(it)
    it.receive_message(json.dumps({"endpoint": resource, "payload": payload}).encode())
    assert sent(it) == [{"type": "update", "data": {resource: payload}}]
    assert it.values[resource] == payload


@pytest.mark.parametrize(
    "message",
    [
        b'{"endpoint":"led","payload":"2"}',
        b'{"endpoint":"valve","payload":"1"}',
        b'{"endpoint":"name","payload":"x"}',
        b'{"endpoint":"led","payload":1}',
        b'{"type":"error","detail":"too fast"}',
        b'{"request":"dance"}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_unknown_and_invalid_messages_get_no_answer(message: bytes) -> None:
    it = node(led=True)
    sent(it)
    it.receive_message(message)
    assert sent(it) == []
    assert it.values["led"] == "0"


# -- on a real socket -------------------------------------------------------------------------


class Gateway:
    """A server at `/node` that records messages."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        self.sockets: list[web.WebSocketResponse] = []

    async def node(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        self.sockets.append(websocket)
        async for frame in websocket:
            self.received.put_nowait(json.loads(frame.data))
        return websocket


@contextlib.asynccontextmanager
async def gateway(port: int = 0) -> AsyncIterator[tuple[Gateway, int]]:
    it = Gateway()
    app = web.Application()
    app.router.add_get("/node", it.node)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield it, runner.addresses[0][1]
    finally:
        for websocket in it.sockets:
            await websocket.close()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running(port: int, **its: Any) -> AsyncIterator[None]:
    config = WebSocketNodeConfig(uid="lamp", gateway_port=port, led=True, **its)
    task = asyncio.ensure_future(run_websocket_node(config, rng=random.Random(1)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.sockets
async def test_node_answers_its_gateway() -> None:
    async with gateway() as (it, port), running(port):
        assert await it.received.get() == {"type": "new", "uid": "lamp"}
        await it.sockets[0].send_str('{"request":"discover"}')
        assert (await it.received.get())["data"]["led"] == "0"
        await it.sockets[0].send_str('{"endpoint":"led","payload":"1"}')
        assert await it.received.get() == {"type": "update", "data": {"led": "1"}}


@pytest.mark.sockets
async def test_node_reconnects_after_a_close_and_to_a_late_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_node_runner, "RETRY_FIRST_S", 0.01)
    port = free_port(socket.SOCK_STREAM)
    async with running(port):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/")
        async with gateway(port) as (it, _):
            await it.received.get()
            await it.sockets[0].close(code=1008, message=b"taken")
            assert await it.received.get() == {"type": "new", "uid": "lamp"}
            assert len(it.sockets) == 2
