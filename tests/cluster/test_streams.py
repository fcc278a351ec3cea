# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames, and the claims of a table, one rule at a time."""

import pytest

from pyaiot.cluster import claims
from pyaiot.cluster.claims import ClaimTable
from pyaiot.cluster.packets import NodeClaim
from pyaiot.cluster.streams import (
    REORDER_FRAMES_MAX,
    REORDER_S,
    REQUEST_INTERVAL_MAX_S,
    REQUEST_INTERVAL_S,
    IncomingStream,
    OutgoingStream,
)


def begun(frames: int = 1) -> IncomingStream:
    """A stream that was requested at 0.0 and has these frames."""
    stream = IncomingStream(0.0)
    stream.requested(1, 0.0)
    for number in range(frames):
        assert stream.receive(1, number, b"", 0.0) == [(number, b"")]
    return stream


def test_nothing_is_accepted_before_the_first_request() -> None:
    stream = IncomingStream(0.0)
    assert stream.receive(1, 0, b"", 0.0) == []
    stream.receive_position((1, 5), 0.0)
    assert stream.request_due(0.0)


def test_an_ended_stream_sends_nothing_until_it_is_requested_again() -> None:
    stream = OutgoingStream()
    assert not stream.is_active
    stream.receive_request(1)
    assert stream.is_active
    stream.end()
    assert not stream.is_active


def test_frames_and_equal_positions_confirm_a_stream() -> None:
    stream = begun()
    stream.receive(1, 1, b"", 3.0)
    assert stream.confirmed_at == 3.0
    stream.receive_position((1, 2), 4.0)
    assert stream.confirmed_at == 4.0
    stream.receive_position((1, 3), 5.0)
    stream.receive_position((2, 2), 5.0)
    stream.receive(1, 1, b"", 5.0)
    assert stream.confirmed_at == 4.0


def test_frames_after_a_missing_one_neither_confirm_a_stream_nor_extend_its_time() -> None:
    stream = begun()
    stream.receive(1, 2, b"", 1.0)
    stream.receive(1, 3, b"", 1.0 + REORDER_S)
    assert stream.confirmed_at == 0.0
    assert stream.request_due(1.01 + REORDER_S)


def test_a_gap_that_is_closed_needs_no_request_and_the_next_one_has_its_own_time() -> None:
    stream = begun()
    stream.receive(1, 2, b"", 1.0)
    assert stream.receive(1, 1, b"", 1.0 + REORDER_S) == [(1, b""), (2, b"")]
    assert not stream.request_due(1.01 + REORDER_S)
    stream.receive(1, 4, b"", 2.0)
    assert not stream.request_due(2.0 + REORDER_S)
    assert stream.request_due(2.01 + REORDER_S)


def test_a_gap_is_noticed_without_a_beacon() -> None:
    stream = begun()
    stream.receive(1, 2, b"", 1.0)
    assert not stream.request_due(1.0 + REORDER_S)
    assert stream.request_due(1.01 + REORDER_S)


def test_a_gap_that_is_filled_in_part_is_waited_for_anew() -> None:
    stream = begun()
    stream.receive_position((1, 4), 1.0)
    stream.receive(1, 1, b"", 1.0 + REORDER_S)
    assert not stream.request_due(1.1 + REORDER_S)
    assert stream.request_due(1.1 + 2 * REORDER_S)


def test_a_gap_that_is_filled_is_forgotten() -> None:
    stream = begun()
    stream.receive_position((1, 2), 1.0)
    stream.receive(1, 1, b"", 1.1)
    assert not stream.request_due(9.0)


def test_a_position_that_is_reached_again_ends_the_wait() -> None:
    """The beacon of before arrives late."""
    stream = begun()
    stream.receive_position((1, 2), 1.0)
    stream.receive_position((1, 1), 1.1)
    assert stream.request_due(1.1 + REORDER_S)


def test_only_so_many_frames_wait_for_a_missing_one() -> None:
    stream = begun()
    for number in range(2, 2 + REORDER_FRAMES_MAX):
        stream.receive(1, number, b"", 1.0)
    assert not stream.request_due(1.0)
    stream.receive(1, 2 + REORDER_FRAMES_MAX, b"", 1.0)
    assert stream.request_due(1.0)
    assert stream.receive(1, 1, b"", 1.0) == []  # a snapshot is better


def test_a_missing_stream_is_requested_from_its_sender() -> None:
    stream = begun()
    stream.receive_position(None, 1.0)
    assert stream.request_due(REQUEST_INTERVAL_S)
    stream.requested(2, 1.0)
    stream.receive_position(None, 1.5)  # the request is on the way
    assert not stream.is_broken


def test_requests_are_repeated_less_and_less_often_until_one_is_answered() -> None:
    stream = IncomingStream(0.0)
    now, pauses = 0.0, []
    for generation in range(1, 6):
        began = now
        while not stream.request_due(now):
            now += 0.25
        stream.requested(generation, now)
        pauses.append(now - began)
    assert pauses == [0.0, REQUEST_INTERVAL_S, 2.0, REQUEST_INTERVAL_MAX_S, REQUEST_INTERVAL_MAX_S]
    stream.receive(5, 0, b"", now)
    stream.receive_position(None, now)
    assert stream.request_due(now + REQUEST_INTERVAL_S)


def test_a_stream_is_requested_soon_from_a_sender_that_returns() -> None:
    stream = IncomingStream(0.0)
    for generation in range(1, 5):
        stream.requested(generation, 0.0)
    assert not stream.request_due(REQUEST_INTERVAL_S)
    stream.sender_returned()
    assert stream.request_due(REQUEST_INTERVAL_S)


def claim(term: int, uid: str = "A") -> NodeClaim:
    return NodeClaim(uid=uid, gateway=1, term=term)


def test_the_next_term_is_above_those_of_all_others() -> None:
    table = ClaimTable()
    assert table.next_term("A", besides="aa") == 1
    table.set("aa", claim(7))
    table.set("bb", claim(3))
    table.set("cc", claim(9, uid="B"))
    assert table.next_term("A", besides="aa") == 4
    assert table.next_term("A", besides="bb") == 8


def test_a_broker_has_so_many_claims_and_may_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIMS_MAX", 2)
    table = ClaimTable()
    assert table.set("aa", claim(1, uid="A"))
    assert table.set("aa", claim(1, uid="B"))
    assert not table.set("aa", claim(1, uid="C"))
    assert table.set("aa", claim(2, uid="A"))
    assert {uid: it.term for uid, it in table.of("aa").items()} == {"A": 2, "B": 1}
    assert table.set("bb", claim(1, uid="C"))
