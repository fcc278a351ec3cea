# SPDX-License-Identifier: BSD-3-Clause
"""A WebSocket node, from its socket to a client of the broker, through our commands."""

import re
import socket

import aiohttp
import pytest

from tests.clients import Broker
from tests.programs import Programs, free_port
from tests.running import running_everything
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


async def test_node_is_seen_and_commanded_and_comes_back_after_its_gateway_was_killed(
    programs: Programs,
) -> None:
    keys = ("--key-file", programs.key_file())
    broker_port, port = (str(free_port(socket.SOCK_STREAM)) for _ in range(2))
    programs.aiot("broker", "--port", broker_port, *keys).line()
    words = ("ws-gateway", "--gateway-port", port, "--broker-port", broker_port, *keys)
    gateway = programs.aiot(*words)
    assert re.match(rf"WebSocket gateway: TCP port {port} ", gateway.line())
    node = programs.aiot("node", "ws", "--gateway-port", port, "--uid", "lamp", "--led")
    assert "sends WebSocket" in node.line()
    async with (
        time_limit(25),
        Broker(f"http://127.0.0.1:{broker_port}/") as broker,
        broker.client() as client,
    ):
        await client.shows("lamp", led="0", protocol="WebSocket")
        assert (await client.write("lamp", "led", "1"))["state"] == "confirmed"
        assert (await client.write("lamp", "gate", "1", timeout_s=0.2))["state"] == "sent"
        gateway.kill()
        await client.until(type="out", uid="lamp", reason="gateway lost")
        programs.aiot(*words).line()
        # It sent its uid again, so it is the same node.
        await client.shows("lamp", led="1", protocol="WebSocket")


async def test_everything_is_ready_with_its_listener_for_websocket_nodes() -> None:
    async with (
        running_everything() as running,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{running.ws_port}/node?uid=lamp") as device,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        await client.shows("lamp")
        assert await device.receive_json() == {"request": "discover"}
        async with session.get(f"{running.url}readyz") as answer:
            assert answer.status == 200
            assert (await answer.json())["parts"]["ws-gateway"] == "ok"
