# SPDX-License-Identifier: BSD-3-Clause
"""The client with a real broker in memory, on a simulated clock."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest

from pyaiot.client import Behind, Client, LoginNeeded, NoBroker, watch
from pyaiot.client.connection import ClientConnection, MessageRefused
from pyaiot.client.live import COMMANDS_MAX, JOIN_LIMIT_S, RECEIPT_GRACE_S, LiveConnection
from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.messages import NodeAppeared, NodeLeft, Reading
from tests.client.memory import TS, Connection, Network, settle


async def test_entering_loads_the_state_of_the_broker() -> None:
    async with Network().running() as network:
        await network.deliver(
            NodeAppeared(uid="n", ts=TS), network.reading("n", "temperature", "23.5°C")
        )
        async with network.client() as client:
            assert client.connected
            assert list(client.nodes) == ["n"]
            assert client.nodes["n"].gateway == "test"
            assert list(client.gateways) == ["test"]
            reading = client.get("n", "temperature")
            assert reading is not None
            assert (reading.number, reading.unit, reading.data) == (23.5, "Cel", "23.5°C")
            assert client.get("n", "led") is None
            assert client.get("m", "led") is None


async def test_watch_starts_with_known_readings() -> None:
    async with Network().running() as network:
        await network.deliver(
            network.reading("n", "led", "0"),
            network.reading("n", "t", "1"),
            network.reading("m", "t", "2"),
        )
        async with network.client() as client:
            all_of_t = client.watch(resource="t")
            only_new = client.watch("n", known=False)
            await network.deliver(network.reading("n", "t", "3"))
            assert [(await anext(all_of_t)).data for _ in range(3)] == ["1", "2", "3"]
            assert [(await anext(only_new)).data for _ in range(1)] == ["3"]


async def test_filtered_client_receives_no_other_nodes() -> None:
    async with Network().running() as network:
        await network.deliver(network.reading("n", "t", "1"), network.reading("m", "t", "2"))
        async with network.client(uids=["m"], resources=["t"]) as client:
            assert list(client.nodes) == ["m"]
            await network.deliver(network.reading("m", "led", "1"), network.reading("m", "t", "3"))
            assert {name: r.data for name, r in client.nodes["m"].resources.items()} == {"t": "3"}


async def test_command_ends_in_its_receipt() -> None:
    async with Network().running() as network:
        await network.deliver(network.reading("n", "led", "0"))
        async with network.client() as client:
            receipt = await client.set("n", "led", 1)
            assert (receipt.state, receipt.detail) == ("confirmed", "by the test")
            assert network.commands[-1].payload == "1"
            network.outcome = "refused"
            assert (await client.set("n", "led", "off")).state == "refused"
            assert network.commands[-1].payload == "0"  # the word of the device
            assert (await client.set("nobody", "led", "on")).state == "unknown"
            network.outcome = None
            assert (await client.set("n", "led", True, timeout_s=2)).state == "timeout"
            assert network.commands[-1].payload == "1"
            assert network.commands[-1].timeout_s == 2


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
async def test_invalid_command_is_an_error_before_it_is_sent(
    uid: str, resource: str, value: object, timeout_s: float
) -> None:
    async with Network().running() as network, network.client() as client:
        with pytest.raises(ProtocolError):
            await client.set(uid, resource, value, timeout_s=timeout_s)
        assert network.commands == []


async def test_client_forbids_commands_above_the_limit() -> None:
    async with Network().running() as network:
        await network.deliver(network.reading("n", "led", "0"))
        network.outcome = None
        async with network.client() as client:
            waiting = [asyncio.create_task(client.set("n", "led", 1)) for _ in range(COMMANDS_MAX)]
            await asyncio.sleep(0)
            assert (await client.set("n", "led", 1)).state == "forbidden"
            await asyncio.gather(*waiting)
            network.outcome = "confirmed"
            await asyncio.sleep(60)
            assert (await client.set("n", "led", 1)).state == "confirmed"


async def test_lost_and_restored_connections_are_each_reported_once() -> None:
    async with Network().running() as network:
        await network.deliver(NodeAppeared(uid="n"), network.reading("n", "t", "1"))
        await network.deliver(NodeAppeared(uid="gone"))
        async with network.client() as client:
            readings, events = client.watch(), client.events()
            assert (await anext(readings)).data == "1"
            network.reachable = False
            network.cut()
            await settle()
            assert not client.connected
            assert set(client.nodes) == {"n", "gone"}
            assert (await client.set("n", "led", 1)).state == "unreachable"
            await network.deliver(NodeLeft(uid="gone"), network.reading("n", "t", "2", TS + 1))
            await asyncio.sleep(3600)
            # In the end one attempt every 15 to 30 s.
            assert 100 < network.attempts < 300
            network.reachable = True
            assert (await anext(readings)).data == "2"
            assert client.connected
            first = await anext(events)
            assert isinstance(first, NodeLeft)
            assert first.uid == "gone"
            assert isinstance(await anext(events), Reading)
            assert [line.partition(":")[0] for line in network.notices] == [
                "lost the connection to the broker, reconnecting",
                "reconnected to the broker",
            ]


async def test_command_on_a_lost_connection_ends_in_timeout() -> None:
    async with Network().running() as network:
        await network.deliver(network.reading("n", "led", "0"))
        network.outcome = None
        async with network.client() as client:
            command = asyncio.create_task(client.set("n", "led", 1))
            await settle()
            network.cut()
            receipt = await command
            assert receipt.state == "timeout"
            assert "lost" in receipt.detail


async def test_missing_receipt_ends_in_timeout() -> None:
    async with Network().running() as network:

        @contextlib.asynccontextmanager
        async def without_commands() -> AsyncIterator[ClientConnection]:
            async with network.connect() as connection:
                send = connection.send

                async def swallow(message: object) -> None:
                    if type(message).__name__ != "Command":
                        await send(message)  # type: ignore[arg-type]

                connection.send = swallow  # type: ignore[method-assign]
                yield connection

        loop = asyncio.get_running_loop()
        async with Client(connect=without_commands) as client:
            before = loop.time()
            assert (await client.set("n", "led", 1, timeout_s=3)).state == "timeout"
            assert loop.time() - before == pytest.approx(3 + RECEIPT_GRACE_S)


async def test_missing_broker_is_reported_at_once() -> None:
    async with Network().running() as network:
        network.reachable = False
        with pytest.raises(
            NoBroker, match=r"localhost port 8000 \(connection refused\)\. Start one"
        ):
            await network.client().__aenter__()
        assert network.attempts == 1


async def test_patient_client_waits_for_a_late_broker() -> None:
    async with Network().running() as network:
        network.reachable = False
        asyncio.get_running_loop().call_later(100, setattr, network, "reachable", True)
        async with network.client(patience_s=200) as client:
            assert client.connected
        network.reachable = False
        with pytest.raises(NoBroker):
            await network.client(patience_s=200).__aenter__()


async def test_broker_that_sends_no_state_is_a_lost_connection() -> None:
    class Silent:
        async def send(self, message: object) -> None: ...

        async def receive(self) -> list[object]:
            await asyncio.Event().wait()
            return []

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[ClientConnection]:
        yield Silent()  # type: ignore[misc]

    with pytest.raises(NoBroker, match=f"within {JOIN_LIMIT_S:.0f} s"):
        await Client(connect=connect).__aenter__()


async def test_watches_end_with_the_error_if_the_broker_requires_a_sign_in() -> None:
    async with Network().running() as network:
        closed = False

        @contextlib.asynccontextmanager
        async def connect() -> AsyncIterator[ClientConnection]:
            if closed:
                raise LoginNeeded("log in")
            async with network.connect() as connection:
                yield connection

        async with Client(connect=connect, tell=network.notices.append) as client:
            before = client.watch()
            closed = True
            network.cut()
            with pytest.raises(LoginNeeded):
                await anext(before)
            with pytest.raises(LoginNeeded):
                await anext(client.watch())
            assert (await client.set("n", "led", 1)).state == "unreachable"


async def test_watch_ends_with_its_client() -> None:
    async with Network().running() as network:
        async with network.client() as client:
            readings = client.watch()
        assert [reading async for reading in readings] == []
        with pytest.raises(RuntimeError):
            Client().watch()


async def test_slow_reader_gets_the_latest_of_each_resource() -> None:
    async with Network().running() as network, network.client() as client:
        readings = client.watch()
        for number in range(watch.PLAIN_MAX):
            readings.add(network.reading("n", "fast", str(number)))
        for number in range(500):
            readings.add(network.reading("n", "a", str(number)))
            readings.add(network.reading("n", "b", str(number)))
        assert readings.conflated == 2 * 499
        got = [await anext(readings) for _ in range(watch.PLAIN_MAX + 2)]
        assert [(r.resource, r.data) for r in got[-2:]] == [("a", "499"), ("b", "499")]


async def test_reader_far_behind_gets_an_error() -> None:
    async with Network().running() as network, network.client() as client:
        events = client.events()
        count = watch.COST_MAX // 250 + 1
        for number in range(count):
            events.add(NodeAppeared(uid=str(number)))
        with pytest.raises(Behind):
            _ = [event async for event in events]


async def test_watch_without_a_reader_is_dropped() -> None:
    async with Network().running() as network:
        await network.deliver(network.reading("n", "t", "1"))
        async with network.client() as client:
            live: LiveConnection = client._live_or_raise
            async for _ in client.watch():
                break
            gc.collect()
            assert len(live.watches) == 0


async def test_steps_and_limits_exclude_each_other() -> None:
    async with Network().running() as network, network.client() as client:
        with pytest.raises(OperatorError):
            await client.history("n", "t", every_s=60, limit=5)
        with pytest.raises(OperatorError):
            await client.history("n", "t", agg="mean")


async def test_connection_in_memory_can_be_lost() -> None:
    async with Network().running() as network, network.connect() as connection:
        assert isinstance(connection, Connection)
        network.cut()
        await connection.receive()  # hello
        with pytest.raises(LinkLost):
            await connection.receive()


async def test_a_refused_command_does_not_end_the_client() -> None:
    async with Network().running() as network, network.client() as client:
        network.cut(MessageRefused("the payload is too long"))
        await asyncio.sleep(60)
        assert client.connected
        assert network.attempts == 2


async def test_a_refused_request_of_the_first_connection_is_an_error_without_a_retry() -> None:
    class Refusing:
        async def send(self, message: object) -> None:
            pass

        async def receive(self) -> list[object]:
            raise MessageRefused("tags[0] is too long")

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[ClientConnection]:
        yield Refusing()  # type: ignore[misc]

    with pytest.raises(OperatorError, match=r"^The broker refuses .*: tags\[0\] is too long\.$"):
        async with Client(connect=connect):
            pass
