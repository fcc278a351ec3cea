# SPDX-License-Identifier: BSD-3-Clause
"""What subscribers get: at once, in order, conflated; and what a slow one costs."""

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from pyaiot.broker.broker import Broker
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.encoders import ARRAYS, EVENTS, LEGACY, Encoder
from pyaiot.broker.fanout import FLUSH_CREDIT_MAX, RECEIPT_FLUSHES_BURST, Fanout
from pyaiot.broker.subscriber import BACKLOG_COST_MAX, BUFFER_HIGH, STALL_LIMIT_S, Subscriber
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromGateway,
    Join,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    Receipt,
    Subscription,
)

FLUSH_INTERVAL_S = 0.020


class FakeSocket:
    """Takes everything, or buffers everything while `stalled`."""

    def __init__(self, *, stalled: bool = False) -> None:
        self.stalled = stalled
        self.writes: list[bytes] = []
        self.waiting = 0
        self.closed: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.stalled:
            self.waiting += len(data)

    def buffered(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def read_all(self) -> None:
        self.stalled = False
        self.waiting = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for payload in frames(b"".join(self.writes)):
            value = json.loads(payload)
            found += value if isinstance(value, list) else [value]
        return found


def frames(data: bytes) -> Iterator[bytes]:
    """The payloads of unmasked text frames, read by RFC 6455 section 5.2."""
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size == 126:
            (size,), start = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            (size,), start = struct.unpack_from("!Q", data, 2), 10
        yield data[start : start + size]
        data = data[start + size :]


class System:
    """A broker with one gateway, which sends what the test passes to `send`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.broker = Broker(
            flush_interval_s=FLUSH_INTERVAL_S, timer=loop, unix_time=lambda: 1_700_000_000.0
        )
        self.gateway, broker_end = MemoryLink.pair()
        self.received: list[Any] = []
        self._tasks = [
            loop.create_task(self.broker.serve_gateway(broker_end, acknowledges=True)),
            loop.create_task(self.gateway.run(self.received.extend)),
        ]

    def client(
        self, encoder: Encoder = ARRAYS, *, stalled: bool = False
    ) -> tuple[Subscriber, FakeSocket]:
        socket = FakeSocket(stalled=stalled)
        return self.broker.client_connected(socket, encoder), socket

    async def send(self, *messages: FromGateway) -> None:
        for message in messages:
            self.gateway.send(message)
        await asyncio.sleep(0.001)

    async def end(self) -> None:
        self.gateway.close("the test ends")
        await asyncio.gather(*self._tasks, return_exceptions=True)


def uids(socket: FakeSocket, kind: str = "new") -> list[str]:
    return [item["uid"] for item in socket.messages if item["type"] == kind]


async def test_quiet_system_sends_a_reading_at_once() -> None:
    system = System()
    _, socket = system.client(LEGACY)
    await system.send(Reading(uid="A", resource="t", data="23.5°C"))
    assert socket.messages == [
        {"type": "new", "uid": "A", "dst": "all"},
        {"type": "update", "uid": "A", "endpoint": "t", "data": "23.5°C", "dst": "all"},
    ]
    await system.end()


async def test_busy_system_gathers_messages_into_one_write_per_flush() -> None:
    system = System()
    _, socket = system.client()
    for value in range(1000):
        await system.send(Reading(uid="A", resource="t", data=str(value)))
    await asyncio.sleep(FLUSH_INTERVAL_S)
    # One a millisecond for a second: 50 flushes, and the credit of a quiet time.
    assert 50 <= len(socket.writes) <= 50 + FLUSH_CREDIT_MAX + 2
    values = [item["data"] for item in socket.messages if item["type"] == "update"]
    assert values == [str(value) for value in range(1000)]
    await system.end()


async def test_readings_at_the_rate_of_flushes_do_not_wait() -> None:
    system = System()
    _, socket = system.client()
    for value in range(200):
        writes = len(socket.writes)
        await system.send(Reading(uid="A", resource="t", data=str(value)))
        assert len(socket.writes) == writes + 1
        await asyncio.sleep(FLUSH_INTERVAL_S - 0.001 + (value % 3 - 1) * 0.004)
    await system.end()


async def test_legacy_client_gets_one_object_a_frame_in_the_same_write() -> None:
    system = System()
    _, socket = system.client(LEGACY)
    await system.send(*(Reading(uid="A", resource="t", data=str(value)) for value in range(3)))
    assert len(socket.writes) == 1
    assert len(list(frames(socket.writes[0]))) == 4
    await system.end()


async def test_joining_client_gets_the_state_in_one_burst_addressed_to_it() -> None:
    system = System()
    await system.send(
        *(Reading(uid=f"N{node}", resource="t", data="1") for node in range(3)),
        Reading(uid="N0", resource="t", data="2"),
    )
    client, socket = system.client(LEGACY)
    system.broker.from_client(client, Join(data="client"))
    assert [item["uid"] for item in socket.messages if item["type"] == "new"] == ["N0", "N1", "N2"]
    assert [item["data"] for item in socket.messages if item["type"] == "update"] == ["2", "1", "1"]
    assert {item["dst"] for item in socket.messages} == {client.id}
    await system.end()


async def test_legacy_client_gets_the_new_of_a_node_before_anything_else_of_it() -> None:
    system = System()
    await system.send(
        Reading(uid="A", resource="t", data="1"), Reading(uid="B", resource="t", data="1")
    )
    client, socket = system.client(LEGACY)
    # Its `new` is on the way meanwhile.
    await system.send(
        Reading(uid="A", resource="t", data="2"),
        NodeReset(uid="A"),
        Reading(uid="A", resource="t", data="3"),
        Reading(uid="C", resource="t", data="1"),
        NodeLeft(uid="B"),
        Reading(uid="B", resource="t", data="2"),
    )
    assert uids(socket) == ["C", "B"]
    assert uids(socket, "update") == ["C", "B"]
    assert not uids(socket, "reset") + uids(socket, "out")

    system.broker.from_client(client, Join(data="client"))
    await system.send(Reading(uid="A", resource="t", data="4"))
    of_a = [item for item in socket.messages if item["uid"] == "A"]
    assert [item["type"] for item in of_a] == ["new", "update", "update"]
    assert [item["data"] for item in of_a[1:]] == ["3", "4"]
    await system.end()


async def test_client_of_v2_that_never_joins_gets_readings_of_known_nodes() -> None:
    system = System()
    await system.send(Reading(uid="A", resource="t", data="1"))
    _, socket = system.client()
    await system.send(Reading(uid="A", resource="t", data="2"))
    assert uids(socket, "update") == ["A"]
    await system.end()


async def test_client_that_joins_twice_gets_the_state_twice() -> None:
    system = System()
    await system.send(NodeAppeared(uid="A"))
    client, socket = system.client()
    system.broker.from_client(client, Join(data="client"))
    system.broker.from_client(client, Join(data="client"))
    assert uids(socket) == ["A", "A"]
    assert [item["nodes"] for item in socket.messages if item["type"] == "joined"] == [1, 1]
    await system.end()


async def test_client_that_joins_while_nodes_change_ends_with_the_current_state() -> None:
    system = System()
    await system.send(*(Reading(uid=f"N{i:04}", resource="t", data="old") for i in range(3000)))
    client, socket = system.client(stalled=True)
    system.broker.from_client(client, Join(data="client"))
    assert len(uids(socket)) < 3000
    await system.send(
        NodeLeft(uid="N2999"),
        NodeLeft(uid="N0000"),
        Reading(uid="N2998", resource="t", data="new"),
        Reading(uid="born", resource="t", data="new"),
        NodeLeft(uid="N2997"),
        NodeAppeared(uid="N2997"),
    )
    socket.read_all()
    await asyncio.sleep(1.0)
    state: dict[str, dict[str, str]] = {}
    for item in socket.messages:
        match item["type"]:
            case "new":
                assert item["uid"] not in state
                state[item["uid"]] = {}
            case "update":
                state[item["uid"]][item["endpoint"]] = item["data"]
            case "out":
                # A node that was never sent may be reported offline, nothing else.
                state.pop(item["uid"], None)
    expected = {
        node.uid: {name: reading.data for name, reading in node.readings.items()}
        for node in system.broker.router.nodes
    }
    assert state == expected
    await system.end()


async def test_slow_client_gets_every_event_and_the_latest_of_each_value() -> None:
    system = System()
    slow, socket = system.client(stalled=True)
    socket.waiting = BUFFER_HIGH + 1
    await system.send(NodeAppeared(uid="A"), NodeAppeared(uid="B"))
    for value in range(5000):
        await system.send(Reading(uid="A", resource="t", data=str(value)))
    await system.send(NodeLeft(uid="B"))
    assert not uids(socket)
    socket.read_all()
    await asyncio.sleep(1.0)
    assert uids(socket) == ["A", "B"]
    assert uids(socket, "out") == ["B"]
    values = [int(item["data"]) for item in socket.messages if item["type"] == "update"]
    assert values == sorted(values)
    assert values[-1] == 4999
    assert len(values) < 2000
    assert slow.conflated > 3000
    await system.end()


async def test_slow_client_costs_the_others_nothing() -> None:
    system = System()
    system.client(stalled=True)
    _, quick = system.client()
    for value in range(100):
        await system.send(Reading(uid="A", resource="t", data=str(value)))
    await asyncio.sleep(FLUSH_INTERVAL_S)
    assert len(uids(quick, "update")) == 100
    await system.end()


async def test_client_that_reads_nothing_for_half_a_minute_is_closed_with_1013() -> None:
    system = System()
    _, socket = system.client(stalled=True)
    socket.waiting = BUFFER_HIGH + 1
    await system.send(NodeAppeared(uid="A"))
    await asyncio.sleep(STALL_LIMIT_S - 1)
    assert socket.closed is None
    await asyncio.sleep(2)
    assert socket.closed == (1013, "read nothing for 30 s")
    await system.end()


async def test_client_that_reads_slowly_is_not_closed() -> None:
    system = System()
    _, socket = system.client(stalled=True)
    socket.waiting = BUFFER_HIGH * 2
    for _ in range(100):
        await system.send(NodeAppeared(uid="A"), NodeLeft(uid="A"))
        socket.waiting -= 1000
        await asyncio.sleep(1)
    assert socket.closed is None
    await system.end()


async def test_client_too_far_behind_is_closed_with_1013_and_holds_nothing_more() -> None:
    system = System()
    _, socket = system.client(stalled=True)
    socket.waiting = BUFFER_HIGH + 1
    text = "x" * 10_000
    for index in range(BACKLOG_COST_MAX // 10_000 + 1):
        await system.send(Reading(uid="A", resource=f"r{index}", data=text))
    await asyncio.sleep(FLUSH_INTERVAL_S)
    assert socket.closed is not None
    assert socket.closed[0] == 1013
    assert not socket.writes[1:]
    await system.end()


async def test_subscription_filters_the_state_and_later_messages() -> None:
    system = System()
    await system.send(
        *(Reading(uid=uid, resource=name, data="1") for uid in "AB" for name in ("t", "led"))
    )
    client, socket = system.client()
    system.broker.from_client(client, Subscription(uids=("A",), resources=("led",)))
    system.broker.from_client(client, Join(data="client"))
    await system.send(
        *(Reading(uid=uid, resource=name, data="2") for uid in "AB" for name in ("t", "led"))
    )
    await asyncio.sleep(FLUSH_INTERVAL_S)
    updates = [item for item in socket.messages if item["type"] == "update"]
    assert [(item["uid"], item["endpoint"], item["data"]) for item in updates] == [
        ("A", "led", "1"),
        ("A", "led", "2"),
    ]
    assert uids(socket) == ["A"]
    await system.end()


async def test_command_reaches_the_gateway_and_its_timeout_reaches_the_client() -> None:
    system = System()
    await system.send(NodeAppeared(uid="A"))
    client, socket = system.client()
    command = Command(id="1", uid="A", resource="led", payload="1", timeout_s=2.0)
    system.broker.from_client(client, command)
    await asyncio.sleep(0.001)
    assert [item.resource for item in system.received] == ["led"]
    await asyncio.sleep(4)
    (receipt,) = (item for item in socket.messages if item["type"] == "receipt")
    assert (receipt["id"], receipt["state"]) == ("1", "timeout")
    await system.end()


async def test_a_value_that_confirms_a_command_does_not_wait_for_the_next_flush() -> None:
    system = System()
    await system.send(NodeAppeared(uid="A"))
    client, socket = system.client()
    command = Command(id="1", uid="A", resource="led", payload="1")
    for turn in range(60):
        for _ in range(20):  # uses up the credit for immediate flushes
            await system.send(Reading(uid="A", resource="t", data="0"))
        if turn % 3:
            system.broker.from_client(client, msgspec.structs.replace(command, id=str(turn)))
            await asyncio.sleep(0.001)
            sent = system.received[-1]
            socket.writes.clear()
            reading = Reading(uid="A", resource="led", data="1")
            await system.send(reading, Receipt(id=sent.id, state="confirmed"))
            kinds = [(item["type"], item.get("endpoint")) for item in socket.messages]
            assert kinds[-2:] == [("update", "led"), ("receipt", None)]
    await system.end()


async def test_confirmed_commands_make_a_limited_number_of_flushes() -> None:
    timer = asyncio.get_running_loop()
    fanout = Fanout(run="r", flush_interval_s=60.0, timer=timer, unix_time=lambda: 0.0)
    broker = Broker(flush_interval_s=60.0, timer=timer, unix_time=lambda: 0.0)
    client = broker.client_connected(FakeSocket())
    fanout.add(client)
    for _ in range(1000):
        fanout.publish(ToAll(Reading(uid="A", resource="t", data="0")))
        fanout.flush_before_receipt()
    assert fanout.flushes == RECEIPT_FLUSHES_BURST


async def test_legacy_client_above_its_rate_is_closed_with_1008() -> None:
    system = System()
    await system.send(NodeAppeared(uid="A"))
    client, socket = system.client(LEGACY)
    for _ in range(100):
        system.broker.from_client(client, Command(uid="A", resource="led", payload="1"))
    assert socket.closed is not None
    assert socket.closed[0] == 1008
    await system.end()


async def test_nothing_is_written_to_a_client_that_left() -> None:
    system = System()
    client, socket = system.client()
    system.broker.client_left(client)
    writes = len(socket.writes)
    await system.send(NodeAppeared(uid="A"))
    assert len(socket.writes) == writes
    await system.end()


async def test_nothing_is_written_to_a_client_that_was_detached() -> None:
    system = System()
    client, socket = system.client()
    client.detach()
    writes = len(socket.writes)
    await system.send(NodeAppeared(uid="A"))
    assert len(socket.writes) == writes
    assert socket.closed is None
    await system.end()


async def test_events_are_encoded_once_for_all_readers_and_end_with_an_id() -> None:
    system = System()
    sockets = [FakeSocket(), FakeSocket()]
    for socket in sockets:
        reader = system.broker.reader_connected(socket, EVENTS, Subscription())
        system.broker.from_client(reader, Join(data="client"))
    await system.send(NodeAppeared(uid="A", ts=1.0))
    first, second = (socket.writes[-1] for socket in sockets)
    assert first is second
    lines = first.decode().splitlines()
    assert lines[:2] == [
        "event: new",
        'data: {"type":"new","uid":"A","ts":1.0,"gateway":"legacy"}',
    ]
    assert lines[2].startswith(f"id: {system.broker.run}-1-")
    await system.end()
