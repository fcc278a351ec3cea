# SPDX-License-Identifier: BSD-3-Clause
"""aiocoap's programs: its client posts to our gateway and asks our node, its server is a node."""

import sys

import pytest

from tests.clients import Broker
from tests.coap_device import coap_device, own_address
from tests.interop.conftest import Tool
from tests.programs import Programs
from tests.running import running_coap

pytestmark = pytest.mark.sockets


@pytest.mark.parametrize("flags", [(), ("--non",)], ids=["CON", "NON"])
async def test_client_posts_as_a_node_does(aiocoap_client: Tool, flags: tuple[str, ...]) -> None:
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):

        async def post(path: str, text: str) -> str:
            uri = f"coap://127.0.0.1:{running.coap_port}/{path}"
            return await aiocoap_client("-q", *flags, "-m", "POST", "--payload", text, uri)

        await post("alive", "alive:AIOCOAP")
        await client.shows("AIOCOAP", ip="127.0.0.1")
        # Each call posts from another port of the same machine, on which there is one node.
        await post("server", "temperature:23.5°C")
        await client.shows("AIOCOAP", temperature="23.5°C")
        assert "4.03" in await post("server", "id:B")


async def test_client_reads_and_writes_a_simulated_node(
    aiocoap_client: Tool, programs: Programs
) -> None:
    host = own_address()
    programs.aiot("node", "coap", "--led", "--host", host, "--port", "5683").line()
    assert "</led>" in await aiocoap_client(f"coap://{host}/.well-known/core")
    assert (
        await aiocoap_client("-q", "-m", "PUT", "--payload", "1", f"coap://{host}/led") == "led:1"
    )
    assert (await aiocoap_client("-q", f"coap://{host}/led")).endswith("1")


async def test_file_server_is_a_node_that_is_written(
    aiocoap_client: Tool, programs: Programs
) -> None:
    folder = programs.home / "served"
    folder.mkdir()
    (folder / "led").write_bytes(b"0")
    host = own_address()
    server = (sys.executable, "-m", "aiocoap.cli.fileserver", "--write", "--bind", f"{host}:5683")
    programs.start(*server, str(folder))
    while not (await aiocoap_client("-q", f"coap://{host}/led")).endswith("0"):
        pass  # it has not opened its port yet
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
        # Speaks for the server, from another port of its address.
        coap_device(running.coap_port, at_coap_port=False, host=host) as voice,
    ):
        await voice.post("alive", "alive:FILES")
        await voice.post("server", "led:0")
        await client.shows("FILES", led="0", ip=host)
        receipt = await client.write("FILES", "led", "1")
        assert (receipt["state"], receipt["detail"]) == ("confirmed", "2.04 Changed")
        await client.shows("FILES", led="1")
        assert (folder / "led").read_bytes() == b"1"
        assert voice.requests == []
