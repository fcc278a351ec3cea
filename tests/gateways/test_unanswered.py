# SPDX-License-Identifier: BSD-3-Clause
"""What nodes left unanswered."""

from pyaiot.gateways.coap.unanswered import (
    RETRY_MAX_S,
    RETRY_MIN_S,
    UnansweredRequests,
)
from pyaiot.protocols.link_format import CoreLink


def test_node_that_left_something_unanswered_is_due_after_a_pause() -> None:
    it = UnansweredRequests()
    assert not it.is_due("A", now=0.0)
    it.add("A", [CoreLink("/name")], None, now=0.0)
    assert not it.is_due("A", now=RETRY_MIN_S - 0.1)
    assert it.is_due("A", now=RETRY_MIN_S)
    assert not it.is_due("B", now=RETRY_MIN_S)


def test_node_during_discovery_is_not_due() -> None:
    it = UnansweredRequests()
    it.add("A", [CoreLink("/name")], None, now=0.0)
    taken = it.take("A")
    assert taken is not None
    assert taken.links == (CoreLink("/name"),)
    assert not it.is_due("A", now=1000.0)
    assert "A" not in it


def test_pause_grows_to_half_a_minute() -> None:
    it = UnansweredRequests()
    before, pauses = None, []
    for _ in range(20):
        it.add("A", None, before, now=0.0)
        before = it.take("A")
        assert before is not None
        pauses.append(before.again_at)
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert set(pauses[4:]) == {RETRY_MAX_S}


def test_node_that_left_is_forgotten() -> None:
    it = UnansweredRequests()
    it.add("A", None, None, now=0.0)
    it.forget("A")
    it.forget("B")
    assert len(it) == 0
