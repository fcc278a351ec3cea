# SPDX-License-Identifier: BSD-3-Clause
"""Old gateways at our broker, and our gateways at an old broker: both kinds of authentication."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from pyaiot.broker.keys import Keys, TokenCheck, generate_keys, mint_token
from pyaiot.protocols.coap.numbers import Code
from pyaiot.web.websockets import FIRST_FRAME_LIMIT_S, UNAUTHENTICATED_PER_ADDRESS_MAX
from tests.attacks.raw import CLOSE, RawPeer, frame, raw_peer
from tests.attacks.running import Log, running_broker, running_gateway, running_system, until
from tests.coap_device import Reply, coap_device

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _quiet_old_broker(caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp, with which the old broker of these tests is made, logs the subprotocols that it does
    not know, and with them the token."""
    caplog.set_level("ERROR", "aiohttp.websocket")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level("DEBUG")
    return Log(caplog)


# -- an old gateway at our broker ---------------------------------------------------------------


@contextlib.asynccontextmanager
async def first_frame_gateway(
    url: str, token: str, *, host: str = "127.0.0.1"
) -> AsyncIterator[RawPeer]:
    """A gateway as of before April 2019: no subprotocol, its token is the first frame."""
    async with raw_peer(url) as peer:
        assert await peer.upgrade("/gw", host=host) == 101
        await peer.send(frame(token.encode()))
        yield peer


async def test_a_gateway_that_sends_its_token_as_the_first_frame_is_let_in() -> None:
    async with (
        running_system() as system,
        first_frame_gateway(system.url, system.token()) as gateway,
    ):
        await gateway.send_json({"type": "new", "uid": "OLD", "dst": "all"})
        await gateway.send_json({"type": "update", "uid": "alive"})
        await gateway.send_json(
            {"type": "update", "uid": "OLD", "endpoint": "temperature", "data": "1°C"}
        )
        await system.client.shows("OLD", temperature="1°C")
        await system.client.command("OLD", "led", "1")
        command = (await gateway.next()).json
        assert command["data"] == {"uid": "OLD", "endpoint": "led", "payload": "1"}
        await system.serves()


@pytest.mark.parametrize("host", ["broker.example.org:8000", "gateway", "[::1].example"])
async def test_a_gateway_may_call_the_broker_by_any_name(host: str) -> None:
    async with running_system() as system:
        offer = f"Sec-WebSocket-Protocol: token, {system.token()}"
        async with raw_peer(system.url) as peer:
            assert await peer.upgrade("/gw", offer, host=host) == 101
        async with raw_peer(system.url) as peer:
            assert await peer.upgrade("/ws", host=host) == 403
        async with raw_peer(system.url) as page:
            origin = "Origin: http://evil.example"
            assert await page.upgrade("/gw", origin, offer, host=host) == 403


async def test_a_first_frame_with_an_invalid_token_closes_and_is_logged(log: Log) -> None:
    async with running_system() as system:
        used = system.token()
        async with first_frame_gateway(system.url, used):
            await until(lambda: len(system.broker.router.gateways.states(0.0)) == 2)
        for token in (used, mint_token(generate_keys()), "", "x" * 5000, '{"type":"new"}'):
            async with first_frame_gateway(system.url, token) as peer:
                answer = await peer.next()
                assert answer.opcode == CLOSE
                assert answer.close[0] == 1008
        assert system.app.sockets.refused_gateways == 5
        await system.serves()
    assert any("its token was used before" in line for line in log.lines)
    assert log.tracebacks == []
    assert used not in log.everything


async def test_a_gateway_without_a_first_frame_is_closed_after_two_seconds() -> None:
    async with running_system() as system, raw_peer(system.url) as peer:
        assert await peer.upgrade("/gw") == 101
        begun = asyncio.get_running_loop().time()
        assert (await peer.next()).close[0] == 1008
        waited_s = asyncio.get_running_loop().time() - begun
        assert FIRST_FRAME_LIMIT_S - 0.5 < waited_s < FIRST_FRAME_LIMIT_S + 2.0
        await system.serves()


async def test_connections_without_a_token_have_a_quota() -> None:
    async with running_system() as system, contextlib.AsyncExitStack() as stack:
        statuses = []
        for _ in range(UNAUTHENTICATED_PER_ADDRESS_MAX + 3):
            peer = await stack.enter_async_context(raw_peer(system.url))
            statuses.append(await peer.upgrade("/gw"))
        assert statuses.count(101) == UNAUTHENTICATED_PER_ADDRESS_MAX
        assert statuses.count(503) == 3
        # Who has the token in the handshake is not among them.
        offer = f"Sec-WebSocket-Protocol: token, {system.token()}"
        async with raw_peer(system.url) as gateway:
            assert await gateway.upgrade("/gw", offer) == 101
        await asyncio.sleep(FIRST_FRAME_LIMIT_S + 0.3)
        async with first_frame_gateway(system.url, system.token()) as gateway:
            await gateway.send_json({"type": "new", "uid": "OLD"})
            await system.client.shows("OLD")


@pytest.mark.parametrize("form", ["handshake", "first frame"])
async def test_a_value_of_300_kb_is_refused_and_the_link_stays(form: str, log: Log) -> None:
    async with running_system() as system, contextlib.AsyncExitStack() as stack:
        if form == "handshake":
            gateway = await stack.enter_async_context(raw_peer(system.url))
            offer = f"Sec-WebSocket-Protocol: token, {system.token()}"
            assert await gateway.upgrade("/gw", offer) == 101
        else:
            gateway = await stack.enter_async_context(
                first_frame_gateway(system.url, system.token())
            )
        await gateway.send_json({"type": "update", "uid": "OLD", "endpoint": "a", "data": "1"})
        for value in ("x" * 300_000, "\u00b0" * 300_000, ["x" * 300_000]):
            await gateway.send_json(
                {"type": "update", "uid": "OLD", "endpoint": "big", "data": value}
            )
        await gateway.send_json({"type": "update", "uid": "OLD", "endpoint": "b", "data": "2"})
        await system.client.shows("OLD", a="1", b="2")
        assert "big" not in system.client.nodes["OLD"]
        assert system.app.sockets.refused_gateways == 3
    assert any("a value has at most" in line for line in log.lines)


async def test_what_the_old_broker_accepted_is_accepted() -> None:
    async with (
        running_system() as system,
        first_frame_gateway(system.url, system.token()) as gateway,
        raw_peer(system.url) as page,
    ):
        await gateway.send_json({"type": "new", "uid": 17, "dst": "all", "more": [1]})
        await gateway.send_json({"type": "new", "uid": 17})
        await gateway.send_json({"type": "update", "uid": 17, "endpoint": "a", "data": 1, "ts": 5})
        await gateway.send_json(
            {"type": "update", "uid": "NEVER NEW", "endpoint": "a", "data": True}
        )
        await system.client.shows("17", a=1)
        await system.client.shows("NEVER NEW", a=True)
        assert await page.upgrade("/ws") == 101
        await page.send_json({"type": "new"})
        await page.send_json({"type": "new", "data": "dashboard", "src": "x"})
        for payload in ("0", 1, 2.5, True):
            data = {"uid": 17, "endpoint": "x", "payload": payload, "more": None}
            await page.send_json({"type": "update", "data": data, "src": "forged"})
        command = [(await gateway.next()).json["data"] for _ in range(4)]
        assert [data["payload"] for data in command] == ["0", "1", "2.5", "true"]
        assert {data["uid"] for data in command} == {"17"}


# -- our gateway at an old broker ---------------------------------------------------------------


class OldBroker:
    """A broker that knows neither `pyaiot.v2` nor a third word in the handshake."""

    def __init__(self, keys: Keys, *, first_frame: bool, refuses_words: bool = False) -> None:
        self._keys = keys
        self._first_frame = first_frame
        self._refuses_words = refuses_words
        self.offers: list[list[str]] = []
        self.received: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["OldBroker"]:
        app = web.Application()
        app.router.add_get("/gw", self._gateway)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        try:
            yield self
        finally:
            for socket in self.sockets:
                await socket.close()
            await runner.cleanup()

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        offered = [
            word.strip()
            for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")
            if word.strip()
        ]
        self.offers.append(offered)
        check = TokenCheck(self._keys, time.time)
        if self._first_frame:
            if offered and self._refuses_words:
                raise web.HTTPBadRequest
        elif len(offered) != 2 or offered[0] != "token" or not check.accept(offered[1]):
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self._first_frame:
            frame = await socket.receive(timeout=2.0)
            if not isinstance(frame.data, str) or not check.accept(frame.data):
                await socket.close()
                return socket
        self.sockets.append(socket)
        async for message in socket:
            self.received.append(json.loads(message.data))
        return socket

    async def send(self, message: object) -> None:
        await self.sockets[-1].send_str(json.dumps(message))

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        await until(lambda: condition(self.received))


KINDS = {"handshake": [3, 2], "first frame": [3, 0], "first frame, no words": [3, 2, 0]}
"""Words that our gateway offers to an old broker of each kind."""


@pytest.mark.parametrize("kind", KINDS)
async def test_our_gateway_links_to_an_old_broker(kind: str, log: Log) -> None:
    keys = generate_keys()
    old = OldBroker(keys, first_frame=kind != "handshake", refuses_words=kind.endswith("no words"))
    async with (
        old.running() as broker,
        running_gateway(broker.url, lambda: mint_token(keys)) as gateway,
        coap_device(gateway.port) as node,
    ):
        node.has({"led": "0"})
        node.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await node.post("alive", "alive:U")
        new = {"type": "new", "uid": "U", "dst": "all"}
        value = {"type": "update", "uid": "U", "endpoint": "led", "data": "0", "dst": "all"}
        await broker.until(lambda received: value in received)
        assert broker.received[0] == new
        # Each frame is one that an old broker knows.
        assert {message["type"] for message in broker.received} <= {"new", "update", "reset", "out"}
        assert [len(words) for words in broker.offers] == KINDS[kind]
        # A client asks what is known; the answer is for it alone.
        await broker.send({"type": "new", "data": "client", "src": "C1"})
        await broker.until(lambda received: {**new, "dst": "C1"} in received)
        await broker.until(lambda received: {**value, "dst": "C1"} in received)
        # A client writes.
        write = {"uid": "U", "endpoint": "/led", "payload": 1}
        await broker.send({"type": "update", "data": write, "src": "C1"})
        await until(lambda: any(request.code == Code.PUT for request in node.requests))
        # Nonsense and a value beyond the limit cut nothing.
        await broker.send([])
        await broker.send({"type": "what"})
        await broker.send({"type": "update", "data": write, "src": 5})
        large = {**write, "payload": "y" * 300_000}
        await broker.send({"type": "update", "data": large, "src": "C1"})
        await node.post("server", "temperature:1°C")
        await broker.until(
            lambda received: any(message.get("data") == "1°C" for message in received)
        )
        assert len(broker.sockets) == 1
        await until(lambda: not list(gateway.coap.gateway._unconfirmed))
    assert log.tracebacks == []


async def test_our_gateway_comes_back_to_an_old_broker_and_announces_its_nodes() -> None:
    keys = generate_keys()
    async with (
        OldBroker(keys, first_frame=False).running() as broker,
        running_gateway(broker.url, lambda: mint_token(keys)) as gateway,
    ):
        gateway.coap.gateway.node_seen("U", {"protocol": "CoAP"})
        gateway.coap.gateway.reading("U", "led", "0")
        await broker.until(lambda received: len(received) >= 3)
        await broker.sockets[0].close()
        broker.received.clear()
        await broker.until(lambda received: len(received) >= 3)
        assert [message["type"] for message in broker.received] == ["new", "update", "update"]


async def test_broker_that_refuses_the_key_gets_one_request_per_attempt(log: Log) -> None:
    async with (
        running_broker(generate_keys()) as broker,
        running_gateway(broker.url, lambda: mint_token(generate_keys())),
    ):
        await until(lambda: broker.app.sockets.refused_gateways >= 4)
    refusals = [line for line in log.lines if "refused the gateway" in line]
    assert refusals
    assert all("not made with the key file" in line for line in refusals)


async def test_an_old_broker_that_refuses_the_key_is_one_log_line(log: Log) -> None:
    async with (
        OldBroker(generate_keys(), first_frame=False).running() as broker,
        running_gateway(broker.url, lambda: mint_token(generate_keys())),
    ):
        await until(lambda: len(broker.offers) >= 6)
    lines = [line for line in log.lines if "refused the key" in line]
    assert len(lines) == 1


async def test_gateway_sends_keep_alives_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyaiot.links.KEEP_ALIVE_S", 0.1)
    keys = generate_keys()
    async with (
        OldBroker(keys, first_frame=False).running() as broker,
        running_gateway(broker.url, lambda: mint_token(keys)),
    ):
        alive = {"type": "update", "uid": "alive"}
        await broker.until(lambda received: received.count(alive) >= 3)
