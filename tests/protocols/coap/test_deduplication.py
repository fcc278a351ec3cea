# SPDX-License-Identifier: BSD-3-Clause
"""Which datagram is a repetition, and for how long."""

from pyaiot.protocols.coap.deduplication import DuplicateFilter

WINDOW_S = 60.0


def test_post_is_a_repetition_within_the_window_and_new_after_it() -> None:
    it = DuplicateFilter(WINDOW_S)
    assert not it.has("a", now=0.0)
    it.add("a", now=0.0)
    assert it.has("a", now=WINDOW_S - 0.1)
    assert not it.has("b", now=1.0)
    assert not it.has("a", now=WINDOW_S)


def test_post_that_counts_again_is_known_for_a_whole_window_again() -> None:
    it = DuplicateFilter(WINDOW_S)
    it.add("a", now=0.0)
    it.add("a", now=WINDOW_S)
    for second in range(10):
        it.add(second, now=WINDOW_S + second)
    assert it.has("a", now=2 * WINDOW_S - 0.1)


def test_old_posts_are_forgotten_and_take_no_room() -> None:
    it = DuplicateFilter(WINDOW_S)
    for number in range(1000):
        it.add(number, now=float(number))
    assert len(it) <= WINDOW_S + 1


def test_posts_are_bounded_and_the_oldest_is_forgotten() -> None:
    it = DuplicateFilter(WINDOW_S, posts_max=100)
    for number in range(1000):
        it.add(number, now=0.0)
    assert len(it) == 100
    assert not it.has(899, now=0.0)
    assert it.has(900, now=0.0)


def test_post_that_does_not_count_after_all_is_new_again() -> None:
    it = DuplicateFilter(WINDOW_S)
    assert it.add_if_new(1, 0.0)
    assert it.add_if_new(2, 0.0)
    it.remove_latest()
    assert [it.add_if_new(post, 1.0) for post in (1, 2, 2)] == [False, True, False]
    assert len(it) == 2
