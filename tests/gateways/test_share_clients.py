# SPDX-License-Identifier: BSD-3-Clause
"""A gateway takes shares of the nodes at an MQTT broker, and reports those that are not served."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pyaiot.gateways.mqtt.share_clients import LEAVE_LIMIT_S, ShareClients
from pyaiot.gateways.mqtt.shares import Presence, ShareAccess, assign, read_presence
from pyaiot.mqtt.client import MqttClient, MqttServer, ReceivedMessage
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.machines import SHARES
from pyaiot.mqtt.embedded.nats_settings import PRESENCE_TOPIC
from tests.gateways.mqtt_servers import nats_server
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 20.0
NAMES = ("10.0.0.1:6222", "10.0.0.2:6222")
EVERY = frozenset(range(SHARES))
NOT_SHARED = "the gateways of the MQTT brokers have not shared the nodes yet"


class QuietGateway:
    """A gateway that ignores what its shares receive. `link_is_free` cleared: its broker has not
    taken the last events."""

    def __init__(self) -> None:
        self.link_is_free = asyncio.Event()
        self.link_is_free.set()
        self.hands_over = asyncio.Event()

    def receive(self, side: Any, messages: Sequence[ReceivedMessage]) -> None: ...
    def share_connected(self, share: int) -> None: ...
    def share_caught_up(self, side: Any, share: int) -> None: ...
    def share_released(self, share: int) -> None: ...
    async def hand_over(self) -> None:
        self.hands_over.set()
        await self.link_is_free.wait()

    async def run_at_one(self) -> None: ...


class OneSide:
    """Devices without credentials only."""

    def __init__(self, server: MqttServer) -> None:
        self.all = [SimpleNamespace(server=server)]

    def in_use(self) -> list[SimpleNamespace]:
        return self.all

    async def is_needed(self, side: object) -> None: ...


class Another:
    """The other gateway: `publish` sends a presence, `seen` has those of both."""

    def __init__(self, server: MqttServer) -> None:
        self.seen: list[Presence] = []
        self.connected = asyncio.Event()
        self.client = MqttClient(
            msgspec.structs.replace(server, client_id="", echo_topic=""),
            name="another",
            subscriptions=[PRESENCE_TOPIC],
            on_messages=lambda found: self.seen.extend(read_presence(it[1]) for it in found),
            on_connect=self.connected.set,
            keeps_session=False,
        )

    def publish(self, **presence: Any) -> None:
        body = msgspec.json.encode(Presence(gateway=NAMES[1], **presence))
        assert self.client.publish(PRESENCE_TOPIC, body)

    @property
    def last(self) -> Presence | None:
        of_first = [it for it in self.seen if it.gateway == NAMES[0]]
        return of_first[-1] if of_first else None


@asynccontextmanager
async def sharing(folder: Path) -> AsyncIterator[tuple[ShareClients, Another, EmbeddedBroker]]:
    nats_server()
    async with EmbeddedBroker.running(EmbeddedConfig(folder, port=0)) as broker:
        another = Another(broker.server)
        ids = tuple(f"share{number}" for number in range(SHARES))
        access = ShareAccess(NAMES[0], NAMES, ids, "group")
        sides: Any = OneSide(broker.server)
        shares = ShareClients(access, broker.server, sides, QuietGateway(), "mqtt")
        running = [asyncio.create_task(it) for it in (another.client.run(), shares.run())]
        try:
            async with time_limit(LIMIT_S):
                await another.connected.wait()
                yield shares, another, broker
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def until(is_true: Any) -> None:
    while not is_true():  # noqa: ASYNC110 - other processes
        await asyncio.sleep(0.02)


async def test_it_has_a_problem_until_its_shares_are_served(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, _another, broker):
        assert shares.problem == NOT_SHARED
        assert not shares.is_settled.is_set()
        await shares.is_settled.wait()
        assert shares.held == EVERY
        assert shares.problem == ""
        os.kill(broker.pid, signal.SIGKILL)
        await until(lambda: shares.problem)
        # nats-server is started again.
        await until(lambda: not shares.problem)


async def test_shares_move_when_the_other_has_listened(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, another, _broker):
        await shares.is_settled.wait()
        another.publish(holds=(), listens=True)
        await until(lambda: len(shares.gateways) == len(NAMES))
        await asyncio.sleep(0.5)
        assert shares.held == EVERY
        another.publish(holds=())
        kept = assign(NAMES)[NAMES[0]]
        await until(lambda: another.last is not None and frozenset(another.last.holds) == kept)
        assert shares.problem == ""
        another.publish(holds=(), leaves=True)
        await until(lambda: shares.held == EVERY)


async def test_others_take_a_share_when_the_broker_has_its_last_events(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, another, _broker):
        await shares.is_settled.wait()
        gateway: Any = shares._gateway
        gateway.link_is_free.clear()
        another.publish(holds=())
        await gateway.hands_over.wait()
        # Another gateway that took the shares now would be the owner when these events arrive.
        kept = assign(NAMES)[NAMES[0]]
        await asyncio.sleep(0.3)
        assert another.last is not None
        assert frozenset(another.last.holds) == EVERY
        gateway.link_is_free.set()
        await until(lambda: another.last is not None and frozenset(another.last.holds) == kept)


async def test_one_whose_process_is_killed_leaves_by_its_last_will(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, another, _broker):
        await shares.is_settled.wait()
        connection = shares._client._connection
        assert connection is not None
        connection._connection._transport.abort()
        await until(lambda: any(it.leaves for it in another.seen))


async def test_one_that_ends_waits_until_the_others_serve_its_shares(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, another, _broker):
        await shares.is_settled.wait()
        assert any(it.connects for it in another.seen if it.gateway == NAMES[0])
        await until(lambda: another.last is not None and not another.last.connects)
        another.publish(holds=())
        await until(lambda: len(shares.gateways) == len(NAMES))
        began = asyncio.get_running_loop().time()
        leaving = asyncio.create_task(shares.leave())
        await until(lambda: any(it.leaves for it in another.seen))
        for more in ({"holds": ()}, {"holds": tuple(EVERY), "connects": True}):
            another.publish(**more)
            await asyncio.sleep(0.2)
            assert not leaving.done()
        another.publish(holds=tuple(EVERY))
        await leaving
        assert asyncio.get_running_loop().time() - began < LEAVE_LIMIT_S


async def test_one_that_ends_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with sharing(tmp_path) as (shares, another, _broker):
        await shares.is_settled.wait()
        another.publish(holds=())
        await until(lambda: len(shares.gateways) == len(NAMES))
        await shares.leave()
        assert shares.held == frozenset()
