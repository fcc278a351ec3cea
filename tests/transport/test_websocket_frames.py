# SPDX-License-Identifier: BSD-3-Clause
"""Frames of a server: lengths of each kind, and close reasons that fit."""

import pytest

from pyaiot.transport.websocket_frames import (
    CLOSE_REASON_MAX,
    PING,
    close_frame,
    cut_reason,
    text_frame,
)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
    ],
)
def test_length_has_one_three_or_nine_bytes(size: int, head: str) -> None:
    assert text_frame(b"x" * size) == bytes.fromhex(head) + b"x" * size


def test_ping_is_two_bytes() -> None:
    assert bytes.fromhex("8900") == PING


def test_close_has_its_code_and_a_reason() -> None:
    assert close_frame(1003, "no") == bytes.fromhex("880403eb") + b"no"


@pytest.mark.parametrize("reason", ["x" * 200, "°" * 100, "\U0001f4a1" * 40, "\ud800" * 200])
def test_close_reason_is_cut_between_characters(reason: str) -> None:
    assert len(cut_reason(reason)) <= CLOSE_REASON_MAX
    assert len(cut_reason(reason)) > CLOSE_REASON_MAX - 4
    assert close_frame(1003, reason)[1] == len(cut_reason(reason)) + 2 <= 125
    cut_reason(reason).decode()
