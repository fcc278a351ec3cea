# SPDX-License-Identifier: BSD-3-Clause
"""libcoap's programs: its client posts to our gateway as a node does, its server is a node."""

import socket

import pytest

from tests.clients import Broker
from tests.coap_device import own_address
from tests.interop.conftest import Tool
from tests.programs import Programs, free_port
from tests.running import running_coap

pytestmark = pytest.mark.sockets


@pytest.mark.parametrize(("flags", "answer"), [((), "t:ACK c:2.04"), (("-N",), "t:NON c:2.04")])
async def test_client_posts_as_a_node_does(
    coap_client: Tool, flags: tuple[str, ...], answer: str
) -> None:
    host = own_address()
    source = ("-a", host, "-p", str(free_port(socket.SOCK_DGRAM, host)))
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):

        async def post(path: str, text: str) -> str:
            uri = f"coap://127.0.0.1:{running.coap_port}/{path}"
            return await coap_client(*source, "-m", "post", "-e", text, *flags, uri)

        early = await post("server", "temperature:21.0%C2%B0C")
        assert "c:5.03" in early
        assert "Max-Age:30" in early
        assert answer in await post("alive", "alive:LIBCOAP")
        await client.shows("LIBCOAP", temperature="21.0°C", ip=host)
        assert answer in await post("alive", "Alive:LIBCOAP")
        assert answer in await post("server", "temperature:23.5%C2%B0C")
        await client.shows("LIBCOAP", temperature="23.5°C")
        assert answer in await post("alive", "reset:LIBCOAP")
        await client.until(type="reset", uid="LIBCOAP")

        assert "c:4.03" in await post("server", "ip:10.0.0.1")
        assert "c:4.00" in await post("server", "no colon")
        assert "c:4.04" in await post("nothing", "at all")
        assert "c:5.03" not in await post("server", "temperature:24.0%C2%B0C")
        await client.shows("LIBCOAP", temperature="24.0°C", ip=host)


async def test_client_posts_a_long_reading_in_blocks(coap_client: Tool) -> None:
    text = "".join(f"word{number} " for number in range(100))
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        uri = f"coap://127.0.0.1:{running.coap_port}"
        source = ("-a", own_address(), "-m", "post")
        await coap_client(*source, "-e", "alive:A", f"{uri}/alive")
        shown = await coap_client(*source, "-b", "64", "-e", f"text:{text}", f"{uri}/server")
        assert "c:2.04" in shown
        await client.shows("A", text=text)


async def test_client_finds_what_the_gateway_offers_over_ipv6(coap_client: Tool) -> None:
    async with running_coap(coap_host="::1") as running:
        shown = await coap_client(f"coap://[::1]:{running.coap_port}/.well-known/core")
        assert "</alive>" in shown
        assert "</server>" in shown


async def test_server_is_a_node_that_is_read_and_written(
    coap_client: Tool, coap_server: str, programs: Programs
) -> None:
    host = own_address()
    programs.start(coap_server, "-A", host, "-p", "5683")
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        assert "c:2.05" in await coap_client(f"coap://{host}/")
        uri = f"coap://127.0.0.1:{running.coap_port}/alive"
        await coap_client("-a", host, "-m", "post", "-e", "alive:SERVER", uri)
        await client.shows("SERVER", ip=host)
        # `/async` comes before it in its list, and answers separately after some seconds.
        while "example_data" not in client.nodes["SERVER"]:
            await client.next()
        known = client.nodes["SERVER"]
        assert known["time"]
        assert len(known["example_data"]) == 1500  # in blocks

        receipt = await client.write("SERVER", "example_data", "Grüße")
        assert (receipt["state"], receipt["detail"]) == ("confirmed", "2.04 Changed")
        await client.shows("SERVER", example_data="Grüße")
        long = "0123456789" * 300
        receipt = await client.write("SERVER", "example_data", long)
        assert receipt["state"] == "confirmed"
        await client.shows("SERVER", example_data=long)

        receipt = await client.write("SERVER", "async", "1")
        assert receipt["state"] == "refused"
        assert receipt["detail"].startswith("4.05")


async def test_server_is_observed(coap_client: Tool, coap_server: str, programs: Programs) -> None:
    host = own_address()
    programs.start(coap_server, "-A", host, "-p", "5683")
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        assert "</time>" in await coap_client(f"coap://{host}/.well-known/core")
        uri = f"coap://127.0.0.1:{running.coap_port}/alive"
        await coap_client("-a", host, "-m", "post", "-e", "alive:SERVER", uri)
        # `/time` notifies every second, and nobody asks for it again.
        times: set[str] = set()
        while len(times) < 3:
            times.add((await client.until(uid="SERVER", endpoint="time"))["data"])


async def test_client_gets_4_05_for_fetch_and_nothing_with_no_response(
    coap_client: Tool,
) -> None:
    async with (
        running_coap() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        uri = f"coap://127.0.0.1:{running.coap_port}"
        source = ("-a", own_address())
        assert "c:4.05" in await coap_client(*source, "-m", "fetch", "-e", "x", f"{uri}/server")
        # No-Response (RFC 7967): 2 is "no answer of class 2", 8 and 16 those of errors.
        quiet = (*source, "-N", "-B", "1", "-m", "post")
        shown = await coap_client(*quiet, "-O", "258,0x1a", "-e", "alive:QUIET", f"{uri}/alive")
        await client.until(type="new", uid="QUIET")
        assert "c:2.04" not in shown
