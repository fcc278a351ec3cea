# SPDX-License-Identifier: BSD-3-Clause
"""Runs a simulated MQTT-SN node: socket and timer for the state machine in `mqttsn_node`."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, cast

from pyaiot.devices.addresses import SocketAddress, bind_socket, resolve_addresses
from pyaiot.devices.mqttsn_node import SimulatedMqttSnNode
from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig

log = logging.getLogger(__name__)


async def run_mqttsn_node(
    config: MqttSnNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled. Like a board that loses power, it sends no farewell.

    `opened` is called when its port is open. Raises `OperatorError` for an invalid uid, or if an
    address cannot be resolved or the port cannot be opened.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - sensor values, not secrets
    node = SimulatedMqttSnNode(config, rng=rng)
    gateway, local = await resolve_addresses(
        config.gateway_host, config.gateway_port, config.host, config.port
    )
    sock = bind_socket(local)
    try:
        transport, runner = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Runner(node, gateway), sock=sock
        )
    except BaseException:
        sock.close()
        raise
    try:
        opened()
        runner.boot()
        await runner.failed
    finally:
        runner.close()
        transport.abort()


class _Runner(asyncio.DatagramProtocol):
    """The socket and the timer of one node."""

    transport: asyncio.DatagramTransport

    def __init__(self, node: SimulatedMqttSnNode, gateway: SocketAddress) -> None:
        self._node = node
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._unreachable = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Gets the exception if a callback raises: that is a bug of ours."""

    def boot(self) -> None:
        self._running = True
        self._node.boot(now=self._loop.time())
        self._transmit()

    def close(self) -> None:
        self._running = False
        if self._timer is not None:
            self._timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self._running or addr[:2] != self._gateway.sockaddr[:2]:
            return  # not running, or an unknown peer
        self._unreachable = False
        try:
            self._node.receive_datagram(data, now=self._loop.time())
            self._transmit()
        except Exception as error:  # noqa: BLE001 - a callback has no caller
            self._fail(error)

    def error_received(self, exc: Exception) -> None:
        """Log an ICMP error once: the gateway may be started later."""
        if not self._unreachable:
            self._unreachable = True
            log.warning("node %s cannot reach its gateway: %s", self._node.uid, exc)

    def _on_timer(self, due: float) -> None:
        try:
            # The loop may call slightly early; the node would then find nothing due.
            self._node.handle_timer(now=max(self._loop.time(), due))
            self._transmit()
        except Exception as error:  # noqa: BLE001 - a callback has no caller
            self._fail(error)

    def _transmit(self) -> None:
        for data in self._node.datagrams_to_send():
            self.transport.sendto(data, self._gateway.sockaddr)
        if self._timer is not None:
            self._timer.cancel()
        due = self._node.get_timer()
        self._timer = None
        if due is not None:
            due = max(self._loop.time(), due)
            self._timer = self._loop.call_at(due, self._on_timer, due)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
