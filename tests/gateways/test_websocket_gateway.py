# SPDX-License-Identifier: BSD-3-Clause
"""The WebSocket gateway on real sockets, with raw WebSocket clients as devices."""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pyaiot.broker.broker import Broker
from pyaiot.errors import OperatorError
from pyaiot.gateways.gateway import Gateway, GatewayLink
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.websocket import connections, gateway
from pyaiot.gateways.websocket.gateway import WebSocketGateway
from pyaiot.links import MemoryLink
from pyaiot.messages import NodeLeft, Reading
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX
from pyaiot.transport import websocket
from tests.attacks.raw import CLOSE, CONTINUATION, PING, frame, raw_peer
from tests.links import Watcher
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets

CONNECTIONS_MAX = 10


class Road:
    """A gateway on a free port, a broker, and a client that watches."""

    def __init__(self, served: WebSocketGateway, session: aiohttp.ClientSession) -> None:
        self.gateway = served
        self.session = session
        loop = asyncio.get_running_loop()
        self.broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=time.time)
        self.watcher = Watcher(self.broker)
        self.tasks = [loop.create_task(served.run(self._connect))]

    async def _connect(self) -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        serving = self.broker.serve_gateway(broker_end, acknowledges=True)
        self.tasks.append(asyncio.get_running_loop().create_task(serving))
        return gateway_end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}/"

    @contextlib.asynccontextmanager
    async def device(
        self, query: str = "", **details: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.session.ws_connect(f"{self.url}node{query}", **details) as device:
            yield device

    async def shows(self, uid: str, **values: object) -> None:
        nodes = self.watcher.nodes
        await self.watcher.until(lambda: uid in nodes and values.items() <= nodes[uid].items())

    async def misses(self, uid: str) -> NodeLeft:
        await self.watcher.until(lambda: uid not in self.watcher.nodes)
        return [item for item in self.watcher.received if isinstance(item, NodeLeft)][-1]


@contextlib.asynccontextmanager
async def road(**settings: Any) -> AsyncIterator[Road]:
    served = WebSocketGateway(
        Gateway(
            name="websocket",
            protocol="WebSocket",
            nodes=LiveNodes(silence_limit_s=None, nodes_max=CONNECTIONS_MAX),
            loop=asyncio.get_running_loop(),
            unix_time=time.time,
        ),
        connections_max=CONNECTIONS_MAX,
        **settings,
    )
    await served.open("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        it = Road(served, session)
        try:
            yield it
        finally:
            it.tasks[0].cancel()
            await asyncio.gather(*it.tasks, return_exceptions=True)


async def discovered(device: aiohttp.ClientWebSocketResponse) -> None:
    assert await device.receive_json() == {"request": "discover"}


async def update(device: aiohttp.ClientWebSocketResponse, **values: Any) -> None:
    await device.send_json({"type": "update", "data": values})


async def close_of(device: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """Code and reason with which the gateway closes. Messages before are ignored."""
    while True:
        frame = await device.receive()
        if frame.type is aiohttp.WSMsgType.CLOSE:
            return frame.data, frame.extra or ""
        assert frame.type is aiohttp.WSMsgType.TEXT, frame


async def test_node_is_online_and_commanded_while_it_is_connected() -> None:
    async with road() as it:
        async with it.device("?uid=lamp") as device:
            await discovered(device)
            await update(device, led="0", temperature="23.5°C")
            await it.shows("lamp", led="0", temperature="23.5°C", protocol="WebSocket")
            it.watcher.command("lamp", "1")
            assert await device.receive_json() == {"endpoint": "led", "payload": "1"}
            await update(device, led="1")
            assert (await it.watcher.receipt()).state == "confirmed"
        assert (await it.misses("lamp")).reason == "left"


async def test_values_of_all_forms_are_processed_in_their_order() -> None:
    def value(number: int) -> bytes:
        return b'{"type":"update","data":{"t":%d}}' % number

    async with road() as it, raw_peer(it.url) as peer:
        assert await peer.upgrade("/node?uid=w") == 101
        await peer.send(frame(value(0)))
        await it.shows("w", t=0)
        several = b'{"type":"update","data":{"t":4,"h":1}}'
        await peer.send(
            frame(value(1))
            + frame(value(2))
            + frame(b"", PING)
            + frame(value(3)[:9], fin=False)
            + frame(value(3)[9:], CONTINUATION)
            + frame(several)
            + frame(value(5) + b"\0")
            + frame(value(6))
        )
        await it.shows("w", t=6, h=1)
        await peer.send(frame(value(7)) + frame(value(8))[:20])
        await it.shows("w", t=7)
        await peer.send(frame(value(8))[20:] + frame(value(9)))
        await it.shows("w", t=9)
        shown = [
            item.data
            for item in it.watcher.received
            if isinstance(item, Reading) and item.resource == "t"
        ]
        assert shown == list(range(10))


async def test_value_after_an_invalid_message_is_not_processed() -> None:
    async with road() as it, raw_peer(it.url) as peer:
        assert await peer.upgrade("/node?uid=w") == 101
        await peer.send(frame(b'{"type":"update","data":{"t":0}}'))
        await it.shows("w", t=0)
        await peer.send(frame(b"no JSON") + frame(b'{"type":"update","data":{"t":1}}'))
        await it.misses("w")
        assert it.gateway.nodes.refused == 1
        readings = [item for item in it.watcher.received if isinstance(item, Reading)]
        assert [reading.data for reading in readings if reading.resource == "t"] == [0]


async def test_legacy_node_gets_a_uid_per_connection() -> None:
    async with road() as it:
        uids = []
        for _ in range(2):
            async with it.device() as device:
                await discovered(device)
                await update(device, t="1")
                await it.watcher.until(lambda: it.watcher.nodes)
                uids.append(next(iter(it.watcher.nodes)))
            await it.misses(uids[-1])
        assert len(set(uids)) == 2


async def test_uid_of_the_first_message_is_kept() -> None:
    async with road() as it:
        for number in ("1", "2"):
            async with it.device() as device:
                await device.send_json({"type": "new", "uid": "lamp"})
                await update(device, boot=number)
                await it.shows("lamp", boot=number)
            await it.misses("lamp")


async def test_binary_and_fragmented_messages_are_messages() -> None:
    async with road() as it, it.device("?uid=lamp") as device:
        await device.send_bytes(b'{"type":"update","data":{"a":"1"}}')
        transport: Any = device._conn.transport  # type: ignore[union-attr]
        # Two masked frames (RFC 6455 section 5.4): text without FIN, then the rest with FIN.
        for opcode, part in ((0x01, b'{"type":"update",'), (0x80, b'"data":{"b":"2"}}')):
            transport.write(bytes((opcode, 0x80 | len(part), 0, 0, 0, 0)) + part)
        await it.shows("lamp", a="1", b="2")


async def test_claim_of_an_online_uid_is_closed_with_1008() -> None:
    async with road() as it, it.device("?uid=lamp") as owner:
        await discovered(owner)
        await update(owner, led="1")
        await it.shows("lamp", led="1")
        reading = asyncio.ensure_future(owner.receive())  # answers pings
        async with it.device("?uid=lamp") as claimant:
            code, reason = await close_of(claimant)
        assert code == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert "already" in reason
        async with it.device() as claimant:
            await claimant.send_json({"type": "new", "uid": "lamp"})
            assert (await close_of(claimant))[0] == aiohttp.WSCloseCode.POLICY_VIOLATION
        await update(owner, led="0")
        await it.shows("lamp", led="0")
        reading.cancel()
        assert it.gateway.nodes.refused == 2


async def test_node_whose_old_connection_is_dead_is_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "CLAIM_LIMIT_S", 0.2)
    async with road() as it, it.device("?uid=lamp", autoping=False) as dead:
        await discovered(dead)
        await update(dead, led="1")
        await it.shows("lamp", led="1")
        async with it.device("?uid=lamp") as device:
            await discovered(device)
            await update(device, other="2")
            await it.shows("lamp", other="2")
            assert "led" not in it.watcher.nodes["lamp"]
            await dead.close()
            await update(device, other="3")
            await it.shows("lamp", other="3")


async def test_node_that_answers_no_ping_goes_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "HEARTBEAT_S", 0.2)
    async with road() as it, it.device("?uid=lamp", autoping=False):
        await it.shows("lamp")
        assert (await it.misses("lamp")).reason == "silent"


async def test_node_that_only_answers_pings_stays_online(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "HEARTBEAT_S", 0.1)
    async with (
        road() as it,
        it.device("?uid=lamp") as device,
        it.device("?uid=dead", autoping=False),
    ):
        await it.shows("lamp")
        await it.shows("dead")
        await discovered(device)
        reading = asyncio.ensure_future(device.receive())
        await it.misses("dead")
        assert "lamp" in it.watcher.nodes
        reading.cancel()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("hello", 1003),
        ('{"type":"update","data":1}', 1003),
        ('{"type":"update","data":{"":"1"}}', 1003),
        ('{"type":"update","data":{"a":' + "[" * 100 + "]" * 100 + "}}", 1003),
        ('{"type":"new","uid":"other"}', 1008),
        ('{"type":"update","data":{"a":"' + "x" * MESSAGE_SIZE_MAX + '"}}', 1009),
    ],
    ids=["no JSON", "no values", "no name", "deep", "second uid", "large"],
)
async def test_invalid_message_closes_only_its_connection(message: str, code: int) -> None:
    async with road() as it, it.device("?uid=good") as good, it.device("?uid=bad") as bad:
        await it.shows("good")
        await it.shows("bad")
        await bad.send_str(message)
        found, reason = await close_of(bad)
        assert found == code
        assert len(reason.encode()) <= 123
        await it.misses("bad")
        await update(good, t="1")
        await it.shows("good", t="1")
        assert it.gateway.nodes.refused == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b'{"type":"update","data":{"t":"1"}}', masked=False), 1002),
        (frame(b"", PING, masked=False), 1002),
        (frame(struct.pack("!H", 1006), CLOSE), 1002),
        (frame(struct.pack("!H", 5000), CLOSE), 1002),
        (frame(b'{"type":"update","data":{"t":"\xff"}}'), 1007),
        (frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * 2_000, 1008),
    ],
)
async def test_invalid_frame_closes_only_its_connection_and_is_counted(
    data: bytes, code: int
) -> None:
    async with road() as it, it.device("?uid=good"):
        await it.shows("good")
        async with raw_peer(it.url) as bad:
            assert await bad.upgrade("/node?uid=bad") == 101
            await bad.send(data)
            assert (await bad.closed())[0] == code
        await it.misses("bad")
        assert "good" in it.watcher.nodes
        assert it.gateway.nodes.refused == 1


async def test_other_version_of_websocket_is_answered_426() -> None:
    async with road() as it, raw_peer(it.url) as old:
        head = await old.request(
            "/node",
            *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 12"),
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        )
        assert b" 426 " in head.splitlines()[0]
        assert b"Sec-WebSocket-Version: 13" in head


async def test_largest_value_is_accepted() -> None:
    async with road() as it, it.device("?uid=n") as device:
        await update(device, js="x" * 65_536)
        await it.shows("n", js="x" * 65_536)


async def test_invalid_uid_is_closed_with_1003() -> None:
    async with road() as it:
        for query in ("?uid=", "?uid=alive", "?uid=" + "x" * 1000, "?uid=a%0Ab"):
            async with it.device(query) as device:
                code, _ = await close_of(device)
                assert code == aiohttp.WSCloseCode.UNSUPPORTED_DATA, query
        assert it.watcher.nodes == {}


async def test_refused_value_is_reported_to_the_node() -> None:
    async with road() as it, it.device("?uid=n") as device:
        await discovered(device)
        await update(device, id="forged", t="1")
        answer = await device.receive_json()
        assert answer["type"] == "error"
        assert "id" in answer["detail"]
        await it.shows("n", t="1")
        assert "id" not in it.watcher.nodes["n"]


async def test_flooding_node_is_rate_limited_and_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with road() as it, it.device("?uid=flood") as flood, it.device("?uid=good") as good:
        await it.shows("flood")
        await it.shows("good")
        for index in range(5000):
            await update(flood, t=str(index))
        watch = Stopwatch()
        await update(good, t="now")
        await it.shows("good", t="now")
        assert watch.elapsed_s < 5.0
        for _ in range(100):
            if it.gateway.nodes.refused >= 4000:
                break
            await asyncio.sleep(0.05)
        assert 4000 <= it.gateway.nodes.refused < 5000
        assert len(caplog.records) < 20


async def test_stalled_node_is_disconnected_and_holds_no_memory() -> None:
    async with road() as it, it.device("?uid=n") as device:
        await it.shows("n")
        transport: Any = device._conn.transport  # type: ignore[union-attr]
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport.pause_reading()
        states = []
        for number in range(200):
            it.watcher.command("n", "x" * 60_000, number=str(number), timeout_s=0.05)
            states.append((await it.watcher.receipt(str(number))).state)
            if states[-1] == "timeout":
                break
            (connection,) = it.gateway.nodes._by_uid.values()
            assert connection.socket.buffered() == 0
        # Half a command waited here at its deadline: the other half must not come later.
        assert states == ["sent"] * (len(states) - 1) + ["timeout"]
        while it.gateway.nodes._by_uid:  # noqa: ASYNC110 - a socket closes
            await asyncio.sleep(0.01)
        transport.abort()


async def test_connection_beyond_the_limit_is_answered_503() -> None:
    async with road() as it, contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            await stack.enter_async_context(it.device())
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await it.session.ws_connect(f"{it.url}node")
        assert caught.value.status == 503
        await stack.aclose()
        async with it.device("?uid=n"):
            await it.shows("n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Host": "rebound.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://page.example"}, 101),
        ({"Host": "iot.example"}, 101),
    ],
)
async def test_other_origins_and_host_names_are_refused(
    headers: dict[str, str], status: int
) -> None:
    allowed = {"allowed_hosts": ["iot.example"], "allowed_origins": ["https://page.example"]}
    async with road(**allowed) as it:
        if status == web.HTTPForbidden.status_code:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await it.session.ws_connect(f"{it.url}node", headers=headers)
            assert caught.value.status == status
            assert it.gateway.nodes.refused == 1
        else:
            async with it.device(headers=headers) as device:
                await discovered(device)


async def test_gateway_answers_itself_until_its_port_is_closed() -> None:
    async with road() as it:
        assert await it.gateway.answers()
        await it.gateway._server.close()
        assert not await it.gateway.answers()


async def test_shutdown_closes_nodes_and_does_not_wait_for_a_stalled_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "SHUTDOWN_LIMIT_S", 0.1)
    async with road() as it, it.device() as device, it.device(autoclose=False, autoping=False):
        await discovered(device)
        watch = Stopwatch()
        it.tasks[0].cancel()
        code, _ = await close_of(device)
        assert code == aiohttp.WSCloseCode.GOING_AWAY
        await asyncio.gather(it.tasks[0], return_exceptions=True)
        assert watch.elapsed_s < 5.0


async def test_host_has_a_share_of_the_connections() -> None:
    async with road(connections_per_host_max=2) as it, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(it.device())
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await stack.enter_async_context(it.device())
        assert caught.value.status == 503
        # Another address of this machine is another host.
        url = f"http://127.0.0.1:{it.gateway.port}/node"
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as other,
            other.ws_connect(url) as device,
        ):
            await discovered(device)
            await update(device, t="1")


async def test_silent_connection_is_evicted_when_the_table_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "UNPROVED_GRACE_S", 0.2)
    async with road() as it, contextlib.AsyncExitStack() as stack:
        busy = await stack.enter_async_context(it.device("?uid=busy"))
        await update(busy, t="1")
        await it.shows("busy", t="1")
        idle = [await stack.enter_async_context(it.device()) for _ in range(CONNECTIONS_MAX - 1)]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stack.enter_async_context(it.device("?uid=new"))
        await asyncio.sleep(0.3)
        new = await stack.enter_async_context(it.device("?uid=new"))
        await update(new, t="2")
        await it.shows("new", t="2")
        await discovered(idle[0])
        closed = await idle[0].receive()
        assert closed.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await update(busy, t="3")
        await it.shows("busy", t="3")


async def test_used_port_is_one_sentence_with_its_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        it = WebSocketGateway(
            Gateway(
                name="w",
                protocol="WebSocket",
                nodes=LiveNodes(silence_limit_s=None, nodes_max=1),
                loop=asyncio.get_running_loop(),
                unix_time=time.time,
            ),
            connections_max=1,
        )
        with pytest.raises(OperatorError, match=f"TCP port {port} is in use.*--ws-port"):
            await it.open("127.0.0.1", port)


async def test_invalid_http_is_counted_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with road() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.gateway.port)
        writer.write(b"\x00\x01 nonsense\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert it.gateway.nodes.refused == 1
    assert "Traceback" not in caplog.text
