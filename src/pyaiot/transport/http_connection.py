# SPDX-License-Identifier: BSD-3-Clause
"""One TCP connection of an HTTP listener: its deadlines, and admission."""

import asyncio
import contextlib
import json
from http import HTTPStatus
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, Final, Protocol, cast

from aiohttp import hdrs, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server
from yarl import URL

from pyaiot.errors import Refused
from pyaiot.transport.connection_table import ConnectionTable, principal_of
from pyaiot.transport.forwarded import TrustedProxies, forwarded_host, forwarded_scheme
from pyaiot.transport.http_errors import problem_of
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.unread_responses import UNREAD_LIMIT_S, UnreadResponses
from pyaiot.transport.websocket import SEND_BUFFER_SIZE

HEADER_LIMIT_S: Final = 10.0
"""Time from the connection, or the first byte of a request, to the end of the header. Then 408, and
the connection is closed."""
BODY_LIMIT_S: Final = 30.0
"""Time from the header of a request to the end of its body. Then the connection is closed."""
PATH_SEGMENTS_MAX: Final = 128
"""Segments of the path of a request. One with more has no route: the router of aiohttp looks for
every prefix of a path, and would take half a second for 60,000 segments."""
IDLE_LIMIT_S: Final = 75.0
"""Time between a response and the next request. Then the connection is closed."""


_NO_ROUTE: Final = URL("/-")


class Admitted(Protocol):
    """What the table of a listener contains: a connection, or a TLS handshake."""

    address: str

    def evict(self) -> None:
        """Close the connection in favour of a new one."""
        ...


class HttpConnections:
    """The connections of one listener."""

    def __init__(
        self,
        server: Server,
        *,
        connections_max: int,
        log: ServerLog,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.proxies = proxies or TrustedProxies()
        self.table: ConnectionTable[Admitted] = ConnectionTable(connections_max)
        self.unread = UnreadResponses()
        self.log = log
        self._server = server
        self.new_request = server.request_factory

    def make(self, handshake: "Admitted | None" = None) -> "HttpConnection":
        """The protocol factory for asyncio. The connection takes the place of its `handshake`."""
        # aiohttp's server has no public way to choose the class of its connections.
        return HttpConnection(
            self, self._server, handshake, loop=self._server._loop, **self._server._kwargs
        )

    def principal(self, address: str) -> str:
        """The principal of a connection. That of a trusted proxy has no share, as loopback."""
        return "" if self.proxies.trusts(address) else principal_of(address)

    def abort_all(self) -> None:
        """Abort all connections and handshakes."""
        for connection in list(self.table):
            connection.evict()

    def evict(self, evicted: "Admitted") -> None:
        """Close a connection whose place another one got."""
        self.log.connection_refused(evicted.address, f"{self.table.total_max} connections are open")
        evicted.evict()


class HttpConnection(RequestHandler):
    """One connection. Errors are problem documents (RFC 9457) and end the connection."""

    def __init__(
        self,
        connections: HttpConnections,
        server: Server,
        handshake: Admitted | None,
        **settings: Any,
    ) -> None:
        # aiohttp would decompress a megabyte to a gigabyte while everybody waits.
        super().__init__(server, keepalive_timeout=IDLE_LIMIT_S, auto_decompress=False, **settings)
        self._connections = connections
        self._request_factory = self._new_request
        self._handshake = handshake
        self._principal = ""
        self.address = ""
        self._header_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._unread_before = 0
        self._wire: asyncio.Transport | None = None
        """The transport until the connection is lost; aiohttp drops its own reference earlier. Do
        not test its class: those of uvloop derive from none of asyncio."""

    # -- begin and end -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast("asyncio.Transport", transport)
        peer = wire.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._principal = self._connections.principal(self.address)
        if self._handshake is not None:
            self._connections.table.remove(self._handshake)
        try:
            evicted = self._connections.table.admit(self, self._principal)
        except Refused as error:
            self._connections.log.connection_refused(self.address, error)
            wire.write(_response(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again later"))
            wire.close()
            return
        if evicted is not None:
            self._connections.evict(evicted)
        self._wire = wire
        super().connection_made(transport)
        sock = wire.get_extra_info("socket")
        if sock is not None:
            # By default, Linux lets the buffer of a client that reads nothing grow to megabytes.
            with contextlib.suppress(OSError):  # the peer has disconnected already
                sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_SIZE)
        self._await_header()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.table.remove(self)
        self._connections.unread.remove(self)
        for timer in (self._header_timer, self._body_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._wire = None
        super().connection_lost(exc)

    def evict(self) -> None:
        """See `Admitted`."""
        self.force_close()
        self._abort()

    def _abort(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    # -- requests ----------------------------------------------------------------------------------

    def _new_request(self, message: RawRequestMessage, *arguments: Any) -> BaseRequest:
        """The request, with address, scheme and host of the client of a trusted proxy."""
        if message.path.count("/") > PATH_SEGMENTS_MAX:
            message = message._replace(url=_NO_ROUTE)
        request = self._connections.new_request(message, *arguments)
        proxies, headers = self._connections.proxies, request.headers
        if not proxies or not proxies.trusts(self.address):
            return request
        changed: dict[str, Any] = {
            "remote": proxies.client(self.address, headers.getall(hdrs.X_FORWARDED_FOR, ())),
            "scheme": forwarded_scheme(headers.getall(hdrs.X_FORWARDED_PROTO, ())),
            "host": forwarded_host(headers.getall(hdrs.X_FORWARDED_HOST, ())),
        }
        return request.clone(**{name: value for name, value in changed.items() if value})

    def data_received(self, data: bytes) -> None:
        if self._payload_parser is not None:  # a WebSocket
            super().data_received(data)
            return
        if self.transport is None:
            return
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._header_received()
        elif self._waiter is not None and self._header_timer is None:
            self._await_header()

    def _await_header(self) -> None:
        self._header_timer = self._loop.call_later(HEADER_LIMIT_S, self._header_timed_out)

    def _header_received(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        self._connections.table.busy(self)
        if not self._messages:
            return
        _, body = self._messages[-1]
        if not body.is_eof():
            if self._body_timer is not None:
                self._body_timer.cancel()
            self._body_timer = self._loop.call_later(BODY_LIMIT_S, self._body_timed_out)
            body.on_eof(self._body_timer.cancel)

    def _header_timed_out(self) -> None:
        self._header_timer = None
        if self.transport is None:
            return
        self._connections.log.connection_timed_out(self.address, "no request", HEADER_LIMIT_S)
        self.transport.write(
            _response(HTTPStatus.REQUEST_TIMEOUT, f"no request received in {HEADER_LIMIT_S:.0f} s")
        )
        self.force_close()

    def _body_timed_out(self) -> None:
        self._connections.log.connection_timed_out(self.address, "no complete body", BODY_LIMIT_S)
        self._abort()

    # -- responses ---------------------------------------------------------------------------------

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        result = await super().finish_response(request, self._admitted(resp), start_time)
        self._connections.unread.written(self)
        # Less than aiohttp waits for may be unread, and holds the connection as well.
        if self.unread() and self._payload_parser is None:
            self._watch_unread()
        if not self._messages:
            self._connections.table.idle(self)
        return result

    def unread(self) -> int:
        """Bytes that the client has not read."""
        return 0 if self._wire is None else self._wire.get_write_buffer_size()

    def _admitted(self, response: StreamResponse) -> StreamResponse:
        """The response, or 503 if clients have too many bytes to read already."""
        body = response.body if isinstance(response, web.Response) else None
        if not isinstance(body, bytes | bytearray) or response.prepared:
            return response
        now = self._loop.time()
        try:
            cut_off = self._connections.unread.admit(self, self._principal, len(body), now)
        except Refused as error:
            self._connections.log.response_refused(self.address, error)
            refusal = problem_of(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again later")
            refusal.headers["Retry-After"] = "1"
            return refusal
        for reader in cut_off:
            assert isinstance(reader, HttpConnection)  # noqa: S101 - nothing else was admitted
            reader._cut_off("other clients need the memory")
        return response

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._payload_parser is None:  # WebSockets have other limits
            self._watch_unread()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _watch_unread(self) -> None:
        if self._unread_timer is not None:
            return
        self._unread_before = self.unread()
        self._unread_timer = self._loop.call_later(UNREAD_LIMIT_S, self._check_unread)

    def _check_unread(self) -> None:
        self._unread_timer = None
        unread = self.unread()
        if not unread:
            return
        if unread >= self._unread_before:
            self._cut_off(f"the client read nothing in {UNREAD_LIMIT_S:.0f} s")
        else:
            self._watch_unread()

    def _cut_off(self, reason: str) -> None:
        self._connections.log.response_refused(self.address, reason)
        self._abort()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) and self._is_disconnected():
            raise exc  # the client has disconnected: not an error of the server
        # Logs the error, and raises if the response has begun.
        super().handle_error(request, status, exc, message)
        return problem_of(status, exc)

    def _is_disconnected(self) -> bool:
        return self.transport is None or self.transport.is_closing()


def _response(status: HTTPStatus, detail: str) -> bytes:
    """A complete response, for a connection that is not served."""
    problem = {"title": status.phrase, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    return (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 10\r\n\r\n"
    ).encode() + body
