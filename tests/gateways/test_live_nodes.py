# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of a gateway: which appear, go offline, or are refused."""

import contextlib

import pytest

from pyaiot.errors import ProtocolError, Refused, TooFast
from pyaiot.gateways.live_node import READINGS_BURST, RESOURCES_MAX
from pyaiot.gateways.live_nodes import (
    NEW_NODES_BURST_S,
    UNVERIFIED_GRACE_S,
    LiveNodes,
)
from pyaiot.messages import NodeAppeared, NodeEvent, NodeLeft, NodeReset, Reading

TS = 1_700_000_000.0
COAP = {"protocol": "CoAP", "ip": "10.0.0.1"}


def nodes(*, nodes_max: int = 10) -> LiveNodes:
    return LiveNodes(silence_limit_s=120.0, nodes_max=nodes_max)


def see(it: LiveNodes, uid: str = "A", now: float = 0.0) -> list[NodeEvent]:
    return it.node_seen(uid, COAP, now=now, ts=TS)


def read(it: LiveNodes, resource: str, data: object, uid: str = "A", now: float = 0.0) -> Reading:
    (event,) = it.reading(uid, resource, data, now=now, ts=TS)
    assert isinstance(event, Reading)
    return event


def test_node_appears_with_its_bookkeeping() -> None:
    assert see(nodes()) == [
        NodeAppeared(uid="A", ts=TS),
        Reading(uid="A", resource="protocol", data="CoAP", ts=TS),
        Reading(uid="A", resource="ip", data="10.0.0.1", ts=TS),
    ]


def test_sign_of_life_of_a_known_node_causes_no_event() -> None:
    it = nodes()
    see(it)
    assert see(it, now=30.0) == []


def test_change_of_address_is_reported() -> None:
    it = nodes()
    see(it)
    assert it.node_seen("A", {"protocol": "CoAP", "ip": "10.0.0.2"}, now=1.0, ts=TS) == [
        Reading(uid="A", resource="ip", data="10.0.0.2", ts=TS)
    ]


def test_reading_carries_number_and_unit() -> None:
    it = nodes()
    see(it)
    reading = read(it, "temperature", "23.5°C")
    assert (reading.data, reading.number, reading.unit) == ("23.5°C", 23.5, "Cel")


@pytest.mark.parametrize("text", ["--327.-6°C", '{"lat":48.7,"lng":2.2}', "", "42949672.-1hPa"])
def test_text_that_is_no_number_stays_as_it_is(text: str) -> None:
    it = nodes()
    see(it)
    reading = read(it, "temperature", text)
    assert (reading.data, reading.number) == (text, None)


def test_silent_node_is_lost_after_two_minutes() -> None:
    it = nodes()
    see(it, "A", now=0.0)
    see(it, "B", now=60.0)
    assert it.get_timer() == 120.0
    assert it.handle_timer(now=119.9, ts=TS) == []
    assert it.handle_timer(now=120.0, ts=TS) == [NodeLeft(uid="A", ts=TS, reason="silent")]
    assert it.get_timer() == 180.0


def test_reading_is_a_sign_of_life() -> None:
    it = nodes()
    see(it, now=0.0)
    read(it, "t", "1", now=100.0)
    assert it.handle_timer(now=150.0, ts=TS) == []
    assert it.get_timer() == 220.0


def test_reset_discards_the_readings_and_repeats_the_bookkeeping() -> None:
    it = nodes()
    see(it)
    read(it, "t", "1")
    assert it.reset("A", ts=TS) == [
        NodeReset(uid="A", ts=TS),
        Reading(uid="A", resource="protocol", data="CoAP", ts=TS),
        Reading(uid="A", resource="ip", data="10.0.0.1", ts=TS),
    ]
    assert [type(event) for event in it.everything()] == [NodeAppeared, Reading, Reading]


def test_everything_is_the_state_for_a_new_broker() -> None:
    it = nodes()
    see(it)
    read(it, "t", "1")
    last = read(it, "t", "2")
    assert list(it.everything())[-1] == last
    assert len(list(it.everything())) == 4


@pytest.mark.parametrize("name", ["ip", "id", "protocol"])
def test_device_cannot_write_what_the_gateway_keeps(name: str) -> None:
    it = nodes()
    see(it)
    with pytest.raises(Refused, match="gateway's own"):
        read(it, name, "6.6.6.6")


@pytest.mark.parametrize("uid", ["", "alive", "all", "x" * 65, "a\nb", "a\0b", "\x1b[2J"])
def test_uid_that_cannot_be_is_refused(uid: str) -> None:
    it = nodes()
    with pytest.raises(ProtocolError):
        see(it, uid)
    assert len(it) == 0


@pytest.mark.parametrize("uid", ["*", "#", "+", "../x", "__proto__", "<img src=x>", "ü"])
def test_uid_that_is_odd_is_only_text(uid: str) -> None:
    it = nodes()
    see(it, uid)
    assert uid in it


def test_one_node_too_many_is_refused_and_the_others_stay() -> None:
    it = nodes(nodes_max=1)
    see(it, "A")
    with pytest.raises(Refused, match="at most 1 nodes"):
        see(it, "B")
    see(it, "A")
    assert len(it) == 1


def test_one_resource_too_many_is_refused_and_the_others_stay() -> None:
    it = nodes()
    see(it)
    for index in range(RESOURCES_MAX):
        read(it, f"r{index}", "1")
    with pytest.raises(Refused):
        read(it, "one more", "1")
    read(it, "r0", "2")


def test_value_of_more_than_64_kb_is_refused() -> None:
    it = nodes()
    see(it)
    read(it, "t", "x" * 65536)
    with pytest.raises(ProtocolError):
        read(it, "t", "x" * 65537)


def test_node_above_the_rate_limit_gets_the_time_to_wait() -> None:
    it = nodes()
    see(it)
    for _ in range(int(READINGS_BURST)):
        it.take_turn("A", now=0.0)
    with pytest.raises(TooFast) as caught:
        it.take_turn("A", now=0.0)
    assert caught.value.retry_after_s == pytest.approx(0.05)
    it.take_turn("A", now=0.05)


def test_reading_of_an_unknown_node_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        read(nodes(), "t", "1")


# -- nodes that set their offline timeout ----------------------------------------------------------


def test_node_that_may_be_silent_is_offline_after_its_lifetime() -> None:
    it = nodes()
    see(it)
    see(it, "B")
    it.keep_until("A", 1000.0)
    assert it.handle_timer(now=120.0, ts=TS) == [NodeLeft(uid="B", ts=TS, reason="silent")]
    assert it.get_timer() == 240.0
    assert it.handle_timer(now=999.0, ts=TS) == []
    assert it.handle_timer(now=999.0 + 120.0, ts=TS) == [NodeLeft(uid="A", ts=TS, reason="silent")]


@pytest.mark.parametrize(("last_seen", "silent"), [(0.0, True), (879.0, True), (881.0, False)])
def test_node_past_its_time_is_offline_unless_it_was_seen(
    last_seen: float, *, silent: bool
) -> None:
    it = nodes()
    see(it)
    it.keep_until("A", 1000.0)
    it.handle_timer(now=500.0, ts=TS)
    see(it, now=last_seen)
    assert it.is_offline("A", now=1000.0) is silent
    assert not it.is_offline("B", now=1000.0)


def test_unit_of_the_protocol_is_kept() -> None:
    it = nodes()
    see(it)
    (event,) = it.reading("A", "humidity", 40.8, now=0.0, ts=TS, unit="%RH")
    assert event == Reading(uid="A", resource="humidity", data=40.8, ts=TS, number=40.8, unit="%RH")
    (event,) = it.reading("A", "label", "21", now=0.0, ts=TS, unit="")
    assert event == Reading(uid="A", resource="label", data="21", ts=TS)
    (event,) = it.reading("A", "open", True, now=0.0, ts=TS, unit="")
    assert event == Reading(uid="A", resource="open", data=True, ts=TS)


# -- new nodes, and those that make room for them --------------------------------------------------


def appear(it: LiveNodes, uid: str, host: str = "", now: float = 0.0) -> list[NodeEvent]:
    return it.node_seen(uid, {}, now=now, ts=TS, host=host)


def accepted(it: LiveNodes, count: int, now: float = 0.0, host: str = "", start: int = 0) -> int:
    """How many of `count` new nodes are accepted."""
    before = len(it)
    for number in range(start, start + count):
        with contextlib.suppress(Refused):
            appear(it, f"{host} {number}", host, now)
    return len(it) - before


def test_new_nodes_have_a_rate_and_known_ones_do_not_count() -> None:
    it = LiveNodes(silence_limit_s=120.0, nodes_max=1000, new_nodes_per_s=4.0)
    assert accepted(it, 100) == 4 * NEW_NODES_BURST_S
    for _ in range(100):
        assert appear(it, " 0") == []
    assert accepted(it, 100, now=1.0, start=100) == 4
    assert it.new_nodes_refused == 60 + 96
    with pytest.raises(TooFast) as caught:
        appear(it, "another", now=1.0)
    assert caught.value.retry_after_s > 0


def test_host_with_many_new_nodes_leaves_half_of_the_rate_to_others() -> None:
    it = LiveNodes(silence_limit_s=120.0, nodes_max=1000, new_nodes_per_s=4.0)
    assert accepted(it, 100, host="greedy") == 2 * NEW_NODES_BURST_S
    assert accepted(it, 10, host="modest") == 10


def test_host_has_a_share_of_the_nodes_that_is_free_again_when_one_leaves() -> None:
    it = LiveNodes(silence_limit_s=120.0, nodes_max=1000, nodes_per_host_max=3)
    assert accepted(it, 10, host="greedy") == 3
    with pytest.raises(Refused, match="a host may have at most 3 nodes"):
        appear(it, "one more", "greedy")
    assert accepted(it, 2, host="other") == 2
    it.left("greedy 0", "left", ts=TS)
    appear(it, "one more", "greedy")
    it.handle_timer(now=120.0, ts=TS)
    assert accepted(it, 10, now=120.0, host="greedy") == 3


def test_nodes_of_before_a_restart_have_no_rate_but_the_share_of_their_host() -> None:
    it = LiveNodes(
        silence_limit_s=120.0, nodes_max=1000, nodes_per_host_max=50, new_nodes_per_s=1.0
    )
    for number in range(50):
        it.node_seen(f"{number}", {}, now=0.0, ts=TS, host="here", known_before=True)
    assert len(it) == 50
    with pytest.raises(Refused, match="a host may have at most 50 nodes"):
        it.node_seen("one more", {}, now=0.0, ts=TS, host="here", known_before=True)
    assert accepted(it, 100, host="there") == NEW_NODES_BURST_S / 2


def test_node_that_moves_keeps_its_quota() -> None:
    it = LiveNodes(silence_limit_s=120.0, nodes_max=1000, nodes_per_host_max=1)
    appear(it, "A", "here")
    appear(it, "A", "there")
    appear(it, "B", "here")
    with pytest.raises(Refused):
        appear(it, "C", "there")


def test_full_gateway_lets_a_new_node_replace_the_unproved_one_that_was_silent_longest() -> None:
    it = nodes(nodes_max=3)
    for now, uid in enumerate(("proved", "invented", "posting")):
        appear(it, uid, now=float(now))
    it.verify("proved")
    read(it, "t", "1", uid="posting", now=UNVERIFIED_GRACE_S)
    with pytest.raises(Refused, match="at most 3 nodes"):
        appear(it, "new", now=UNVERIFIED_GRACE_S)
    events = appear(it, "new", now=UNVERIFIED_GRACE_S + 1.0)
    assert events == [
        NodeLeft(uid="invented", ts=TS, reason="left"),
        NodeAppeared(uid="new", ts=TS),
    ]
    assert it.evicted == 1
    it.verify("posting")
    it.verify("new")
    with pytest.raises(Refused):
        appear(it, "another", now=1000.0)


def test_flood_of_invented_nodes_never_replaces_one_that_proved_itself() -> None:
    it = LiveNodes(silence_limit_s=None, nodes_max=100)
    appear(it, "real")
    it.verify("real")
    for second in range(100):
        accepted(it, 300, now=float(second), host=f"host {second}")
    assert "real" in it
    assert len(it) == 100
