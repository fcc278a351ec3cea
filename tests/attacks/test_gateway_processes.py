# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways on separate machines: a device has a credential at one, and a claim without it
comes to the other, on this protocol and another one."""

import asyncio
import re
import socket
from pathlib import Path

import aiohttp
import pytest

from pyaiot.protocols.coap.numbers import MessageType
from tests.clients import Broker, Client
from tests.coap_device import coap_device
from tests.programs import Program, Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

FORGED = "forged"
REFUSAL = "the node lamp ha"
"""`had a credential`, or `has a credential at the gateway here`."""


def gateway(programs: Programs, kind: str, home: Path, broker: str, *flags: str) -> Program:
    """A gateway with its own home, as on another machine."""
    home.mkdir(exist_ok=True)
    links = ("--broker-port", broker, "--key-file", str(programs.key_file()))
    return programs.aiot(kind, *links, *flags, HOME=str(home))


def port_of(program: Program) -> int:
    found = re.search(r"port (\d+)", program.startup_text())
    assert found is not None
    return int(found[1])


async def claims(coap_port: int, ws_port: int) -> None:
    """Claim the uid over CoAP and over a WebSocket, with a value."""
    async with coap_device(coap_port) as device:
        await device.post("alive", "alive:lamp", mtype=MessageType.CON)
        await device.post("server", f"led:{FORGED}", mtype=MessageType.CON)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{ws_port}/node") as socket_,
    ):
        await socket_.send_str('{"type":"new","uid":"lamp"}')
        await socket_.send_str(f'{{"type":"update","data":{{"led":"{FORGED}"}}}}')
        await socket_.send_str('{"type":"update","data":{"led":"forged again"}}')


async def shows_others(client: Client, coap_port: int, uid: str) -> None:
    """Everything that was sent to this gateway before has reached the client, or never will."""
    async with coap_device(coap_port) as device:
        await device.post("alive", f"alive:{uid}")
        await client.shows(uid)


async def refusals(programs: list[Program]) -> None:
    """The broker has refused the claim to each of these gateways."""
    async with time_limit(10):
        for program in programs:
            while REFUSAL not in program.stderr:  # noqa: ASYNC110 - a file of another process
                await asyncio.sleep(0.05)


async def test_claims_at_other_gateways_are_refused_and_never_shown(
    programs: Programs, tmp_path: Path
) -> None:
    broker_port = str(free_port(socket.SOCK_STREAM))
    programs.aiot("broker", "--port", broker_port, "--key-file", programs.key_file()).line()
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    added = programs.run("device", "add", "lamp", "--protocol", "oscore", HOME=str(here))
    secret = re.search(r"\b([0-9a-f]{32})\b", added.stdout)
    assert secret is not None, added.stdout + added.stderr
    (here / "lamp.key").write_text(secret[1])
    (here / "lamp.key").chmod(0o600)
    own = gateway(programs, "coap-gateway", here, broker_port, "--coap-port", "0", "--name", "here")
    own_port = port_of(own)
    async with Broker(f"http://127.0.0.1:{broker_port}/") as broker, broker.client() as client:
        await client.until(type="gateway", name="here", state="connected")
        coap = gateway(
            programs, "coap-gateway", there, broker_port, "--coap-port", "0", "--name", "there"
        )
        ws = gateway(programs, "ws-gateway", there, broker_port, "--ws-port", "0")
        coap_port, ws_port = port_of(coap), port_of(ws)
        await client.until(type="gateway", name="there", state="connected")

        # The device has never connected.
        await claims(coap_port, ws_port)
        await refusals([coap, ws])
        await shows_others(client, coap_port, "first")
        assert "lamp" not in client.nodes

        node = programs.aiot(
            *("node", "coap", "--uid", "lamp", "--led", "--oscore-file", here / "lamp.key"),
            *("--gateway-host", "127.0.0.1", "--gateway-port", str(own_port)),
            *("--host", "127.0.0.1", "--port", "0"),
        )
        await client.shows("lamp", led="0")
        await claims(coap_port, ws_port)
        await shows_others(client, coap_port, "second")
        assert (await client.write("lamp", "led", "1"))["state"] == "confirmed"

        # Its gateway is not there.
        node.kill()
        own.kill()
        await client.until(type="gateway", name="here", state="lost")
        await claims(coap_port, ws_port)
        await shows_others(client, coap_port, "third")
        of_lamp = [it for it in client.received if it.get("uid") == "lamp"]
        assert not [it for it in of_lamp if FORGED in str(it)]
        assert [it["type"] for it in of_lamp if it["type"] in {"new", "out", "reset"}].count(
            "new"
        ) == 1
        assert of_lamp[-1]["type"] == "out"
