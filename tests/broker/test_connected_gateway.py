# SPDX-License-Identifier: BSD-3-Clause
"""The clock of a gateway, estimated from its stamps."""

from pyaiot.broker.connected_gateway import WINDOW_S, GatewayClock


def test_without_a_stamp_the_clock_is_unknown() -> None:
    assert GatewayClock().time_at(5.0) is None


def test_stamp_that_was_delayed_does_not_make_the_clock_late() -> None:
    clock = GatewayClock()
    clock.stamp(1000.0, 10.1)
    clock.stamp(1005.0, 18.1)  # three seconds on the way
    assert clock.time_at(20.1) == 1010.0


def test_time_is_never_later_than_on_the_clock_itself() -> None:
    clock = GatewayClock()
    for sent_at, delay_s in ((0.0, 0.5), (10.0, 0.0), (20.0, 9.0), (30.0, 0.2)):
        clock.stamp(sent_at + 7.0, sent_at + delay_s)
        time = clock.time_at(sent_at + delay_s)
        assert time is not None
        assert time <= sent_at + delay_s + 7.0


def test_old_stamps_are_forgotten_because_clocks_drift() -> None:
    clock = GatewayClock()
    clock.stamp(1000.0, 0.0)
    for number in range(1, 4):
        at = number * WINDOW_S
        clock.stamp(1000.0 + at - number, at)  # a second slow in each window
    assert clock.time_at(3 * WINDOW_S) == 1000.0 + 3 * WINDOW_S - 2


def test_restarted_link_of_a_stopped_clock_is_no_earlier_stamp() -> None:
    clock = GatewayClock()
    clock.stamp(5.0, 100.0)
    assert clock.time_at(100.0) == 5.0
