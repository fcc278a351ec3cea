# SPDX-License-Identifier: BSD-3-Clause
"""A client of an MQTT broker that reconnects and subscribes again by itself.

It decides when to connect and with which version of MQTT; `gmqtt_connection` moves the packets.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from pyaiot.errors import LinkLost, OperatorError
from pyaiot.mqtt.gmqtt_connection import (
    Freshness,
    GmqttConnection,
    ReceivedMessage,
    VersionRefused,
)
from pyaiot.mqtt.recent_messages import RecentMessages
from pyaiot.mqtt.server import LastWill, MqttServer
from pyaiot.transport.backoff import Backoff

__all__ = ["Freshness", "LastWill", "MqttClient", "MqttServer", "ReceivedMessage"]

CONNECT_LIMIT_S: Final = 4.0
"""How long the broker may take to accept the connection and all subscriptions. Then the attempt
fails."""
RETRY_S: Final = 1.0
"""Pause between two attempts to connect. With the limit above, the gateway is connected at most 10
s after the broker is back."""
STORED_MIN_S: Final = 1.0
STORED_MAX_S: Final = 30.0
"""After a session was resumed, messages count as stored until a message that the client publishes
to itself after the subscription arrives, at least and at most this many seconds. The minimum is
there because brokers need not keep the order among topics (MQTT 3.1.1 section 4.6)."""
LEAVE_LIMIT_S: Final = 1.0
"""How long the broker may take to close a connection that the client leaves."""
BACKLOG_MAX: Final = 1024 * 1024
"""Bytes in the write buffer of the connection. With more, publications are refused."""

log = logging.getLogger(__name__)


class MqttClient:
    """One client at one broker, with the same subscriptions after each reconnect."""

    def __init__(
        self,
        server: MqttServer,
        *,
        name: str,
        subscriptions: Sequence[str],
        on_messages: Callable[[Sequence[ReceivedMessage]], None],
        on_connect: Callable[[], None],
        on_caught_up: Callable[[], None] | None = None,
        keeps_session: bool = True,
        last_will: LastWill | None = None,
        requires_all: bool = True,
        backoff: Backoff | None = None,
        again_after_s: float | None = None,
    ) -> None:
        """`on_messages` gets messages that arrived together, in order. `on_connect` is called when
        the broker has accepted all subscriptions, `on_caught_up` when the messages that it stored
        have arrived. Callbacks must not raise. Without `keeps_session` the broker stores nothing
        and sends with QoS 0. `last_will` is published when the connection is lost, not when `run`
        is cancelled. Without `requires_all` the broker may refuse a part of the subscriptions.
        `backoff`: the pauses of `run`; None: always `RETRY_S`. `again_after_s`: the broker is a
        cluster that may lose an acknowledgement, and delivers the message again after this time;
        `on_messages` does not get it again.

        `name`: the name of the client in the log.
        """
        # Every broker accepts up to 23 letters and digits (MQTT 3.1.1 section 3.1.3.1).
        self.client_id = server.client_id or f"pyaiot{secrets.token_hex(8)}"
        self.connects = 0
        """Connections that the broker accepted with all subscriptions."""
        self.has_connected = asyncio.Event()
        """Set at the first of them, and never cleared."""
        self._server = server
        self._name = name
        echo_name = server.client_id or f"pyaiot{secrets.token_hex(8)}"
        self._echo_topic = server.echo_topic or f"gateway/{echo_name}/echo"
        self._subscriptions = (*subscriptions, self._echo_topic)
        self._on_messages = on_messages
        self._on_connect = on_connect
        self._on_caught_up = on_caught_up
        self._keeps_session = keeps_session
        self._last_will = last_will
        self._requires_all = requires_all
        self._backoff = backoff or Backoff(first_s=RETRY_S, limit_s=RETRY_S, jitter=0.0)
        self._recent = None if again_after_s is None else RecentMessages(again_after_s)
        self._version = server.version or MQTTv50
        self._connection: GmqttConnection | None = None
        self._has_left = False
        self._echo: tuple[bytes, asyncio.Future[None]] | None = None
        """The payload of the round trip in progress, and its arrival."""
        self._stored_end: tuple[bytes, asyncio.Future[None]] | None = None
        """The payload that marks the end of the stored messages, and its arrival."""
        self._tried = asyncio.Event()
        """Set when the first attempt to connect has ended, successful or not."""

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def run(self) -> None:
        """Stay connected until cancelled, or until `leave`."""
        loop = asyncio.get_running_loop()
        reported = ""
        while not self._has_left:
            try:
                await self._one_connection(lost=reported != "")
                continue  # with the other version
            except (LinkLost, OperatorError) as error:
                if self._has_left:
                    return
                self._tried.set()
                if self._connection is not None:
                    reported = ""
                # Logged once for each reason, not for each attempt.
                if str(error) != reported:
                    reported = str(error)
                    log.warning(
                        "%s: no connection to the MQTT broker: %s; trying again", self._name, error
                    )
            finally:
                self._connection = None
            await asyncio.sleep(self._backoff.failed(now=loop.time()))

    async def connect_once(self) -> None:
        """Connect once, and serve until the connection ends.

        Raises `LinkLost`, or `OperatorError` if the password cannot be read.
        """
        while True:
            try:
                await self._one_connection(lost=False)
            finally:
                self._connection = None

    async def leave(self) -> None:
        """End the connection such that the next client with this session gets all messages that
        this one has not processed, and no other. Then `run` ends."""
        self._has_left = True
        if self._connection is not None:
            await self._connection.leave(LEAVE_LIMIT_S)

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the write buffer of the connection; 0 without one."""
        connection = self._connection
        return 0 if connection is None or not connection.is_open else connection.waiting_bytes

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        qos: int = 0,
        retain: bool = False,
        expires_after_s: int | None = None,
    ) -> bool:
        """Send a publication. Returns False without a connection, or if the backlog is full.

        `expires_after_s`: a broker of MQTT 5 that has not delivered it by then discards it.
        """
        connection = self._connection
        if connection is None or not connection.is_open or connection.waiting_bytes > BACKLOG_MAX:
            return False
        properties: dict[str, int] = {"retain": True} if retain else {}
        if expires_after_s is not None and connection.uses_mqtt_5:
            properties["message_expiry_interval"] = expires_after_s
        connection.publish(topic, payload, qos=qos, **properties)
        return True

    def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe to more topics, now and after each reconnect."""
        self._subscriptions = (*self._subscriptions, *filters)
        if self._connection is not None and self._connection.is_open:
            self._connection.subscribe_to(filters)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Do not receive these topics any more, now and after each reconnect."""
        self._subscriptions = tuple(it for it in self._subscriptions if it not in filters)
        if self._connection is not None and self._connection.is_open:
            self._connection.unsubscribe_from(filters)

    async def answers(self, limit_s: float) -> bool:
        """Whether a message of this client to itself returns within `limit_s`.

        Without a connection the answer is False at once, except during the first attempt.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._tried.wait()
                arrived = self._send_echo()
                if arrived is None:
                    return False
                await asyncio.shield(arrived)
            return True
        except TimeoutError:
            self._echo = None
            return False

    def _send_echo(self) -> asyncio.Future[None] | None:
        """Start a round trip, or join the one in progress. None: the broker accepts nothing."""
        connection = self._connection
        if connection is None:
            return None
        if self._echo is not None and not self._echo[1].done():
            return self._echo[1]
        payload = secrets.token_hex(8).encode()
        # With QoS 1 the broker uses its store, as for the publications of nodes.
        if not self.publish(self._echo_topic, payload, qos=connection.qos):
            return None
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._echo = payload, arrived
        return arrived

    async def _one_connection(self, *, lost: bool) -> None:
        """Serve one connection. Returns if the other version of MQTT is to be tried at once.

        Raises `LinkLost` at its end, and `OperatorError` if the password cannot be read.
        """
        named = self._server.client_id != ""
        connection = GmqttConnection(
            self.client_id,
            self._version,
            self._receive,
            named=named,
            keeps_session=self._keeps_session,
            last_will=self._last_will,
            requires_all=self._requires_all,
            recent=self._recent,
        )
        try:
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await connection.open(self._server, self._subscriptions)
            except TimeoutError as error:
                raise LinkLost("it does not answer") from error
            except (OSError, ValueError) as error:
                raise LinkLost(_reason(error)) from error
            except VersionRefused as error:
                if self._server.version is not None:
                    raise LinkLost(
                        "it does not accept this version of MQTT"
                        if error.certain
                        else "it closes the connection"
                    ) from error
                # A broker of MQTT 3.1.1 refuses version 5, or closes: then 5 is tried again later.
                self._version = MQTTv311 if self._version == MQTTv50 else MQTTv50
                if not error.certain and self._version == MQTTv50:
                    raise LinkLost("it closes the connection") from error
                return
            self._connection = connection
            self.connects += 1
            self.has_connected.set()
            self._backoff.connected(now=asyncio.get_running_loop().time())
            self._tried.set()
            log.log(
                logging.WARNING if lost else logging.INFO,
                "%s: connected to the MQTT broker at %s port %d",
                self._name,
                self._server.host,
                self._server.port,
            )
            self._on_connect()
            await self._catch_up(connection)
            await connection.ended.wait()
            if connection.failure is not None:
                raise connection.failure
            raise LinkLost("the connection ended")
        finally:
            await connection.close()

    async def _catch_up(self, connection: GmqttConnection) -> None:
        """Wait until the broker has sent the stored messages, or the connection ends."""
        if connection.is_catching_up:
            loop = asyncio.get_running_loop()
            earliest = loop.time() + STORED_MIN_S
            payload = secrets.token_hex(8).encode()
            arrived: asyncio.Future[None] = loop.create_future()
            self._stored_end = payload, arrived
            ended: asyncio.Future[Any] = loop.create_task(connection.ended.wait())
            try:
                connection.publish(self._echo_topic, payload, qos=1)
                await asyncio.wait(
                    {arrived, ended}, timeout=STORED_MAX_S, return_when=asyncio.FIRST_COMPLETED
                )
                await asyncio.wait({ended}, timeout=max(0.0, earliest - loop.time()))
            finally:
                self._stored_end = None
                ended.cancel()
            connection.is_catching_up = False
        if self._on_caught_up is not None and not connection.ended.is_set():
            self._on_caught_up()

    def _receive(self, messages: Sequence[ReceivedMessage]) -> None:
        echo_topic = self._echo_topic
        others = [message for message in messages if message[0] != echo_topic]
        if others:
            self._on_messages(others)
        if len(others) == len(messages):
            return
        arrived_payloads = {message[1] for message in messages if message[0] == echo_topic}
        for expected in (self._echo, self._stored_end):
            if expected is not None and expected[0] in arrived_payloads and not expected[1].done():
                expected[1].set_result(None)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error) or type(error).__name__
