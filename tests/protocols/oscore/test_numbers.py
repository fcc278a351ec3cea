# SPDX-License-Identifier: BSD-3-Clause
"""Sequence numbers: each is sent once and accepted once."""

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.oscore.numbers import (
    REPLAY_WINDOW,
    Received,
    ReplayWindow,
    SequenceNumbers,
)


def test_numbers_of_reserved_blocks_are_used_once_and_in_order() -> None:
    numbers = SequenceNumbers()
    assert numbers.take() is None
    numbers.add(3, 5)
    numbers.add(9, 9)
    numbers.add(10, 11)
    assert numbers.left == 3
    assert [numbers.take() for _ in range(4)] == [3, 4, 10, None]
    assert numbers.left == 0


@given(st.lists(st.integers(0, 200), max_size=100), st.integers(0, 99))
def test_no_number_is_accepted_twice(received: list[int], restart_at: int) -> None:
    window = ReplayWindow()
    accepted: list[int] = []
    for index, number in enumerate(received):
        if index == restart_at:
            window = ReplayWindow(window.received)
        is_new = window.is_new(number)
        highest = max(accepted, default=-1)
        assert is_new == (number not in accepted and number > highest - REPLAY_WINDOW)
        if is_new:
            window.add(number)
            accepted.append(number)
            assert window.received.highest == max(accepted)


def test_window_does_not_grow() -> None:
    window = ReplayWindow(Received())
    for number in (0, 1, 1 << 39):
        window.add(number)
    assert window.received == Received(1 << 39, 1)
    assert not window.is_new(1)
