# SPDX-License-Identifier: BSD-3-Clause
"""Attack 6: a stalled client holds bounded memory, and is closed with a reason."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from pyaiot.broker.broker import Broker
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.subscriber import BUFFER_HIGH, CLOSE_SLOW, STALL_LIMIT_S, Subscriber
from pyaiot.messages import Join, Reading
from pyaiot.registry.record import NodeRecord
from tests.attacks.raw import SMALL_BUFFER, RawPeer, raw_client, raw_gateway
from tests.attacks.running import Log, System, running_system, until

TOTAL_MAX = 192 * 1024 * 1024
"""Bytes for all stalled clients, plus what may arrive between two checks."""
MEMORY_MAX = 2 * 1024 * 1024
"""Bytes for one stalled client, as documented."""

VALUES: dict[str, Callable[[int], Any]] = {
    "short texts": lambda number: f"{number}°C",
    "long texts": lambda number: f"{number}" + "x" * 60_000,
    "emoji": lambda number: f"{number}" + "\N{GRINNING FACE}" * 15_000,
    "control characters": lambda number: f"{number}" + "\x01" * 10_000,
    "lists of objects": lambda number: [number, *({} for _ in range(8_000))],
    "numbers": lambda number: [number] * 10_000,
}


def held(client: Subscriber) -> int:
    """Bytes that wait for a client in the process, measured one by one."""
    return client.sink.buffered() + size_of(
        [entry[0] for entry in client._backlog._entries.values()]
    )


def size_of(value: Any) -> int:
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(size_of(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return sys.getsizeof(value) + sum(map(size_of, value))
    if isinstance(value, msgspec.Struct):
        fields = (getattr(value, name) for name in value.__struct_fields__)
        return sys.getsizeof(value) + sum(map(size_of, fields))
    return sys.getsizeof(value)


class Flood:
    """A gateway that sends more readings than the socket of a client buffers."""

    def __init__(self, gateway: RawPeer, value: Callable[[int], Any]) -> None:
        self._gateway = gateway
        self._value = value
        self._count = 0

    async def some(self) -> None:
        """200 kB of readings of 25 resources."""
        messages: list[dict[str, Any]] = []
        size = 0
        while size < 200_000:
            self._count += 1
            message = {
                "type": "update",
                "uid": "flooded",
                "endpoint": f"resource{self._count % 25}",
                "data": self._value(self._count),
            }
            messages.append(message)
            size += len(json.dumps(message, ensure_ascii=False).encode())
        await self._gateway.send_json(messages)


@contextlib.asynccontextmanager
async def flooded(system: System, value: Callable[[int], Any]) -> AsyncIterator[Flood]:
    async with raw_gateway(system.url, system.token()) as gateway:
        await gateway.send_json([{"type": "hello", "name": "flood", "protocol": "x"}])
        yield Flood(gateway, value)


@pytest.mark.sockets
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
async def test_memory_of_a_stalled_client_is_bounded(
    value: Callable[[int], Any],
) -> None:
    async with (
        running_system() as system,
        flooded(system, value) as flood,
        raw_client(system.url, receive_buffer=SMALL_BUFFER),
        raw_client(system.url, extended=True, receive_buffer=SMALL_BUFFER),
    ):
        inside = system.inside()
        assert len(inside) == 2
        most = 0
        for _ in range(12):
            await flood.some()
            # The honest client reads everything, and is served.
            await system.serves()
            most = max(most, *map(held, inside))
        assert BUFFER_HIGH < most <= MEMORY_MAX


@pytest.mark.sockets
async def test_client_too_far_behind_is_closed_with_1013_and_a_reason(log: Log) -> None:
    async with (
        running_system() as system,
        flooded(system, VALUES["long texts"]) as flood,
        raw_client(system.url, receive_buffer=SMALL_BUFFER) as stalled,
    ):
        (inside,) = system.inside()
        while not inside.closed:
            await flood.some()
            await system.serves()
        code, reason = await stalled.closed()
        assert code == CLOSE_SLOW
        assert "messages behind" in reason
        await until(lambda: not system.inside())
        await system.serves()
    assert log.tracebacks == []


@pytest.mark.sockets
async def test_unread_receipts_are_bounded() -> None:
    async with (
        running_system() as system,
        raw_client(system.url, extended=True, receive_buffer=SMALL_BUFFER) as stalled,
    ):
        (inside,) = system.inside()
        command = {"type": "command", "uid": "nobody", "endpoint": "led", "payload": "1"}
        most = 0
        for _ in range(60):
            if inside.closed:
                break
            # No other message makes the broker check this client.
            with contextlib.suppress(ConnectionError):
                await stalled.send_json([command] * 2_000)
            await asyncio.sleep(0)
            most = max(most, held(inside))
        assert inside.closed
        assert most <= MEMORY_MAX
        await until(lambda: not system.inside())
        await system.serves()


@pytest.mark.sockets
async def test_client_that_joins_too_often_is_closed_with_1008() -> None:
    async with running_system() as system, raw_client(system.url, extended=True) as greedy:
        await greedy.send_json([{"type": "new", "data": "client"}] * 100)
        code, reason = await greedy.closed()
        assert (code, reason) == (1008, "requested the state too often")
        assert 0 < system.broker.router.refused <= 90
        await system.serves()


class StalledSocket:
    """A socket whose peer reads nothing."""

    def __init__(self) -> None:
        self.waiting = 0
        self.closed: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def buffered(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


async def test_client_that_reads_nothing_for_30_seconds_is_closed_with_1013() -> None:
    loop = asyncio.get_running_loop()
    broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: 0.0)
    node = broker.router.nodes.add(1, NodeRecord(uid="large"), ts=0.0)
    for number in range(20):
        reading = Reading(uid="large", resource=f"r{number}", data="x" * 60_000)
        broker.router.nodes.keep(node, reading)
    socket = StalledSocket()
    client = broker.client_connected(socket)
    broker.from_client(client, Join(data="client"))
    # Of twenty values of 60 kB, the socket got no more than its limit.
    assert 0 < socket.waiting <= 512 * 1024
    await asyncio.sleep(STALL_LIMIT_S - 1)
    assert socket.closed is None
    await asyncio.sleep(2)
    assert socket.closed == (CLOSE_SLOW, "read nothing for 30 s")


async def test_memory_of_all_stalled_clients_is_bounded() -> None:
    loop = asyncio.get_running_loop()
    broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: 0.0)
    honest = Reader()
    broker.client_connected(honest)
    sockets = [StalledSocket() for _ in range(300)]
    for socket in sockets:
        broker.client_connected(socket)
    for number in range(20):
        reading = Reading(uid="large", resource=f"r{number}", data="x" * 60_000)
        broker._deliver([ToAll(reading)])
        await asyncio.sleep(0.05)
        clients = broker.fanout.clients.values()
        assert sum(client.held for client in clients if not client.closed) <= TOTAL_MAX
    closed = [socket for socket in sockets if socket.closed]
    assert 0 < len(closed) < len(sockets)
    assert {socket.closed for socket in closed} == {(CLOSE_SLOW, "too much waits for slow clients")}
    assert honest.closed is None
    assert honest.taken > 20 * 60_000


class Reader(StalledSocket):
    """A socket whose peer reads everything."""

    taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)
