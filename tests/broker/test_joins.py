# SPDX-License-Identifier: BSD-3-Clause
"""Clients that join together: encoded once, sent in slices, and others do not wait for them."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import legacy
from pyaiot.broker import state_parts
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.encoders import ARRAYS, ARRAYS_WITH_REGISTRY, EVENTS, LEGACY, Encoder
from pyaiot.broker.fanout import CHUNKS_PER_TURN
from pyaiot.broker.snapshot import CHUNK_COST_MAX
from pyaiot.broker.state import KnownNode
from pyaiot.broker.state_parts import PARTS_LIFE_S, StateParts, state_form
from pyaiot.broker.subscriber import Subscriber
from pyaiot.messages import Join, NodeAppeared, NodeLeft, Reading, Subscription
from pyaiot.registry.record import NodeRecord
from tests.broker.test_fanout import FakeSocket, System, frames, uids

NODES = 600
RESOURCES = 5
CLIENT = "0123456789abcdef"


async def system_with_nodes() -> System:
    system = System()
    await system.send(
        *(
            Reading(uid=f"N{node:04}", resource=f"r{number}", data=f"{number}.5°C")
            for node in range(NODES)
            for number in range(RESOURCES)
        )
    )
    return system


def join(system: System, encoder: Encoder = ARRAYS) -> tuple[Subscriber, FakeSocket]:
    client, socket = system.client(encoder)
    system.broker.from_client(client, Join(data="client"))
    return client, socket


def count_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of messages of nodes that are encoded from now on, one entry for each node."""
    counts: list[int] = []
    for form in (state_parts._ARRAY, state_parts._LEGACY):
        encode = form.encode

        def counting(messages: Any, encode: Any = encode) -> bytes:
            counts.append(len(messages))
            return encode(messages)  # type: ignore[no-any-return]

        monkeypatch.setattr(form, "encode", counting)
    return counts


def values(socket: FakeSocket) -> dict[tuple[str, str], Any]:
    updates = [item for item in socket.messages if item["type"] == "update"]
    return {(item["uid"], item["endpoint"]): item["data"] for item in updates}


@pytest.mark.parametrize("encoder", [ARRAYS, LEGACY])
async def test_state_is_encoded_once_for_all_that_join_together(
    monkeypatch: pytest.MonkeyPatch, encoder: Encoder
) -> None:
    system = await system_with_nodes()
    counts = count_encoded(monkeypatch)
    joined = [join(system, encoder) for _ in range(10)]
    await asyncio.sleep(0.5)
    assert len(counts) == NODES
    for client, socket in joined:
        assert len(values(socket)) == NODES * RESOURCES
        if encoder is LEGACY:
            assert {item["dst"] for item in socket.messages} == {client.id}
    await system.end()


async def test_node_that_changed_is_encoded_again_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = await system_with_nodes()
    counts = count_encoded(monkeypatch)
    join(system)
    await asyncio.sleep(0.5)
    await system.send(
        Reading(uid="N0003", resource="r0", data="new"),
        Reading(uid="N0005", resource="more", data="new"),
        NodeLeft(uid="N0007"),
    )
    counts.clear()
    _, socket = join(system)
    await asyncio.sleep(0.5)
    assert counts == [1 + RESOURCES, 2 + RESOURCES]
    found = values(socket)
    assert found["N0003", "r0"] == found["N0005", "more"] == "new"
    assert len(found) == (NODES - 1) * RESOURCES + 1
    await system.end()


async def test_encoded_nodes_are_forgotten_after_the_last_has_joined() -> None:
    system = await system_with_nodes()
    join(system)
    await asyncio.sleep(0.5)
    assert len(system.broker.fanout.parts) == NODES
    await asyncio.sleep(PARTS_LIFE_S + 0.1)
    assert len(system.broker.fanout.parts) == 0
    await system.end()


async def test_encoded_nodes_are_kept_while_a_client_still_joins() -> None:
    system = await system_with_nodes()
    client, socket = system.client(stalled=True)
    socket.waiting = 1 << 20
    system.broker.from_client(client, Join(data="client"))
    await asyncio.sleep(3 * PARTS_LIFE_S)
    assert client.is_joining
    join(system)
    await asyncio.sleep(0.5)
    assert len(system.broker.fanout.parts) == NODES
    socket.read_all()
    await asyncio.sleep(2 * PARTS_LIFE_S + 0.1)
    assert len(values(socket)) == NODES * RESOURCES
    assert len(system.broker.fanout.parts) == 0
    await system.end()


def test_encoded_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_parts, "PARTS_BYTES_MAX", 10_000)
    parts = StateParts()
    form = state_form(ARRAYS, CLIENT)
    assert form is not None
    for number in range(1000):
        assert parts.encoded(node(f"N{number}", [1, 2, 3]), form)
        assert parts._bytes <= 10_000
    assert 10 < len(parts) < 50


def test_large_node_is_not_kept_and_its_chunks_are_limited() -> None:
    form = state_form(ARRAYS, CLIENT)
    assert form is not None
    parts = StateParts()
    assert parts.encoded(node("A", ["x" * 60_000] * 20), form) is None
    assert len(parts) == 0


async def test_large_node_between_others_arrives_whole_and_in_limited_writes() -> None:
    system = System()
    for uid in ("A", "B", "C"):
        length = 60_000 if uid == "B" else 6
        for number in range(20):
            await system.send(Reading(uid=uid, resource=f"r{number}", data="x" * length))
    for encoder in (ARRAYS, LEGACY):
        _, socket = join(system, encoder)
        await asyncio.sleep(1)
        assert len(values(socket)) == 60
        assert max(map(len, socket.writes)) < 2 * CHUNK_COST_MAX
        assert [it["uid"] for it in socket.messages if it["type"] == "new"] == ["A", "B", "C"]
    await system.end()


async def test_readings_reach_others_between_the_chunks_of_many_that_join() -> None:
    system = await system_with_nodes()
    joined: list[tuple[Subscriber, FakeSocket]] = []
    still_joining: list[int] = []

    class Watcher(FakeSocket):
        def write(self, data: bytes) -> None:
            super().write(data)
            still_joining.append(sum(client.is_joining for client, _ in joined))

    system.broker.client_connected(Watcher(), ARRAYS)
    joined += [join(system) for _ in range(100)]
    await system.send(Reading(uid="N0000", resource="r0", data="between"))
    assert still_joining[-1] > 50
    await asyncio.sleep(0.5)
    for client, socket in joined:
        assert not client.is_joining
        assert values(socket)["N0000", "r0"] == "between"
    await system.end()


async def test_chunks_of_one_turn_are_limited() -> None:
    system = await system_with_nodes()
    joined = [join(system) for _ in range(5 * CHUNKS_PER_TURN)]
    written = [len(socket.writes) for _, socket in joined]
    system.broker.fanout._continue_joins()
    more = [
        len(socket.writes) - before for (_, socket), before in zip(joined, written, strict=True)
    ]
    assert sum(count > 0 for count in more) == CHUNKS_PER_TURN
    await asyncio.sleep(1)
    assert not any(client.is_joining for client, _ in joined)
    await system.end()


async def test_flush_to_others_does_not_wait_for_those_that_join() -> None:
    system = await system_with_nodes()
    _, watcher = system.client()
    joined = [join(system) for _ in range(5)]
    written = [len(socket.writes) for _, socket in joined]
    system.broker.fanout.publish(ToAll(NodeAppeared(uid="later"), NODES + 1))
    system.broker.fanout.flush()
    assert uids(watcher)[-1] == "later"
    assert [len(socket.writes) for _, socket in joined] == written
    await asyncio.sleep(0.5)
    assert all("later" in uids(socket) for _, socket in joined)
    await system.end()


async def test_client_that_reads_nothing_does_not_delay_others_that_join() -> None:
    system = await system_with_nodes()
    for _ in range(3 * CHUNKS_PER_TURN):
        client, socket = system.client(stalled=True)
        socket.waiting = 1 << 20
        system.broker.from_client(client, Join(data="client"))
    _, socket = join(system)
    await asyncio.sleep(0.1)
    assert socket.messages[-1]["type"] == "joined"
    await system.end()


async def test_client_with_a_filter_gets_its_part_of_a_state_that_is_shared() -> None:
    system = await system_with_nodes()
    join(system)
    client, socket = system.client()
    system.broker.from_client(client, Subscription(uids=("N0001",), resources=("r1",)))
    system.broker.from_client(client, Join(data="client"))
    await asyncio.sleep(0.5)
    assert values(socket) == {("N0001", "r1"): "1.5°C"}
    await system.end()


def test_only_forms_without_state_of_the_client_are_shared() -> None:
    assert state_form(ARRAYS, CLIENT) is state_form(ARRAYS_WITH_REGISTRY, CLIENT)
    assert state_form(LEGACY, CLIENT) is not None
    assert state_form(LEGACY, "short") is None
    assert state_form(EVENTS, CLIENT) is None


def node(uid: str, data: list[Any]) -> KnownNode:
    found = KnownNode(1, 1, NodeRecord(uid=uid), ts=0.0)
    for number, value in enumerate(data):
        found.readings[f"r{number}"] = Reading(uid=uid, resource=f"r{number}", data=value)
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.lists(JSON, max_size=4), min_size=1, max_size=4))
def test_legacy_frames_of_the_shared_form_are_those_of_each_message(nodes: list[list[Any]]) -> None:
    form, parts = state_form(LEGACY, CLIENT), StateParts()
    assert form is not None
    known = [node(f"N{number}", data) for number, data in enumerate(nodes)]
    for client in (CLIENT, CLIENT[::-1]):
        encoded = [parts.encoded(it, form) or b"" for it in known]
        expected = []
        for it in known:
            expected.append(legacy.encode_to_client(it.appeared, client))
            expected += [legacy.encode_to_client(value, client) for value in it.readings.values()]
        assert list(frames(form.assemble(encoded, client))) == expected


def test_a_value_that_equals_the_one_before_and_is_another_is_encoded_again() -> None:
    form, parts = state_form(ARRAYS, CLIENT), StateParts()
    assert form is not None
    it = node("A", [1])
    parts.encoded(it, form)
    it.readings["r0"] = Reading(uid="A", resource="r0", data=True)
    encoded = parts.encoded(it, form)
    assert encoded is not None
    assert json.loads(b"[" + encoded + b"]")[1]["data"] is True
