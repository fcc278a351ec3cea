# SPDX-License-Identifier: BSD-3-Clause
"""Frames of a server: lengths of each kind, and close reasons that fit. Messages of a client."""

import pytest

from pyaiot.transport.websocket import REMOVE_MASK
from pyaiot.transport.websocket_frames import (
    CLOSE_REASON_MAX,
    PING,
    close_frame,
    cut_reason,
    is_incomplete_message,
    read_messages,
    text_frame,
    without_mask,
)
from tests.attacks import raw
from tests.attacks.raw import BINARY, CONTINUATION, frame


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


PAYLOADS = [b"", b"a", "°".encode(), b"x" * 125, b"y" * 126, b"z" * 65_535]


def test_messages_in_one_frame_are_read_up_to_the_first_that_is_incomplete() -> None:
    data = b"".join(map(frame, PAYLOADS))
    assert read_messages(data, 10)[0] == PAYLOADS
    ends = [len(b"".join(map(frame, PAYLOADS[: count + 1]))) for count in range(len(PAYLOADS))]
    assert read_messages(data, 10)[1] == ends
    for size in (*range(400), len(data) - 1):
        complete = sum(end <= size for end in ends)
        assert read_messages(data[:size], 10)[1] == ends[:complete]


def test_key_of_a_frame_is_removed() -> None:
    # RFC 6455 section 5.7.
    assert read_messages(bytes.fromhex("818537fa213d7f9f4d5158"), 1) == ([b"Hello"], [11])


def test_compiled_function_removes_the_same_key() -> None:
    for size in (*range(70), 1000):
        payload = bytes(number * 7 & 0xFF for number in range(size))
        assert REMOVE_MASK(b"\x01\xfe\x80\x00", payload) == without_mask(
            b"\x01\xfe\x80\x00", payload
        )


def test_number_of_messages_is_bounded() -> None:
    assert len(read_messages(frame(b"1") * 10, 3)[0]) == 3


def test_no_message_is_read_after_the_limit_of_bytes() -> None:
    one = frame(b"x" * 10)
    for size, count in ((1, 1), (len(one), 1), (len(one) + 1, 2)):
        assert len(read_messages(one * 10, 10, size)[0]) == count


def test_beginning_of_a_message_lacks_its_end() -> None:
    for payload in (b"", b"a", b"x" * 125, b"y" * 126, b"z" * 65_535):
        whole = frame(payload, BINARY)
        for size in {*range(1, min(len(whole), 300)), len(whole) - 1}:
            assert is_incomplete_message(whole[:size])
        assert not is_incomplete_message(whole)
        assert not is_incomplete_message(whole + b"\x81")


@pytest.mark.parametrize(
    "other",
    [
        frame(b"x", raw.PING),
        frame(b"x", CONTINUATION),
        frame(b"x", fin=False),
        frame(b"x", masked=False),
        frame(b"x", reserved=4),
        frame(b"x" * 65_536),
        frame(b"\xff"),
        b"\x81\xfe\x00",
    ],
)
def test_other_frames_are_left_to_the_complete_reader(other: bytes) -> None:
    data = frame(b"first") + other + frame(b"last")
    assert read_messages(data, 10)[0] == [b"first"]
    assert read_messages(other + frame(b"last"), 10) == ([], [])


@pytest.mark.parametrize(
    "other",
    [
        frame(b"x", raw.PING),
        frame(b"x", CONTINUATION),
        frame(b"x", fin=False),
        frame(b"x", reserved=4),
        frame(b"x" * 200, masked=False),
        frame(b"x" * 65_536),
    ],
)
def test_beginning_of_another_frame_is_not_that_of_a_message(other: bytes) -> None:
    for size in range(2, 8):
        assert not is_incomplete_message(other[:size])


def test_text_need_not_be_utf_8_if_it_is_not_checked() -> None:
    data = frame(b"\xff") + frame(b"2")
    assert read_messages(data, 10, checks_text=False)[0] == [b"\xff", b"2"]


def test_binary_messages_need_not_be_text() -> None:
    assert read_messages(frame(b"\xff", BINARY), 1) == ([b"\xff"], [7])
