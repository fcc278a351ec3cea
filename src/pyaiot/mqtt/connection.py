# SPDX-License-Identifier: BSD-3-Clause
"""A connection to an MQTT broker, and a client that reconnects.

The protocol is that of `protocols/mqtt`; this module moves the bytes. A connection is cheap: a
process may have ten thousand. Each publication with QoS 1 or 2 is reported as accepted or not.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

import msgspec

from pyaiot.errors import LinkLost, OperatorError, ProtocolError, reason_of
from pyaiot.mqtt.client import MqttServer
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.events import MqttConnected, MqttEvent, MqttLost, MqttRefused
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.transport.addresses import name_lookup
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.resolver import reason_of_tls_failure
from pyaiot.transport.timer import Timer

OPEN_LIMIT_S: Final = 4.0
"""How long the broker may take to accept a connection. Then the attempt fails."""
WRITE_BUFFER_MAX: Final = 256 * 1024
"""Bytes in the write buffer of a connection. With more, publications are refused."""
PAUSE_FIRST_S: Final = 0.25
PAUSE_MAX_S: Final = 5.0
"""Interval between attempts; with the limit above, a broker is found again within 10 s."""


class MqttConnection(asyncio.Protocol):
    """One connection, from TCP to its end."""

    def __init__(
        self,
        server: MqttServer,
        client: MqttClientProtocol,
        connect: Connect,
        on_event: Callable[[MqttEvent], None],
    ) -> None:
        """`on_event` must not raise. User name and password are taken from `server`."""
        self._server = server
        self._client = client
        self._connect = connect
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer = Timer(self._loop, self._handle_timer)
        self._flushing = False
        self._write_paused = False
        self._accepted = False
        self._closed = False
        self._ready: asyncio.Future[None] | None = None

    async def open(self, *, limit_s: float = OPEN_LIMIT_S) -> None:
        """Connect. `on_event` gets `MqttConnected` and the events after it.

        The last event is `MqttLost`, unless `close` is called. Raises `LinkLost` (try again with
        another `MqttConnection`), `ConnectionRefused`, and `OperatorError` if the password cannot
        be read; in these cases there was no event.
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
                with name_lookup():
                    await self._loop.create_connection(
                        lambda: self, server.host, server.port, ssl=server.tls
                    )
                await self._ready
        except TimeoutError as error:
            raise LinkLost("it does not answer") from error
        except ssl.SSLError as error:
            raise LinkLost(reason_of_tls_failure(error)) from error
        except OSError as error:
            raise LinkLost(reason_of(error)) from error
        finally:
            self._ready = None
            if not self._accepted:
                self.close()

    # -- requests ---------------------------------------------------------------------------------

    def publish(
        self, token: int, topic: str, payload: bytes, *, qos: int, retain: bool = False
    ) -> bool:
        """Publish; with QoS 1 and 2 `MqttPublished` follows.

        Returns False without a connection, or if it accepts no more.
        """
        if self._write_paused or self._client.waiting_bytes > WRITE_BUFFER_MAX:
            return False
        done = self._client.publish(
            token, topic, payload, qos=qos, retain=retain, now=self._loop.time()
        )
        self._flush_soon()
        return done

    def subscribe(self, token: int, topic_filter: str, *, qos: int) -> bool:
        """Subscribe; `MqttSubscribed` follows. Returns False as `publish` does."""
        done = self._client.subscribe(token, topic_filter, qos=qos, now=self._loop.time())
        self._flush_soon()
        return done

    def unsubscribe(self, token: int, topic_filter: str) -> bool:
        """Unsubscribe; `MqttUnsubscribed` follows. Returns False as `publish` does."""
        done = self._client.unsubscribe(token, topic_filter, now=self._loop.time())
        self._flush_soon()
        return done

    def close(self, *, with_will: bool = False) -> None:
        """Close the connection; no event follows. `with_will`: the broker publishes the will."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        transport = self._transport
        if transport is not None:
            if with_will:
                # Pending publications are still sent, but no DISCONNECT.
                transport.write(self._client.bytes_to_send())
            else:
                self._client.disconnect(now=self._loop.time())
                transport.write(self._client.bytes_to_send())
            if self._write_paused or not self._accepted:
                transport.abort()
            else:
                transport.close()
        self._client.connection_closed()

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transports of uvloop do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        if self._closed:  # `open` timed out
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        plain = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.connection_opened(self._connect, now=self._loop.time())
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            for event in self._client.receive_bytes(data, now=self._loop.time()):
                if isinstance(event, MqttConnected):
                    self._accepted = True
                    if self._ready is not None and not self._ready.done():
                        self._ready.set_result(None)
                self._on_event(event)
                if self._closed:  # by the callback
                    return
        except ProtocolError as error:
            self._end(LinkLost(f"it violates MQTT 3.1.1: {error}"))
        except ConnectionRefused as error:
            self._end(error)
        else:
            if self._client.waiting_bytes:
                self._flush_soon()
            self._timer.set(self._client.get_timer())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LinkLost(str(exc) if exc is not None else "it closed the connection"))

    def pause_writing(self) -> None:
        # A broker that does not read gets no answers either.
        self._write_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._transport is not None and not self._closed:
            self._transport.resume_reading()

    # -- inside -----------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Send the packets of one turn of the loop in one write."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._closed or self._transport is None:
            return
        if self._client.waiting_bytes:
            self._transport.write(self._client.bytes_to_send())
        self._timer.set(self._client.get_timer())

    def _handle_timer(self) -> None:
        try:
            self._client.handle_timer(now=self._loop.time())
        except LinkLost as error:
            self._end(error)
        else:
            self._flush()

    def _end(self, error: LinkLost | ConnectionRefused) -> None:
        """The connection ended by itself or because of an error."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._client.connection_closed()
        if self._accepted:
            self._on_event(MqttLost())
        elif self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)


class ReconnectingMqttClient:
    """A client that reconnects after each lost connection."""

    def __init__(
        self,
        server: MqttServer,
        connect: Connect,
        on_event: Callable[[MqttEvent], None],
        *,
        attempts: asyncio.Semaphore | None = None,
        on_status: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """`attempts`: limits the simultaneous attempts of many clients.

        `on_status` gets each new `problem`, "" when connected. Callbacks must not raise.
        """
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._client = MqttClientProtocol()
        self._on_event = on_event
        self._attempts = attempts or asyncio.Semaphore(1)
        self._on_status = on_status
        self._lost = self._loop.create_future()  # an event takes four times the memory
        self._connection: MqttConnection | None = None
        self.problem = ""
        """Why there is no connection, for people; "" while connected."""

    @property
    def connection(self) -> MqttConnection | None:
        """The current connection, or None. Do not keep a reference to it."""
        return self._connection if self._client.connected else None

    async def run(self) -> None:
        """Stay connected until cancelled or permanently refused.

        Each lost connection is one `MqttLost`; failed attempts have no event. If the broker refuses
        the client permanently, `MqttRefused` follows and this method returns.
        """
        backoff = Backoff(first_s=PAUSE_FIRST_S, limit_s=PAUSE_MAX_S)
        try:
            while True:
                try:
                    async with self._attempts:
                        self._lost = self._loop.create_future()
                        self._connection = MqttConnection(
                            self._server, self._client, self._connect, self._handle_event
                        )
                        await self._connection.open()
                    self._report("")
                    backoff.connected(now=self._loop.time())
                    await self._lost
                    self._report("the connection ended")
                except ConnectionRefused as error:
                    self._report(str(error))
                    if error.permanent:
                        self._on_event(MqttRefused())
                        return
                except (LinkLost, OperatorError) as error:
                    self._report(str(error))
                await asyncio.sleep(backoff.failed(now=self._loop.time()))
        finally:
            self.close()

    def close(self, *, with_will: bool = False) -> None:
        """Close the current connection. `run` opens another one unless it is cancelled."""
        if self._connection is not None:
            self._connection.close(with_will=with_will)
            self._connection = None

    def _report(self, problem: str) -> None:
        self.problem = problem
        self._on_status(problem)

    def _handle_event(self, event: MqttEvent) -> None:
        if isinstance(event, MqttLost):
            self._connection = None
            if not self._lost.done():
                self._lost.set_result(None)
        self._on_event(event)
