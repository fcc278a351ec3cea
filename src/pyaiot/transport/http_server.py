# SPDX-License-Identifier: BSD-3-Clause
"""An HTTP server on one TCP port: opened with one sentence or not at all, closed in time."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import (
    ANY,
    LOOPBACK,
    interface_addresses,
    listening_sockets,
    own_address,
)
from pyaiot.transport.connection_table import CONNECTIONS_MAX
from pyaiot.transport.descriptors import share_of_listener
from pyaiot.transport.http_connection import Connection, Connections
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.rate_limit import RateLimitedLog

BACKLOG: Final = 1024
"""Connections that the system holds until the server takes them."""
REQUEST_LINE_SIZE_MAX: Final = 64 * 1024
"""The first line of a request, where names in any script take twelve bytes a letter. Longer: 400.
"""
CLOSE_LIMIT_S: Final = 0.5
"""How long requests in flight may take when the server ends."""
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = logging.getLogger(__name__)


class HttpServer:
    """A server that listens. `close` it, after telling whoever is connected."""

    def __init__(self, runner: web.AppRunner, servers: Sequence[asyncio.Server]) -> None:
        self._runner = runner
        self._servers = servers
        names = [one.getsockname() for server in servers for one in server.sockets]
        self._hosts: list[str] = [name[0] for name in names]
        self.port: int = names[0][1]

    @classmethod
    async def open(
        cls,
        app: web.Application,
        host: str,
        port: int,
        *,
        who: str,
        flag: str,
        server_log: ServerLog,
        connections_max: int = CONNECTIONS_MAX,
    ) -> "HttpServer":
        """Listen. Raises `OperatorError`, in the words of `who` listens and `flag` of the port.

        `connections_max`: TCP connections at once, or a share of the descriptors if that is less.
        """
        _tell_seldom_of_exhaustion()
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
            connections = Connections(
                runner.server, connections_max=share_of_listener(connections_max), log=server_log
            )
            return cls(runner, await _listen(connections.make, host, port))
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise OperatorError(
                    f"TCP port {port} is taken: end the other server, or choose another port with"
                    f" {flag}."
                ) from error
            raise OperatorError(f"{who} cannot listen on {host} port {port}: {error}.") from error
        except BaseException:
            await runner.cleanup()
            raise

    @property
    def url(self) -> str:
        """The root, as this machine can reach it."""
        if self._hosts[0] not in ANY:
            return self._url(self._hosts[0])
        # Every address: loopback is one of them.
        return self._url(LOOPBACK[0] if ANY[1] in self._hosts else LOOPBACK[1])

    @property
    def url_for_others(self) -> str:
        """The root, as other machines can reach it, where it listens for them."""
        if self._hosts[0] not in ANY:
            return self.url
        for address in filter(None, (own_address(), *interface_addresses())):
            if (ANY[0] if ":" in address else ANY[1]) in self._hosts:
                return self._url(address)
        return self.url

    def _url(self, host: str) -> str:
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def stop_listening(self) -> None:
        """Take no more connections. Those that are open stay."""
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """End the requests in flight, after `CLOSE_LIMIT_S` in the middle."""
        self.stop_listening()
        await self._runner.cleanup()


async def _listen(make: Callable[[], Connection], host: str, port: int) -> list[asyncio.Server]:
    """Listen with a backlog of `BACKLOG`, at each address. Raises `OSError`.

    asyncio takes its `backlog` also for how often it calls accept in a row. Without a free file
    descriptor each of these calls fails and sets a timer of its own, which do the same again: more
    of them every second. So it calls once, and the system is told the backlog afterwards.
    """
    loop = asyncio.get_running_loop()
    sockets = listening_sockets(host, port)
    servers: list[asyncio.Server] = []
    try:
        for bound in sockets:
            servers.append(await loop.create_server(make, sock=bound, backlog=1))
            with socket.socket(fileno=os.dup(bound.fileno())) as same:
                same.listen(BACKLOG)
    except BaseException:
        for server in servers:
            server.close()
        for bound in sockets:
            bound.close()
        raise
    return servers


def _tell_seldom_of_exhaustion() -> None:
    """One line now and then when no connection can be taken, instead of a traceback each."""
    limited = RateLimitedLog(log)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        exhausted = isinstance(error, OSError) and error.errno in _EXHAUSTED
        # Its next try meets a closed socket when the broker has ended meanwhile.
        if exhausted or "_start_serving" in context["message"]:
            limited.warning("a connection cannot be taken now: %s", error, now=loop.time())
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)
