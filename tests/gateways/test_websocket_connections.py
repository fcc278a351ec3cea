# SPDX-License-Identifier: BSD-3-Clause
"""The connections of WebSocket nodes, without sockets: uids, readings, commands and limits."""

import asyncio
import json
import random
from collections.abc import Awaitable
from typing import Any

import pytest

from pyaiot.errors import LinkLost, ProtocolError, Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.live_node import READINGS_BURST, READINGS_PER_S, RESOURCES_MAX
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.websocket.connections import (
    BUFFER_MAX,
    CLAIM_LIMIT_S,
    NAMING_LIMIT_S,
    PROBLEMS_BURST,
    NodeConnection,
    NodeConnections,
)
from pyaiot.links import MemoryLink
from pyaiot.messages import NodeAppeared, NodeLeft, NodeReset, Reading
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.websocket_frames import PING
from tests.links import Watcher, frames

TS = 1_700_000_000.0


class Wire:
    """The socket of a device: what was sent to it, and whether it was aborted."""

    def __init__(self) -> None:
        self.waiting = 0
        self.was_aborted = False
        self.sent: list[Any] = []
        self.frames: list[bytes] = []
        self.pings = 0
        self.closed: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        if data == PING:
            self.pings += 1
        else:
            self.frames += frames(data)
            self.sent += map(json.loads, frames(data))

    def buffered(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.was_aborted = True


class Side:
    """The connections of a gateway, and the events that it sent to the broker."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.unix_time = TS
        self.gateway = Gateway(
            name="websocket",
            protocol="WebSocket",
            nodes=LiveNodes(silence_limit_s=None, nodes_max=100),
            loop=loop,
            unix_time=lambda: self.unix_time,
            backoff=Backoff(rng=random.Random(1)),
        )
        self.events: list[Any] = []
        self.connections = NodeConnections(self.gateway, loop)
        send = self.gateway._report

        def record(events: Any) -> None:
            events = list(events)
            self.events.extend(events)
            send(events)

        self.gateway._report = record  # type: ignore[method-assign]

    async def node(self, uid: str | None = None) -> tuple[NodeConnection, Wire]:
        wire = Wire()
        return await self.connections.opened(wire, uid), wire

    async def update(self, connection: NodeConnection, **values: Any) -> None:
        await self.send(connection, {"type": "update", "data": values})

    async def send(self, connection: NodeConnection, message: Any) -> None:
        await self.connections.receive_message(connection, json.dumps(message).encode())

    def kinds(self) -> list[tuple[str, type]]:
        return [(event.uid, type(event)) for event in self.events]

    def values(self, uid: str) -> dict[str, object]:
        node = self.gateway.nodes.get(uid)
        assert node is not None
        return {name: reading.data for name, reading in node.readings.items()}


# -- uids -------------------------------------------------------------------------------------


async def test_new_node_gets_a_discover_request() -> None:
    _, wire = await Side().node()
    assert wire.sent == [{"request": "discover"}]


async def test_node_without_a_uid_gets_a_random_one_per_connection() -> None:
    side = Side()
    uids = set()
    for _ in range(50):
        connection, _ = await side.node()
        await side.update(connection, t="1")
        assert connection.uid is not None
        uids.add(connection.uid)
    assert len(uids) == 50
    assert {len(uid) for uid in uids} == {32}


async def test_uid_is_taken_from_the_request() -> None:
    side = Side()
    connection, _ = await side.node("lamp")
    await side.update(connection, led="0")
    assert [
        (item.uid, item.resource, item.data) for item in side.events if isinstance(item, Reading)
    ] == [("lamp", "protocol", "WebSocket"), ("lamp", "led", "0")]


async def test_uid_is_taken_from_the_first_message() -> None:
    side = Side()
    connection, _ = await side.node()
    await side.send(connection, {"type": "new", "uid": "lamp"})
    await side.send(connection, {"type": "new", "uid": "lamp"})
    await asyncio.sleep(2 * NAMING_LIMIT_S)
    await side.update(connection, led="0")
    assert side.kinds() == [("lamp", NodeAppeared), ("lamp", Reading), ("lamp", Reading)]


async def test_silent_connection_gets_a_uid_after_a_second() -> None:
    side = Side()
    connection, _ = await side.node()
    await asyncio.sleep(0.9 * NAMING_LIMIT_S)
    assert side.events == []
    await asyncio.sleep(0.2 * NAMING_LIMIT_S)
    assert connection.uid
    assert connection.uid in side.gateway.nodes


async def test_connection_that_closes_without_a_message_is_never_announced() -> None:
    side = Side()
    connection, _ = await side.node()
    side.connections.closed(connection, "left")
    await asyncio.sleep(2 * NAMING_LIMIT_S)
    assert side.events == []


@pytest.mark.parametrize("first", [{"type": "update", "data": {"t": "1"}}, None])
async def test_uid_that_comes_too_late_is_refused(first: Any) -> None:
    side = Side()
    connection, _ = await side.node(None if first else "lamp")
    if first:
        await side.send(connection, first)
    with pytest.raises(Refused):
        await side.send(connection, {"type": "new", "uid": "other"})


@pytest.mark.parametrize("uid", ["", "alive", "all", "x" * 65, "x" * 10_000, "a\nb", "\x00"])
@pytest.mark.parametrize("how", ["request", "message"])
async def test_invalid_uid_is_a_protocol_error(uid: str, how: str) -> None:
    side = Side()
    if how == "request":
        with pytest.raises(ProtocolError):
            await side.node(uid)
    else:
        connection, _ = await side.node()
        with pytest.raises(ProtocolError):
            await side.send(connection, {"type": "new", "uid": uid})
    assert side.events == []


@pytest.mark.parametrize("uid", ["*", "#", "+", "../x", "__proto__", "<b>", "lamp 1", "élan"])
async def test_unusual_uid_is_valid(uid: str) -> None:
    side = Side()
    await side.node(uid)
    assert uid in side.gateway.nodes


# -- claims -----------------------------------------------------------------------------------


async def answering(side: Side, owner: NodeConnection, wire: Wire) -> None:
    """The device at the other end answers the next ping."""
    await asyncio.sleep(CLAIM_LIMIT_S / 2)
    assert wire.pings == 1
    side.connections.alive(owner)


async def both(first: Awaitable[Any], second: Awaitable[Any]) -> tuple[Any, Any]:
    return await asyncio.gather(first, second, return_exceptions=True)


async def test_uid_of_an_online_node_is_refused_to_another_connection() -> None:
    side = Side()
    owner, wire = await side.node("lamp")
    await side.update(owner, led="1")
    refusal, _ = await both(side.node("lamp"), answering(side, owner, wire))
    assert isinstance(refusal, Refused)
    assert not wire.was_aborted
    await side.update(owner, led="0")
    assert side.values("lamp") == {"led": "0"}
    assert NodeReset not in {kind for _, kind in side.kinds()}


async def test_message_of_the_owner_counts_as_a_pong() -> None:
    side = Side()
    owner, _ = await side.node("lamp")
    claim = asyncio.ensure_future(side.node("lamp"))
    await asyncio.sleep(CLAIM_LIMIT_S / 2)
    await side.update(owner, led="1")
    with pytest.raises(Refused):
        await claim


async def test_uid_of_a_dead_connection_moves_to_the_new_one_after_a_reset() -> None:
    side = Side()
    owner, wire = await side.node("lamp")
    await side.update(owner, led="1")
    side.events.clear()
    started_at = asyncio.get_running_loop().time()
    connection, _ = await side.node("lamp")
    assert asyncio.get_running_loop().time() - started_at == pytest.approx(CLAIM_LIMIT_S)
    assert wire.was_aborted
    side.connections.closed(owner, "left")
    await side.update(connection, led="0")
    assert side.kinds() == [("lamp", NodeReset), ("lamp", Reading), ("lamp", Reading)]
    assert side.values("lamp") == {"led": "0"}


async def test_owner_that_closes_during_the_ping_frees_its_uid() -> None:
    side = Side()
    owner, _ = await side.node("lamp")
    claim = asyncio.ensure_future(side.node("lamp"))
    await asyncio.sleep(CLAIM_LIMIT_S / 2)
    side.connections.closed(owner, "left")
    connection, _ = await claim
    assert connection.uid == "lamp"
    assert side.kinds()[-3:] == [("lamp", NodeLeft), ("lamp", NodeAppeared), ("lamp", Reading)]


async def test_many_claims_ping_the_owner_once() -> None:
    side = Side()
    _, wire = await side.node("lamp")
    claims = await asyncio.gather(*(side.node("lamp") for _ in range(100)), return_exceptions=True)
    assert wire.pings == 1
    assert sum(isinstance(claim, Refused) for claim in claims) == 99


async def test_uid_that_was_claimed_during_the_ping_is_not_moved() -> None:
    side = Side()
    owner, _ = await side.node("lamp")
    slow = asyncio.ensure_future(side.node("lamp"))
    await asyncio.sleep(CLAIM_LIMIT_S / 2)
    side.connections.closed(owner, "left")
    quick, _ = await side.node("lamp")
    with pytest.raises(Refused):
        await slow
    await side.update(quick, led="1")
    assert side.values("lamp") == {"led": "1"}


async def test_uid_is_free_after_its_node_has_left() -> None:
    side = Side()
    owner, _ = await side.node("lamp")
    side.connections.closed(owner, "silent")
    assert [item.reason for item in side.events if isinstance(item, NodeLeft)] == ["silent"]
    connection, _ = await side.node("lamp")
    assert connection.uid == "lamp"


async def test_node_is_online_as_long_as_its_connection() -> None:
    side = Side()
    connection, _ = await side.node("lamp")
    side.unix_time += 3600
    await asyncio.sleep(7 * 86_400)
    await side.update(connection, led="1")
    assert [kind for _, kind in side.kinds()] == [NodeAppeared, Reading, Reading]


# -- readings ---------------------------------------------------------------------------------


async def test_values_are_any_json_and_text_has_its_number_and_unit() -> None:
    side = Side()
    connection, _ = await side.node("n")
    await side.update(connection, temperature="23.5°C", on=True, many=[1, 2], n=None, x={"a": 1})
    readings = {item.resource: item for item in side.events if isinstance(item, Reading)}
    assert (readings["temperature"].number, readings["temperature"].unit) == (23.5, "Cel")
    assert side.values("n") == {
        "temperature": "23.5°C",
        "on": True,
        "many": [1, 2],
        "n": None,
        "x": {"a": 1},
    }


WRONG: list[bytes] = [
    b"",
    b"hello",
    b"[]",
    b"{}",
    b"1",
    b'{"type":"update"}',
    b'{"type":"update","data":1}',
    b'{"type":"update","data":[]}',
    b'{"type":"update","data":{"led":NaN}}',
    b'{"type":"update","data":{"led":1e999}}',
    b'{"type":"update","data":{"led":' + b"9" * 5000 + b"}}",
    b'{"type":"update","data":{"led":"\\ud800"}}',
    b'{"type":"update","data":{"led":"\xff"}}',
    b'{"type":"update","data":{"led":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    b'{"type":"update","data":{"led":' + b"[" * 33 + b"]" * 33 + b"}}",
    b'{"type":"update","data":{"":"1"}}',
    b'{"type":"update","data":{"' + b"x" * 65 + b'":"1"}}',
    b'{"type":"update","data":{"a\\nb":"1"}}',
    b'{"type":"out","data":{}}',
    b'{"type":"new"}',
    b'{"type":"reset","uid":"other"}',
    b'{"led":"1"}',
]


@pytest.mark.parametrize("message", WRONG, ids=lambda message: message[:40])
async def test_invalid_message_is_a_protocol_error(message: bytes) -> None:
    side = Side()
    connection, _ = await side.node("n")
    with pytest.raises(ProtocolError) as caught:
        await side.connections.receive_message(connection, message)
    assert len(str(caught.value)) < 200
    assert side.values("n") == {}


@pytest.mark.parametrize("name", ["id", "protocol"])
async def test_reserved_resource_is_refused_and_others_are_accepted(name: str) -> None:
    side = Side()
    connection, wire = await side.node("n")
    await side.update(connection, **{"a": "1", name: "10.0.0.1", "b": "2"})
    assert side.values("n") == {"a": "1", "b": "2"}
    assert side.gateway.nodes.get("n").bookkeeping["protocol"].data == "WebSocket"  # type: ignore[union-attr]
    assert [message["type"] for message in wire.sent[1:]] == ["error"]
    assert name in wire.sent[1]["detail"]
    assert side.connections.refused == 1


async def test_node_may_send_its_ip_which_the_gateway_does_not_report() -> None:
    side = Side()
    connection, _ = await side.node("n")
    await side.update(connection, ip="10.0.0.1")
    assert side.values("n") == {"ip": "10.0.0.1"}


async def test_legacy_node_gets_the_request_byte_for_byte_and_no_frame_that_it_does_not_know() -> (
    None
):
    side = Side()
    connection, wire = await side.node(None)
    await side.update(connection, id="forged", t="1")
    # It compares this text, and fails on a frame without `endpoint` and `payload`.
    assert wire.frames == [b'{"request": "discover"}']
    assert side.connections.refused == 1


async def test_resources_of_a_node_are_bounded() -> None:
    side = Side()
    connection, wire = await side.node("n")
    await side.update(connection, **{f"r{index}": "1" for index in range(RESOURCES_MAX + 1)})
    assert len(side.values("n")) == RESOURCES_MAX
    assert side.connections.refused == 1
    assert str(RESOURCES_MAX) in wire.sent[-1]["detail"]


async def test_update_above_the_rate_limit_is_dropped_with_an_error_message() -> None:
    side = Side()
    connection, wire = await side.node("n")
    for index in range(int(READINGS_BURST) + 1):
        await side.update(connection, t=str(index))
    assert side.values("n") == {"t": str(int(READINGS_BURST) - 1)}
    assert side.connections.refused == 1
    assert "readings a second" in wire.sent[-1]["detail"]
    await asyncio.sleep(1.01 / READINGS_PER_S)
    await side.update(connection, t="later")
    assert side.values("n") == {"t": "later"}


async def test_update_counts_each_of_its_readings() -> None:
    side = Side()
    connection, _ = await side.node("n")
    await side.update(connection, **{f"r{index}": "1" for index in range(60)})
    await side.update(connection, **{f"r{index}": "2" for index in range(60)})
    assert set(side.values("n").values()) == {"1"}
    await side.update(connection, **{f"r{index}": "3" for index in range(40)})
    assert side.values("n")["r0"] == "3"


async def test_refusals_are_all_counted_and_rarely_reported() -> None:
    side = Side()
    connection, wire = await side.node("n")
    for _ in range(1000):
        await side.send(connection, {"type": "update", "data": {}})
    assert side.connections.refused == 1000 - READINGS_BURST
    assert len(wire.sent) - 1 == PROBLEMS_BURST


async def test_node_that_reads_nothing_gets_no_error_messages() -> None:
    side = Side()
    connection, wire = await side.node("n")
    wire.waiting = BUFFER_MAX + 1
    await side.update(connection, id="1")
    assert len(wire.sent) == 1
    assert side.connections.refused == 1


# -- commands ---------------------------------------------------------------------------------


async def test_write_is_sent_as_text_without_waiting() -> None:
    side = Side()
    _, wire = await side.node("n")
    outcome = await side.connections.write("n", "led", '1"é', 0.0)
    assert outcome.state == "sent"
    assert wire.sent[1:] == [{"endpoint": "led", "payload": '1"é'}]


async def test_write_to_an_offline_or_stalled_node_is_unreachable() -> None:
    side = Side()
    _, wire = await side.node("n")
    wire.waiting = BUFFER_MAX + 1
    assert (await side.connections.write("n", "led", "1", 0.0)).state == "unreachable"
    assert (await side.connections.write("m", "led", "1", 0.0)).state == "unreachable"
    assert len(wire.sent) == 1


async def test_command_behind_unsent_bytes_is_dropped_at_its_deadline() -> None:
    side = Side()
    _, wire = await side.node("n")
    before = len(wire.sent)
    wire.waiting = 10
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(loop.time() + 1.0):
            await side.connections.write("n", "led", "late", 0.0)
    wire.waiting = 0
    await asyncio.sleep(60)
    assert len(wire.sent) == before
    assert not wire.was_aborted


async def test_waiting_commands_are_sent_in_order() -> None:
    side = Side()
    _, wire = await side.node("n")
    before = len(wire.sent)
    wire.waiting = 10
    loop = asyncio.get_running_loop()
    writes = [
        asyncio.create_task(side.connections.write("n", "led", str(number), 0.0))
        for number in range(5)
    ]
    loop.call_later(1.0, setattr, wire, "waiting", 0)
    assert [(await write).state for write in writes] == ["sent"] * 5
    assert [item["payload"] for item in wire.sent[before:]] == list("01234")


async def test_node_that_has_read_part_of_a_command_at_its_deadline_is_disconnected() -> None:
    side = Side()
    _, wire = await side.node("n")
    write = wire.write

    def stall(data: bytes) -> None:
        write(data)
        wire.waiting = len(data)

    wire.write = stall  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(loop.time() + 1.0):
            await side.connections.write("n", "led", "1", 0.0)
    assert wire.was_aborted


async def test_command_is_confirmed_by_a_reading_else_sent() -> None:
    """From a client of the broker to the device and back, over a link in memory."""
    from pyaiot.broker.broker import Broker

    loop = asyncio.get_running_loop()
    side = Side()
    broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: TS)
    watcher = Watcher(broker)

    async def connect() -> Any:
        gateway_end, broker_end = MemoryLink.pair()
        tasks.append(loop.create_task(broker.serve_gateway(broker_end, acknowledges=True)))
        return gateway_end

    tasks: list[asyncio.Task[None]] = []
    tasks.append(loop.create_task(side.gateway.keep_linked(connect, side.connections)))
    connection, wire = await side.node("lamp")
    await watcher.until(lambda: "lamp" in watcher.nodes)
    watcher.command("lamp", "1", number="a")
    watcher.command("nobody", "1", number="b")
    await asyncio.sleep(1.0)
    assert wire.sent[1:] == [{"endpoint": "led", "payload": "1"}]
    await side.update(connection, led=1)
    assert (await watcher.receipt("a")).state == "confirmed"
    assert (await watcher.receipt("b")).state == "unknown"
    watcher.command("lamp", "0", number="c", timeout_s=2.0)
    await side.update(connection, led="1")
    assert (await watcher.receipt("c")).state == "sent"
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(item) for item in ended} <= {asyncio.CancelledError, LinkLost, type(None)}
