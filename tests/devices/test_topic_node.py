# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated MQTT node. Publications are parsed as the gateway does."""

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
    it.connection_made(now=NOW)
    return it


def timer_of(it: TopicNode) -> float:
    timer = it.get_timer()
    assert timer is not None
    return timer


def published(it: TopicNode, now: float = NOW) -> list[Publication]:
    it.handle_timer(now=now)
    return [parse_publication(topic, payload) for topic, payload, _ in it.publications_to_send()]


def test_node_announces_itself_at_start_and_every_30_seconds() -> None:
    it = node(led=True)
    times = []
    now = NOW
    while now < NOW + 100:
        times += [now for _ in published(it, now)]
        now = timer_of(it)
    assert times == [NOW, NOW + CHECK_PERIOD_S, NOW + 60, NOW + 90]


def test_node_answers_a_gateway_check() -> None:
    it = node()
    published(it)
    it.receive_publication(GATEWAY_CHECK, b"", now=NOW)
    assert it.has_publications
    assert published(it) == [NodeCheck("lamp")]


def test_node_lists_its_resources_and_publishes_all_values_a_second_later() -> None:
    it = node(led=True, temperature=True, period_s=3600.0)
    published(it)
    it.receive_publication(discover_topic("lamp"), b"resources", now=NOW)
    (announced,) = published(it)
    assert isinstance(announced, NodeResources)
    assert set(announced.resources) == set(it.values)
    assert published(it, NOW + 0.9) == []
    assert timer_of(it) <= NOW + VALUES_PAUSE_S
    resources = {value.resource for value in published(it, NOW + 1) if isinstance(value, NodeValue)}
    assert resources == set(it.values)
    assert published(it, NOW + 2) == []


def test_node_publishes_all_values_once_on_request() -> None:
    it = node(led=True)
    published(it)
    it.receive_publication(discover_topic("lamp"), b"resources", now=NOW)
    it.receive_publication(discover_topic("lamp"), b"values", now=NOW)
    _, *values = published(it)
    assert NodeValue("lamp", "led", "0") in values
    assert published(it, NOW + 2) == []


def test_write_is_done_and_reported() -> None:
    it = node(led=True)
    published(it)
    it.receive_publication(set_topic("lamp", "led"), b"1", now=NOW)
    assert published(it) == [NodeValue("lamp", "led", "1")]
    assert it.values["led"] == "1"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("gateway/lamp/led/set", b"2"),
        ("gateway/lamp/led/set", b"\xff"),
        ("gateway/lamp/valve/set", b"1"),
        ("gateway/other/led/set", b"1"),
        ("gateway/lamp/discover", b"everything"),
        ("gateway/other/discover", b"values"),
        ("node/lamp/led", b'{"value":"1"}'),
        ("", b""),
    ],
)
def test_unknown_and_invalid_requests_get_no_answer(topic: str, payload: bytes) -> None:
    it = node(led=True)
    published(it)
    it.receive_publication(topic, payload, now=NOW)
    assert published(it, NOW + 2) == []
    assert it.values["led"] == "0"


def test_readings_are_published_once_a_period() -> None:
    it = node(temperature=True, period_s=2.0)
    published(it)
    values = []
    now = NOW
    while (now := timer_of(it)) < NOW + 20:
        values += [value for value in published(it, now) if isinstance(value, NodeValue)]
    assert len(values) == 10
    assert {value.resource for value in values} == {"temperature"}


def test_publications_queued_before_a_reconnection_are_dropped() -> None:
    it = node(led=True)
    published(it)
    it.receive_publication(discover_topic("lamp"), b"values", now=NOW)
    it.connection_made(now=NOW + 1)
    assert published(it, NOW + 1) == [NodeCheck("lamp")]


def test_node_subscribes_only_to_topics_that_it_handles() -> None:
    topics = node(led=True, robot=True).subscriptions
    assert set(topics) == {
        *("gateway/check", "gateway/lamp/discover"),
        *("gateway/lamp/led/set", "gateway/lamp/robot/set"),
    }


def test_node_that_is_not_connected_has_no_timer() -> None:
    it = TopicNode(NodeConfig(led=True), rng=random.Random(1))
    assert it.get_timer() is None
    assert len(it.uid) == 15


@pytest.mark.parametrize("uid", ["a/b", "#", "+", "a b", "x\n"])
def test_uid_that_is_invalid_in_a_topic_is_an_operator_error(uid: str) -> None:
    with pytest.raises(OperatorError, match="--uid"):
        TopicNode(NodeConfig(uid=uid), rng=random.Random(1))
