# SPDX-License-Identifier: BSD-3-Clause
"""The WebSocket gateway: nodes connect to `/node` (legacy protocol, section 6)."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways import metrics
from pyaiot.gateways.gateway import Connect, Gateway
from pyaiot.gateways.websocket.connections import NodeConnection, NodeConnections
from pyaiot.links import HEARTBEAT_S
from pyaiot.metrics import Sample
from pyaiot.protocols.websocket_node import MESSAGE_SIZE_MAX
from pyaiot.transport.connection_table import CONNECTIONS_MAX
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.origin_check import check_origin
from pyaiot.transport.websocket import NonBlockingWebSocket, TransportSink, close_all

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
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
    ) -> None:
        self.gateway = gateway
        self._loop = asyncio.get_running_loop()
        self.nodes = NodeConnections(gateway, self._loop)
        self._connections_max = connections_max
        self._count = 0
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

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises `OperatorError` if the port cannot be opened."""
        self._server = await HttpServer.open(
            self._app,
            host,
            port,
            who="The WebSocket gateway",
            flag="--ws-port",
            server_log=self._server_log,
            connections_max=max(CONNECTIONS_MAX, self._connections_max + CONNECTIONS_SPARE),
        )

    def collect(self) -> Iterable[Sample]:
        """The metrics of the gateway."""
        return metrics.measure(
            self.gateway, refused=self.nodes.refused + self._server_log.refused_connections
        )

    @property
    def port(self) -> int:
        return self._server.port

    async def run(self, connect: Connect) -> None:
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
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self._server.url}healthz") as answer,
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
        if self._count >= self._connections_max:
            problem = f"{self._connections_max} nodes are connected already"
            self.nodes.refuse(request.remote, problem)
            raise web.HTTPServiceUnavailable(text=f"{problem}\n")
        self._count += 1
        try:
            socket = NonBlockingWebSocket(
                heartbeat_s=HEARTBEAT_S, size_max=MESSAGE_SIZE_MAX, shows_pings=True
            )
            await socket.prepare(request)
            transport = socket.transport
            if transport is not None and not transport.is_closing():
                self._open.add(socket)
                try:
                    await self._serve(socket, _NodeSocket(transport, self._loop), request)
                finally:
                    self._open.discard(socket)
            return socket
        finally:
            self._count -= 1

    async def _serve(
        self, socket: NonBlockingWebSocket, node_socket: _NodeSocket, request: web.Request
    ) -> None:
        connection: NodeConnection | None = None
        try:
            connection = await self.nodes.opened(node_socket, request.query.get("uid"))
            await self._receive(socket, connection)
        except ProtocolError as error:
            self.nodes.refuse(request.remote, error)
            await socket.close_with(aiohttp.WSCloseCode.UNSUPPORTED_DATA, str(error))
        except Refused as error:
            self.nodes.refuse(request.remote, error)
            await socket.close_with(aiohttp.WSCloseCode.POLICY_VIOLATION, str(error))
        finally:
            silent = isinstance(socket.exception(), TimeoutError)
            if silent:
                # No pong came. Unsent bytes must not keep the socket open.
                node_socket.abort()
            if connection is not None:
                self.nodes.closed(connection, "silent" if silent else "left")

    async def _receive(self, socket: NonBlockingWebSocket, connection: NodeConnection) -> None:
        async for frame in socket:
            match frame.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    await self.nodes.receive_message(connection, frame.data)
                case aiohttp.WSMsgType.PING | aiohttp.WSMsgType.PONG:
                    self.nodes.alive(connection)
                case aiohttp.WSMsgType.ERROR if isinstance(frame.data, aiohttp.WebSocketError):
                    # aiohttp has closed the connection with the right code.
                    self.nodes.refuse(connection.uid, frame.data)
