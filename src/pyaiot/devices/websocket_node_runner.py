# SPDX-License-Identifier: BSD-3-Clause
"""Runs simulated WebSocket nodes: connections for the state machine in `websocket_node`.

One process can run hundreds of nodes.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import aiohttp

from pyaiot.devices.websocket_node import SimulatedWebSocketNode
from pyaiot.devices.websocket_node_config import WebSocketNodeConfig
from pyaiot.errors import reason_of
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX
from pyaiot.transport.addresses import authority
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.resolver import open_http_session, reason_of_tls_failure

HEARTBEAT_S: Final = 30.0
"""Seconds between pings. The connection is lost if a ping is not answered within half of this."""
RETRY_FIRST_S: Final = 0.5
RETRY_LIMIT_S: Final = 30.0
"""The delay before reconnecting doubles from the first value up to this."""

log = logging.getLogger(__name__)


async def run_websocket_node(
    config: WebSocketNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled. It reconnects whenever its connection is lost.

    `opened` is called before the first attempt: a node may start before its gateway. Raises
    `OperatorError` if the CA file cannot be used.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - sensor values, not secrets
    node = SimulatedWebSocketNode(config, rng=rng)
    url = f"ws{'s' * config.tls}://{authority(config.gateway_host, config.gateway_port)}/node"
    loop = asyncio.get_running_loop()
    opened()
    backoff = Backoff(first_s=RETRY_FIRST_S, limit_s=RETRY_LIMIT_S, rng=rng)
    logged = ""
    async with open_http_session(config.ca_file) as session:
        while True:
            try:
                async with session.ws_connect(
                    url, heartbeat=HEARTBEAT_S, max_msg_size=2 * MESSAGE_SIZE_MAX
                ) as socket:
                    backoff.connected(now=loop.time())
                    problem = await _run_connection(node, socket, loop)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                problem = reason_of_tls_failure(error) or reason_of(error)
            now = loop.time()
            if backoff.is_steady(now=now):
                logged = ""
            # Each reason is logged once, not per attempt.
            if problem != logged:
                logged = problem
                log.warning("node %s is not connected: %s; retrying", node.uid, problem)
            await asyncio.sleep(backoff.failed(now=now))


async def _run_connection(
    node: SimulatedWebSocketNode,
    socket: aiohttp.ClientWebSocketResponse,
    loop: asyncio.AbstractEventLoop,
) -> str:
    """Serve one connection. Returns why it ended."""
    node.connection_made(now=loop.time())
    while True:
        for message in node.messages_to_send():
            await socket.send_str(message.decode())
        try:
            async with asyncio.timeout_at(node.get_timer()):
                frame = await socket.receive()
        except TimeoutError:
            node.handle_timer(now=loop.time())
            continue
        if frame.type is aiohttp.WSMsgType.TEXT:
            node.receive_message(frame.data.encode())
        else:
            reason = f": {frame.extra}" if frame.extra else ""
            return f"the gateway closed the connection with code {socket.close_code}{reason}"
