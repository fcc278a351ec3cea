# SPDX-License-Identifier: BSD-3-Clause
"""The connection of a broker to the nats-servers of its cluster.

Packets that are sent while there is no connection are lost; the streams of the members detect
this.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.cluster.credentials import KeyCredentials, NatsServer
from pyaiot.errors import LinkLost, OperatorError, ProtocolError, reason_of
from pyaiot.protocols import nats
from pyaiot.transport.addresses import name_lookup
from pyaiot.transport.backoff import Backoff

CONNECT_LIMIT_S: Final = 3.0
"""Timeout for connecting to a nats-server."""
PING_INTERVAL_S: Final = 1.0
"""Interval of pings to the nats-server. If one is not answered before the next but one, the
connection is closed and the next server is tried.
"""
UNSENT_MAX: Final = 64 * 1024 * 1024
"""Largest number of unsent bytes. Beyond it, packets are dropped."""
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0
"""Interval between attempts to connect."""
_READ_SIZE: Final = 256 * 1024

log = logging.getLogger(__name__)


class NatsLink:
    """Publishes packets and receives those of two subjects."""

    def __init__(
        self,
        servers: Sequence[NatsServer],
        prefix: str,
        run: str,
        received: Callable[[bytes], None],
        *,
        key: Callable[[], KeyCredentials] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`prefix`: of the subjects of this cluster. `run`: id of this process. `received`: called
        with packets, in order. `key`: returns the credentials, called for each connection; None:
        the user in the URL, or none. `tls`: for servers that require it.
        """
        self._servers = servers
        self._all = f"{prefix}.all"
        self._to = f"{prefix}.to."
        self._own = f"{prefix}.to.{run}"
        self._received = received
        self._key = key
        self._tls = tls
        self._backoff = Backoff(first_s=PAUSE_FIRST_S, limit_s=PAUSE_MAX_S)
        self._writer: asyncio.StreamWriter | None = None
        self._unanswered = 0
        self.connections = 0
        """Connections since the start."""
        self.dropped = 0
        """Packets that were dropped since the start."""
        self.problem = "not connected yet"
        """Why there is no connection; empty if there is one."""

    def send(self, run: str, packet: bytes) -> None:
        """Send a packet to one broker, or to all if `run` is empty."""
        writer = self._writer
        if writer is None or writer.transport.get_write_buffer_size() > UNSENT_MAX:
            self.dropped += 1
            return
        writer.write(nats.publish(self._to + run if run else self._all, "", packet))

    @property
    def unsent(self) -> int:
        """Number of unsent bytes."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    async def flushed(self) -> None:
        """Wait until everything was sent, or the connection is lost."""
        if self._writer is not None:
            try:
                await self._writer.drain()
            except OSError as error:
                self.problem = str(error)

    async def run(self) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        number = 0
        reported = ""
        while True:
            server = self._servers[number % len(self._servers)]
            number += 1
            try:
                await self._connect(server)
                self._backoff.connected(now=loop.time())
                reported = ""
            except (OSError, TimeoutError, ProtocolError, LinkLost, OperatorError) as error:
                self.problem = (
                    f"{server}: {reason_of(error) if isinstance(error, OSError) else error}"
                )
            if self.problem != reported:
                reported = self.problem
                log.warning("no connection to the nats-servers: %s; trying again", self.problem)
            await asyncio.sleep(self._backoff.failed(now=loop.time()))

    async def _connect(self, server: NatsServer) -> None:
        """Connect and receive until the connection is lost. Raises what `run` catches."""
        async with asyncio.timeout(CONNECT_LIMIT_S):
            with name_lookup():
                reader, writer = await asyncio.open_connection(server.host, server.port)
        ping: asyncio.Task[None] | None = None
        try:
            parser = nats.NatsReader()
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await self._log_in(server, reader, writer, parser)
            writer.write(nats.subscribe(self._all, 1) + nats.subscribe(self._own, 2))
            self._writer, self._unanswered = writer, 0
            self.connections += 1
            self.problem = ""
            log.info("connected to the nats-server %s", server)
            ping = asyncio.create_task(self._ping(writer), name="nats ping")
            while data := await reader.read(_READ_SIZE):
                self._receive(parser, data, writer)
            raise LinkLost("the server closed the connection")
        finally:
            self._writer = None
            if ping is not None:
                ping.cancel()
            writer.close()

    async def _log_in(
        self,
        server: NatsServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        parser: nats.NatsReader,
    ) -> None:
        info: nats.NatsInfo | None = None
        while True:
            data = await reader.read(_READ_SIZE)
            if not data:
                raise LinkLost("the server closed the connection")
            for event in parser.receive_bytes(data):
                match event:
                    case nats.NatsInfo() if info is None:
                        info = event
                        await self._answer(server, info, writer)
                    case nats.NatsPong():
                        return
                    case nats.NatsError(text=text):
                        raise LinkLost(f"the server refuses: {text}")
                    case _:
                        pass

    async def _answer(
        self, server: NatsServer, info: nats.NatsInfo, writer: asyncio.StreamWriter
    ) -> None:
        if server.has_tls or info.tls_required:
            await writer.start_tls(
                self._tls or ssl.create_default_context(), server_hostname=server.host
            )
        fields: dict[str, object] = {}
        if self._key is not None:
            fields = self._key().answer(info.nonce)
        elif server.user and server.password:
            fields = {"user": server.user, "pass": server.password}
        elif server.user:
            fields = {"auth_token": server.user}
        writer.write(nats.connect_with({**fields, "tls_required": server.has_tls, "echo": False}))

    def _receive(self, parser: nats.NatsReader, data: bytes, writer: asyncio.StreamWriter) -> None:
        for event in parser.receive_bytes(data):
            match event:
                case nats.NatsMessage(payload=payload):
                    self._received(payload)
                case nats.NatsPing():
                    writer.write(nats.PONG)
                case nats.NatsPong():
                    self._unanswered = 0
                case nats.NatsError(text=text):
                    raise LinkLost(f"the server refuses: {text}")
                case _:
                    pass

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            self._unanswered += 1
            if self._unanswered > 2:
                # Its reader ends with an error.
                writer.transport.abort()
                return
            writer.write(nats.PING)
