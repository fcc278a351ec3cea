# SPDX-License-Identifier: BSD-3-Clause
"""A client of an MQTT broker that comes back by itself, with its subscriptions.

gmqtt reads and writes the packets. When to connect, with which version, and what is said of it is
decided here: gmqtt's own reconnecting waits for ever for brokers that close instead of answering.
"""

import asyncio
import contextlib
import enum
import logging
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from pyaiot.errors import LinkLost, OperatorError
from pyaiot.transport.backoff import Backoff

CONNECT_LIMIT_S: Final = 4.0
"""A broker that did not let us in and take the subscriptions for so long is tried again."""
RETRY_S: Final = 1.0
"""Pause between two attempts: with the limit above, a broker is found again within 10 s."""
KEEP_ALIVE_S: Final = 4
"""MQTT's keep-alive; a broker that says nothing for twice as long has lost us, also where no
packet said so: a machine that is switched off says nothing. With the retry, about 10 s."""
PACKET_SIZE_MAX: Final = 256 * 1024
"""Bytes of a packet, told to brokers of MQTT 5. Others have a limit of their own."""
SESSION_S: Final = 60
"""Seconds that a broker of MQTT 5 keeps for us what was sent with QoS 1 while we were away."""
NAMED_SESSION_S: Final = 86_400
"""The same for a client id that comes back. Brokers of MQTT 3.1.1 have a limit of their own."""
STORED_MIN_S: Final = 1.0
STORED_MAX_S: Final = 30.0
"""After a session was resumed, messages count as stored until one of our own, published after the
subscription, came back: at least and at most so many seconds. Brokers need not keep the order among
topics (MQTT 3.1.1 section 4.6), hence the first."""
BACKLOG_MAX: Final = 1024 * 1024
"""Bytes that wait for the broker to take them. With more, nothing further is published."""
_UNACCEPTABLE_VERSION: Final = frozenset({1, 0x84})
"""CONNACK of MQTT 3.1.1 section 3.2.2.3 and of MQTT 5 section 3.2.2.2."""

log = logging.getLogger(__name__)
_gmqtt_log = logging.getLogger("gmqtt")
# It logs what peers sent, unlimited, and every loss again. What matters is said here.
_gmqtt_log.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class MqttServer:
    """Where the MQTT broker is, and how to speak to it."""

    host: str
    port: int
    user: str = ""
    password: Callable[[], str] | None = None
    """Asked at each attempt, so that a mended file counts. May raise `OperatorError`."""
    tls: ssl.SSLContext | None = None
    client_id: str = ""
    """Of one gateway, for ever: the broker keeps for it what is sent with QoS 1 while it is away.
    Empty: another one in each process, for which nothing is kept long."""
    version: int | None = None
    """5 or 4 (which is MQTT 3.1.1); None tries 5 first."""
    echo_topic: str = ""
    """Where the client publishes to itself; empty: `gateway/<client id>/echo`, with a random word
    for a random client id, because others may subscribe to that topic."""


class Freshness(enum.Enum):
    """What the way of a publication says about its age."""

    LIVE = enum.auto()
    """Published now."""
    STORED = enum.auto()
    """Published with QoS 1 while we were away, or delivered again (MQTT 3.1.1 section 4.4)."""
    RETAINED = enum.auto()
    """Published at any time, by somebody who may be gone (section 3.3.1.3)."""


class MqttClient:
    """One client id, one broker, the same subscriptions after each reconnect."""

    def __init__(
        self,
        server: MqttServer,
        *,
        name: str,
        subscriptions: Sequence[str],
        received: Callable[[str, bytes, Freshness], None],
        connected: Callable[[], None],
        caught_up: Callable[[], None] | None = None,
        keeps_session: bool = True,
    ) -> None:
        """`received` gets topic and payload; `connected` is called when all subscriptions hold.
        `caught_up` follows when what the broker stored for us has come. Without `keeps_session`
        it stores nothing, and sends with QoS 0.

        `name` stands in the log. No callback may raise.
        """
        # At most 23 letters and digits go through everywhere (MQTT 3.1.1 section 3.1.3.1).
        self.client_id = server.client_id or f"pyaiot{secrets.token_hex(8)}"
        self.connects = 0
        """Times that the broker let us in, with all subscriptions."""
        self._server = server
        self._name = name
        own_word = server.client_id or f"pyaiot{secrets.token_hex(8)}"
        self._echo_topic = server.echo_topic or f"gateway/{own_word}/echo"
        self._subscriptions = (*subscriptions, self._echo_topic)
        self._received = received
        self._connected = connected
        self._caught_up = caught_up
        self._keeps_session = keeps_session
        self._version = server.version or MQTTv50
        self._client: _Client | None = None
        self._echo: tuple[bytes, asyncio.Future[None]] | None = None
        """The word that is on its way, and whether it arrived."""
        self._stored_end: tuple[bytes, asyncio.Future[None]] | None = None
        """The word that is published to come after all that the broker stored."""
        self._tried = asyncio.Event()
        """Set when the first attempt to connect has ended, well or not."""

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        backoff = Backoff(first_s=RETRY_S, limit_s=RETRY_S, jitter=0.0)
        loop = asyncio.get_running_loop()
        reported = ""
        while True:
            try:
                await self._one_connection(lost=reported != "")
                continue  # with the other version
            except (LinkLost, OperatorError) as error:
                self._tried.set()
                if self._client is not None:
                    reported = ""
                # Said once for each reason, however often it is tried.
                if str(error) != reported:
                    reported = str(error)
                    log.warning("%s: no MQTT broker: %s; trying again", self._name, error)
            finally:
                self._client = None
            await asyncio.sleep(backoff.failed(now=loop.time()))

    async def connect_once(self) -> None:
        """Connect, and serve until the connection ends. Raises `LinkLost`, `OperatorError`."""
        while True:
            try:
                await self._one_connection(lost=False)
            finally:
                self._client = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the system did not take yet; 0 without a connection."""
        client = self._client
        return 0 if client is None or not client.is_open else client.waiting_bytes

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        qos: int = 0,
        expires_after_s: int | None = None,
    ) -> bool:
        """Send it, or return False: no broker, or it takes nothing.

        `expires_after_s`: a broker of MQTT 5 that still has it then throws it away.
        """
        client = self._client
        if client is None or not client.is_open or client.waiting_bytes > BACKLOG_MAX:
            return False
        properties = {}
        if expires_after_s is not None and client.speaks_mqtt_5:
            properties["message_expiry_interval"] = expires_after_s
        client.publish(topic, payload, qos=qos, **properties)
        return True

    async def answers(self, limit_s: float) -> bool:
        """A round trip: whether the broker brings us what we publish.

        Without a connection it says no at once, but gives the very first attempt its time.
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
        """One for all who ask meanwhile. None: no broker, or it takes nothing."""
        client = self._client
        if client is None:
            return None
        if self._echo is not None and not self._echo[1].done():
            return self._echo[1]
        word = secrets.token_hex(8).encode()
        # With QoS 1, the broker needs its store for it, as for what nodes publish with QoS 1.
        if not self.publish(self._echo_topic, word, qos=client.qos):
            return None
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._echo = word, arrived
        return arrived

    async def _one_connection(self, *, lost: bool) -> None:
        """Returns if the other version of MQTT is to be tried at once.

        Raises `LinkLost` in the end, `OperatorError` for a password that cannot be read.
        """
        named = self._server.client_id != ""
        client = _Client(
            self.client_id,
            self._version,
            self._message,
            named=named,
            keeps_session=self._keeps_session,
        )
        try:
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await client.open(self._server, self._subscriptions)
            except TimeoutError as error:
                raise LinkLost("it does not answer") from error
            except (OSError, ValueError) as error:
                raise LinkLost(_reason(error)) from error
            except _VersionRefused as error:
                if self._server.version is not None:
                    raise LinkLost(
                        "it speaks another version of MQTT"
                        if error.certain
                        else "it closes the connection"
                    ) from error
                # A broker of MQTT 3.1.1 may answer, or close: then 5 has its turn again later.
                self._version = MQTTv311 if self._version == MQTTv50 else MQTTv50
                if not error.certain and self._version == MQTTv50:
                    raise LinkLost("it closes the connection") from error
                return
            self._client = client
            self.connects += 1
            self._tried.set()
            log.log(
                logging.WARNING if lost else logging.INFO,
                "%s: connected to the MQTT broker at %s port %d",
                self._name,
                self._server.host,
                self._server.port,
            )
            self._connected()
            await self._catch_up(client)
            await client.ended.wait()
            if client.failure is not None:
                raise client.failure
            raise LinkLost("the connection ended")
        finally:
            await client.close()

    async def _catch_up(self, client: "_Client") -> None:
        """Return when the broker has sent what it stored, or when the connection ended."""
        if client.is_catching_up:
            loop = asyncio.get_running_loop()
            earliest = loop.time() + STORED_MIN_S
            word = secrets.token_hex(8).encode()
            arrived: asyncio.Future[None] = loop.create_future()
            self._stored_end = word, arrived
            ended: asyncio.Future[Any] = loop.create_task(client.ended.wait())
            try:
                client.publish(self._echo_topic, word, qos=1)
                await asyncio.wait(
                    {arrived, ended}, timeout=STORED_MAX_S, return_when=asyncio.FIRST_COMPLETED
                )
                await asyncio.wait({ended}, timeout=max(0.0, earliest - loop.time()))
            finally:
                self._stored_end = None
                ended.cancel()
            client.is_catching_up = False
        if self._caught_up is not None and not client.ended.is_set():
            self._caught_up()

    def _message(self, topic: str, payload: bytes, freshness: Freshness) -> None:
        if topic != self._echo_topic:
            self._received(topic, payload, freshness)
            return
        for expected in (self._echo, self._stored_end):
            if expected is not None and expected[0] == payload and not expected[1].done():
                expected[1].set_result(None)


class _VersionRefused(Exception):
    """The broker does not speak this version. `certain`: it said so."""

    def __init__(self, *, certain: bool) -> None:
        super().__init__("version refused")
        self.certain = certain


class _Client(gmqtt.Client):  # type: ignore[misc]  # gmqtt has no types
    """One connection of gmqtt, which never makes another by itself."""

    def __init__(
        self,
        client_id: str,
        version: int,
        message: Callable[[str, bytes, Freshness], None],
        *,
        named: bool,
        keeps_session: bool,
    ) -> None:
        properties: dict[str, Any] = {}
        if version == MQTTv50:
            properties = {
                "maximum_packet_size": PACKET_SIZE_MAX,
                "session_expiry_interval": NAMED_SESSION_S if named else SESSION_S,
            }
            if not keeps_session:
                del properties["session_expiry_interval"]
        # With 3.1.1 the session of a client id that never comes back would stay for ever.
        self._keeps_session = keeps_session and (named or version == MQTTv50)
        super().__init__(
            client_id,
            clean_session=not self._keeps_session,
            logger=_gmqtt_log,
            **properties,
        )
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        """What `message` raised, which it may not: gmqtt would swallow it."""
        self.is_catching_up = False
        """The session was resumed: what comes may have been stored."""
        self._version = version
        self._message = message
        self._subscribed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.on_connect = _on_connect
        self.on_message = _on_message
        self.on_subscribe = _on_subscribe
        self.on_disconnect = _on_disconnect

    async def reconnect(self, delay: bool = False) -> None:  # noqa: ARG002
        """What gmqtt does when the connection ended or was refused: here, it says so."""
        self.ended.set()

    @property
    def speaks_mqtt_5(self) -> bool:
        return bool(self._version == MQTTv50)

    @property
    def qos(self) -> int:
        """Of subscriptions: 1 where the broker keeps a session."""
        return 1 if self._keeps_session else 0

    @property
    def is_open(self) -> bool:
        return not self.ended.is_set() and not self._connection.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the system did not take yet."""
        size: int = self._connection._transport.get_write_buffer_size()
        return size

    async def open(self, server: MqttServer, subscriptions: Sequence[str]) -> None:
        """Connect and subscribe. Raises `OSError`, `LinkLost`, `_VersionRefused`."""
        if server.user:
            password = server.password() if server.password is not None else None
            self.set_auth_credentials(server.user, password)
        connecting = asyncio.ensure_future(self._connect(server))
        await self._unless_ended(connecting)
        transport = self._connection._transport
        plain = transport.get_extra_info("socket")
        if plain is not None and plain.family != getattr(socket, "AF_UNIX", None):
            # A command is a small packet: it must not wait for the acknowledgement of another.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.subscribe([gmqtt.Subscription(topic, qos=self.qos) for topic in subscriptions])
        if not await self._unless_ended(self._subscribed):
            raise LinkLost("it refuses a subscription")

    async def _connect(self, server: MqttServer) -> None:
        try:
            await self.connect(
                server.host,
                server.port,
                ssl=server.tls or False,
                keepalive=KEEP_ALIVE_S,
                version=self._version,
            )
        except gmqtt.MQTTConnectError as error:
            if error._code in _UNACCEPTABLE_VERSION:
                raise _VersionRefused(certain=True) from error
            raise LinkLost(f"it refuses us: {error.message}") from error

    async def _unless_ended(self, work: asyncio.Future[Any]) -> Any:
        """The result of `work`, unless the broker ends the connection before."""
        ended = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if work is self._subscribed:
                raise LinkLost("it closes the connection")
            # Without an answer to CONNECT, perhaps for its version.
            certain = self._connection_state.protocol_version != self._version
            raise _VersionRefused(certain=certain)
        finally:
            ended.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait({work, ended})
            if not work.cancelled():
                # Who is cancelled here does not take it, and a task tells of what nobody took.
                work.exception()

    def deliver(self, topic: str, payload: bytes, *, retained: bool, again: bool) -> None:
        """What was published. `again`: perhaps not for the first time."""
        if retained:
            freshness = Freshness.RETAINED
        elif again or self.is_catching_up:
            freshness = Freshness.STORED
        else:
            freshness = Freshness.LIVE
        try:
            self._message(topic, payload, freshness)
        except Exception as error:  # noqa: BLE001 - raised again where our task is
            self.failure = error
            self.ended.set()

    async def close(self) -> None:
        """Say goodbye if there is somebody, and let go of the socket at once."""
        connection = self._connection
        if connection is None:
            return
        self._is_active = False
        with contextlib.suppress(OSError, RuntimeError):
            if not connection.is_closing():
                connection.send_disconnect()
        connection._keep_connection_callback.cancel()
        connection._transport.close()


def _on_connect(client: _Client, session_present: int, _result: int, _properties: object) -> None:
    client.is_catching_up = bool(session_present)


def _on_message(
    client: _Client, topic: str | bytes, payload: bytes, _qos: int, properties: Mapping[str, Any]
) -> int:
    # gmqtt gives bytes where a topic is not UTF-8: no broker should let that through.
    if isinstance(topic, str):
        client.deliver(
            topic, payload, retained=bool(properties["retain"]), again=bool(properties["dup"])
        )
    return 0


def _on_subscribe(client: _Client, _mid: int, granted: Sequence[int], _properties: object) -> None:
    if not client._subscribed.done():
        client._subscribed.set_result(all(qos < 0x80 for qos in granted))


def _on_disconnect(client: _Client, _packet: object) -> None:
    client.ended.set()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error) or type(error).__name__
