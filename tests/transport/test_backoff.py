# SPDX-License-Identifier: BSD-3-Clause
"""The pauses between attempts to connect."""

import random
import tracemalloc

import pytest

from pyaiot.transport.backoff import Backoff


def test_pause_doubles_up_to_the_limit() -> None:
    backoff = Backoff(first_s=0.5, limit_s=3.0, jitter=0.0)
    assert [backoff.failed(now=0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_pause_stays_at_the_limit_after_any_number_of_failures() -> None:
    backoff = Backoff(jitter=0.0)
    assert {backoff.failed(now=0.0) for _ in range(2000)} == {0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0}


def test_pause_is_fixed_where_first_and_limit_are_the_same() -> None:
    backoff = Backoff(first_s=1.0, limit_s=1.0, jitter=0.0)
    assert [backoff.failed(now=0.0) for _ in range(3)] == [1.0, 1.0, 1.0]


def test_at_least_half_of_a_pause_is_certain() -> None:
    backoff = Backoff(first_s=8.0, limit_s=8.0, rng=random.Random(1))
    pauses = [backoff.failed(now=0.0) for _ in range(200)]
    assert 4.0 <= min(pauses) < 4.5
    assert 7.5 < max(pauses) <= 8.0


@pytest.mark.parametrize(("lasted_s", "pause_s"), [(10.0, 0.5), (9.9, 2.0)])
def test_steady_connection_starts_again_with_the_first_pause(
    lasted_s: float, pause_s: float
) -> None:
    backoff = Backoff(first_s=0.5, jitter=0.0)
    assert [backoff.failed(now=0.0), backoff.failed(now=1.0)] == [0.5, 1.0]
    backoff.connected(now=100.0)
    assert backoff.failed(now=100.0 + lasted_s) == pause_s


def test_success_counts_for_one_loss_only() -> None:
    backoff = Backoff(first_s=0.5, jitter=0.0)
    backoff.connected(now=0.0)
    assert backoff.failed(now=20.0) == 0.5
    assert backoff.failed(now=40.0) == 1.0


def test_any_connection_is_steady_without_a_minimum() -> None:
    backoff = Backoff(first_s=0.5, steady_s=0.0, jitter=0.0)
    assert [backoff.failed(now=0.0), backoff.failed(now=0.0)] == [0.5, 1.0]
    backoff.connected(now=0.0)
    assert backoff.failed(now=0.0) == 0.5


def test_policies_share_their_random_numbers_and_are_small() -> None:
    tracemalloc.start()
    policies = [Backoff() for _ in range(100)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(policies) < 300
    assert len({policy.failed(now=0.0) for policy in policies}) > 90
