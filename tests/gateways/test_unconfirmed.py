# SPDX-License-Identifier: BSD-3-Clause
"""Unconfirmed events: kept in order, bounded, and dropped ones are reported."""

from pyaiot.gateways.unconfirmed import Unconfirmed
from pyaiot.messages import Checkpoint, NodeAppeared, NodeEvent, NodeLeft, Reading, ReadingsDropped

TS = 1_700_000_000.0


def reading(number: int) -> Reading:
    return Reading(uid="A", resource="count", data=str(number), ts=TS + number)


def kept(events: Unconfirmed) -> list[str]:
    return [event.data for event in events if isinstance(event, Reading)]


def filled(count: int, *, events_max: int = 100, cost_max: int = 10**6) -> Unconfirmed:
    events = Unconfirmed(events_max=events_max, cost_max=cost_max)
    for number in range(count):
        events.add_all([reading(number)])
    return events


def test_events_are_kept_in_order_until_the_broker_confirms_them() -> None:
    events = filled(3)
    checkpoint = events.checkpoint()
    assert checkpoint is not None
    events.add_all([reading(3)])
    assert kept(events) == ["0", "1", "2", "3"]
    events.confirm(checkpoint)
    assert kept(events) == ["3"]


def test_there_is_no_checkpoint_where_there_is_nothing_new() -> None:
    events = filled(0)
    assert events.checkpoint() is None
    events.add_all([reading(0)])
    assert events.checkpoint() is not None
    assert events.checkpoint() is None


def test_after_a_new_link_everything_is_covered_by_a_new_checkpoint() -> None:
    events = filled(2)
    events.checkpoint()
    events.reset_checkpoint()
    checkpoint = events.checkpoint()
    assert checkpoint is not None
    events.confirm(checkpoint)
    assert kept(events) == []


def test_confirmation_of_an_unknown_checkpoint_confirms_nothing() -> None:
    events = filled(3)
    for number in (-1, 0, 10**18):
        events.confirm(Checkpoint(number=number))
    assert kept(events) == ["0", "1", "2"]


def test_beyond_the_limit_the_oldest_is_dropped_and_the_gap_is_reported() -> None:
    events = filled(10, events_max=4)
    assert kept(events) == ["6", "7", "8", "9"]
    assert events.gap() == ReadingsDropped(ts=TS, until=TS + 5, lost=6)
    assert events.dropped == 6


def test_beyond_the_limit_of_bytes_the_oldest_is_dropped() -> None:
    events = Unconfirmed(events_max=100, cost_max=10_000)
    for number in range(5):
        events.add_all([Reading(uid="A", resource="text", data="x" * 4000 + str(number), ts=TS)])
    assert [text[-1] for text in kept(events)] == ["3", "4"]
    gap = events.gap()
    assert gap is not None
    assert gap.lost == 3
    events.add_all([Reading(uid="A", resource="text", data="x" * 20_000, ts=TS)])
    assert kept(events) == []
    assert filled(1).gap() is None


def test_what_was_dropped_and_then_confirmed_is_no_gap() -> None:
    events = filled(10, events_max=4)
    checkpoint = events.checkpoint()
    assert checkpoint is not None
    events.confirm(checkpoint)
    assert events.gap() is None
    assert kept(events) == []


def test_gap_is_reported_until_it_is_confirmed() -> None:
    events = filled(10, events_max=4)
    assert events.gap() == events.gap()
    events.reset_checkpoint()
    checkpoint = events.checkpoint()
    assert checkpoint is not None
    events.confirm(checkpoint)
    assert events.gap() is None


def test_only_lost_readings_count() -> None:
    events = Unconfirmed(events_max=1, cost_max=10**6)
    reported: list[NodeEvent] = [NodeAppeared(uid="A", ts=TS), NodeLeft(uid="A", ts=TS), reading(1)]
    for event in reported:
        events.add_all([event])
    assert events.gap() is None
