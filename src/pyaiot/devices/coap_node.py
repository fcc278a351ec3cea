# SPDX-License-Identifier: BSD-3-Clause
"""Runs a simulated CoAP node: moves its bytes and wakes it. One process can run hundreds."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, cast

from pyaiot.devices.addresses import Address, addresses, bound_socket
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_server import Peer
from pyaiot.devices.simulated_coap_node import SimulatedCoapNode

__all__ = ["CoapNodeConfig", "run_coap_node"]

log = logging.getLogger(__name__)


async def run_coap_node(
    config: CoapNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled; then it is gone without a word, as a real one.

    `opened` is called when its port is open. Raises `OperatorError` when an address cannot be
    found or the port cannot be opened.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - weather, not secrets
    gateway, local = await addresses(
        config.gateway_host, config.gateway_port, config.host, config.port
    )
    shell = _Shell(SimulatedCoapNode(config, rng=rng), gateway)
    try:
        await shell.open(local, separate_source_port=config.separate_source_port)
        opened()
        await shell.failed
    finally:
        await shell.close()


class _Shell:
    """Moves bytes and keeps the one timer of a node."""

    def __init__(self, node: SimulatedCoapNode, gateway: Address) -> None:
        self._node = node
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._sockets: list[_Socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unreachable = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Ends with the exception when the node has a mistake of ours in it."""

    async def open(self, local: Address, *, separate_source_port: bool) -> None:
        await self._open_socket(local)
        if separate_source_port:
            await self._open_socket(
                Address(local.family, (local.sockaddr[0], 0, *local.sockaddr[2:]))
            )
        host, port, *_ = self._sockets[0].transport.get_extra_info("sockname")
        log.info("node %s listens on %s port %d", self._node.uid, host, port)
        self._node.boot(now=self._loop.time())
        self._transmit(self._sockets[0], self._loop.time())

    async def _open_socket(self, local: Address) -> None:
        opened = bound_socket(local)
        try:
            _, protocol = await self._loop.create_datagram_endpoint(
                lambda: _Socket(self), sock=opened
            )
        except BaseException:
            opened.close()
            raise
        self._sockets.append(protocol)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opened in self._sockets:
            opened.transport.abort()
        for opened in self._sockets:
            await opened.closed

    def received(self, origin: "_Socket", data: bytes, peer: Peer) -> None:
        if self._timer is None:
            return  # not booted yet: nobody is at home
        if self._unreachable:
            self._unreachable = False
            log.info("node %s hears from the network again", self._node.uid)
        now = self._loop.time()
        try:
            self._node.receive_datagram(data, peer, now=now)
            self._transmit(origin, now)
        except Exception as error:  # noqa: BLE001 - a callback has nobody above it to tell
            self._fail(error)

    def network_error(self, error: Exception) -> None:
        """ICMP errors and the like: the gateway may come later."""
        if not self._unreachable:
            self._unreachable = True
            log.warning("node %s cannot reach its gateway: %s", self._node.uid, error)

    def _wake(self, due: float) -> None:
        try:
            # The loop may call a hair too early; the node must not think that nothing is due.
            self._transmit(self._sockets[0], max(self._loop.time(), due))
        except Exception as error:  # noqa: BLE001 - a callback has nobody above it to tell
            self._fail(error)

    def _transmit(self, origin: "_Socket", now: float) -> None:
        for data, peer in self._node.datagrams_to_send(now=now):
            if peer is None:
                self._sockets[-1].send(data, self._gateway.sockaddr)
            else:
                origin.send(data, peer)
        if self._timer is not None:
            self._timer.cancel()
        due = self._node.next_wake
        self._timer = self._loop.call_at(due, self._wake, due)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


class _Socket(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, shell: _Shell) -> None:
        self._shell = shell
        self._congested = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, data: bytes, peer: Any) -> None:
        if not self._congested:  # else it is lost, as on any network
            self.transport.sendto(data, peer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._shell.received(self, data, addr)

    def error_received(self, exc: Exception) -> None:
        self._shell.network_error(exc)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.closed.set_result(None)
