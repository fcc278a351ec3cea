# SPDX-License-Identifier: BSD-3-Clause
"""A node that is forgotten while Home Assistant or this system is off is removed later."""

import json

import pytest

from pyaiot.homeassistant import removals as limits
from pyaiot.homeassistant.bridge import BIRTH_INTERVAL_S
from pyaiot.homeassistant.node_removals import (
    ORPHANS_AFTER_S,
    REMOVE_AFTER_S,
    HomeAssistantMessage,
)
from pyaiot.homeassistant.removals import Removals
from pyaiot.messages import Joined, NodeAppeared, NodeForgotten
from tests.homeassistant.test_bridge import CONFIG, TOPICS, Home, home_with_node, node, reading

REMOVED = "pyaiot/pyaiot/removed/pyaiot_a"


def on_config(publications: list[HomeAssistantMessage]) -> list[HomeAssistantMessage]:
    return [it for it in publications if it.topic == CONFIG]


def start_home_assistant(home: Home) -> list[HomeAssistantMessage]:
    """What it discovers and removes after its start, which ignores what it does not know."""
    home.bridge.home_assistant_started(home.now)
    return on_config(home.wait(BIRTH_INTERVAL_S + REMOVE_AFTER_S))


def test_at_the_next_start_a_forgotten_node_is_discovered_and_then_removed() -> None:
    home = home_with_node(reading("led", "1"), reading("temperature", "20°C"))
    config = home.retained[CONFIG]
    home.receive(NodeForgotten(uid="a"))
    home.wait(60.0)
    assert home.retained[REMOVED] == config
    assert start_home_assistant(home) == [
        HomeAssistantMessage(CONFIG, config),
        HomeAssistantMessage(CONFIG, b"", retain=True),
    ]
    assert home.retained[REMOVED] == b""
    assert start_home_assistant(home) == []


def test_home_assistant_has_time_to_make_the_entities_that_are_removed() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(NodeForgotten(uid="a"))
    home.wait(60.0)
    home.bridge.home_assistant_started(home.now)
    assert len(on_config(home.wait(REMOVE_AFTER_S - 0.1))) == 1
    assert on_config(home.wait(0.2)) == [HomeAssistantMessage(CONFIG, b"", retain=True)]


def test_a_node_that_was_removed_before_a_restart_of_this_system_is_removed_too() -> None:
    first = home_with_node(reading("led", "1"))
    first.receive(NodeForgotten(uid="a"))
    first.wait(60.0)
    second = Home()
    second.bridge.receive_removed("pyaiot_a", first.retained[REMOVED])
    second.receive(Joined(nodes=0))
    second.wait(60.0)
    assert [it.payload == b"" for it in start_home_assistant(second)] == [False, True]
    assert second.retained[REMOVED] == b""


def test_a_node_that_was_forgotten_while_both_were_off_is_removed_at_the_next_start() -> None:
    config = home_with_node(reading("led", "1")).retained[CONFIG]
    removals = Removals()
    removals.find("pyaiot_a", config)
    home = Home(removals=removals)
    home.bridge.receive_earlier("pyaiot_a", frozenset({"switch.led"}))
    home.receive(Joined(nodes=0))
    home.wait(ORPHANS_AFTER_S + 1.0)
    assert home.retained[CONFIG] == b""
    assert [it.payload for it in start_home_assistant(home)] == [config, b""]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_node_that_returned_is_not_removed(*, is_first: bool) -> None:
    gone = home_with_node(reading("led", "1"))
    gone.receive(NodeForgotten(uid="a"))
    gone.wait(1.0)
    home = Home()
    if is_first:
        home.bridge.receive_removed("pyaiot_a", gone.retained[REMOVED])
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), Joined(nodes=1))
    if not is_first:
        home.bridge.receive_removed("pyaiot_a", gone.retained[REMOVED])
    home.wait(60.0)
    assert home.retained[REMOVED] == b""
    assert [it.payload for it in start_home_assistant(home)] == [home.retained[CONFIG]]


def test_a_node_that_returns_between_discovery_and_removal_stays() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(NodeForgotten(uid="a"))
    home.wait(60.0)
    home.bridge.home_assistant_started(home.now)
    home.wait(1.0)
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"))
    home.wait(60.0)
    assert json.loads(home.retained[CONFIG])["cmps"]
    assert home.retained[REMOVED] == b""


def test_a_removal_that_a_lost_connection_interrupted_is_done_at_the_next() -> None:
    removals = Removals()
    first = Home(removals=removals)
    first.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), Joined(nodes=1))
    first.wait(60.0)
    first.receive(NodeForgotten(uid="a"))
    first.wait(60.0)
    first.bridge.home_assistant_started(first.now)
    first.wait(1.0)
    second = Home(removals=removals)
    second.take()
    assert second.retained[CONFIG] == second.retained[REMOVED] == b""


def test_a_node_that_was_never_announced_leaves_nothing() -> None:
    home = Home()
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), NodeForgotten(uid="a"))
    home.receive(Joined(nodes=0))
    home.wait(60.0)
    assert not home.retained.get(REMOVED)


def test_beyond_the_limits_the_oldest_removals_are_kept_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REMOVALS_MAX", 2)
    monkeypatch.setattr(limits, "REMOVALS_SIZE_MAX", 10)
    removals = Removals()
    assert removals.add("a", b"123") == removals.add("b", b"123") == []
    assert removals.add("c", b"1") == ["a"]
    assert removals.add("d", b"1234567890") == ["b", "c"]
    assert [device for device, _ in removals] == ["d"]


def test_what_was_found_of_an_earlier_run_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOUND_SIZE_MAX", 4)
    removals = Removals()
    removals.find("a", b"123")
    removals.find("a", b"124")
    removals.find("b", b"12")
    assert (removals.take_found("b"), removals.take_found("a")) == (b"", b"124")
    removals.find("b", b"1234")
    assert removals.take_found("b") == b"1234"


@pytest.mark.parametrize(
    "topic", ["pyaiot/pyaiot/removed/other_a", "pyaiot/pyaiot/removed/pyaiot_a/b", "pyaiot/x"]
)
def test_only_its_own_topics_name_removed_nodes(topic: str) -> None:
    assert TOPICS.device_of_removed(topic) == ""
    assert TOPICS.device_of_removed(TOPICS.removed("pyaiot_a")) == "pyaiot_a"
