# SPDX-License-Identifier: BSD-3-Clause
"""Connects a bridge to the broker of Pyaiot and to the MQTT broker of Home Assistant.

The broker sees an ordinary subscriber, whose messages are queued and conflated like those of any
other client. While there is no connection to the MQTT broker, there is no subscriber either.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, get_args

import msgspec

from pyaiot.accounts.scopes import Scope
from pyaiot.audit.entry import Principal
from pyaiot.broker.broker import Broker
from pyaiot.broker.encoders import PLAIN
from pyaiot.broker.subscriber import Subscriber
from pyaiot.errors import ProtocolError, Refused
from pyaiot.homeassistant import metrics
from pyaiot.homeassistant.bridge import Bridge
from pyaiot.homeassistant.discovery import components_of
from pyaiot.homeassistant.names import TOPIC_PREFIX, Topics
from pyaiot.homeassistant.node_removals import FOUND_MAX
from pyaiot.homeassistant.removals import REMOVALS_MAX, Removals
from pyaiot.messages import Join, Receipt, ReceiptState, RegisteredNode, ToClient, decode_to_client
from pyaiot.metrics import Sample
from pyaiot.mqtt.client import Freshness, LastWill, MqttClient, MqttServer, ReceivedMessage
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.rate_limit import RateLimitedLog

CLIENT: Final = "homeassistant"
"""Client id of its commands, and its name in the audit log."""
PORTION_BYTES: Final = 64 * 1024
"""Bytes that are published before the event loop continues."""
WAITING_BYTES_MAX: Final = 256 * 1024
"""Size of the write buffer of the connection, in bytes, at which publishing pauses. Readings are
conflated in the meantime.
"""
POLL_S: Final = 0.02
"""Length of such a pause."""
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""First and longest delay before the next attempt to connect. It is doubled each time."""
REJOIN_S: Final = 5.0
"""Delay before subscribing again after the broker closed the subscription because it
was too slow.
"""

log = logging.getLogger(__name__)


class HomeAssistantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Home Assistant, and which nodes it shows."""

    server: MqttServer
    """The MQTT broker that it uses."""
    system: str
    """Name of this system in ids and topics."""
    discovery_prefix: str
    tags: tuple[str, ...] = ()
    """Only nodes with one of these tags are shown; empty: all."""
    not_shown: Callable[[RegisteredNode], bool] = lambda _node: False
    """Whether Home Assistant discovers a node by itself."""


class _Inbox:
    """The sink of the subscriber."""

    def __init__(self, wake: asyncio.Event) -> None:
        self.is_closed = False
        self._wake = wake
        self._parts: deque[bytes] = deque()
        self._size = 0

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        self._wake.set()

    def buffered(self) -> int:
        return self._size

    def close(self, code: int, reason: str) -> None:
        log.warning("Home Assistant: closed by the broker with %d: %s", code, reason)
        self.is_closed = True
        self._parts.clear()
        self._size = 0
        self._wake.set()

    def take(self) -> list[ToClient]:
        """The messages of the oldest write; empty if there is none."""
        if not self._parts:
            return []
        data = self._parts.popleft()
        self._size -= len(data)
        return decode_to_client(data)


class _Connection(msgspec.Struct, frozen=True):
    """What exists while there is a connection to the MQTT broker."""

    bridge: Bridge
    inbox: _Inbox
    subscriber: Subscriber


class HomeAssistant:
    """Serves one system in one Home Assistant. `run` serves it; must be used on the event loop of
    the broker.
    """

    def __init__(
        self,
        broker: Broker,
        settings: HomeAssistantSettings,
        *,
        is_registry_loaded: Callable[[], bool],
    ) -> None:
        self.published = 0
        """Messages that were published since the start."""
        self._broker = broker
        self._settings = settings
        self._is_registry_loaded = is_registry_loaded
        self._topics = Topics(settings.system, settings.discovery_prefix)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._connection: _Connection | None = None
        self._earlier: dict[str, frozenset[str]] = {}
        """Components of the discovery messages that the MQTT broker retains, by id. They may
        arrive before the connection is ready.
        """
        self._removals = Removals()
        self._removed: dict[str, bytes] = {}
        """Retained messages about removed nodes, until the connection is ready."""
        self._totals: Counter[str] = Counter()
        """Counters of the bridges of earlier connections."""
        self._receipts: Counter[ReceiptState] = Counter()
        self._log = RateLimitedLog(log)
        echo = f"{TOPIC_PREFIX}/{settings.system}/echo"
        self._mqtt = MqttClient(
            msgspec.structs.replace(settings.server, echo_topic=echo),
            name="Home Assistant",
            subscriptions=(
                *(self._topics.commands, *self._topics.births),
                *(self._topics.configs, self._topics.all_removed),
            ),
            on_messages=self._receive,
            on_connect=self._connected,
            keeps_session=False,
            last_will=LastWill(self._topics.status, b"offline"),
            backoff=Backoff(first_s=RETRY_FIRST_S, limit_s=RETRY_MAX_S),
        )

    @property
    def connected(self) -> bool:
        return self._mqtt.connected

    async def run(self) -> None:
        """Serve until cancelled. After that all nodes are unavailable."""
        async with asyncio.TaskGroup() as tasks:
            mqtt = tasks.create_task(self._mqtt.run(), name="MQTT for Home Assistant")
            try:
                await self._publish_forever()
            finally:
                self._leave()
                # The MQTT broker publishes the last will only if the connection is lost.
                self._mqtt.publish(self._topics.status, b"offline", retain=True)
                mqtt.cancel()

    def collect(self) -> Iterator[Sample]:
        """The current samples of its metrics."""
        bridge = None if self._connection is None else self._connection.bridge
        totals = self._totals + _counters(bridge)
        yield metrics.CONNECTED.of(int(self.connected))
        yield metrics.NODES.of(0 if bridge is None else len(bridge.nodes))
        yield metrics.NODES_EXCESS.of(0 if bridge is None else bridge.excess)
        yield metrics.PUBLISHED.of(self.published)
        yield metrics.CONFLATED.of(totals["conflated"])
        for state in get_args(ReceiptState):
            yield metrics.COMMANDS.of(self._receipts[state], receipt=state)
        yield metrics.COMMANDS_REFUSED.of(totals["refused"])

    # -- the broker of Pyaiot ---------------------------------------------------------------------

    def _connected(self) -> None:
        """The MQTT broker has accepted a connection: everything is published on each of them."""
        self._leave()
        self._join()

    def _join(self) -> None:
        server = self._settings.server
        inbox = _Inbox(self._wake)
        try:
            subscriber = self._broker.client_connected(
                inbox,
                PLAIN,
                principal=Principal(CLIENT, server.host),
                # Home Assistant does not use notes, and must not get the addresses of devices.
                scope=Scope(tags=self._settings.tags, hides_personal=True),
                client_id=CLIENT,
            )
        except Refused as error:
            log.warning("Home Assistant: not served: %s", error)
            return
        bridge = Bridge(
            self._topics,
            now=self._loop.time(),
            is_registry_loaded=self._is_registry_loaded,
            not_shown=self._settings.not_shown,
            removals=self._removals,
        )
        for device, config in self._removed.items():
            bridge.receive_removed(device, config)
        self._removed.clear()
        for device, components in self._earlier.items():
            bridge.receive_earlier(device, components)
        self._connection = _Connection(bridge, inbox, subscriber)
        self._broker.from_client(subscriber, Join(data="client", registry=True))
        self._wake.set()

    def _leave(self) -> None:
        if self._connection is not None:
            self._broker.client_left(self._connection.subscriber)
            self._totals += _counters(self._connection.bridge)
            self._connection = None

    # -- the MQTT broker --------------------------------------------------------------------------

    def _receive(self, messages: Sequence[ReceivedMessage]) -> None:
        connection = self._connection
        for topic, payload, freshness in messages:
            if device := self._topics.device_of_config(topic):
                if freshness is Freshness.RETAINED:
                    self._receive_config(device, payload)
            elif device := self._topics.device_of_removed(topic):
                if freshness is Freshness.RETAINED:
                    self._receive_removed(device, payload)
            elif connection is None or freshness is not Freshness.LIVE:
                continue  # a retained command would be carried out again at each connection
            elif topic in self._topics.births:
                if payload == b"online":
                    connection.bridge.home_assistant_started(self._loop.time())
            elif self._topics.target_of_command(topic) is not None:
                self._command(connection, topic, payload)
        self._wake.set()

    def _receive_config(self, device: str, payload: bytes) -> None:
        components = components_of(payload)
        if components is None or len(self._earlier) >= FOUND_MAX:
            return
        self._earlier[device] = components
        self._removals.find(device, payload)
        if self._connection is not None:
            self._connection.bridge.receive_earlier(device, components)

    def _receive_removed(self, device: str, payload: bytes) -> None:
        if components_of(payload) is None:
            return
        if self._connection is not None:
            self._connection.bridge.receive_removed(device, payload)
        elif len(self._removed) < REMOVALS_MAX:
            self._removed[device] = payload

    def _command(self, connection: _Connection, topic: str, payload: bytes) -> None:
        try:
            command = connection.bridge.receive_command(topic, payload)
        except ProtocolError as error:
            self._log.warning(
                "Home Assistant: a command was refused: %s", error, now=self._loop.time()
            )
            return
        self._broker.from_client(connection.subscriber, command)

    # -- publishing -------------------------------------------------------------------------------

    async def _publish_forever(self) -> None:
        while True:
            pause_s = await self._publish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _publish(self) -> float | None:
        """Publish what is due. Returns the seconds until the next publication; None: wait to be
        woken.
        """
        self._wake.clear()
        connection = self._connection
        if not self._mqtt.connected:
            self._leave()
            return None
        if connection is None or connection.inbox.is_closed:
            self._leave()
            await asyncio.sleep(REJOIN_S)
            if self._mqtt.connected and self._connection is None:
                self._join()
            return 0.0
        bridge = connection.bridge
        while True:
            messages = connection.inbox.take()
            self._count_receipts(messages)
            bridge.receive(messages, self._loop.time())
            if self._mqtt.waiting_bytes > WAITING_BYTES_MAX:
                return POLL_S
            publications = bridge.publications_to_send(self._loop.time(), PORTION_BYTES)
            for publication in publications:
                self.published += self._mqtt.publish(
                    publication.topic, publication.payload, retain=publication.retain
                )
            if not messages and not publications:
                break
            await asyncio.sleep(0)
            if self._connection is not connection:
                return 0.0
        timer = bridge.get_timer()
        return None if timer is None else max(0.0, timer - self._loop.time())

    def _count_receipts(self, messages: Sequence[ToClient]) -> None:
        for message in messages:
            if isinstance(message, Receipt):
                self._receipts[message.state] += 1
                if message.state not in ("confirmed", "sent"):
                    self._log.warning(
                        "Home Assistant: a command ended as %s: %s",
                        *(message.state, message.detail),
                        now=self._loop.time(),
                    )


def _counters(bridge: Bridge | None) -> Counter[str]:
    if bridge is None:
        return Counter()
    return Counter(conflated=bridge.conflated, refused=bridge.refused)
