# SPDX-License-Identifier: BSD-3-Clause
"""Runs a simulated MQTT-SN node: moves its bytes and wakes it."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, cast

from pyaiot.devices.addresses import Address, addresses, bound_socket
from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig, SimulatedMqttSnNode

__all__ = ["MqttSnNodeConfig", "run_mqttsn_node"]

log = logging.getLogger(__name__)


async def run_mqttsn_node(
    config: MqttSnNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled; then it is gone without a word, as a real one.

    `opened` is called when its port is open. Raises `OperatorError` for a uid that cannot be, or
    when an address cannot be found or the port cannot be opened.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - weather, not secrets
    node = SimulatedMqttSnNode(config, rng=rng)
    gateway, local = await addresses(
        config.gateway_host, config.gateway_port, config.host, config.port
    )
    sock = bound_socket(local)
    try:
        transport, shell = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Shell(node, gateway), sock=sock
        )
    except BaseException:
        sock.close()
        raise
    try:
        opened()
        shell.boot()
        await shell.failed
    finally:
        shell.close()
        transport.abort()


class _Shell(asyncio.DatagramProtocol):
    """Moves bytes and keeps the one timer of a node."""

    transport: asyncio.DatagramTransport

    def __init__(self, node: SimulatedMqttSnNode, gateway: Address) -> None:
        self._node = node
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._unreachable = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Ends with the exception when the node has a mistake of ours in it."""

    def boot(self) -> None:
        now = self._loop.time()
        self._node.boot(now=now)
        self._transmit(now)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._timer is None or addr[:2] != self._gateway.sockaddr[:2]:
            return  # not booted yet, or a stranger
        self._unreachable = False
        now = self._loop.time()
        try:
            self._node.receive_datagram(data, now=now)
            self._transmit(now)
        except Exception as error:  # noqa: BLE001 - a callback has nobody above it to tell
            self._fail(error)

    def error_received(self, exc: Exception) -> None:
        """ICMP errors and the like: the gateway may come later."""
        if not self._unreachable:
            self._unreachable = True
            log.warning("node %s cannot reach its gateway: %s", self._node.uid, exc)

    def _wake(self, due: float) -> None:
        try:
            # The loop may call a hair too early; the node must not think that nothing is due.
            self._transmit(max(self._loop.time(), due))
        except Exception as error:  # noqa: BLE001 - a callback has nobody above it to tell
            self._fail(error)

    def _transmit(self, now: float) -> None:
        for data in self._node.datagrams_to_send(now=now):
            self.transport.sendto(data, self._gateway.sockaddr)
        if self._timer is not None:
            self._timer.cancel()
        due = max(now, self._node.next_wake)
        self._timer = self._loop.call_at(due, self._wake, due)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
