# SPDX-License-Identifier: BSD-3-Clause
"""A virtual WebSocket node: a simulated node that sends counted readings.

The protocol has no acknowledgements. A reading counts as acknowledged when the gateway answers a
ping that was sent after it on the same connection: then the gateway has read it.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Annotated, Final

import aiohttp
import msgspec
from msgspec import Meta

from pyaiot.devices.websocket_node import SimulatedWebSocketNode
from pyaiot.devices.websocket_node_config import WebSocketNodeConfig
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import ReadingSeries
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX, Update, encode
from pyaiot.transport.addresses import authority
from pyaiot.transport.backoff import Backoff

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
"""Longest delay before reconnecting; the shortest is half of it."""
CONNECT_LIMIT_S: Final = 5.0
"""Time for the handshake. Then the attempt fails."""
CLOSE_LIMIT_S: Final = 1.0
"""Time for the closing handshake. Then the connection is dropped."""
PONG_LIMIT_S: Final = 5.0
"""Time for the answer to a ping. Then the node reconnects."""


class VirtualWebSocketNode(VirtualNode):
    """Run `run` as a task."""

    def __init__(
        self, uid: str, series: ReadingSeries, *, rng: random.Random, clock: Callable[[], float]
    ) -> None:
        super().__init__(uid, series)
        config = WebSocketNodeConfig(uid=uid, name=uid, led=True)
        self._node = SimulatedWebSocketNode(config, rng=rng)
        self._rng = rng
        self._clock = clock
        self._connected = False
        self._outbox: deque[bytes] = deque()
        self._has_work = asyncio.Event()
        self._last_sent = 0
        self._pinged = 0
        """The last reading before the unanswered ping; 0: no ping is unanswered."""
        self._pong_due: float | None = None
        """The loop time at which the answer is due."""

    @property
    def is_connected(self) -> bool:
        return self._connected

    def _send(self, number: int, *, now: float) -> bool:  # noqa: ARG002
        self._outbox.append(encode(Update({RESOURCE: str(number)})))
        self._last_sent = number
        self._has_work.set()
        return True

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(first_s=RETRY_S, limit_s=RETRY_S, rng=self._rng)
        while True:
            try:
                async with (
                    asyncio.timeout(CONNECT_LIMIT_S) as limit,
                    session.ws_connect(
                        url,
                        autoping=False,
                        max_msg_size=2 * MESSAGE_SIZE_MAX,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_LIMIT_S),
                    ) as socket,
                ):
                    limit.reschedule(None)
                    await self._serve(socket)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # The report shows reconnections and skipped readings.
                log.debug("node %s: %s", self.uid, str(error) or type(error).__name__)
            finally:
                self._connected = False
                # Whether readings of the lost connection arrived is unknown.
                for number in list(self.waiting):
                    self._give_up(number)
            await asyncio.sleep(backoff.failed(now=self._clock()))

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._outbox.clear()
        self._pinged, self._pong_due = 0, None
        self._node.connection_made(now=self._clock())
        self._has_work.set()
        parts = {
            asyncio.ensure_future(self._receive(socket)),
            asyncio.ensure_future(self._write_frames(socket)),
        }
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)
        for part in ended:
            await part

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            match frame.type:
                case aiohttp.WSMsgType.TEXT:
                    self._node.receive_message(frame.data.encode())
                    self._has_work.set()
                case aiohttp.WSMsgType.PING:
                    await socket.pong(frame.data)
                case aiohttp.WSMsgType.PONG:
                    self._handle_pong(bytes(frame.data))

    async def _write_frames(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout_at(self._pong_due):
                await self._has_work.wait()
            self._has_work.clear()
            for message in self._node.messages_to_send():
                await socket.send_str(message.decode())
            if not self._connected:
                self._connected = True
                self.series.tally.connections += 1
            while self._outbox:
                await socket.send_str(self._outbox.popleft().decode())
            if self.waiting and not self._pinged:
                self._pinged = self._last_sent
                self._pong_due = loop.time() + PONG_LIMIT_S
                await socket.ping(str(self._pinged).encode())

    def _handle_pong(self, data: bytes) -> None:
        if data != str(self._pinged).encode():
            return
        for number in [number for number in self.waiting if number <= self._pinged]:
            self._acknowledged(number)
        self._pinged, self._pong_due = 0, None
        # Wakes `_write_frames`, which waits with the old deadline.
        self._has_work.set()


class WebSocketFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a fleet for WebSocket."""

    ws: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Number of WebSocket nodes; 0: none.")
    ] = 10
    ws_port: Annotated[Port, Meta(description="TCP port of the WebSocket gateway.")] = 8001


class WebSocketNodeFactory(NodeFactory):
    """Creates virtual WebSocket nodes."""

    def __init__(self, settings: WebSocketFleetSettings, run: FleetRun) -> None:
        self._settings = settings
        self._run = run
        self._url = f"ws://{authority(run.gateway_host, settings.ws_port)}/node"

    @classmethod
    async def open(cls, settings: WebSocketFleetSettings, run: FleetRun) -> "WebSocketNodeFactory":
        return cls(settings, run)

    @property
    def target(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.ws_port, "ws"

    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        node = VirtualWebSocketNode(uid, series, rng=self._run.rng, clock=self._run.clock)
        self._run.start(node.run(self._run.session, self._url), uid)
        return node
