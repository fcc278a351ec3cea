# SPDX-License-Identifier: BSD-3-Clause
"""What a gateway reports of the types of resources."""

import pytest

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.live_node import RESOURCES_MAX
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.messages import NodeAppeared, NodeDescribed, Reading
from pyaiot.model import UNKNOWN, ResourceType

TS = 1_700_000_000.0
LAMP = ResourceType(kind="boolean", on="ON", off="OFF", source="metadata")


def nodes() -> LiveNodes:
    it = LiveNodes(silence_limit_s=None, nodes_max=10)
    it.node_seen("A", {}, now=0.0, ts=TS)
    return it


def test_types_are_reported_once_and_when_they_change() -> None:
    it = nodes()
    assert it.describe("A", {"lamp": LAMP}) == [NodeDescribed(uid="A", types={"lamp": LAMP})]
    assert it.describe("A", {"lamp": LAMP}) == []
    other = ResourceType(kind="text")
    assert it.describe("A", {"mode": other}) == [NodeDescribed(uid="A", types={"mode": other})]
    assert it.describe("A", {"mode": UNKNOWN}) == [NodeDescribed(uid="A", types={"mode": UNKNOWN})]


def test_a_complete_description_removes_the_rest() -> None:
    it = nodes()
    it.describe("A", {"lamp": LAMP, "mode": ResourceType(kind="text")})
    assert it.describe("A", {"lamp": LAMP}, complete=True) == [
        NodeDescribed(uid="A", types={"mode": UNKNOWN})
    ]


def test_a_new_broker_gets_all_types_before_the_readings() -> None:
    it = nodes()
    it.reading("A", "lamp", "ON", now=0.0, ts=TS)
    it.describe("A", {"lamp": LAMP})
    appeared, described, reading = it.everything()
    assert isinstance(appeared, NodeAppeared)
    assert described == NodeDescribed(uid="A", types={"lamp": LAMP}, complete=True)
    assert isinstance(reading, Reading)


def test_a_reboot_keeps_the_types() -> None:
    it = nodes()
    it.describe("A", {"lamp": LAMP})
    it.reset("A", ts=TS)
    assert it.describe("A", {"lamp": LAMP}) == []


def test_metadata_that_is_not_valid_is_left_out() -> None:
    it = nodes()
    many = tuple(map(str, range(65)))
    (event,) = it.describe("A", {"mode": ResourceType(kind="enum", choices=many, label="\n")})
    assert event == NodeDescribed(uid="A", types={"mode": ResourceType(kind="enum")})


def test_types_beyond_the_limits_are_refused() -> None:
    it = nodes()
    text = ResourceType(kind="text")
    it.describe("A", {f"r{i}": text for i in range(RESOURCES_MAX)})
    with pytest.raises(Refused, match="at most 256 resources"):
        it.describe("A", {"one more": text})
    with pytest.raises(ProtocolError, match="printable"):
        it.describe("A", {"\n": text})
    large = ResourceType(kind="enum", choices=tuple(f"{i:064}" for i in range(64)))
    with pytest.raises(ProtocolError, match="at most 32768 bytes"):
        it.describe("A", {f"r{i}": large for i in range(10)})
    # What was refused changed nothing.
    assert it.describe("A", {"r0": text}) == []


def test_an_unknown_node_is_not_described() -> None:
    with pytest.raises(KeyError):
        nodes().describe("B", {"lamp": LAMP})
