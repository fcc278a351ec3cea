# SPDX-License-Identifier: BSD-3-Clause
"""One connection to an MQTT broker, over the library gmqtt.

gmqtt reads and writes the packets, except publications from the broker, for which it takes 8 µs
each: `protocols.mqtt.stream` parses them. Its own reconnecting is disabled: it waits for ever for a
broker that closes the connection instead of answering.
"""

import asyncio
import contextlib
import enum
import functools
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import gmqtt
from gmqtt.mqtt.constants import MQTTv50
from gmqtt.mqtt.package import Package

from pyaiot.errors import LinkLost
from pyaiot.mqtt.recent_messages import RecentMessages
from pyaiot.mqtt.server import LastWill, MqttServer
from pyaiot.protocols.mqtt.stream import read_packets
from pyaiot.transport.addresses import name_lookup

KEEP_ALIVE_S: Final = 4
"""MQTT keep-alive of the gateway. A broker that sends nothing for twice as long is lost, also if
the connection was never closed, as when its machine is switched off."""
PACKET_SIZE_MAX: Final = 1088 * 1024
"""The largest packet, in bytes, that a broker of MQTT 5 may send: the list of all devices of a
Zigbee network, with its topic. Others have their own limit."""
SESSION_S: Final = 60
"""Seconds for which a broker of MQTT 5 keeps messages with QoS 1 for a gateway that is offline."""
NAMED_SESSION_S: Final = 86_400
"""The same for a client id that is set. Brokers of MQTT 3.1.1 have their own limit."""
READ_BYTES_MAX: Final = 16 * 1024
"""Bytes from an MQTT broker that are processed without a pause, at most some hundred messages."""
READ_TURN_S: Final = 0.005
"""How long messages from an MQTT broker are processed in one turn of the event loop. Further ones
wait for the next turn, so that a flood delays nobody else."""
GATHER_S: Final = 0.002
"""Pause between two reads from an MQTT broker that sends much, so that more messages are processed
together."""
GATHER_READS: Final = 4
"""Reads within `GATHER_S` after which the rest of it is a pause."""
GATHER_BYTES: Final = 128
"""Bytes of a read after which a pause follows at once: the broker still sends much. Some short
messages have as many."""
_UNACCEPTABLE_VERSION: Final = frozenset({1, 0x84})
"""CONNACK of MQTT 3.1.1 section 3.2.2.3 and of MQTT 5 section 3.2.2.2."""

_RETAIN: Final = 0x01
_DUP: Final = 0x08
"""Flags of PUBLISH (MQTT 3.1.1 section 3.3.1)."""
_LIVE: Final = 0x30
"""The first byte of PUBLISH with QoS 0 and no flag."""
_PUBACK: Final = b"\x40\x02"
"""The fixed header of PUBACK (MQTT 3.1.1 section 3.4.1). MQTT 5 section 3.4.2.1 allows the same."""

_gmqtt_log = logging.getLogger("gmqtt")
# It logs the content of messages, without a rate limit, and each lost connection a second time.
_gmqtt_log.setLevel(logging.CRITICAL + 1)


ReceivedMessage: TypeAlias = "tuple[str, bytes, Freshness]"
"""Topic, payload, and how old it may be."""


class Freshness(enum.Enum):
    """How old a received message may be, judged by how it arrived."""

    LIVE = enum.auto()
    """Published just now."""
    STORED = enum.auto()
    """Published with QoS 1 while the client was offline, or delivered again (MQTT 3.1.1 section
    4.4)."""
    RETAINED = enum.auto()
    """Published at any time, by a client that may be offline (MQTT 3.1.1 section 3.3.1.3)."""


class VersionRefused(Exception):
    """The broker does not accept this version of MQTT. `certain`: its CONNACK states that."""

    def __init__(self, *, certain: bool) -> None:
        super().__init__("version refused")
        self.certain = certain


class GmqttConnection(gmqtt.Client):  # type: ignore[misc]  # gmqtt has no types
    """One connection; it never reconnects."""

    def __init__(
        self,
        client_id: str,
        version: int,
        on_publications: Callable[[Sequence[ReceivedMessage]], None],
        *,
        named: bool,
        keeps_session: bool,
        last_will: LastWill | None = None,
        requires_all: bool = True,
        recent: RecentMessages | None = None,
    ) -> None:
        """`recent`: what earlier connections of this session have processed."""
        properties: dict[str, Any] = {}
        if version == MQTTv50:
            properties = {
                "maximum_packet_size": PACKET_SIZE_MAX,
                "session_expiry_interval": NAMED_SESSION_S if named else SESSION_S,
            }
            if not keeps_session:
                del properties["session_expiry_interval"]
        # With MQTT 3.1.1, the session of a random client id would never be deleted.
        self._keeps_session = keeps_session and (named or version == MQTTv50)
        super().__init__(
            client_id,
            clean_session=not self._keeps_session,
            logger=_gmqtt_log,
            will_message=last_will
            and gmqtt.Message(last_will.topic, last_will.payload, retain=last_will.retained),
            **properties,
        )
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        """What `on_publications` raised, although it must not: gmqtt would swallow it."""
        self.is_catching_up = False
        """The session was resumed, and messages may have been stored."""
        self._departs = False
        """It leaves as soon as it has processed what has arrived."""
        self._requires_all = requires_all
        """Whether a subscription that the broker refuses ends the connection."""
        self._recent = recent
        self._version = version
        self._on_publications = on_publications
        self._subscribed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.on_connect = _on_connect
        self.on_message = _on_message
        self.on_subscribe = _on_subscribe
        self.on_disconnect = _on_disconnect

    async def _create_connection(self, *arguments: Any, **more: Any) -> Any:
        with name_lookup():
            connection = await super()._create_connection(*arguments, **more)
        protocol = connection._protocol
        _read_in_turns(protocol, connection._transport)
        # gmqtt takes 8 µs for a publication and calls back for each.
        protocol._read_packet = functools.partial(self._read_packets, connection)
        return connection

    def _read_packets(self, connection: Any, data: bytes) -> int:
        """Process the complete packets. Returns the size of them, or -1 to end the connection."""
        packets, end = read_packets(data, has_properties=self.uses_mqtt_5)
        connection._last_data_in = time.monotonic()
        messages: list[ReceivedMessage] = []
        acknowledgements = bytearray()
        live = self._freshness(_LIVE)
        recent, processed = self._recent, []
        for first, topic, payload, packet_id in packets:
            if topic is None:
                # It may change `is_catching_up`, or be a publication.
                self._deliver(messages)
                messages = []
                connection.put_package(Package(first, payload))
                live = self._freshness(_LIVE)
                continue
            if packet_id:
                acknowledgements += _PUBACK + packet_id.to_bytes(2, "big")
                if recent is not None:
                    processed.append((topic, payload))
                    if first & _DUP and recent.take(topic, payload, time.monotonic()):
                        continue  # its acknowledgement was lost
            freshness = live if first == _LIVE else self._freshness(first)
            messages.append((topic, payload, freshness))
        self._deliver(messages)
        if processed and recent is not None:
            recent.add(processed, time.monotonic())
        if acknowledgements and not self.ended.is_set():
            connection.send_package(acknowledgements)
        if self._departs:
            self._depart()
        return end

    def _freshness(self, first: int) -> Freshness:
        """How old a publication with this first byte may be (MQTT 3.1.1 section 3.3.1)."""
        if first & _RETAIN:
            return Freshness.RETAINED
        return Freshness.STORED if first & _DUP or self.is_catching_up else Freshness.LIVE

    def _deliver(self, messages: Sequence[ReceivedMessage]) -> None:
        if not messages:
            return
        try:
            self._on_publications(messages)
        except Exception as error:  # noqa: BLE001 - raised again in `MqttClient`
            self.failure = error
            self.ended.set()

    async def reconnect(self, delay: bool = False) -> None:  # noqa: ARG002
        """gmqtt calls this when the connection ended or was refused."""
        self.ended.set()

    @property
    def uses_mqtt_5(self) -> bool:
        return bool(self._version == MQTTv50)

    @property
    def qos(self) -> int:
        """QoS of subscriptions: 1 if the broker keeps a session."""
        return 1 if self._keeps_session else 0

    @property
    def is_open(self) -> bool:
        return not self.ended.is_set() and not self._connection.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the write buffer."""
        size: int = self._connection._transport.get_write_buffer_size()
        return size

    async def open(self, server: MqttServer, subscriptions: Sequence[str]) -> None:
        """Connect and subscribe. Raises `OSError`, `LinkLost`, `VersionRefused`,
        `OperatorError`."""
        if server.user:
            password = server.password() if server.password is not None else None
            self.set_auth_credentials(server.user, password)
        connecting = asyncio.ensure_future(self._connect(server))
        await self._unless_ended(connecting)
        transport = self._connection._transport
        plain = transport.get_extra_info("socket")
        if plain is not None and plain.family != getattr(socket, "AF_UNIX", None):
            # A command is a small packet; it must not wait for a TCP acknowledgement.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.subscribe_to(subscriptions)
        if not await self._unless_ended(self._subscribed):
            raise LinkLost("it refuses a subscription")

    def subscribe_to(self, filters: Sequence[str]) -> None:
        """Send SUBSCRIBE. Without effect on the connection if it is not the first."""
        self.subscribe([gmqtt.Subscription(topic, qos=self.qos) for topic in filters])

    def unsubscribe_from(self, filters: Sequence[str]) -> None:
        """Send UNSUBSCRIBE."""
        self.unsubscribe(list(filters))

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
                raise VersionRefused(certain=True) from error
            raise LinkLost(f"it refuses the connection: {error.message}") from error

    async def _unless_ended(self, work: asyncio.Future[Any]) -> Any:
        """The result of `work`. Raises if the broker ends the connection first."""
        ended = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if work is self._subscribed:
                raise LinkLost("it closes the connection")
            # CONNECT was not answered, possibly because of its version.
            certain = self._connection_state.protocol_version != self._version
            raise VersionRefused(certain=certain)
        finally:
            ended.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait({work, ended})
            if not work.cancelled():
                # Retrieved, or asyncio would log it as never retrieved.
                work.exception()

    async def leave(self, limit_s: float) -> None:
        """Process what has arrived, send DISCONNECT, and wait until the broker has closed the
        connection, which it does after it has read all acknowledgements. What arrives meanwhile is
        neither processed nor acknowledged: the next client with this session gets it."""
        if not self.is_open:
            return
        self._departs = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * GATHER_S):
                await self.ended.wait()
        self._depart()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.ended.wait()

    def _depart(self) -> None:
        if self._departs and self.is_open:
            self._departs = False
            self._connection._protocol._read_packet = len
            self._connection.send_disconnect()

    async def close(self) -> None:
        """Send DISCONNECT if possible, and close the socket at once."""
        connection = self._connection
        if connection is None:
            return
        self._is_active = False
        with contextlib.suppress(OSError, RuntimeError):
            if not connection.is_closing():
                connection.send_disconnect()
        connection._keep_connection_callback.cancel()
        connection._transport.close()


def _read_in_turns(protocol: Any, transport: Any) -> None:
    """Read bytes together and in turns. gmqtt reads each packet as it arrives, and processes all
    bytes that have arrived without a turn of the event loop."""
    loop, read = asyncio.get_running_loop(), protocol.read
    began: float | None = None
    window_at, reads, size = -GATHER_S, 0, 0

    def end_turn() -> None:
        nonlocal began
        began = None

    async def read_some(n: int) -> bytes:
        nonlocal began, window_at, reads, size
        now = loop.time()
        if now - window_at >= GATHER_S:
            window_at, reads = now, 0
        elif size < READ_BYTES_MAX and (reads >= GATHER_READS or size >= GATHER_BYTES):
            # What arrives meanwhile waits in the kernel, and causes no wake-up.
            if not transport.is_closing():
                transport.pause_reading()
                await asyncio.sleep(window_at + GATHER_S - now)
            if not transport.is_closing():
                transport.resume_reading()
            window_at, reads = loop.time(), 0
        if began is not None and time.perf_counter() - began >= READ_TURN_S:
            await asyncio.sleep(0)
        if began is None:
            began = time.perf_counter()
            loop.call_soon(end_turn)
        some: bytes = await read(min(n, READ_BYTES_MAX))
        reads, size = reads + 1, len(some)
        return some

    protocol.read = read_some


def _on_connect(
    client: GmqttConnection, session_present: int, _result: int, _properties: object
) -> None:
    client.is_catching_up = bool(session_present)


def _on_message(
    client: GmqttConnection,
    topic: str | bytes,
    payload: bytes,
    _qos: int,
    properties: Mapping[str, Any],
) -> int:
    # gmqtt passes bytes if a topic is not UTF-8, which no broker should forward.
    if isinstance(topic, str):
        first = _RETAIN * properties["retain"] | _DUP * properties["dup"]
        client._deliver([(topic, payload, client._freshness(first))])
    return 0


def _on_subscribe(
    client: GmqttConnection, _mid: int, granted: Sequence[int], _properties: object
) -> None:
    if not client._subscribed.done():
        accepted = [qos < 0x80 for qos in granted]
        client._subscribed.set_result(all(accepted) if client._requires_all else any(accepted))


def _on_disconnect(client: GmqttConnection, _packet: object) -> None:
    client.ended.set()
