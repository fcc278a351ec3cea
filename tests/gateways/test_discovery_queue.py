# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes are discovered, and which wait for discovery."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pyaiot.gateways.coap import discovery_queue
from pyaiot.gateways.coap.discovery_queue import DiscoveryQueue


class Discoverer:
    """Nodes that answer when a test lets them."""

    def __init__(self) -> None:
        self.discoveries = DiscoveryQueue(self._discover, self._start)
        self.requested: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Future[None]] = {}

    async def answer(self, uid: str) -> None:
        self._answers.pop(uid).set_result(None)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def _discover(self, uid: str) -> None:
        self.requested.append(uid)
        self._answers[uid] = asyncio.get_running_loop().create_future()
        await self._answers[uid]

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks[name.removeprefix("discovery of ")] = asyncio.ensure_future(work)


async def test_node_that_appears_again_during_discovery_is_discovered_once_more() -> None:
    discoverer = Discoverer()
    discoverer.discoveries.add("A", "10.0.0.1")
    await discoverer.settle()
    discoverer.discoveries.add("A", "10.0.0.1")
    discoverer.discoveries.add("A", "10.0.0.1")
    await discoverer.settle()
    assert discoverer.requested == ["A"]
    await discoverer.answer("A")
    assert discoverer.requested == ["A", "A"]
    await discoverer.answer("A")
    assert discoverer.requested == ["A", "A"]
    assert discoverer.tasks["A"].done()


async def test_beyond_the_limit_nodes_wait_and_the_oldest_is_discovered_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_queue, "RUNNING_MAX", 2)
    discoverer = Discoverer()
    for uid in "ABCDE":
        discoverer.discoveries.add(uid, "10.0.0.1")
    await discoverer.settle()
    assert discoverer.requested == ["A", "B"]
    discoverer.discoveries.forget("C")  # it left
    await discoverer.answer("B")
    assert discoverer.requested == ["A", "B", "D"]
    await discoverer.answer("A")
    assert discoverer.requested == ["A", "B", "D", "E"]
    await discoverer.end()


async def test_waiting_discoveries_end_with_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_queue, "RUNNING_MAX", 1)
    discoverer = Discoverer()
    discoverer.discoveries.add("A", "10.0.0.1")
    discoverer.discoveries.add("B", "10.0.0.1")
    await discoverer.settle()
    await discoverer.end()
    assert discoverer.requested == ["A"]
    assert list(discoverer.tasks) == ["A"]


async def test_nodes_of_one_host_leave_room_for_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_queue, "RUNNING_MAX", 4)
    monkeypatch.setattr(discovery_queue, "RUNNING_PER_HOST_MAX", 2)
    discoverer = Discoverer()
    for uid in "ABCDE":
        discoverer.discoveries.add(uid, "10.0.0.1")
    discoverer.discoveries.add("V", "10.0.0.2")
    discoverer.discoveries.add("X", "10.0.0.3")
    await discoverer.settle()
    assert discoverer.requested == ["A", "B", "V", "X"]
    discoverer.discoveries.add("Y", "10.0.0.3")
    await discoverer.answer("V")
    assert discoverer.requested == ["A", "B", "V", "X", "Y"]
    await discoverer.answer("A")
    assert discoverer.requested == ["A", "B", "V", "X", "Y", "C"]
    await discoverer.end()


async def test_waiting_node_that_moves_waits_at_its_new_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_queue, "RUNNING_PER_HOST_MAX", 1)
    discoverer = Discoverer()
    for uid in "AB":
        discoverer.discoveries.add(uid, "10.0.0.1")
    discoverer.discoveries.add("B", "10.0.0.2")
    await discoverer.settle()
    assert discoverer.requested == ["A", "B"]
    await discoverer.answer("A")
    await discoverer.answer("B")
    assert discoverer.requested == ["A", "B"]
