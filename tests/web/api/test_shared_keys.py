# SPDX-License-Identifier: BSD-3-Clause
"""An `Idempotency-Key` is one command at all brokers of a cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from pyaiot.broker.broker import Broker
from pyaiot.messages import Command, NodeAppeared, Receipt
from pyaiot.web.api import idempotency_database
from pyaiot.web.api.http_command import HttpCommand
from pyaiot.web.api.idempotency import HttpCommandTable
from pyaiot.web.api.idempotency_database import IdempotencyDatabase
from pyaiot.web.problems import ProblemError
from tests.history.postgres_server import Server, running_server
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

NAME = "postgresql://test"
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


class Device:
    """Carries out the commands of all brokers."""

    def __init__(self) -> None:
        self.carried_out = 0
        self.is_silent = False
        self.waiting: list[tuple[Broker, Command]] = []

    def confirm_all(self) -> None:
        for broker, command in self.waiting:
            receipt = Receipt(id=command.id, state="confirmed")
            broker._deliver(broker.router.from_gateway(1, receipt, now=0.0, ts=0.0))
        self.waiting.clear()


class Link:
    """The link of a broker to the gateway of the device."""

    def __init__(self, broker: Broker, device: Device) -> None:
        self._broker = broker
        self._device = device

    def send(self, message: object) -> None:
        assert isinstance(message, Command)
        self._device.carried_out += 1
        self._device.waiting.append((self._broker, message))
        if not self._device.is_silent:
            asyncio.get_running_loop().call_soon(self._device.confirm_all)


class One:
    """A broker of the cluster: its table of commands and its connection to the database."""

    def __init__(self, url: str, device: Device) -> None:
        loop = asyncio.get_running_loop()
        broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: 0.0)
        broker._links[1] = Link(broker, device)  # type: ignore[assignment]
        broker.router.gateway_connected(1, acknowledges=True, ts=0.0)
        broker.router.from_gateway(1, NodeAppeared(uid="n"), now=0.0, ts=0.0)
        self.keys = IdempotencyDatabase(url, NAME)
        self.table = HttpCommandTable(broker, lambda: 0.0, loop.time, shared=self.keys)

    async def issue(self, key: str, *, payload: str = "1", timeout_s: float = 5.0) -> HttpCommand:
        return await self.table.issue_once("p", "n", "led", payload, timeout_s, key)

    async def ended(self, key: str) -> HttpCommand:
        async with time_limit(LIMIT_S):
            command = await self.issue(key)
            await command.ended()
        return command


class Two:
    def __init__(self, url: str) -> None:
        self.device = Device()
        self.a, self.b = One(url, self.device), One(url, self.device)


@asynccontextmanager
async def two_brokers(server: Server) -> AsyncIterator[Two]:
    db = await asyncpg.connect(server.url)
    await db.execute("DROP SCHEMA IF EXISTS pyaiot_keys CASCADE")
    await db.close()
    two = Two(server.url)
    async with two.a.keys.running(), two.b.keys.running():
        yield two


async def test_a_key_of_another_broker_is_the_same_command(server: Server) -> None:
    async with two_brokers(server) as it:
        first = await it.a.ended("k")
        second = await it.b.ended("k")
        assert second.status() == first.status()
        assert (await it.b.ended("k")) is second
        assert it.device.carried_out == 1


async def test_of_requests_at_both_brokers_at_once_one_is_carried_out(server: Server) -> None:
    async with two_brokers(server) as it:
        both = await asyncio.gather(*(one.ended("k") for one in (it.a, it.b, it.a, it.b)))
        assert {command.receipt and command.receipt.state for command in both} == {"confirmed"}
        assert len({command.command_id for command in both}) == 1
        assert it.device.carried_out == 1


async def test_a_command_that_another_broker_waits_for_is_waited_for(server: Server) -> None:
    async with two_brokers(server) as it:
        it.device.is_silent = True
        await it.a.issue("k")
        second = await it.b.issue("k")
        assert second.receipt is None
        it.device.confirm_all()
        async with time_limit(LIMIT_S):
            await second.ended()
        assert second.status().state == "confirmed"
        assert it.device.carried_out == 1


async def test_a_command_of_a_broker_that_died_ends_as_timeout(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_database, "LATE_S", 0.0)
    async with two_brokers(server) as it:
        it.device.is_silent = True
        await it.a.issue("k", timeout_s=0.2)
        second = await it.b.ended("k")
        assert second.status().state == "timeout"
        assert it.device.carried_out == 1


async def test_a_key_for_another_command_is_refused_at_the_other_broker(server: Server) -> None:
    async with two_brokers(server) as it:
        await it.a.ended("k")
        with pytest.raises(ProblemError) as refused:
            await it.b.issue("k", payload="2")
        assert refused.value.problem.status == 409


async def test_the_other_broker_finds_the_command_by_its_id(server: Server) -> None:
    async with two_brokers(server) as it:
        first = await it.a.ended("k")
        async with time_limit(LIMIT_S):
            while True:
                found = await it.b.table.find_anywhere(first.command_id)
                if found is not None and found.receipt is not None:
                    break
                await asyncio.sleep(0.01)
        assert found.status() == first.status()
        assert await it.b.table.find_anywhere("unknown") is None


async def test_the_key_of_a_command_that_was_not_sent_is_free(server: Server) -> None:
    async with two_brokers(server) as it:
        for _ in range(2):
            unknown = await it.a.table.issue_once("p", "nobody", "led", "1", 5.0, "k")
            assert unknown.status().state == "unknown"
        assert (await it.a.ended("k")).status().state == "confirmed"


async def test_a_key_that_cannot_be_claimed_is_refused_and_nothing_is_sent(server: Server) -> None:
    async with two_brokers(server) as it:
        server.stop()
        try:
            with pytest.raises(ProblemError) as refused:
                await it.a.issue("k")
            assert refused.value.problem.status == 503
            assert it.device.carried_out == 0
            await it.a.issue("")
            assert it.device.carried_out == 1
        finally:
            await asyncio.to_thread(server.start)
        await it.a.ended("k")
        assert it.device.carried_out == 2


async def test_a_receipt_is_stored_when_the_server_is_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_database, "RETRY_S", 0.05)
    async with two_brokers(server) as it:
        it.device.is_silent = True
        first = await it.a.issue("k", timeout_s=30.0)
        server.stop()
        try:
            it.device.confirm_all()
            async with time_limit(LIMIT_S):
                await first.ended()
        finally:
            await asyncio.to_thread(server.start)
        assert (await it.b.ended("k")).status().state == "confirmed"
