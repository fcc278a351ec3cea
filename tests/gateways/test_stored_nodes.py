# SPDX-License-Identifier: BSD-3-Clause
"""Nodes with stored messages only are offline if they do not answer, each share in its time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pyaiot.gateways.mqtt import stored_nodes
from pyaiot.gateways.mqtt.shares import share_of
from pyaiot.gateways.mqtt.stored_nodes import StoredNodes

LIMIT_S = 0.05
OPEN: Any = SimpleNamespace(secured=False)
UIDS = ("A", "B", "R")
"""Of different shares."""


class Left:
    """A gateway without nodes, and the nodes that left."""

    def __init__(self) -> None:
        self.nodes: dict[str, object] = {}
        self.uids: list[str] = []

    def left(self, uid: str, reason: str) -> None:
        assert reason == "silent"
        self.uids.append(uid)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Left:
    monkeypatch.setattr(stored_nodes, "ANSWER_LIMIT_S", LIMIT_S)
    return Left()


def stored(gateway: Any) -> StoredNodes:
    def forget(uid: str) -> None:
        it.uids.discard(uid)

    it = StoredNodes(gateway, forget)
    it.uids.update(UIDS)
    return it


async def test_without_shares_all_that_did_not_answer_leave(gateway: Left) -> None:
    nodes = stored(gateway)
    nodes.caught_up(OPEN, None)
    nodes.uids.discard("B")
    await asyncio.sleep(2 * LIMIT_S)
    assert sorted(gateway.uids) == ["A", "R"]
    assert not nodes.uids


async def test_a_share_does_not_end_the_nodes_of_another_one(gateway: Left) -> None:
    nodes = stored(gateway)
    nodes.caught_up(OPEN, share_of("A"))
    await asyncio.sleep(2 * LIMIT_S)
    assert gateway.uids == ["A"]


async def test_a_share_that_is_connected_again_has_its_time_again(gateway: Left) -> None:
    nodes = stored(gateway)
    nodes.caught_up(OPEN, share_of("A"))
    nodes.connected(share_of("A"))
    nodes.caught_up(OPEN, share_of("B"))
    await asyncio.sleep(2 * LIMIT_S)
    assert gateway.uids == ["B"]
    nodes.caught_up(OPEN, share_of("R"))
    nodes.close()
    await asyncio.sleep(2 * LIMIT_S)
    assert gateway.uids == ["B"]
