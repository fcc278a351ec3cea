# SPDX-License-Identifier: BSD-3-Clause
"""A connection to an MQTT broker, and the policy of making it again and again.

`protocols/mqtt` says what is said on it; here the bytes are moved. One connection costs little, so
that there may be ten thousand of them, and what was published is known to have arrived or not.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

import msgspec

from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.mqtt.client import MqttServer
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttLost, MqttRefused
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.timer import Timer

OPEN_LIMIT_S: Final = 4.0
"""A broker that did not let us in for so long is tried again."""
WRITE_BUFFER_MAX: Final = 256 * 1024
"""Bytes that wait for the broker to take them. With more, nothing further is published."""
PAUSE_FIRST_S: Final = 0.25
PAUSE_MAX_S: Final = 5.0
"""Between two attempts; with the limit above, a broker is found again within 10 s."""


class MqttConnection(asyncio.Protocol):
    """One connection from its TCP to its end."""

    def __init__(
        self,
        server: MqttServer,
        client: MqttClientProtocol,
        connect: Connect,
        told: Callable[[MqttEvent], None],
    ) -> None:
        """`told` must not raise. User and password are those of `server`."""
        self._server = server
        self._client = client
        self._connect = connect
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._alarm = Timer(self._loop, self._timeout)
        self._flushing = False
        self._stuffed = False
        self._let_in = False
        self._closed = False
        self._ready: asyncio.Future[None] | None = None

    async def open(self, *, limit_s: float = OPEN_LIMIT_S) -> None:
        """Connect, once: `told` gets `MqttConnected`, then what happens.

        `MqttLost` is the last, unless we close it. Raises `LinkLost` (try again, with another
        connection), `ConnectionRefused`, and `OperatorError` for a password that cannot be read;
        then nothing was told.
        """
        server = self._server
        if server.user:
            password = server.password().encode() if server.password is not None else None
            self._connect = msgspec.structs.replace(
                self._connect, user=server.user, password=password
            )
        self._ready = self._loop.create_future()
        try:
            async with asyncio.timeout(limit_s):
                await self._loop.create_connection(
                    lambda: self, server.host, server.port, ssl=server.tls
                )
                await self._ready
        except TimeoutError as error:
            raise LinkLost("it does not answer") from error
        except ssl.SSLError as error:
            raise LinkLost(f"TLS: {error.reason or error}") from error
        except OSError as error:
            raise LinkLost(str(error) or type(error).__name__) from error
        finally:
            self._ready = None
            if not self._let_in:
                self.close()

    # -- wishes -----------------------------------------------------------------------------------

    def publish(
        self, token: int, topic: str, payload: bytes, *, qos: int, retain: bool = False
    ) -> bool:
        """`MqttPublished` comes for QoS 1 and 2. False: no connection, or it takes no more."""
        if self._stuffed or self._client.waiting_bytes > WRITE_BUFFER_MAX:
            return False
        done = self._client.publish(
            token, topic, payload, qos=qos, retain=retain, now=self._loop.time()
        )
        self._flush_soon()
        return done

    def subscribe(self, token: int, topic_filter: str, *, qos: int) -> bool:
        """`MqttSubscribed` comes. False as with `publish`."""
        done = self._client.subscribe(token, topic_filter, qos=qos, now=self._loop.time())
        self._flush_soon()
        return done

    def unsubscribe(self, token: int, topic_filter: str) -> bool:
        """`MqttUnsubscribed` comes. False as with `publish`."""
        done = self._client.unsubscribe(token, topic_filter, now=self._loop.time())
        self._flush_soon()
        return done

    def close(self, *, with_will: bool = False) -> None:
        """Say goodbye, or leave it to the broker to publish the will. Nothing more is told."""
        if self._closed:
            return
        self._closed = True
        self._alarm.cancel()
        transport = self._transport
        if transport is not None:
            if with_will:
                # What was published before is still sent; DISCONNECT is not.
                transport.write(self._client.take())
            else:
                self._client.disconnect(now=self._loop.time())
                transport.write(self._client.take())
            if self._stuffed or not self._let_in:
                transport.abort()
            else:
                transport.close()
        self._client.ended()

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        if self._closed:  # it took too long
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        plain = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.opened(self._connect, now=self._loop.time())
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            for event in self._client.received(data, now=self._loop.time()):
                if isinstance(event, MqttConnected):
                    self._let_in = True
                    if self._ready is not None and not self._ready.done():
                        self._ready.set_result(None)
                self._told(event)
                if self._closed:  # in that call
                    return
        except ProtocolError as error:
            self._end(LinkLost(f"it does not speak MQTT 3.1.1: {error}"))
        except ConnectionRefused as error:
            self._end(error)
        else:
            self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LinkLost(str(exc) if exc is not None else "it closed the connection"))

    def pause_writing(self) -> None:
        # Who does not read shall not make us answer either.
        self._stuffed = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuffed = False
        if self._transport is not None and not self._closed:
            self._transport.resume_reading()

    # -- inside -----------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """What is said in one turn of the loop goes in one write."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._closed or self._transport is None:
            return
        if self._client.waiting_bytes:
            self._transport.write(self._client.take())
        self._alarm.set(self._client.wake_at)

    def _timeout(self) -> None:
        try:
            self._client.timeout(now=self._loop.time())
        except LinkLost as error:
            self._end(error)
        else:
            self._flush()

    def _end(self, error: LinkLost | ConnectionRefused) -> None:
        """The connection is no more."""
        if self._closed:
            return
        self._closed = True
        self._alarm.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._client.ended()
        if self._let_in:
            self._told(MqttLost())
        elif self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)


class Reconnecting:
    """A client that is connected whenever it can be: a connection, and another after it."""

    def __init__(
        self,
        server: MqttServer,
        connect: Connect,
        told: Callable[[MqttEvent], None],
        *,
        attempts: asyncio.Semaphore | None = None,
        reports: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """`attempts`: how many may try at once, where there are many.

        `reports` is called with each `problem`, and with "" when there is a connection. It and
        `told` must not raise.
        """
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._client = MqttClientProtocol()
        self._told = told
        self._attempts = attempts or asyncio.Semaphore(1)
        self._reports = reports
        self._lost = asyncio.Event()
        self._connection: MqttConnection | None = None
        self.problem = ""
        """Why there is no connection, if there is none."""

    @property
    def connection(self) -> MqttConnection | None:
        """The one there is: publish and subscribe with it, and do not keep it."""
        return self._connection if self._client.connected else None

    async def run(self) -> None:
        """Connect, again and again, until cancelled or refused.

        Whether it lost a connection is told by `MqttLost`, once for each; not being connected at
        first is not. `MqttRefused` is told where it ends by itself.
        """
        backoff = Backoff(first_s=PAUSE_FIRST_S, limit_s=PAUSE_MAX_S)
        try:
            while True:
                try:
                    async with self._attempts:
                        self._lost.clear()
                        self._connection = MqttConnection(
                            self._server, self._client, self._connect, self._on_event
                        )
                        await self._connection.open()
                    self._report("")
                    backoff.connected(now=self._loop.time())
                    await self._lost.wait()
                    self._report("the connection ended")
                except ConnectionRefused as error:
                    self._report(str(error))
                    if error.for_ever:
                        self._told(MqttRefused())
                        return
                except (LinkLost, OperatorError) as error:
                    self._report(str(error))
                await asyncio.sleep(backoff.failed(now=self._loop.time()))
        finally:
            self.close()

    def close(self, *, with_will: bool = False) -> None:
        """End the connection there is; to make no other, cancel `run`."""
        if self._connection is not None:
            self._connection.close(with_will=with_will)
            self._connection = None

    def _report(self, problem: str) -> None:
        self.problem = problem
        self._reports(problem)

    def _on_event(self, event: MqttEvent) -> None:
        if isinstance(event, MqttLost):
            self._connection = None
            self._lost.set()
        self._told(event)
