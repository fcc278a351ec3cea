# SPDX-License-Identifier: BSD-3-Clause
"""Runs simulated CoAP nodes: sockets and timers for the state machine in `coap_node`.

One process can run hundreds of nodes.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pyaiot.devices.addresses import SocketAddress, bind_socket, resolve_addresses
from pyaiot.devices.coap_node import SimulatedCoapNode
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_server import RemoteAddress
from pyaiot.errors import OperatorError, reason_of

if TYPE_CHECKING:
    from pyaiot.devices.oscore_session import OscoreSession
    from pyaiot.transport.dtls.client import DtlsClient

log = logging.getLogger(__name__)


async def run_coap_node(
    config: CoapNodeConfig,
    *,
    rng: random.Random | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Run one node until cancelled. Like a board that loses power, it sends no farewell.

    `opened` is called when its port is open. Raises `OperatorError` if an address cannot be
    resolved, the port cannot be opened, or the key file cannot be read.
    """
    if rng is None:
        rng = random.Random()  # noqa: S311 - sensor values, not secrets
    gateway, local = await resolve_addresses(
        config.gateway_host, config.port_of_gateway, config.host, config.port
    )
    security = _security(config)
    runner = _Runner(SimulatedCoapNode(config, rng=rng), gateway, security)
    try:
        # A session has one port, in both directions.
        await runner.open(local, separate_source_port=config.separate_source_port and not security)
        opened()
        await runner.failed
    finally:
        await runner.close()


def _security(config: CoapNodeConfig) -> "DtlsClient | OscoreSession | None":
    """What protects the messages of the node; None: nothing. Raises `OperatorError`."""
    # Nodes without a key load neither OpenSSL nor cryptography.
    if config.psk_file and config.oscore_file:
        raise OperatorError("A node uses DTLS or OSCORE: set --psk-file or --oscore-file.")
    if config.psk_file:
        from pyaiot.transport.dtls.client import DtlsClient  # noqa: PLC0415
        from pyaiot.transport.dtls.psk_context import PskContext  # noqa: PLC0415

        return DtlsClient(PskContext.for_client(config.uid, _key_in(config.psk_file, config.uid)))
    if config.oscore_file:
        from pyaiot.devices.oscore_session import OscoreSession  # noqa: PLC0415

        key = _key_in(config.oscore_file, config.uid)
        path = Path(config.oscore_file).expanduser()
        return OscoreSession(config.uid, key, path.with_name(path.name + ".seq"))
    return None


def _key_in(file: str, uid: str) -> bytes:
    """The key in a file, which belongs to the uid of the node. Raises `OperatorError`."""
    if not uid:
        raise OperatorError("A node with a key needs the uid that the key belongs to: set --uid.")
    try:
        key = bytes.fromhex(Path(file).expanduser().read_text("ascii"))
    except OSError as error:
        raise OperatorError(f"The key file {file} cannot be read: {reason_of(error)}.") from error
    except ValueError:
        key = b""
    if not key:
        raise OperatorError(
            f"The key file {file} must contain hexadecimal digits, as aiot device add prints them."
        )
    return key


class _Runner:
    """The sockets and the timer of one node."""

    def __init__(
        self,
        node: SimulatedCoapNode,
        gateway: SocketAddress,
        security: "DtlsClient | OscoreSession | None" = None,
    ) -> None:
        """`security`: what protects the messages; None: nothing."""
        self._node = node
        self._gateway = gateway
        self._security = security
        self._loop = asyncio.get_running_loop()
        self._sockets: list[_Socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unreachable = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Gets the exception if a callback raises: that is a bug of ours."""

    async def open(self, local: SocketAddress, *, separate_source_port: bool) -> None:
        await self._open_socket(local)
        if separate_source_port:
            await self._open_socket(
                SocketAddress(local.family, (local.sockaddr[0], 0, *local.sockaddr[2:]))
            )
        host, port, *_ = self._sockets[0].transport.get_extra_info("sockname")
        log.info("node %s listens on %s port %d", self._node.uid, host, port)
        self._node.boot(now=self._loop.time())
        self._transmit(self._sockets[0])

    async def _open_socket(self, local: SocketAddress) -> None:
        opened = bind_socket(local)
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

    def receive_datagram(self, origin: "_Socket", data: bytes, peer: RemoteAddress) -> None:
        if self._timer is None:
            return  # not booted yet
        if self._unreachable:
            self._unreachable = False
            log.info("node %s is reachable again", self._node.uid)
        try:
            now = self._loop.time()
            for plaintext in self._plaintexts(data, now):
                self._node.receive_datagram(plaintext, peer, now=now)
            self._transmit(origin)
        except Exception as error:  # noqa: BLE001 - a callback has no caller
            self._fail(error)

    def _plaintexts(self, data: bytes, now: float) -> Sequence[bytes]:
        return (data,) if self._security is None else self._security.receive_datagram(data, now=now)

    def network_error(self, error: Exception) -> None:
        """Log an ICMP error once: the gateway may be started later."""
        if not self._unreachable:
            self._unreachable = True
            log.warning("node %s cannot reach its gateway: %s", self._node.uid, error)

    def _on_timer(self, due: float) -> None:
        try:
            # The loop may call slightly early; the node would then find nothing due.
            now = max(self._loop.time(), due)
            if self._security is not None:
                self._security.handle_timer(now=now)
            self._node.handle_timer(now=now)
            self._transmit(self._sockets[0])
        except Exception as error:  # noqa: BLE001 - a callback has no caller
            self._fail(error)

    def _transmit(self, origin: "_Socket") -> None:
        due = self._node.get_timer()
        for data, peer in self._node.datagrams_to_send():
            if self._security is not None:
                self._security.send(data, now=self._loop.time())
            elif peer is None:
                self._sockets[-1].send(data, self._gateway.sockaddr)
            else:
                origin.send(data, peer)
        if self._security is not None:
            for datagram in self._security.datagrams_to_send():
                self._sockets[0].send(datagram, self._gateway.sockaddr)
            timer = self._security.get_timer()
            due = due if timer is None else min(due, timer)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer, due)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


class _Socket(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner
        self._congested = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, data: bytes, peer: Any) -> None:
        if not self._congested:  # else the datagram is lost, as on any network
            self.transport.sendto(data, peer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._runner.receive_datagram(self, data, addr)

    def error_received(self, exc: Exception) -> None:
        self._runner.network_error(exc)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.closed.set_result(None)
