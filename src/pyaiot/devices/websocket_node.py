# SPDX-License-Identifier: BSD-3-Clause
"""A simulated node that speaks WebSocket (PROTOCOLS 6): what it says, and the shell that runs it.

One process can run hundreds.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from typing import Annotated, Final

import aiohttp
from msgspec import Meta

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.schedule import Schedule
from pyaiot.errors import ProtocolError
from pyaiot.protocols.websocket_node import (
    MESSAGE_SIZE_MAX,
    Discover,
    Named,
    Problem,
    Update,
    Write,
    decode_to_node,
    encode,
)
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.resolver import open_http_session

HEARTBEAT_S: Final = 30.0
"""A gateway that does not answer a ping within half of this is gone."""
RETRY_FIRST_S: Final = 0.5
RETRY_LIMIT_S: Final = 30.0
"""Between two attempts to connect: twice as long each time, from the first up to this."""
_FIRMWARE: Final = {"os": "linux", "vendor": "Pyaiot"}

log = logging.getLogger(__name__)


class WebSocketNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """What a simulated WebSocket node is and has, and where its gateway is."""

    gateway_host: Annotated[str, Meta(min_length=1, description="Host of the gateway.")] = (
        "127.0.0.1"
    )
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the gateway.")] = (
        8001
    )
    nameless: Annotated[
        bool,
        Meta(
            description="Say no uid, as old nodes do: the gateway gives another one for each"
            " connection."
        ),
    ] = False


class SimulatedWebSocketNode:
    """The node without its socket. Pure. `now` is in seconds, on any clock that never goes back.

    Call `connected` for each connection. After each call, send what `messages_to_send` gives, and
    call it again at `next_wake`.
    """

    def __init__(self, config: WebSocketNodeConfig, *, rng: random.Random) -> None:
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        self._nameless = config.nameless
        self._sensors = Schedule(config, rng)
        self._actuators = {
            name: actuator for name, actuator in ACTUATORS.items() if getattr(config, name)
        }
        self.values = {
            "name": config.name,
            "version": config.version,
            "board": config.board,
            **_FIRMWARE,
            **self._sensors.read_all(),
            **{name: actuator.at_start for name, actuator in self._actuators.items()},
        }
        """The text of each resource, by its name."""
        self._outbox: list[bytes] = []

    def connected(self, *, now: float) -> None:
        self._outbox = [] if self._nameless else [encode(Named(self.uid))]
        self._sensors.start(now=now)

    @property
    def next_wake(self) -> float:
        """When `messages_to_send` has something to do again, if nothing is received before."""
        return self._sensors.next_due

    def messages_to_send(self, *, now: float) -> list[bytes]:
        texts = self._sensors.read_due(now=now)
        if texts:
            self._report(texts)
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive(self, data: bytes) -> None:
        """A message of the gateway. What it cannot understand or do, it says nothing to."""
        try:
            message = decode_to_node(data)
        except ProtocolError as error:
            log.debug("node %s hears nonsense: %s", self.uid, error)
            return
        match message:
            case Discover():
                self._report(self.values)
            case Write(resource=resource, payload=payload):
                self._write(resource, payload)
            case Problem(detail=detail):
                log.warning("node %s was refused: %s", self.uid, detail)

    def _write(self, resource: str, payload: str) -> None:
        actuator = self._actuators.get(resource)
        try:
            text = actuator.write(payload.encode()) if actuator else None
        except ValueError:
            text = None
        if text is not None:
            self._report({resource: text})

    def _report(self, texts: dict[str, str]) -> None:
        self.values.update(texts)
        self._outbox.append(encode(Update(dict(texts))))


async def run_websocket_node(
    config: WebSocketNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled. It connects again whenever it is not.

    `opened` is called before the first attempt: a node may be there before its gateway.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - weather, not secrets
    node = SimulatedWebSocketNode(config, rng=rng)
    host = f"[{config.gateway_host}]" if ":" in config.gateway_host else config.gateway_host
    url = f"ws://{host}:{config.gateway_port}/node"
    loop = asyncio.get_running_loop()
    opened()
    backoff = Backoff(first_s=RETRY_FIRST_S, limit_s=RETRY_LIMIT_S, rng=rng)
    reported = ""
    async with open_http_session() as session:
        while True:
            try:
                async with session.ws_connect(
                    url, heartbeat=HEARTBEAT_S, max_msg_size=2 * MESSAGE_SIZE_MAX
                ) as socket:
                    backoff.connected(now=loop.time())
                    problem = await _speak(node, socket, loop)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            now = loop.time()
            if backoff.is_steady(now=now):
                reported = ""
            # Said once for each reason, however often it is tried.
            if problem != reported:
                reported = problem
                log.warning("node %s has no gateway: %s; trying again", node.uid, problem)
            await asyncio.sleep(backoff.failed(now=now))


async def _speak(
    node: SimulatedWebSocketNode,
    socket: aiohttp.ClientWebSocketResponse,
    loop: asyncio.AbstractEventLoop,
) -> str:
    """Until the connection ends. Returns why it did."""
    node.connected(now=loop.time())
    while True:
        for message in node.messages_to_send(now=loop.time()):
            await socket.send_str(message.decode())
        try:
            wake = node.next_wake
            async with asyncio.timeout_at(wake if wake < math.inf else None):
                frame = await socket.receive()
        except TimeoutError:
            continue
        if frame.type is aiohttp.WSMsgType.TEXT:
            node.receive(frame.data.encode())
        else:
            return f"it closed with code {socket.close_code} {frame.extra or ''}".rstrip()
