# SPDX-License-Identifier: BSD-3-Clause
"""Observations: the order of notifications, repeated registrations, and the limits."""

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
    OBSERVATIONS_PER_NODE_MAX,
    Observation,
    Observations,
    ResponseKind,
)
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.observe import NotificationNumber

CONTENT = Code.CONTENT


def make(poll_s: float = 0.0) -> Observations[str]:
    tokens = itertools.count()
    return Observations(
        poll_s=poll_s, random=Random(1), next_token=lambda: b"%d" % next(tokens)
    )  # fmt: skip


def observed(watches: Observations[str], uid: str = "A", path: str = "/t") -> Observation[str]:
    observation = watches.add(uid, path[1:], path, "peer", observable=True, now=0.0)
    assert observation is not None
    return observation


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
    known = NotificationNumber(first, 1000.0)
    assert known.is_followed_by(NotificationNumber(second, 1000.0 + seconds)) is newer


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_the_last_of_notifications_in_any_order_is_the_newest(numbers: list[int]) -> None:
    watches = make()
    observation = observed(watches)
    fresh = [
        number
        for number in numbers
        if watches.receive_response(observation, CONTENT, number, 60.0, now=1.0)
        is ResponseKind.FRESH
    ]
    assert fresh == sorted(set(fresh))
    assert fresh[-1] == max(numbers)


# -- repeated registrations ------------------------------------------------------------------------


@pytest.mark.parametrize(("max_age_s", "waits_s"), [(60.0, 60.0), (0.0, 0.0), (2.0**32, 86_400.0)])
def test_observation_is_registered_again_after_max_age_and_5_to_15_s(
    max_age_s: float, waits_s: float
) -> None:
    assert MAX_AGE_LIMIT_S == 86_400.0
    watches = make()
    observation = observed(watches)
    watches.receive_response(observation, CONTENT, 1, max_age_s, now=100.0)
    assert watches.handle_timer(now=100.0 + waits_s + 4.9) == []
    assert watches.handle_timer(now=100.0 + waits_s + 15.1) == [observation]
    assert watches.handle_timer(now=100.0 + waits_s + 15.2) == []


def test_notification_puts_the_next_registration_off() -> None:
    watches = make()
    observation = observed(watches)
    for second in range(0, 3600, 30):
        watches.receive_response(observation, CONTENT, second + 1, 60.0, now=float(second))
        assert watches.handle_timer(now=float(second)) == []
    assert watches.handle_timer(now=3570.0 + 75.1) == [observation]


def test_first_answer_that_never_comes_makes_it_due_again() -> None:
    watches = make()
    observation = observed(watches)
    assert watches.handle_timer(now=AGAIN_MIN_S + 0.1) == [observation]


def test_observation_that_fails_is_tried_less_and_less_often() -> None:
    watches = make()
    observation = observed(watches)
    now, waits = 0.0, []
    for _ in range(12):
        watches.handle_failure(observation, now=now)
        due_at = observation.due_at
        waits.append(due_at - now)
        assert watches.handle_timer(now=due_at) == [observation]
        now = due_at
    assert AGAIN_MIN_S * 0.8 <= waits[0] <= AGAIN_MIN_S * 1.2
    assert all(AGAIN_MAX_S * 0.8 <= wait <= AGAIN_MAX_S * 1.2 for wait in waits[8:])
    watches.receive_response(observation, CONTENT, 1, 60.0, now=now)
    watches.handle_failure(observation, now=now)
    assert observation.due_at - now <= AGAIN_MIN_S * 1.2


@pytest.mark.parametrize(
    ("code", "number", "kind"),
    [
        (Code.NOT_FOUND, None, ResponseKind.ERROR),
        (Code.NOT_FOUND, 3, ResponseKind.ERROR),
        (Code.CHANGED, None, ResponseKind.ERROR),
        (CONTENT, None, ResponseKind.FRESH),
    ],
)
def test_error_or_answer_without_observe_ends_the_observation(
    code: int, number: int | None, kind: ResponseKind
) -> None:
    watches = make()
    observation = observed(watches)
    watches.receive_response(observation, CONTENT, 9, 60.0, now=0.0)
    assert watches.receive_response(observation, code, number, 60.0, now=1.0) is kind
    # It is registered again soon, and then any number is the first one.
    assert watches.handle_timer(now=1.0 + AGAIN_MIN_S * 1.2) == [observation]
    assert watches.receive_response(observation, CONTENT, 2, 60.0, now=50.0) is ResponseKind.FRESH


def test_observation_of_a_node_that_floods_is_ended() -> None:
    watches = make()
    observation = observed(watches)
    results = [watches.too_fast(observation, now=1.0) for _ in range(FLOOD_MAX)]
    assert results == [False] * (FLOOD_MAX - 1) + [True]
    assert not watches.too_fast(observation, now=1.0)


# -- polling ---------------------------------------------------------------------------------------


def test_what_cannot_be_observed_is_not_watched_without_polling() -> None:
    watches = make()
    assert watches.add("A", "t", "/t", "peer", observable=False, now=0.0) is None
    assert len(watches) == 0
    assert watches.get_timer() is None


def test_failed_observation_is_retried_at_spread_times() -> None:
    watches = make(poll_s=300.0)
    for number in range(50):
        observation = watches.add(f"N{number}", "t", "/t", "peer", observable=False, now=0.0)
        assert observation is not None
        assert (
            watches.receive_response(observation, CONTENT, None, 0.0, now=0.0) is ResponseKind.FRESH
        )
    assert watches.handle_timer(now=239.9) == []
    assert 5 < len(watches.handle_timer(now=300.0)) < 45
    watches.handle_timer(now=360.1)
    assert len({observation.due_at for observation in watches.of_node("N1")}) == 1


def test_observation_that_fails_is_polled_where_that_is_configured() -> None:
    watches = make(poll_s=60.0)
    observation = observed(watches)
    for _ in range(10):
        watches.handle_failure(observation, now=0.0)
        assert observation.due_at <= 72.0


# -- limits ----------------------------------------------------------------------------------------


def test_watches_of_a_node_are_limited_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    watches = make()
    for number in range(OBSERVATIONS_PER_NODE_MAX):
        observed(watches, path=f"/{number}")
    assert watches.add("A", "x", "/x", "peer", observable=True, now=0.0) is None
    assert watches.add("A", "1", "/1", "peer", observable=True, now=0.0) is not None
    monkeypatch.setattr(module, "OBSERVATIONS_MAX", OBSERVATIONS_PER_NODE_MAX + 1)
    assert watches.add("B", "x", "/x", "peer", observable=True, now=0.0) is not None
    assert watches.add("B", "y", "/y", "peer", observable=True, now=0.0) is None


def test_watches_of_a_node_that_left_are_forgotten() -> None:
    watches = make()
    gone, stays = observed(watches), observed(watches, uid="B")
    watches.forget("A")
    assert watches.by_token(gone.token) is None
    assert gone.ended
    assert watches.by_token(stays.token) is stays
    assert watches.handle_timer(now=1000.0) == [stays]
    assert len(watches) == 1


def test_watch_of_a_resource_that_is_discovered_again_replaces_the_old_one() -> None:
    watches = make()
    old, new = observed(watches), observed(watches)
    assert old.ended
    assert watches.of_node("A") == [new]
    assert watches.by_token(old.token) is None
    watches.receive_response(new, CONTENT, 1, 60.0, now=0.0)
    assert watches.handle_timer(now=1000.0) == [new]
