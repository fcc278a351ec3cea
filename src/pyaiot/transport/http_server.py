# SPDX-License-Identifier: BSD-3-Clause
"""An HTTP server on one TCP port, with limits on connections, memory and time."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.addresses import (
    ANY,
    LOOPBACK,
    authority,
    interface_addresses,
    listening_sockets,
    own_address,
)
from pyaiot.transport.connection_table import CONNECTIONS_MAX
from pyaiot.transport.descriptors import share_of_listener
from pyaiot.transport.forwarded import TrustedProxies
from pyaiot.transport.http_connection import HttpConnections
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.transport.tls import ServerTls
from pyaiot.transport.tls_listener import EXHAUSTED, TlsListener

BACKLOG: Final = 1024
"""Connections that wait in the kernel until the server accepts them."""
REQUEST_LINE_SIZE_MAX: Final = 64 * 1024
"""Bytes of the request line, where a character of a name may take twelve. Longer: 400."""
CLOSE_LIMIT_S: Final = 0.5
"""Time for requests in progress when the server closes. Then they are aborted."""

log = logging.getLogger(__name__)


class HttpServer:
    """A server that listens until `close`. Close WebSockets and streams before."""

    def __init__(
        self,
        runner: web.AppRunner,
        listeners: Sequence[asyncio.Server | TlsListener],
        names: Sequence[tuple[Any, ...]],
        connections_of_tls: HttpConnections | None,
    ) -> None:
        """`names`: the addresses of the sockets, as `getsockname` returns them.

        `connections_of_tls`: its connections if they use TLS.
        """
        self._runner = runner
        self._listeners = listeners
        self._connections_of_tls = connections_of_tls
        self._hosts: list[str] = [name[0] for name in names]
        self.port: int = names[0][1]

    @classmethod
    async def open(
        cls,
        app: web.Application,
        host: str,
        port: int,
        *,
        service: str,
        flag: str,
        server_log: ServerLog,
        connections_max: int = CONNECTIONS_MAX,
        tls: ServerTls | None = None,
        proxies: TrustedProxies | None = None,
        is_shared: bool = False,
        is_first: bool = True,
    ) -> "HttpServer":
        """Listen. Raises `OperatorError`, whose text names `service` and the `flag` of the port.

        `connections_max`: simultaneous connections, or the listener's share of descriptors if that
        is less. `is_shared`: see `listening_sockets`; `is_first`: no
        other process may listen there before.
        """
        _limit_log_of_exhaustion()
        app.middlewares.append(refuse_encoded_bodies)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=server_log,
            shutdown_timeout=CLOSE_LIMIT_S,
            max_line_size=REQUEST_LINE_SIZE_MAX,
        )
        await runner.setup()
        try:
            assert runner.server is not None  # noqa: S101 - the runner was set up
            connections = HttpConnections(
                runner.server,
                connections_max=share_of_listener(connections_max),
                log=server_log,
                proxies=proxies,
            )
            if is_shared and is_first:
                # Else a second service would get half of the connections of the first one.
                for probe in listening_sockets(host, port):
                    probe.close()
            sockets = listening_sockets(host, port, is_shared=is_shared)
            names = [bound.getsockname() for bound in sockets]
            listeners = await _listen(connections, sockets, tls)
            return cls(runner, listeners, names, connections if tls else None)
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise OperatorError(
                    f"TCP port {port} is in use. Stop the other server, or choose another port with"
                    f" {flag}."
                ) from error
            raise OperatorError(
                f"{service} cannot listen on {host} port {port}: {reason_of(error)}."
            ) from error
        except BaseException:
            await runner.cleanup()
            raise

    @property
    def url(self) -> str:
        """The root URL, as this machine can reach it."""
        if self._hosts[0] not in ANY:
            return self._url(self._hosts[0])
        # It listens on every address, so also on loopback.
        return self._url(LOOPBACK[0] if ANY[1] in self._hosts else LOOPBACK[1])

    @property
    def url_for_others(self) -> str:
        """The root URL, as other machines can reach it if they can."""
        if self._hosts[0] not in ANY:
            return self.url
        for address in filter(None, (own_address(), *interface_addresses())):
            if (ANY[0] if ":" in address else ANY[1]) in self._hosts:
                return self._url(address)
        return self.url

    def _url(self, host: str) -> str:
        scheme = "http" if self._connections_of_tls is None else "https"
        return f"{scheme}://{authority(host, self.port)}/"

    def stop_listening(self) -> None:
        """Accept no more connections. Open connections continue."""
        for listener in self._listeners:
            listener.close()

    async def close(self) -> None:
        """Stop, and abort requests that take longer than `CLOSE_LIMIT_S`."""
        self.stop_listening()
        await self._runner.cleanup()
        if self._connections_of_tls is not None:
            # TLS waits for the peer to end it, and a loop that closes meanwhile raises.
            self._connections_of_tls.abort_all()
            await asyncio.sleep(0)


async def _listen(
    connections: HttpConnections, sockets: Sequence[socket.socket], tls: ServerTls | None
) -> list[asyncio.Server | TlsListener]:
    """Listen on each bound socket with a backlog of `BACKLOG`. Raises `OSError`.

    asyncio also calls accept `backlog` times in a row. Without a free file descriptor each call
    fails and sets a timer that repeats all of them, so that their number grows. Therefore asyncio
    gets a backlog of 1, and the kernel the real one afterwards.
    """
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Server | TlsListener] = []
    try:
        for bound in sockets:
            if tls is not None:
                bound.listen(BACKLOG)
                listeners.append(TlsListener(bound, tls, connections))
                continue
            listeners.append(await loop.create_server(connections.make, sock=bound, backlog=1))
            with socket.socket(fileno=os.dup(bound.fileno())) as same:
                same.listen(BACKLOG)
    except BaseException:
        for listener in listeners:
            listener.close()
        for bound in sockets:
            bound.close()
        raise
    return listeners


@web.middleware
async def refuse_encoded_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 415 to a body with a content coding, which is not decoded (RFC 9110 section 15.5.16).

    It is the last of the middlewares, so that its answer is like that of every other error.
    """
    codings = request.headers.get(hdrs.CONTENT_ENCODING, "").lower().split(",")
    if not {coding.strip() for coding in codings} <= {"", "identity"}:
        raise web.HTTPUnsupportedMediaType(
            text="A body with Content-Encoding is not accepted: send it without compression.\n",
            headers={hdrs.ACCEPT_ENCODING: "identity"},
        )
    return await handler(request)


def _limit_log_of_exhaustion() -> None:
    """Log at a limited rate that no connection can be accepted, instead of a traceback each."""
    limited = RateLimitedLog(log)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        exhausted = isinstance(error, OSError) and error.errno in EXHAUSTED
        # The next attempt fails on a closed socket if the server has closed meanwhile.
        if exhausted or "_start_serving" in context["message"]:
            limited.warning("cannot accept a connection: %s", error, now=loop.time())
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)
