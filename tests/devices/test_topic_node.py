# SPDX-License-Identifier: BSD-3-Clause
"""The simulated node on MQTT topics: what it says when, read by what its gateway reads it with."""

import math
import random
from typing import Any

import pytest

from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.topic_node import CHECK_PERIOD_S, VALUES_PAUSE_S, TopicNode
from pyaiot.errors import OperatorError
from pyaiot.protocols.mqtt.node_topics import (
    GATEWAY_CHECK,
    NodeCheck,
    NodeResources,
    NodeValue,
    Publication,
    discover_topic,
    parse_publication,
    set_topic,
)

NOW = 1000.0


def node(**its: Any) -> TopicNode:
    """A node that has just connected."""
    it = TopicNode(NodeConfig(uid="lamp", **its), rng=random.Random(1))
    it.connected(now=NOW)
    return it


def said(it: TopicNode, now: float = NOW) -> list[Publication]:
    return [parse_publication(topic, payload) for topic, payload in it.to_send(now=now)]


def test_node_says_that_it_is_there_at_start_and_every_30_seconds() -> None:
    it = node(led=True)
    times = []
    now = NOW
    while now < NOW + 100:
        times += [now for _ in said(it, now)]
        now = it.next_wake
    assert times == [NOW, NOW + CHECK_PERIOD_S, NOW + 60, NOW + 90]


def test_node_answers_the_question_who_is_there() -> None:
    it = node()
    said(it)
    it.receive(GATEWAY_CHECK, b"", now=NOW)
    assert it.next_wake <= NOW
    assert said(it) == [NodeCheck("lamp")]


def test_node_lists_its_resources_and_tells_all_values_a_second_later() -> None:
    it = node(led=True, temperature=True, period_s=3600.0)
    said(it)
    it.receive(discover_topic("lamp"), b"resources", now=NOW)
    (listed,) = said(it)
    assert isinstance(listed, NodeResources)
    assert set(listed.resources) == set(it.values)
    assert said(it, NOW + 0.9) == []
    assert it.next_wake <= NOW + VALUES_PAUSE_S
    told = {value.resource for value in said(it, NOW + 1) if isinstance(value, NodeValue)}
    assert told == set(it.values)
    assert said(it, NOW + 2) == []


def test_node_tells_all_values_once_when_it_is_asked_for_them() -> None:
    it = node(led=True)
    said(it)
    it.receive(discover_topic("lamp"), b"resources", now=NOW)
    it.receive(discover_topic("lamp"), b"values", now=NOW)
    _, *values = said(it)
    assert NodeValue("lamp", "led", "0") in values
    assert said(it, NOW + 2) == []


def test_write_is_done_and_reported() -> None:
    it = node(led=True)
    said(it)
    it.receive(set_topic("lamp", "led"), b"1", now=NOW)
    assert said(it) == [NodeValue("lamp", "led", "1")]
    assert it.values["led"] == "1"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("gateway/lamp/led/set", b"2"),
        ("gateway/lamp/led/set", b"\xff"),
        ("gateway/lamp/door/set", b"1"),
        ("gateway/other/led/set", b"1"),
        ("gateway/lamp/discover", b"everything"),
        ("gateway/other/discover", b"values"),
        ("node/lamp/led", b'{"value":"1"}'),
        ("", b""),
    ],
)
def test_what_it_cannot_do_or_understand_is_answered_with_nothing(
    topic: str, payload: bytes
) -> None:
    it = node(led=True)
    said(it)
    it.receive(topic, payload, now=NOW)
    assert said(it, NOW + 2) == []
    assert it.values["led"] == "0"


def test_readings_are_published_once_a_period() -> None:
    it = node(temperature=True, period_s=2.0)
    said(it)
    values = []
    now = NOW
    while (now := it.next_wake) < NOW + 20:
        values += [value for value in said(it, now) if isinstance(value, NodeValue)]
    assert len(values) == 10
    assert {value.resource for value in values} == {"temperature"}


def test_what_was_not_said_before_the_connection_ended_is_not_said_on_the_next() -> None:
    it = node(led=True)
    said(it)
    it.receive(discover_topic("lamp"), b"values", now=NOW)
    it.connected(now=NOW + 1)
    assert said(it, NOW + 1) == [NodeCheck("lamp")]


def test_node_subscribes_to_what_it_can_answer_and_no_more() -> None:
    topics = node(led=True, robot=True).subscriptions
    assert set(topics) == {
        *("gateway/check", "gateway/lamp/discover"),
        *("gateway/lamp/led/set", "gateway/lamp/robot/set"),
    }


def test_node_that_is_not_connected_has_nothing_to_say() -> None:
    it = TopicNode(NodeConfig(led=True), rng=random.Random(1))
    assert it.next_wake == math.inf
    assert len(it.uid) == 15


@pytest.mark.parametrize("uid", ["a/b", "#", "+", "a b", "x\n"])
def test_uid_that_cannot_stand_in_a_topic_is_the_operators_turn(uid: str) -> None:
    with pytest.raises(OperatorError, match="--uid"):
        TopicNode(NodeConfig(uid=uid), rng=random.Random(1))
