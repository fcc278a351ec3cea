# SPDX-License-Identifier: BSD-3-Clause
"""What is watched: the order of notifications, when a node is asked again, and the limits."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.gateways.coap import observations as module
from pyaiot.gateways.coap.observations import (
    AGAIN_MAX_S,
    AGAIN_MIN_S,
    FLOOD_MAX,
    MAX_AGE_LIMIT_S,
    WATCHES_PER_NODE_MAX,
    Heard,
    Watch,
    Watches,
)
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.observe import Sequence

CONTENT = Code.CONTENT


def make(poll_s: float = 0.0) -> Watches[str]:
    tokens = itertools.count()
    return Watches(
        poll_s=poll_s, random=Random(1), next_token=lambda: b"%d" % next(tokens)
    )  # fmt: skip


def observed(watches: Watches[str], uid: str = "A", path: str = "/t") -> Watch[str]:
    watch = watches.add(uid, path[1:], path, "peer", observable=True, now=0.0)
    assert watch is not None
    return watch


# -- the order of notifications (RFC 7641 section 3.4) ---------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "seconds", "newer"),
    [
        *((1, 2, 0.0, True), (2, 1, 0.0, False), (1, 1, 0.0, False)),
        *((2**24 - 1, 0, 0.0, True), (0, 2**24 - 1, 0.0, False)),
        *((0, 2**23 - 1, 0.0, True), (0, 2**23, 0.0, False), (2**23 + 1, 0, 0.0, True)),
        *((5, 4, 128.0, False), (5, 4, 128.1, True), (5, 5, 128.1, True)),
    ],
)
def test_notification_is_newer_by_its_number_or_after_128_s(
    first: int, second: int, seconds: float, *, newer: bool
) -> None:
    known = Sequence(first, 1000.0)
    assert known.is_followed_by(Sequence(second, 1000.0 + seconds)) is newer


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_the_last_of_notifications_in_any_order_is_the_newest(numbers: list[int]) -> None:
    watches = make()
    watch = observed(watches)
    fresh = [
        number
        for number in numbers
        if watches.heard(watch, CONTENT, number, 60.0, now=1.0) is Heard.FRESH
    ]
    assert fresh == sorted(set(fresh))
    assert fresh[-1] == max(numbers)


# -- when a node is asked again --------------------------------------------------------------------


@pytest.mark.parametrize(("max_age_s", "waits_s"), [(60.0, 60.0), (0.0, 0.0), (2.0**32, 86_400.0)])
def test_observation_is_registered_again_after_max_age_and_5_to_15_s(
    max_age_s: float, waits_s: float
) -> None:
    assert MAX_AGE_LIMIT_S == 86_400.0
    watches = make()
    watch = observed(watches)
    watches.heard(watch, CONTENT, 1, max_age_s, now=100.0)
    assert watches.due(now=100.0 + waits_s + 4.9) == []
    assert watches.due(now=100.0 + waits_s + 15.1) == [watch]
    assert watches.due(now=100.0 + waits_s + 15.2) == []


def test_notification_puts_the_next_registration_off() -> None:
    watches = make()
    watch = observed(watches)
    for second in range(0, 3600, 30):
        watches.heard(watch, CONTENT, second + 1, 60.0, now=float(second))
        assert watches.due(now=float(second)) == []
    assert watches.due(now=3570.0 + 75.1) == [watch]


def test_first_answer_that_never_comes_makes_it_due_again() -> None:
    watches = make()
    watch = observed(watches)
    assert watches.due(now=AGAIN_MIN_S + 0.1) == [watch]


def test_observation_that_fails_is_tried_less_and_less_often() -> None:
    watches = make()
    watch = observed(watches)
    now, waits = 0.0, []
    for _ in range(12):
        watches.unanswered(watch, now=now)
        due_at = watch.due_at
        waits.append(due_at - now)
        assert watches.due(now=due_at) == [watch]
        now = due_at
    assert AGAIN_MIN_S * 0.8 <= waits[0] <= AGAIN_MIN_S * 1.2
    assert all(AGAIN_MAX_S * 0.8 <= wait <= AGAIN_MAX_S * 1.2 for wait in waits[8:])
    watches.heard(watch, CONTENT, 1, 60.0, now=now)
    watches.unanswered(watch, now=now)
    assert watch.due_at - now <= AGAIN_MIN_S * 1.2


@pytest.mark.parametrize(
    ("code", "number", "heard"),
    [
        (Code.NOT_FOUND, None, Heard.ERROR),
        (Code.NOT_FOUND, 3, Heard.ERROR),
        (Code.CHANGED, None, Heard.ERROR),
        (CONTENT, None, Heard.FRESH),
    ],
)
def test_error_or_answer_without_observe_ends_the_observation(
    code: int, number: int | None, heard: Heard
) -> None:
    watches = make()
    watch = observed(watches)
    watches.heard(watch, CONTENT, 9, 60.0, now=0.0)
    assert watches.heard(watch, code, number, 60.0, now=1.0) is heard
    # It is registered anew soon, and then whatever number comes is the first.
    assert watches.due(now=1.0 + AGAIN_MIN_S * 1.2) == [watch]
    assert watches.heard(watch, CONTENT, 2, 60.0, now=50.0) is Heard.FRESH


def test_node_that_floods_is_told_that_it_is_enough() -> None:
    watches = make()
    watch = observed(watches)
    told = [watches.too_fast(watch, now=1.0) for _ in range(FLOOD_MAX)]
    assert told == [False] * (FLOOD_MAX - 1) + [True]
    assert not watches.too_fast(watch, now=1.0)


# -- polling ---------------------------------------------------------------------------------------


def test_what_cannot_be_observed_is_not_watched_without_polling() -> None:
    watches = make()
    assert watches.add("A", "t", "/t", "peer", observable=False, now=0.0) is None
    assert len(watches) == 0
    assert watches.next_due() is None


def test_what_cannot_be_observed_is_asked_again_and_spread() -> None:
    watches = make(poll_s=300.0)
    for number in range(50):
        watch = watches.add(f"N{number}", "t", "/t", "peer", observable=False, now=0.0)
        assert watch is not None
        assert watches.heard(watch, CONTENT, None, 0.0, now=0.0) is Heard.FRESH
    assert watches.due(now=239.9) == []
    assert 5 < len(watches.due(now=300.0)) < 45
    watches.due(now=360.1)
    assert len({watch.due_at for watch in watches.of_node("N1")}) == 1


def test_observation_that_fails_is_polled_where_that_is_configured() -> None:
    watches = make(poll_s=60.0)
    watch = observed(watches)
    for _ in range(10):
        watches.unanswered(watch, now=0.0)
        assert watch.due_at <= 72.0


# -- limits ----------------------------------------------------------------------------------------


def test_watches_of_a_node_are_limited_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    watches = make()
    for number in range(WATCHES_PER_NODE_MAX):
        observed(watches, path=f"/{number}")
    assert watches.add("A", "x", "/x", "peer", observable=True, now=0.0) is None
    assert watches.add("A", "1", "/1", "peer", observable=True, now=0.0) is not None
    monkeypatch.setattr(module, "WATCHES_MAX", WATCHES_PER_NODE_MAX + 1)
    assert watches.add("B", "x", "/x", "peer", observable=True, now=0.0) is not None
    assert watches.add("B", "y", "/y", "peer", observable=True, now=0.0) is None


def test_watches_of_a_node_that_left_are_forgotten() -> None:
    watches = make()
    gone, stays = observed(watches), observed(watches, uid="B")
    watches.forget("A")
    assert watches.by_token(gone.token) is None
    assert gone.ended
    assert watches.by_token(stays.token) is stays
    assert watches.due(now=1000.0) == [stays]
    assert len(watches) == 1


def test_watch_of_a_resource_that_is_discovered_again_replaces_the_old_one() -> None:
    watches = make()
    old, new = observed(watches), observed(watches)
    assert old.ended
    assert watches.of_node("A") == [new]
    assert watches.by_token(old.token) is None
    watches.heard(new, CONTENT, 1, 60.0, now=0.0)
    assert watches.due(now=1000.0) == [new]
