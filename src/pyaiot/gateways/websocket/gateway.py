# SPDX-License-Identifier: BSD-3-Clause
"""The WebSocket gateway: nodes connect to `/node` (legacy protocol, section 6)."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.errors import ProtocolError, Refused, TooFast
from pyaiot.gateways import metrics
from pyaiot.gateways.gateway import ConnectToBroker, Gateway
from pyaiot.gateways.live_nodes import NODES_PER_HOST_MAX
from pyaiot.gateways.websocket.connections import NodeConnection, NodeConnections
from pyaiot.gateways.websocket.tokens import SUBPROTOCOL, uid_of
from pyaiot.links import HEARTBEAT_S
from pyaiot.metrics import Sample
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX
from pyaiot.transport.connection_table import CONNECTIONS_MAX
from pyaiot.transport.forwarded import TrustedProxies
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.origin_check import check_origin
from pyaiot.transport.resolver import open_http_session
from pyaiot.transport.tls import ServerTls
from pyaiot.transport.websocket import NonBlockingWebSocket, TransportSink, close_all

NEW_NODES_PER_S: Final = 1000.0
"""New nodes, sustained, and ten times as many at once: more than connections can be opened. Above:
closed with 1013."""
UNPROVED_GRACE_S: Final = 10.0
"""If all places are taken, a connection that was silent for this long makes room."""
ROUND_TRIP_LIMIT_S: Final = 2.0
"""Time for the gateway to answer its own request. Then `/readyz` reports a problem."""
CONNECTIONS_SPARE: Final = 1000
"""Connections of the listener beyond the limit of nodes, so that further nodes and health checks
are answered."""

log = logging.getLogger(__name__)


class _NodeSocket(TransportSink):
    """The socket of a node."""

    def abort(self) -> None:
        self._transport.abort()


class WebSocketGateway:
    """One TCP port, and the nodes that are connected to it."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        connections_max: int,
        connections_per_host_max: int = NODES_PER_HOST_MAX,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
    ) -> None:
        self.gateway = gateway
        self._loop = asyncio.get_running_loop()
        self.nodes = NodeConnections(gateway, self._loop)
        self._connections_max = connections_max
        self._connections_per_host_max = connections_per_host_max
        self._count = 0
        self._on_host: Counter[str] = Counter()
        self._unproved: dict[_NodeSocket, float] = {}
        """Connections that sent nothing, and since when, oldest first."""
        self._open: set[NonBlockingWebSocket] = set()
        self._server: HttpServer
        self._server_log = ServerLog(self._not_http)
        self._app = web.Application(
            middlewares=[
                check_origin(
                    frozenset(allowed_hosts),
                    frozenset(allowed_origins),
                    self._foreign,
                    section="websocket",
                )
            ]
        )
        self._app.router.add_get("/node", self._node)
        self._app.router.add_get("/healthz", self._healthz)

    async def open(
        self,
        host: str,
        port: int,
        *,
        tls: ServerTls | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Listen. Raises `OperatorError` if the port cannot be opened."""
        self._server = await HttpServer.open(
            self._app,
            host,
            port,
            service="The WebSocket gateway",
            flag="--ws-port",
            server_log=self._server_log,
            connections_max=max(CONNECTIONS_MAX, self._connections_max + CONNECTIONS_SPARE),
            tls=tls,
            proxies=proxies,
        )

    def collect(self) -> Iterable[Sample]:
        """The metrics of the gateway."""
        return metrics.collect(
            self.gateway, refused=self.nodes.refused + self._server_log.refused_connections
        )

    @property
    def port(self) -> int:
        return self._server.port

    async def run(self, connect: ConnectToBroker) -> None:
        """Serve until cancelled."""
        try:
            await self.gateway.keep_linked(connect, self.nodes)
        finally:
            self._server.stop_listening()
            await close_all(list(self._open), "the gateway is shutting down")
            await self.gateway.end_commands()
            await self._server.close()

    async def answers(self) -> bool:
        """Whether the gateway answers a request to its own port."""
        timeout = aiohttp.ClientTimeout(total=ROUND_TRIP_LIMIT_S)
        try:
            async with (
                open_http_session(timeout=timeout) as session,
                # The certificate is not valid for loopback, but the gateway queries itself.
                session.get(f"{self._server.url}healthz", ssl=False) as answer,
            ):
                return answer.status == web.HTTPOk.status_code
        except (aiohttp.ClientError, TimeoutError):
            return False

    # -- requests ----------------------------------------------------------------------------------

    def _foreign(self, request: web.Request) -> None:
        origin = request.headers.get(hdrs.ORIGIN, "missing")
        host = request.headers.get(hdrs.HOST, "missing")
        self.nodes.refuse(request.remote, f"Host {host}, Origin {origin}")

    def _not_http(self, error: HttpProcessingError) -> None:
        self.nodes.refuse("without HTTP", type(error).__name__)

    async def _healthz(self, _request: web.Request) -> web.Response:
        """`GET /healthz`: the event loop is running."""
        return web.json_response({"status": "ok", "version": __version__})

    async def _node(self, request: web.Request) -> web.StreamResponse:
        """`GET /node`."""
        host = request.remote or ""
        try:
            proved = self._proved_uid(request)
        except Refused as error:
            self.nodes.refuse(host, error)
            raise web.HTTPUnauthorized(
                text=f"{error}\n", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
            ) from error
        problem = self._no_room_for(host, is_proved=bool(proved))
        if problem:
            self.nodes.refuse(host, problem)
            raise web.HTTPServiceUnavailable(text=f"{problem}\n")
        self._count += 1
        self._on_host[host] += 1
        try:
            socket = NonBlockingWebSocket(
                SUBPROTOCOL, heartbeat_s=HEARTBEAT_S, size_max=MESSAGE_SIZE_MAX, shows_pings=True
            )
            await socket.prepare(request)
            transport = socket.transport
            if transport is not None and not transport.is_closing():
                self._open.add(socket)
                try:
                    node_socket = _NodeSocket(transport, self._loop)
                    await self._serve(socket, node_socket, request, proved)
                finally:
                    self._open.discard(socket)
            return socket
        finally:
            self._count -= 1
            self._on_host[host] -= 1
            if not self._on_host[host]:
                del self._on_host[host]

    def _proved_uid(self, request: web.Request) -> str:
        """The uid that the token of a request proves; empty if it has none. Raises `Refused`."""
        try:
            return uid_of(request.headers, self.gateway.devices)
        except Refused:
            # It may just have been added.
            self.gateway.device_watch.refresh()
            return uid_of(request.headers, self.gateway.devices)

    def _no_room_for(self, host: str, *, is_proved: bool) -> str:
        """Why a host may not open one more connection; empty if it may. `is_proved`: the connection
        belongs to a device with a token, which has priority."""
        if self._on_host[host] >= self._connections_per_host_max and not is_proved:
            return f"{self._connections_per_host_max} nodes of this host are connected already"
        if self._count < self._connections_max:
            return ""
        oldest = next(iter(self._unproved), None)
        grace_s = 0.0 if is_proved else UNPROVED_GRACE_S
        if oldest is None or self._loop.time() - self._unproved[oldest] < grace_s:
            return f"{self._connections_max} nodes are connected already"
        del self._unproved[oldest]
        oldest.abort()
        return ""

    async def _serve(
        self,
        socket: NonBlockingWebSocket,
        node_socket: _NodeSocket,
        request: web.Request,
        proved: str,
    ) -> None:
        """`proved`: the uid that the token of the node proves; empty if it has none."""
        connection: NodeConnection | None = None
        if not proved:
            self._unproved[node_socket] = self._loop.time()
        try:
            uid = request.query.get("uid")
            if proved and uid not in (None, proved):
                raise Refused("the token belongs to another uid")
            connection = await self.nodes.opened(node_socket, proved or uid, secured=bool(proved))
            await self._receive(socket, connection, node_socket)
        except ProtocolError as error:
            self.nodes.refuse(request.remote, error)
            await socket.close_with(aiohttp.WSCloseCode.UNSUPPORTED_DATA, str(error))
        except TooFast as error:
            self.nodes.refuse(request.remote, error)
            await socket.close_with(aiohttp.WSCloseCode.TRY_AGAIN_LATER, str(error))
        except Refused as error:
            self.nodes.refuse(request.remote, error)
            await socket.close_with(aiohttp.WSCloseCode.POLICY_VIOLATION, str(error))
        finally:
            self._unproved.pop(node_socket, None)
            silent = isinstance(socket.exception(), TimeoutError)
            if silent:
                # No pong arrived. Unsent bytes must not keep the socket open.
                node_socket.abort()
            if connection is not None:
                self.nodes.closed(connection, "silent" if silent else "left")

    async def _receive(
        self, socket: NonBlockingWebSocket, connection: NodeConnection, node_socket: _NodeSocket
    ) -> None:
        is_first = True
        async for frame in socket:
            match frame.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    await self.nodes.receive_message(connection, frame.data)
                    if is_first:
                        is_first = False
                        self._unproved.pop(node_socket, None)
                        socket.take_simple(partial(self.nodes.receive_values, connection))
                case aiohttp.WSMsgType.PING | aiohttp.WSMsgType.PONG:
                    self.nodes.alive(connection)
                case aiohttp.WSMsgType.ERROR if isinstance(frame.data, aiohttp.WebSocketError):
                    # aiohttp has closed the connection with the appropriate code.
                    self.nodes.refuse(connection.uid, frame.data)
