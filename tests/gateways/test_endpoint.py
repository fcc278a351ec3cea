# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP socket of the gateway: its peers, its port, its answer to a ping."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from aiocoap import Message
from aiocoap.resource import Resource, Site
from aiocoap.transports.udp6 import UDP6EndpointAddress

from pyaiot.errors import OperatorError
from pyaiot.gateways.coap import endpoint as endpoint_module
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.aiocoap_adapter import AiocoapPeer
from pyaiot.gateways.coap.endpoint import CoapEndpoint, answers_ping
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.requests import Requests
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.peers import Peer, PeerAddress, plain_host
from pyaiot.transport.udp_sockets import udp_socket
from tests.coap_device import coap_device
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets


def serve(endpoint: CoapEndpoint) -> None:
    """Read datagrams, without nodes and without limits."""
    nodes = LiveNodes(silence_limit_s=None, nodes_max=1)
    intake = CoapIntake(nodes, AddressTable(), limits=None, has_request=endpoint.has_request)
    endpoint.serve(intake, lambda _posts: None, lambda _change: None, time.time)


def requests_of(endpoint: CoapEndpoint) -> Requests:
    requests = endpoint.requests = Requests(endpoint, endpoint.loop)
    serve(endpoint)
    return requests


class Interface:
    """Stands where aiocoap wants its transport."""


INTERFACE = Interface()


def test_one_link_local_address_on_two_interfaces_is_two_peers() -> None:
    one, other = Peer(("fe80::1", 5683, 0, 2)), Peer(("fe80::1", 5683, 0, 3))
    assert one != other
    assert AiocoapPeer(one, INTERFACE) != AiocoapPeer(other, INTERFACE)
    assert one.address == PeerAddress("fe80::1", 5683, 2)


def test_peer_is_found_by_the_address_that_aiocoap_makes_of_an_icmp_error() -> None:
    sockaddr = ("::ffff:127.0.0.1", 9, 0, 0)
    waiting = {AiocoapPeer(Peer(sockaddr), INTERFACE): "request"}
    assert waiting.pop(UDP6EndpointAddress(sockaddr, INTERFACE)) == "request"


@pytest.mark.parametrize(
    ("host", "plain"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("2001:db8::1", "2001:db8::1")],
)
def test_address_is_written_as_people_write_it(host: str, plain: str) -> None:
    assert plain_host(host) == plain


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_loopback_is_both_loopback_addresses_and_the_port_of_both(host: str) -> None:
    endpoint = await CoapEndpoint.open(host, 0, Site())
    serve(endpoint)
    try:
        port = endpoint.local_address[1]
        assert await answers_ping("127.0.0.1", port, 2.0)
        assert await answers_ping("::1", port, 2.0)
        for other in ("127.0.0.1", "::1"):
            with pytest.raises(OperatorError, match="is in use"):
                await CoapEndpoint.open(other, port, Site())
    finally:
        await endpoint.close()


async def test_port_in_use_is_one_sentence_with_the_flag() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=f"UDP port {port} is in use.*--coap-port"):
            await CoapEndpoint.open("127.0.0.1", port, Site())


class SourceResource(Resource):  # type: ignore[misc]  # aiocoap has no types
    """Answers with the host of the client."""

    async def render_get(self, request: Message) -> Message:
        return Message(payload=request.remote.peer.address.host.encode())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_request_that_arrives_while_the_gateway_starts_is_answered(
    new_loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiocoap read it before the gateway did, answered 5.00, and then ignored its copies."""
    request = b"\x50\x01\x00\x01\xb4host"
    site = Site()
    site.add_resource(["host"], SourceResource())

    async def scenario(node: socket.socket) -> None:
        def bind_and_send(*args: Any, **named: Any) -> socket.socket:
            sock = udp_socket(*args, **named)
            node.connect(("127.0.0.1", sock.getsockname()[1]))
            node.send(request)
            return sock

        monkeypatch.setattr(endpoint_module, "udp_socket", bind_and_send)
        endpoint = await CoapEndpoint.open("127.0.0.1", 0, site)
        serve(endpoint)
        answer = CoapMessage.from_bytes(await endpoint.loop.sock_recv(node, 100))
        assert (answer.code, answer.payload) == (Code.CONTENT, b"127.0.0.1")
        await endpoint.close()

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        node.setblocking(False)
        runner.run(asyncio.wait_for(scenario(node), 5.0))


async def test_two_gateways_never_share_a_port() -> None:
    first = await CoapEndpoint.open("127.0.0.1", 0, Site())
    with pytest.raises(OperatorError, match="is in use"):
        await CoapEndpoint.open("127.0.0.1", first.local_address[1], Site())
    await first.close()


async def test_interface_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match="interface 'none0'"):
        await CoapEndpoint.open("127.0.0.1", 0, Site(), interface="none0")


async def test_endpoint_answers_a_ping_until_it_ends() -> None:
    endpoint = await CoapEndpoint.open("127.0.0.1", 0, Site())
    serve(endpoint)
    address = endpoint.local_address
    assert await answers_ping(*address, 2.0)
    await endpoint.close()
    assert not await answers_ping(*address, 0.2)


async def test_request_to_a_closed_port_fails_at_once_and_again() -> None:
    endpoint = await CoapEndpoint.open("127.0.0.1", 0, Site())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    peer = Peer(("::ffff:127.0.0.1", port, 0, 0))
    requests = requests_of(endpoint)
    loop = asyncio.get_running_loop()
    watch = Stopwatch()
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            await requests.get(peer, "/led", loop.time() + 5.0)
    assert watch.elapsed_s < 5.0  # less than one of them may take
    await endpoint.close()


async def fails(request: Awaitable[CoapMessage]) -> Exception:
    with pytest.raises(OSError, match="refused") as raised:
        await request
    error: Exception = raised.value
    return error


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_icmp_error_of_one_node_neither_deafens_the_gateway_nor_hits_another_node(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        endpoint = await CoapEndpoint.open("127.0.0.1", 0, Site())
        requests = requests_of(endpoint)
        deadline = asyncio.get_running_loop().time() + 5.0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            closed_port = nobody.getsockname()[1]
        async with coap_device(endpoint.local_address[1]) as device:
            device.has({"led": "0"})
            gone = Peer(("::ffff:127.0.0.1", closed_port, 0, 0))
            there = Peer((f"::ffff:{device.host}", 5683, 0, 0))
            for _ in range(3):
                async with asyncio.TaskGroup() as tasks:
                    failing = tasks.create_task(fails(requests.get(gone, "/led", deadline)))
                    answering = tasks.create_task(requests.get(there, "/led", deadline))
                assert not isinstance(failing.result(), TimeoutError)
                assert answering.result().payload == b"0"
        await endpoint.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 10.0))
