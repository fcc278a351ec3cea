# SPDX-License-Identifier: BSD-3-Clause
"""A virtual WebSocket node: the simulated one, with readings that are counted.

WebSocket acknowledges nothing. A reading counts as acknowledged when the gateway answered a ping
that was sent after it on the same connection: then it has read it.
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

from pyaiot.devices.websocket_node import SimulatedWebSocketNode, WebSocketNodeConfig
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX, Update, encode
from pyaiot.transport.backoff import Backoff

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
"""Between two attempts to connect, half of it at least."""
CONNECT_LIMIT_S: Final = 5.0
"""A gateway that does not shake hands within this is tried again."""
CLOSE_LIMIT_S: Final = 1.0
"""How long a gateway may take to say goodbye."""
PONG_LIMIT_S: Final = 5.0
"""A gateway that does not answer a ping for so long has lost the node, which connects anew."""


class VirtualWebSocketNode(VirtualNode):
    """Run `run` as a task."""

    def __init__(
        self, uid: str, series: Series, *, rng: random.Random, clock: Callable[[], float]
    ) -> None:
        super().__init__(uid, series)
        config = WebSocketNodeConfig(uid=uid, name=uid, led=True)
        self._node = SimulatedWebSocketNode(config, rng=rng)
        self._rng = rng
        self._clock = clock
        self._connected = False
        self._outbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._last_said = 0
        self._pinged = 0
        """The reading after which the ping went out that is not answered yet; 0: there is none."""
        self._pong_due: float | None = None
        """The loop's time at which its answer is due."""

    @property
    def is_connected(self) -> bool:
        return self._connected

    def _send(self, number: int, *, now: float) -> bool:  # noqa: ARG002
        self._outbox.append(encode(Update({RESOURCE: str(number)})))
        self._last_said = number
        self._wake.set()
        return True

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        """Connect, again and again, until cancelled."""
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
                    await self._speak(socket)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # Told by the number of connections, and by readings that are skipped.
                log.debug("node %s: %s", self.uid, str(error) or type(error).__name__)
            finally:
                self._connected = False
                # What was said on a connection that ended may have arrived, or not.
                for number in list(self.waiting):
                    self._give_up(number)
            await asyncio.sleep(backoff.failed(now=self._clock()))

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._outbox.clear()
        self._pinged, self._pong_due = 0, None
        self._node.connected(now=self._clock())
        self._wake.set()
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
                    self._node.receive(frame.data.encode())
                    self._wake.set()
                case aiohttp.WSMsgType.PING:
                    await socket.pong(frame.data)
                case aiohttp.WSMsgType.PONG:
                    self._ponged(bytes(frame.data))

    async def _write_frames(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout_at(self._pong_due):
                await self._wake.wait()
            self._wake.clear()
            for message in self._node.messages_to_send(now=self._clock()):
                await socket.send_str(message.decode())
            if not self._connected:
                self._connected = True
                self.series.account.connections += 1
            while self._outbox:
                await socket.send_str(self._outbox.popleft().decode())
            if self.waiting and not self._pinged:
                self._pinged = self._last_said
                self._pong_due = loop.time() + PONG_LIMIT_S
                await socket.ping(str(self._pinged).encode())

    def _ponged(self, data: bytes) -> None:
        if data != str(self._pinged).encode():
            return
        for number in [number for number in self.waiting if number <= self._pinged]:
            self._acknowledged(number)
        self._pinged, self._pong_due = 0, None
        # Also without a further reading: the deadline that is being waited for is off.
        self._wake.set()


class WebSocketFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a fleet that concern WebSocket."""

    ws: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak WebSocket; 0 leaves it out.")
    ] = 10
    ws_port: Annotated[Port, Meta(description="TCP port of the WebSocket gateway.")] = 8001


class WebSocketNodeFactory(NodeFactory):
    """Makes virtual WebSocket nodes."""

    def __init__(self, settings: WebSocketFleetSettings, run: FleetRun) -> None:
        self._settings = settings
        self._run = run
        host = f"[{run.gateway_host}]" if ":" in run.gateway_host else run.gateway_host
        self._url = f"ws://{host}:{settings.ws_port}/node"

    @property
    def place(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.ws_port, "ws"

    def add(self, uid: str, series: Series) -> VirtualNode:
        node = VirtualWebSocketNode(uid, series, rng=self._run.rng, clock=self._run.clock)
        self._run.start(node.run(self._run.session, self._url), uid)
        return node
