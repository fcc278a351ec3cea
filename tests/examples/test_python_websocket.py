# SPDX-License-Identifier: BSD-3-Clause
"""The WebSocket example, run as in its README, with the services of `aiot run`."""

import platform
import sys

import pytest

from tests.clients import Broker
from tests.documents import ROOT
from tests.programs import Programs
from tests.running import running_everything

pytestmark = pytest.mark.sockets

NODE = ROOT / "examples" / "python-websocket" / "node.py"
UID = platform.node() or "my-node"


async def test_node_appears_is_commanded_and_leaves(programs: Programs) -> None:
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        url = f"ws://127.0.0.1:{running.ws_port}/node"
        program = programs.start(sys.executable, NODE, url)
        await client.shows(UID, name=UID, os="linux", led="0", protocol="WebSocket")
        while "load" not in client.nodes[UID]:
            await client.next()
        assert float(client.nodes[UID]["load"]) >= 0
        receipt = await client.write(UID, "led", "1")
        assert receipt["state"] == "confirmed", receipt
        await client.shows(UID, led="1")
        receipt = await client.write(UID, "led", "2", timeout_s=0.2)
        assert receipt["state"] == "sent", receipt
        program.kill()
        await client.until(type="out", uid=UID)
        assert program.stderr == ""


async def test_node_retries_without_a_gateway(programs: Programs) -> None:
    program = programs.start(sys.executable, NODE, "ws://127.0.0.1:1/node", PYTHONUNBUFFERED="1")
    for _ in range(2):
        assert program.line().endswith("retrying")
    assert program.stderr == ""
