# SPDX-License-Identifier: BSD-3-Clause
"""The simulated node on real sockets, with third-party CoAP clients."""

import asyncio
import contextlib
import logging
import random
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiocoap
import pytest
import uvloop

from pyaiot.devices import coap_node_runner
from pyaiot.devices.addresses import SocketAddress, bind_socket, resolve_addresses
from pyaiot.devices.coap_node import SimulatedCoapNode
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_runner import run_coap_node
from pyaiot.errors import OperatorError
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType

COAP_CLIENT = shutil.which("coap-client-notls") or shutil.which("coap-client") or ""
needs_libcoap = pytest.mark.skipif(not COAP_CLIENT, reason="no coap-client: install libcoap3-bin")
BOARD_LINKS = "</board>,</led>,</mcu>,</name>,</os>,</vendor>,</version>"


class Gateway(asyncio.DatagramProtocol):
    """Records the posts of nodes and answers none."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[CoapMessage, Any]] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.put_nowait((CoapMessage.from_bytes(data), addr))

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    async def next_post(self) -> tuple[str, str, Any]:
        message, peer = await self.received.get()
        return "/".join(message.uri_path), message.payload.decode(), peer


@contextlib.asynccontextmanager
async def listening(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Gateway]:
    transport, gateway = await asyncio.get_running_loop().create_datagram_endpoint(
        Gateway, local_addr=(host, port)
    )
    try:
        yield gateway
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def running(**config: Any) -> AsyncIterator[asyncio.Task[None]]:
    node = asyncio.create_task(run_coap_node(CoapNodeConfig(**config), rng=random.Random(1)))
    try:
        yield node
    finally:
        node.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await node


@contextlib.asynccontextmanager
async def aiocoap_client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        yield context
    finally:
        await context.shutdown()


async def libcoap(*arguments: str) -> str:
    """What libcoap's client prints, including errors."""
    process = await asyncio.create_subprocess_exec(
        COAP_CLIENT,
        "-B",
        "10",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode().strip()


async def of(config: CoapNodeConfig) -> tuple[SocketAddress, SocketAddress]:
    return await resolve_addresses(
        config.gateway_host, config.gateway_port, config.host, config.port
    )


def free_udp_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.sockets
async def test_a_node_boots_and_answers_at_the_address_it_posts_from() -> None:
    async with (
        listening() as gateway,
        running(gateway_port=gateway.port, uid="A1", led=True),
        aiocoap_client() as client,
    ):
        path, text, peer = await gateway.next_post()
        assert (path, text) == ("alive", "reset:A1")
        assert await gateway.next_post() == ("alive", "alive:A1", peer)
        assert peer[0] == "127.0.0.1"  # a gateway on loopback: not open to the network
        uri = f"coap://127.0.0.1:{peer[1]}"

        request = aiocoap.Message(code=aiocoap.GET, uri=f"{uri}/.well-known/core")
        response = await client.request(request).response
        assert response.payload.decode() == BOARD_LINKS
        assert response.opt.content_format == 40

        request = aiocoap.Message(code=aiocoap.PUT, uri=f"{uri}/led", payload=b"1")
        response = await client.request(request).response
        assert (response.code, response.payload) == (aiocoap.CHANGED, b"led:1")
        assert await gateway.next_post() == ("server", "led:1", peer)


@pytest.mark.sockets
async def test_aiocoap_reads_every_resource_and_understands_every_refusal() -> None:
    everything = dict.fromkeys(("temperature", "imu", "position", "led", "robot", "js"), True)
    async with (
        listening() as gateway,
        running(gateway_port=gateway.port, period_s=3600.0, **everything),
        aiocoap_client() as client,
    ):
        _, _, peer = await gateway.next_post()

        async def request(code: aiocoap.Code, path: str, payload: bytes = b"") -> aiocoap.Message:
            uri = f"coap://127.0.0.1:{peer[1]}/{path}"
            message = aiocoap.Message(code=code, uri=uri, payload=payload)
            return await client.request(message).response

        links = (await request(aiocoap.GET, ".well-known/core")).payload.decode()
        for link in links.split(","):
            response = await request(aiocoap.GET, link.strip("</>"))
            assert (response.code, response.opt.content_format) == (aiocoap.CONTENT, 0)
        assert (await request(aiocoap.GET, "nothing")).code == aiocoap.NOT_FOUND
        assert (await request(aiocoap.POST, "led")).code == aiocoap.METHOD_NOT_ALLOWED
        assert (await request(aiocoap.PUT, "led", b"2")).code == aiocoap.BAD_REQUEST
        assert (await request(aiocoap.PUT, "robot", b"l")).code == aiocoap.CHANGED
        script = "let é = 1;\n".encode() * 5000
        assert (await request(aiocoap.PUT, "js", script)).code == aiocoap.CHANGED
        assert (await request(aiocoap.GET, "js")).payload == script
        assert (await request(aiocoap.PUT, "js", bytes(65537))).code == (
            aiocoap.REQUEST_ENTITY_TOO_LARGE
        )


@needs_libcoap
@pytest.mark.sockets
@pytest.mark.parametrize(("host", "in_uri"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_libcoap_talks_to_the_node(host: str, in_uri: str, tmp_path: Path) -> None:
    script = tmp_path / "script.js"
    script.write_text("".join(f"led({n % 2});\n" for n in range(700)))
    async with (
        listening(host) as gateway,
        running(gateway_host=host, gateway_port=gateway.port, led=True, js=True, version="7"),
    ):
        await gateway.next_post()
        _, _, peer = await gateway.next_post()
        assert peer[0] == host
        uri = f"coap://{in_uri}:{peer[1]}"
        links = BOARD_LINKS.replace("</led>", "</js>,</led>")
        assert await libcoap(f"{uri}/.well-known/core") == links
        assert await libcoap("-b", "16", f"{uri}/.well-known/core") == links
        assert await libcoap("-N", f"{uri}/version") == "7"
        assert await libcoap("-m", "put", "-e", "1", f"{uri}/led") == "led:1"
        assert await gateway.next_post() == ("server", "led:1", peer)
        assert await libcoap("-m", "put", "-e", "on", f"{uri}/led") == "4.00"
        assert await libcoap(f"{uri}/nothing") == "4.04"
        assert await libcoap("-m", "delete", f"{uri}/led") == "4.05"
        assert await libcoap("-O", "2001,x", f"{uri}/led") == "4.02"
        for size in ("64", "1024"):
            wrote = await libcoap("-b", size, "-m", "put", "-f", str(script), f"{uri}/js")
            assert wrote == ""
            assert await libcoap("-b", size, f"{uri}/js") == script.read_text().strip()


@pytest.mark.sockets
async def test_a_ping_is_answered_by_a_reset() -> None:
    async with (
        listening() as gateway,
        running(gateway_port=gateway.port),
        listening() as unknown_peer,
    ):
        _, _, peer = await gateway.next_post()
        unknown_peer.transport.sendto(b"\x40\x00\x12\x34", peer)
        message, _ = await unknown_peer.received.get()
        assert message == CoapMessage(MessageType.RST, Code.EMPTY, 0x1234)


@pytest.mark.sockets
async def test_with_a_separate_source_port_the_server_keeps_its_port() -> None:
    port = free_udp_port("127.0.0.2")
    config = {"host": "127.0.0.2", "port": port, "separate_source_port": True, "led": True}
    async with (
        listening() as gateway,
        running(gateway_port=gateway.port, **config),
        aiocoap_client() as client,
    ):
        _, _, peer = await gateway.next_post()
        assert peer[0] == "127.0.0.2"
        assert peer[1] != port
        await gateway.next_post()
        for served in (port, peer[1]):
            request = aiocoap.Message(
                code=aiocoap.PUT, uri=f"coap://127.0.0.2:{served}/led", payload=b"1"
            )
            assert (await client.request(request).response).code == aiocoap.CHANGED
            assert await gateway.next_post() == ("server", "led:1", peer)


@pytest.mark.sockets
async def test_a_confirmable_node_repeats_until_it_is_acknowledged() -> None:
    async with listening() as gateway, running(gateway_port=gateway.port, confirmable=True):
        first, peer = await gateway.received.get()
        second, _ = await gateway.received.get()
        acknowledgement = CoapMessage(MessageType.ACK, Code.CHANGED, first.message_id, first.token)
        gateway.transport.sendto(acknowledgement.to_bytes(), peer)
        repeated, _ = await gateway.received.get()
        assert repeated == second


@pytest.mark.sockets
async def test_a_late_gateway_is_reached_without_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_udp_port("127.0.0.1")
    with caplog.at_level(logging.WARNING):
        async with running(gateway_port=port, uid="B2", alive_period_s=0.1), listening() as other:
            # A second node boots later: by then the posts of the first are lost.
            async with running(gateway_port=other.port):
                await other.next_post()
            async with listening(port=port) as gateway:
                _, text, _ = await gateway.next_post()
                assert text == "alive:B2"
    assert caplog.records == []


@pytest.mark.sockets
async def test_an_unreachable_network_is_logged_once_when_lost_and_once_when_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_udp_port("127.0.0.1")
    # The system refuses to send to the broadcast address, each time.
    config = {"gateway_host": "255.255.255.255", "host": "127.0.0.1", "port": port}
    caplog.set_level(logging.INFO)
    async with (
        running(**config, temperature=True, period_s=0.01) as node,
        aiocoap_client() as client,
    ):
        request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{port}/os")
        assert (await client.request(request).response).payload == b"riot"
        assert not node.done()
    words = [r.getMessage() for r in caplog.records if r.name == coap_node_runner.__name__]
    assert ["cannot reach" in word for word in words][:2] == [False, True]
    assert "again" in words[2]
    assert len(words) <= 4  # it may be lost a second time


@pytest.mark.sockets
async def test_a_cancelled_node_ends_at_once_and_sends_nothing() -> None:
    port = free_udp_port("127.0.0.1")
    async with listening() as gateway:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await run_coap_node(CoapNodeConfig(gateway_port=gateway.port, port=port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as successor:
            successor.bind(("127.0.0.1", port))
        assert gateway.received.qsize() == 2


@pytest.mark.sockets
async def test_nodes_of_both_ip_versions_may_have_the_same_port() -> None:
    with bind_socket(SocketAddress(socket.AF_INET, ("0.0.0.0", 0))) as first:
        port = first.getsockname()[1]
        bind_socket(SocketAddress(socket.AF_INET6, ("::", port))).close()


@pytest.mark.sockets
async def test_a_datagram_before_the_node_has_booted_is_lost() -> None:
    node = SimulatedCoapNode(CoapNodeConfig(), rng=random.Random(1))
    runner = coap_node_runner._Runner(node, SocketAddress(socket.AF_INET, ("127.0.0.1", 9)))
    runner.receive_datagram(coap_node_runner._Socket(runner), b"\x40\x00\0\1", ("127.0.0.1", 9))
    assert not runner.failed.done()


@pytest.mark.sockets
async def test_a_port_in_use_is_one_clear_sentence() -> None:
    async with listening() as other:
        with pytest.raises(OperatorError) as error:
            await run_coap_node(CoapNodeConfig(port=other.port))
    sentence = f"UDP port {other.port} on 127.0.0.1 is in use. Choose another one with --port."
    assert str(error.value) == sentence


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"gateway_host": "a..b"}, "Cannot resolve host 'a..b': invalid name."),
        ({"host": "x" * 64}, "Cannot resolve host 'x+': invalid name."),
        ({"host": "127.0.0.1", "gateway_host": "::1"}, "Cannot resolve host '::1': .+"),
        ({"host": "192.0.2.77"}, "This machine has no address 192.0.2.77. .+ --host."),
    ],
)
async def test_an_invalid_address_is_one_clear_sentence(
    config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(OperatorError, match=f"^{sentence}$"):
        await run_coap_node(CoapNodeConfig(**config))


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("config", "gateway", "local"),
    [
        ({}, ("127.0.0.1", 5683), ("127.0.0.1", 0)),
        ({"gateway_host": "127.0.0.9"}, ("127.0.0.9", 5683), ("127.0.0.1", 0)),
        ({"gateway_host": "192.0.2.1"}, ("192.0.2.1", 5683), ("0.0.0.0", 0)),
        ({"gateway_host": "::1", "port": 7}, ("::1", 5683, 0, 0), ("::1", 7)),
        ({"gateway_host": "2001:db8::1"}, ("2001:db8::1", 5683, 0, 0), ("::", 0)),
        ({"gateway_host": "localhost"}, ("127.0.0.1", 5683), ("127.0.0.1", 0)),
        ({"host": "127.0.0.2"}, ("127.0.0.1", 5683), ("127.0.0.2", 0)),
    ],
)
async def test_a_node_listens_on_loopback_only_for_a_gateway_on_loopback(
    config: dict[str, Any], gateway: tuple[Any, ...], local: tuple[Any, ...]
) -> None:
    found = await of(CoapNodeConfig(**config))
    assert (found[0].sockaddr, found[1].sockaddr) == (gateway, local)


@pytest.mark.sockets
async def test_the_interface_of_a_link_local_address_is_kept() -> None:
    index, name = socket.if_nameindex()[0]
    config = CoapNodeConfig(gateway_host=f"fe80::1%{name}", host=f"fe80::2%{name}", port=9)
    gateway, local = await of(config)
    assert (gateway.sockaddr[1:], local.sockaddr[1:]) == ((5683, 0, index), (9, 0, index))


@pytest.mark.sockets
async def test_a_bug_ends_the_node_with_its_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(SimulatedCoapNode):
        def receive_datagram(self, data: bytes, peer: Any, *, now: float) -> None:  # noqa: ARG002
            raise ZeroDivisionError

    monkeypatch.setattr(coap_node_runner, "SimulatedCoapNode", Broken)
    async with listening() as gateway:
        node = asyncio.create_task(run_coap_node(CoapNodeConfig(gateway_port=gateway.port)))
        _, _, peer = await gateway.next_post()
        gateway.transport.sendto(b"x", peer)
        with pytest.raises(ZeroDivisionError):
            await node


@pytest.mark.sockets
async def test_many_nodes_run_in_one_process() -> None:
    async with listening() as gateway, asyncio.TaskGroup() as nodes:
        config = CoapNodeConfig(gateway_port=gateway.port, temperature=True)
        tasks = [nodes.create_task(run_coap_node(config)) for _ in range(60)]
        posts = [await gateway.next_post() for _ in range(120)]
        assert len({peer for _, _, peer in posts}) == 60
        assert len({text for _, text, _ in posts}) == 120
        for task in tasks:
            task.cancel()


def test_a_node_runs_on_uvloop_as_well() -> None:
    async def boot_read_and_vanish() -> None:
        port = free_udp_port("127.0.0.1")
        async with asyncio.timeout(20), listening() as gateway:
            async with running(gateway_port=gateway.port, port=port, uid="C3"):
                assert (await gateway.next_post())[1] == "reset:C3"
                _, text, peer = await gateway.next_post()
                assert text == "alive:C3"
                gateway.transport.sendto(b"\x40\x01\0\1\xb2os", peer)
                answer, _ = await gateway.received.get()
                assert answer.payload == b"riot"
            async with running(gateway_port=gateway.port, port=port):
                await gateway.next_post()
            refused = {"gateway_host": "255.255.255.255", "host": "127.0.0.1", "port": port}
            async with running(**refused) as node:
                reply: CoapMessage | None = None
                while reply is None or reply.payload != b"riot":  # or a post of the node before
                    gateway.transport.sendto(b"\x40\x01\0\1\xb2os", ("127.0.0.1", port))
                    with contextlib.suppress(TimeoutError):
                        reply, _ = await asyncio.wait_for(gateway.received.get(), 0.05)
                assert not node.done()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(boot_read_and_vanish())


@pytest.mark.parametrize(
    ("text", "uid", "problem"),
    [
        (None, "lamp", "cannot be read: No such file"),
        ("", "lamp", "must contain hexadecimal digits"),
        ("no key", "lamp", "must contain hexadecimal digits"),
        ("00ff", "", "set --uid"),
    ],
)
async def test_a_wrong_key_file_is_one_sentence(
    tmp_path: Path, text: str | None, uid: str, problem: str
) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(OperatorError, match=problem):
        await run_coap_node(CoapNodeConfig(uid=uid, psk_file=str(path)))
