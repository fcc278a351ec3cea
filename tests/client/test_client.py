# SPDX-License-Identifier: BSD-3-Clause
"""The client of programs at a real broker in memory, on a clock that jumps."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from pyaiot.client import Behind, Client, LoginNeeded, NoBroker, watch
from pyaiot.client.connection import Connection as AnyConnection
from pyaiot.client.live import COMMANDS_MAX, JOIN_LIMIT_S, RECEIPT_GRACE_S, Live
from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.messages import NodeAppeared, NodeLeft, Reading
from tests.client.memory import TS, Connection, Road, settle


async def test_entering_brings_everything_that_the_broker_knows() -> None:
    async with Road().running() as road:
        await road.said(NodeAppeared(uid="n", ts=TS), road.reading("n", "temperature", "23.5°C"))
        async with road.client() as client:
            assert client.connected
            assert list(client.nodes) == ["n"]
            assert client.nodes["n"].gateway == "test"
            assert list(client.gateways) == ["test"]
            reading = client.get("n", "temperature")
            assert reading is not None
            assert (reading.number, reading.unit, reading.data) == (23.5, "Cel", "23.5°C")
            assert client.get("n", "led") is None
            assert client.get("m", "led") is None


async def test_watch_begins_with_what_is_known_and_goes_on_as_it_comes() -> None:
    async with Road().running() as road:
        await road.said(
            road.reading("n", "led", "0"), road.reading("n", "t", "1"), road.reading("m", "t", "2")
        )
        async with road.client() as client:
            all_of_t = client.watch(resource="t")
            only_new = client.watch("n", known=False)
            await road.said(road.reading("n", "t", "3"))
            assert [(await anext(all_of_t)).data for _ in range(3)] == ["1", "2", "3"]
            assert [(await anext(only_new)).data for _ in range(1)] == ["3"]


async def test_a_client_of_some_nodes_is_told_of_no_others() -> None:
    async with Road().running() as road:
        await road.said(road.reading("n", "t", "1"), road.reading("m", "t", "2"))
        async with road.client(uids=["m"], resources=["t"]) as client:
            assert list(client.nodes) == ["m"]
            await road.said(road.reading("m", "led", "1"), road.reading("m", "t", "3"))
            assert {name: r.data for name, r in client.nodes["m"].resources.items()} == {"t": "3"}


async def test_command_ends_in_its_receipt() -> None:
    async with Road().running() as road:
        await road.said(road.reading("n", "led", "0"))
        async with road.client() as client:
            receipt = await client.set("n", "led", 1)
            assert (receipt.state, receipt.detail) == ("confirmed", "by the test")
            assert road.commands[-1].payload == "1"
            road.outcome = "refused"
            assert (await client.set("n", "led", "on")).state == "refused"
            assert road.commands[-1].payload == "on"
            assert (await client.set("nobody", "led", "on")).state == "unknown"
            road.outcome = None
            assert (await client.set("n", "led", True, timeout_s=2)).state == "timeout"
            assert road.commands[-1].payload == "true"
            assert road.commands[-1].timeout_s == 2


@pytest.mark.parametrize(
    ("uid", "resource", "value", "timeout_s"),
    [
        ("", "led", 1, 5.0),
        ("all", "led", 1, 5.0),
        ("n", "x" * 65, 1, 5.0),
        ("n", "led", "x" * 65_537, 5.0),
        ("n", "led", object(), 5.0),
        ("n", "led", 1, 0.0),
        ("n", "led", 1, 61.0),
    ],
)
async def test_what_no_node_can_be_told_is_an_error_before_it_is_sent(
    uid: str, resource: str, value: object, timeout_s: float
) -> None:
    async with Road().running() as road, road.client() as client:
        with pytest.raises(ProtocolError):
            await client.set(uid, resource, value, timeout_s=timeout_s)
        assert road.commands == []


async def test_commands_above_the_limit_are_forbidden_here() -> None:
    async with Road().running() as road:
        await road.said(road.reading("n", "led", "0"))
        road.outcome = None
        async with road.client() as client:
            waiting = [asyncio.create_task(client.set("n", "led", 1)) for _ in range(COMMANDS_MAX)]
            await asyncio.sleep(0)
            assert (await client.set("n", "led", 1)).state == "forbidden"
            await asyncio.gather(*waiting)
            road.outcome = "confirmed"
            await asyncio.sleep(60)
            assert (await client.set("n", "led", 1)).state == "confirmed"


async def test_broker_that_goes_and_comes_back_is_found_and_told_once() -> None:
    async with Road().running() as road:
        await road.said(NodeAppeared(uid="n"), road.reading("n", "t", "1"))
        await road.said(NodeAppeared(uid="gone"))
        async with road.client() as client:
            readings, events = client.watch(), client.events()
            assert (await anext(readings)).data == "1"
            road.passable = False
            road.cut()
            await settle()
            assert not client.connected
            assert set(client.nodes) == {"n", "gone"}
            assert (await client.set("n", "led", 1)).state == "unreachable"
            await road.said(NodeLeft(uid="gone"), road.reading("n", "t", "2", TS + 1))
            await asyncio.sleep(3600)
            # Every 15 to 30 s in the end, not more often.
            assert 100 < road.attempts < 300
            road.passable = True
            assert (await anext(readings)).data == "2"
            assert client.connected
            first = await anext(events)
            assert isinstance(first, NodeLeft)
            assert first.uid == "gone"
            assert isinstance(await anext(events), Reading)
            assert [line.partition(":")[0] for line in road.told] == [
                "the broker is gone, trying again",
                "the broker is there again",
            ]


async def test_command_whose_connection_is_lost_may_have_been_done() -> None:
    async with Road().running() as road:
        await road.said(road.reading("n", "led", "0"))
        road.outcome = None
        async with road.client() as client:
            command = asyncio.create_task(client.set("n", "led", 1))
            await settle()
            road.cut()
            receipt = await command
            assert receipt.state == "timeout"
            assert "lost" in receipt.detail


async def test_broker_that_gives_no_receipt_is_not_waited_for_for_ever() -> None:
    async with Road().running() as road:

        @contextlib.asynccontextmanager
        async def deaf() -> AsyncIterator[AnyConnection]:
            async with road.connect() as connection:
                send = connection.send

                async def swallow(message: object) -> None:
                    if type(message).__name__ != "Command":
                        await send(message)  # type: ignore[arg-type]

                connection.send = swallow  # type: ignore[method-assign]
                yield connection

        loop = asyncio.get_running_loop()
        async with Client(connect=deaf) as client:
            before = loop.time()
            assert (await client.set("n", "led", 1, timeout_s=3)).state == "timeout"
            assert loop.time() - before == pytest.approx(3 + RECEIPT_GRACE_S)


async def test_no_broker_is_one_sentence_at_once() -> None:
    async with Road().running() as road:
        road.passable = False
        with pytest.raises(
            NoBroker, match=r"localhost port 8000 \(connection refused\): start one"
        ):
            await road.client().__aenter__()
        assert road.attempts == 1


async def test_patient_client_waits_for_a_broker_that_is_not_there_yet() -> None:
    async with Road().running() as road:
        road.passable = False
        asyncio.get_running_loop().call_later(100, setattr, road, "passable", True)
        async with road.client(patience_s=200) as client:
            assert client.connected
        road.passable = False
        with pytest.raises(NoBroker):
            await road.client(patience_s=200).__aenter__()


async def test_broker_that_does_not_tell_what_it_knows_is_tried_again() -> None:
    class Silent:
        async def send(self, message: object) -> None: ...

        async def receive(self) -> list[object]:
            await asyncio.Event().wait()
            return []

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[AnyConnection]:
        yield Silent()  # type: ignore[misc]

    with pytest.raises(NoBroker, match=f"in {JOIN_LIMIT_S:.0f} s"):
        await Client(connect=connect).__aenter__()


async def test_broker_that_lets_nobody_in_any_more_ends_the_watches_with_that_word() -> None:
    async with Road().running() as road:
        closed = False

        @contextlib.asynccontextmanager
        async def connect() -> AsyncIterator[AnyConnection]:
            if closed:
                raise LoginNeeded("log in")
            async with road.connect() as connection:
                yield connection

        async with Client(connect=connect, tell=road.told.append) as client:
            before = client.watch()
            closed = True
            road.cut()
            with pytest.raises(LoginNeeded):
                await anext(before)
            with pytest.raises(LoginNeeded):
                await anext(client.watch())
            assert (await client.set("n", "led", 1)).state == "unreachable"


async def test_watch_ends_with_its_client() -> None:
    async with Road().running() as road:
        async with road.client() as client:
            readings = client.watch()
        assert [reading async for reading in readings] == []
        with pytest.raises(RuntimeError):
            Client().watch()


async def test_slow_reader_gets_the_latest_of_each_resource() -> None:
    async with Road().running() as road, road.client() as client:
        readings = client.watch()
        for number in range(watch.PLAIN_MAX):
            readings.add(road.reading("n", "fast", str(number)))
        for number in range(500):
            readings.add(road.reading("n", "a", str(number)))
            readings.add(road.reading("n", "b", str(number)))
        assert readings.conflated == 2 * 499
        got = [await anext(readings) for _ in range(watch.PLAIN_MAX + 2)]
        assert [(r.resource, r.data) for r in got[-2:]] == [("a", "499"), ("b", "499")]


async def test_reader_that_is_slower_still_is_told_that_it_missed_something() -> None:
    async with Road().running() as road, road.client() as client:
        events = client.events()
        count = watch.COST_MAX // 250 + 1
        for number in range(count):
            events.add(NodeAppeared(uid=str(number)))
        with pytest.raises(Behind):
            _ = [event async for event in events]


async def test_watch_that_nobody_reads_any_more_is_forgotten() -> None:
    async with Road().running() as road:
        await road.said(road.reading("n", "t", "1"))
        async with road.client() as client:
            live: Live = client._now
            async for _ in client.watch():
                break
            gc.collect()
            assert len(live.watches) == 0


async def test_steps_and_limits_do_not_go_together() -> None:
    async with Road().running() as road, road.client() as client:
        with pytest.raises(OperatorError):
            await client.history("n", "t", every_s=60, limit=5)
        with pytest.raises(OperatorError):
            await client.history("n", "t", agg="mean")


async def test_connection_in_memory_is_lost_as_any() -> None:
    async with Road().running() as road, road.connect() as connection:
        assert isinstance(connection, Connection)
        road.cut()
        await connection.receive()  # hello
        with pytest.raises(LinkLost):
            await connection.receive()
