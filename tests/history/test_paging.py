# SPDX-License-Identifier: BSD-3-Clause
"""Cursors and times from outside: valid, or refused."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyaiot.history.paging import (
    CURSOR_LENGTH_MAX,
    Span,
    Steps,
    decode_cursor,
    encode_cursor,
    microseconds,
)
from pyaiot.history.store import BadQuery, TooManyRows


@given(st.text())
@example("[" * CURSOR_LENGTH_MAX)
@example("[" + "1" * CURSOR_LENGTH_MAX + "]")
@example('{"a": 1}')
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        position = decode_cursor(text, str, int)
    except BadQuery:
        return
    assert position is not None
    assert [type(item) for item in position] == [str, int]


@given(st.text(max_size=64), st.text(max_size=64))
def test_every_encoded_cursor_can_be_decoded(uid: str, resource: str) -> None:
    assert decode_cursor(encode_cursor(uid, resource), str, str) == [uid, resource]


@given(st.floats())
@example(math.nan)
def test_any_number_is_a_time_or_refused(ts: float) -> None:
    try:
        assert 0 <= microseconds(ts) < 1 << 63
    except BadQuery:
        assert not 0 <= ts <= 4e12


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.integers(1, 10**6))
def test_steps_are_whole_and_contain_the_range(start: float, end: float, step_s: int) -> None:
    steps = Steps.of(start, end, step_s)
    assert steps.start % step_s == steps.end % step_s == 0
    assert steps.start <= start < steps.start + step_s + 1e-6
    assert steps.end - step_s - 1e-6 < end <= steps.end + 1e-6


def test_the_limit_of_a_page_has_a_range() -> None:
    with pytest.raises(BadQuery):
        Span.of(None, None, 0)
    with pytest.raises(TooManyRows):
        Span.of(None, None, 10**9)
