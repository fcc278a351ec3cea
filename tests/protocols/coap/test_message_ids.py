# SPDX-License-Identifier: BSD-3-Clause
"""Message IDs of requests."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.coap import message_ids
from pyaiot.protocols.coap.message_ids import FIRST_MESSAGE_ID, MessageIds
from pyaiot.protocols.coap.numbers import EXCHANGE_LIFETIME_S


def ids() -> MessageIds:
    return MessageIds(random.Random(1))


def test_message_ids_of_a_peer_are_consecutive_across_a_change_of_generation() -> None:
    it = ids()
    found = [it.next("A", now=second) for second in range(0, 2000, 200)]
    steps = {(later - earlier) % 0x8000 for earlier, later in pairwise(found)}
    assert steps == {1}
    assert len(it) == 1


def test_peer_without_a_request_for_the_lifetime_of_an_exchange_is_forgotten() -> None:
    it = ids()
    assert it.get_timer() is None
    it.next("A", now=1000.0)
    assert it.get_timer() == 1000.0 + EXCHANGE_LIFETIME_S
    it.handle_timer(now=1000.0 + EXCHANGE_LIFETIME_S - 1)
    assert len(it) == 1
    it.handle_timer(now=1000.0 + EXCHANGE_LIFETIME_S)
    assert len(it) == 1  # its last request may be recent
    it.handle_timer(now=1000.0 + 2 * EXCHANGE_LIFETIME_S)
    assert len(it) == 0
    assert it.get_timer() is None


def test_peers_are_bounded_and_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_ids, "PEERS_MAX", 10)
    it = ids()
    first = [it.next(number, now=0.0) for number in range(100)]
    assert len(it) <= 10
    again = [it.next(number, now=0.0) for number in range(96, 100)]
    assert [(b - a) % 0x8000 for a, b in zip(first[96:], again, strict=True)] == [1] * 4


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 60)), max_size=200))
def test_no_message_id_comes_again_within_the_lifetime_of_an_exchange(
    requests: list[tuple[int, float]],
) -> None:
    it = ids()
    used: dict[tuple[int, int], float] = {}
    now = 0.0
    for peer, pause in requests:
        now += pause
        number = it.next(peer, now=now)
        assert FIRST_MESSAGE_ID <= number <= 0xFFFF
        assert used.get((peer, number), float("-inf")) + EXCHANGE_LIFETIME_S <= now
        used[peer, number] = now
