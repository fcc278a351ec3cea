# SPDX-License-Identifier: BSD-3-Clause
"""The clients of a gateway that shares the nodes of a cluster of MQTT brokers with others.

Each share is a separate session, whose client id all of these gateways know. The MQTT broker
keeps its messages with QoS 1 while a share moves, and delivers to the next gateway what the last
one has not acknowledged.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.shares import (
    PRESENCE_INTERVAL_S,
    Presence,
    ShareAccess,
    Shares,
    read_presence,
    share_of,
)
from pyaiot.gateways.mqtt.sides import Side, Sides
from pyaiot.gateways.plugin import SharingMachine
from pyaiot.mqtt.client import LastWill, MqttClient, MqttServer, ReceivedMessage
from pyaiot.mqtt.embedded.nats_settings import (
    ACKNOWLEDGED_WITHIN_S,
    PRESENCE_TOPIC,
    SHARE_LEVEL,
)
from pyaiot.protocols.mqtt.node_topics import NODE_CHECK, NodeCheck, parse_publication
from pyaiot.transport.backoff import Backoff

STEP_S: Final = PRESENCE_INTERVAL_S / 4
"""Interval at which a gateway decides what to release and to take."""

RETRY_S: Final = 0.1
RETRY_MAX_S: Final = 1.0
"""Pause between two attempts to serve a share, doubled with each one from the first up to this.
They fail while the MQTT broker elects the leaders of its streams."""
LEAVE_LIMIT_S: Final = 2.0
"""How long a gateway that ends takes to release its shares, and waits until others serve them.
Those that it has not released are taken by others after `GONE_AFTER_S`."""

log = logging.getLogger(__name__)


class SharedGateway(Protocol):
    """The gateway, which processes the messages of the shares that it holds."""

    def receive(self, side: Side, messages: Sequence[ReceivedMessage]) -> None: ...
    def share_connected(self, share: int) -> None: ...
    def share_caught_up(self, side: Side, share: int) -> None: ...
    def share_released(self, share: int) -> None: ...
    async def hand_over(self) -> None:
        """Return when the broker has all events of released shares: after the next gateway has
        reported their nodes, it takes no more of them from this one."""

    async def run_at_one(self) -> None:
        """What only one gateway does: it runs while this one has the first share."""


class _Serving:
    """A share that this gateway serves: a client for each side, and the tasks that run them."""

    def __init__(self, sides: Sides) -> None:
        self.is_active = True
        self.clients: list[MqttClient] = []
        """Those of `sides.all`."""
        self.tasks: list[asyncio.Task[None]] = []
        self._sides = sides

    @property
    def has_session(self) -> bool:
        """Whether the MQTT broker has sessions for the sides that may have nodes."""
        return all(client.has_connected.is_set() for client in self._needed())

    @property
    def is_connected(self) -> bool:
        """Whether messages of these sides arrive."""
        return all(client.connected for client in self._needed())

    def _needed(self) -> list[MqttClient]:
        in_use = self._sides.in_use()
        clients = zip(self._sides.all, self.clients, strict=True)
        return [client for side, client in clients if side in in_use]


class ShareClients:
    """Takes and releases shares. `run` does it until cancelled."""

    def __init__(
        self,
        access: ShareAccess,
        server: MqttServer,
        sides: Sides,
        gateway: SharedGateway,
        name: str,
    ) -> None:
        """`server`: of the side without credentials."""
        self._access = access
        self._sides = sides
        self._gateway = gateway
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._table = Shares(access.own, access.gateways)
        self._serving: dict[int, _Serving] = {}
        self._is_awake = asyncio.Event()
        """Set when the others have to learn something at once."""
        self._leaves = False
        self._has_left = asyncio.Event()
        self._published: Presence | None = None
        self._published_at = 0.0
        self._was_connected = False
        self.is_settled = asyncio.Event()
        """Set when it receives the messages of its shares, and never cleared."""
        self._leaving = Presence(gateway=access.own, holds=(), leaves=True)
        self._client = MqttClient(
            msgspec.structs.replace(server, client_id="", echo_topic=""),
            name=f"{name}, shares",
            subscriptions=[PRESENCE_TOPIC],
            on_messages=self._received,
            on_connect=self._connected,
            keeps_session=False,
            # The others need not wait for `GONE_AFTER_S` if only this process was killed.
            last_will=LastWill(PRESENCE_TOPIC, msgspec.json.encode(self._leaving), retained=False),
        )

    @property
    def held(self) -> frozenset[int]:
        return self._table.held

    @property
    def gateways(self) -> Sequence[str]:
        """Those that share the nodes now, with this one."""
        return self._table.gateways

    def machines(self) -> list[SharingMachine]:
        """All machines whose gateways can share the nodes."""
        own = self._access.own
        return [
            SharingMachine(it, it == own, self._table.shares_of(it)) for it in self._access.gateways
        ]

    @property
    def problem(self) -> str:
        """Which nodes are not served although they belong to this gateway; "" if all are."""
        now = self._loop.time()
        if self._table.assigned(now) is None:
            return "the gateways of the MQTT brokers have not shared the nodes yet"
        count = len(self._table.unserved(now))
        count += sum(not it.is_connected for it in self._serving.values())
        if not count:
            return ""
        return f"the nodes of {count} of {len(self._access.client_ids)} shares are not served"

    def is_ours(self, topic: str, payload: bytes) -> bool:
        """Whether a message is about a node of this gateway. Those about no node are for the one
        that has the first share."""
        levels = topic.split("/", 3)
        try:
            if topic == NODE_CHECK:
                publication = parse_publication(topic, payload)
                assert isinstance(publication, NodeCheck)  # noqa: S101 - it is one
                return share_of(publication.uid) in self._table.held
        except ProtocolError:
            return 0 in self._table.held
        share = share_of(levels[1]) if len(levels) == 3 and levels[0] == "node" else 0
        return share in self._table.held

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.run(), name="mqtt gateways")
            while not self._leaves:
                is_awake = self._is_awake.is_set()
                self._is_awake.clear()
                await self._step(tasks, publishes=is_awake)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STEP_S):
                        await self._is_awake.wait()
            await self._release(self.held)
            self._publish(self._leaving)
            # The end of the nats-server of this machine causes elections, during which the MQTT
            # broker accepts no session and loses acknowledgements.
            while not self._table.are_taken:
                self._is_awake.clear()
                await self._is_awake.wait()
            self._has_left.set()

    async def leave(self) -> None:
        """Release all shares, so that others take them at once, and wait until they serve them. Not
        more than `LEAVE_LIMIT_S`."""
        self._leaves = True
        self._is_awake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._has_left.wait()

    async def _step(self, tasks: asyncio.TaskGroup, *, publishes: bool) -> None:
        """`publishes`: also if nothing has changed."""
        if self._was_connected and not self._client.connected:
            self._was_connected = False
            self._table.disconnected()
        changes = self._table.update(self._loop.time())
        release = changes.release
        if self._was_connected:
            # A session that does not exist yet keeps no messages for the next gateway.
            release = frozenset(it for it in release if self._serving[it].has_session)
        await self._release(release)
        for share in sorted(changes.take):
            self._take(share, tasks)
        if self.held == self._table.assigned(self._loop.time()) and not self.problem:
            self.is_settled.set()
        if any(changes):
            log.info(
                "%s: serves %d of %d shares, of the nodes at %d gateways",
                *(self._name, len(self.held), len(self._access.client_ids), len(self.gateways)),
            )
        now = self._loop.time()
        connects = not all(it.is_connected for it in self._serving.values())
        presence = self._table.presence(now, connects=connects)
        is_due = now - self._published_at >= PRESENCE_INTERVAL_S
        if presence != self._published or is_due or publishes:
            self._publish(presence)

    def _publish(self, presence: Presence) -> None:
        self._published, self._published_at = presence, self._loop.time()
        self._client.publish(PRESENCE_TOPIC, msgspec.json.encode(presence))

    def _connected(self) -> None:
        self._was_connected = True
        self._table.connected(self._loop.time())
        self._is_awake.set()

    def _received(self, messages: Sequence[ReceivedMessage]) -> None:
        for _topic, payload, _freshness in messages:
            try:
                presence = read_presence(payload)
            except ProtocolError as error:
                log.debug("%s: not of another gateway: %s", self._name, error)
                continue
            if self._table.receive(presence, self._loop.time()) or self._leaves:
                self._is_awake.set()

    # -- shares ---------------------------------------------------------------------------------

    def _take(self, share: int, tasks: asyncio.TaskGroup) -> None:
        serving = self._serving[share] = _Serving(self._sides)
        for side in self._sides.all:
            client = MqttClient(
                msgspec.structs.replace(
                    side.server,
                    client_id=self._access.client_ids[share],
                    # It would get the echoes of other shares as well.
                    echo_topic=f"{side.server.echo_topic}/{share}",
                ),
                name=f"{self._name}, share {share}",
                subscriptions=[f"node/+/+/{SHARE_LEVEL}/{share}"],
                on_messages=partial(self._on_messages, serving, side, f"/{SHARE_LEVEL}/{share}"),
                on_connect=partial(self._share_connected, share),
                on_caught_up=partial(self._gateway.share_caught_up, side, share),
                backoff=Backoff(first_s=RETRY_S, limit_s=RETRY_MAX_S),
                again_after_s=ACKNOWLEDGED_WITHIN_S,
            )
            serving.clients.append(client)
            serving.tasks.append(
                tasks.create_task(self._serve(side, client), name=f"mqtt share {share}")
            )
        self._table.held |= {share}
        if share == 0:
            serving.tasks.append(
                tasks.create_task(self._gateway.run_at_one(), name="mqtt foreign devices")
            )

    def _share_connected(self, share: int) -> None:
        self._gateway.share_connected(share)
        self._is_awake.set()

    async def _serve(self, side: Side, client: MqttClient) -> None:
        await self._sides.is_needed(side)
        await client.run()

    def _on_messages(
        self, serving: _Serving, side: Side, suffix: str, messages: Sequence[ReceivedMessage]
    ) -> None:
        if serving.is_active:
            self._gateway.receive(
                side,
                [
                    (topic.removesuffix(suffix), payload, freshness)
                    for topic, payload, freshness in messages
                ],
            )

    async def _release(self, shares: Collection[int]) -> None:
        """Stop serving. Returns when the next gateway may take the shares."""
        if shares:
            await asyncio.gather(*(self._release_one(share) for share in shares))
            await self._gateway.hand_over()

    async def _release_one(self, share: int) -> None:
        serving = self._serving.pop(share)
        self._table.held -= {share}
        await asyncio.gather(*(client.leave() for client in serving.clients))
        serving.is_active = False
        for task in serving.tasks:
            task.cancel()
        await asyncio.gather(*serving.tasks, return_exceptions=True)
        self._gateway.share_released(share)
