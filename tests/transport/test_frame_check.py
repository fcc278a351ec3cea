# SPDX-License-Identifier: BSD-3-Clause
"""The check before aiohttp's reader of frames: it passes bytes on, or reports an error."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pyaiot.transport.frame_check import (
    FRAGMENTS_MAX,
    PART_SIZE_MAX,
    TURN_FRAMES_MAX,
    TURN_HEADERS_MAX,
    TURN_SIZE_MAX,
    FrameCheck,
)
from tests.attacks.raw import CONTINUATION, PING, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import WebSocketError


class Reader:
    """Records what the check passes on."""

    def __init__(self, *, checks_text: bool = True) -> None:
        self.fed = b""
        self.errors: list[WebSocketError] = []
        self.ended = False
        self.held: list[bool] = []
        self.calls: list[Callable[[], None]] = []
        self.check = FrameCheck(
            feed=self.feed,
            fail=self.errors.append,
            end=self.end,
            call_soon=self.calls.append,
            hold=self.held.append,
            checks_text=checks_text,
        )

    def feed(self, data: bytes) -> None:
        self.fed += data

    def end(self) -> None:
        self.ended = True

    def turn(self) -> None:
        for call in self.calls[:]:
            self.calls.remove(call)
            call()


FRAMES = (
    frame(b"") + frame(b"x" * 125) + frame(b"y" * 126) + frame(b"z" * 70_000) + frame(b"", PING)
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, len(FRAMES)])
def test_valid_frames_pass_unchanged_in_pieces_of_any_size(size: int) -> None:
    reader = Reader()
    for start in range(0, len(FRAMES), size):
        assert reader.check.feed_data(FRAMES[start : start + size]) == (False, b"")
    assert (reader.fed, reader.errors, reader.calls) == (FRAMES, [], [])


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("wrong", [frame(b"x" * 200, masked=False), frame(b"", masked=False)])
def test_frames_before_an_invalid_one_are_read_and_none_after_it(wrong: bytes, size: int) -> None:
    reader = Reader()
    data = FRAMES + wrong + FRAMES
    over = [
        reader.check.feed_data(data[start : start + size])[0] for start in range(0, len(data), size)
    ]
    assert reader.fed == FRAMES
    assert [error.code for error in reader.errors] == [1002]
    assert over == sorted(over)
    assert over[-1]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_that_arrives_alone_is_passed_on_with_those_around_it(size: int) -> None:
    reader = Reader()
    one, half = frame(b"x" * size), frame(b"", fin=False)
    parts = [one, one[:-1], one[-1:], frame(b"", PING), half, one, half, frame(b"", CONTINUATION)]
    for part in parts:
        assert reader.check.feed_data(part) == (False, b"")
    assert (reader.fed, reader.errors) == (b"".join(parts), [])
    for wrong in (frame(b"x" * size, masked=False), b"\x81\xfe\x00"):
        reader.check.feed_data(wrong)
    assert [error.code for error in reader.errors] == [1002]
    assert reader.fed == b"".join(parts)


def test_fragments_of_a_message_are_bounded_with_pings_between() -> None:
    first, middle, last = (
        frame(b"", fin=False),
        frame(b"", CONTINUATION, fin=False) + frame(b"", PING),
        frame(b"", CONTINUATION),
    )
    good = first + middle * (FRAGMENTS_MAX - 2) + last
    reader = Reader()
    reader.check.feed_data(good * 2)
    while reader.calls:
        reader.turn()
    assert (reader.fed, reader.errors) == (good * 2, [])
    reader.check.feed_data(first + middle * (FRAGMENTS_MAX - 1))
    while reader.calls:
        reader.turn()
    assert [error.code for error in reader.errors] == [1008]


def test_many_small_frames_are_read_in_turns_while_reading_is_paused() -> None:
    reader = Reader()
    one = frame(b"[]")
    reader.check.feed_data(one * (TURN_HEADERS_MAX * 2 + 5))
    first = len(reader.fed)
    assert (first <= len(one) * TURN_HEADERS_MAX, reader.held) == (True, [True])
    reader.check.feed_data(one)  # bytes that were already on their way
    assert len(reader.fed) == first
    reader.turn()
    assert reader.held[-1] is True
    reader.turn()
    assert reader.fed == one * (TURN_HEADERS_MAX * 2 + 6)
    assert reader.held[-1] is False
    assert reader.calls == []


def test_bytes_before_the_end_are_read_and_none_after_it() -> None:
    reader = Reader()
    one = frame(b"[]")
    reader.check.feed_data(one * (TURN_HEADERS_MAX * 2))
    reader.check.feed_eof()
    assert (reader.fed, reader.ended) == (one * TURN_HEADERS_MAX * 2, True)
    reader.turn()
    assert reader.check.feed_data(one) == (True, b"")
    assert reader.fed == one * TURN_HEADERS_MAX * 2


class Taker:
    """A receiver that takes messages up to one that it leaves to the reader."""

    def __init__(self, reader: Reader) -> None:
        self.taken: list[bytes] = []
        reader.check.take = self
        reader.check.is_awaited = True

    def __call__(self, messages: Sequence[bytes]) -> int:
        count = messages.index(b"other") if b"other" in messages else len(messages)
        self.taken += messages[:count]
        return count


def test_messages_in_one_frame_are_taken_without_the_reader() -> None:
    reader = Reader()
    taker = Taker(reader)
    for _ in range(2):
        assert reader.check.feed_data(frame(b"1") + frame(b"2")) == (False, b"")
    assert (taker.taken, reader.fed) == ([b"1", b"2"] * 2, b"")


@pytest.mark.parametrize("other", [frame(b"other"), frame(b"", PING), frame(b"y", fin=False)])
def test_after_another_message_all_go_to_the_reader_until_it_has_been_received(
    other: bytes,
) -> None:
    reader = Reader()
    taker = Taker(reader)
    reader.check.feed_data(frame(b"1") + other + frame(b"2", CONTINUATION))
    reader.check.feed_data(frame(b"3"))
    assert taker.taken == [b"1"]
    assert reader.fed == other + frame(b"2", CONTINUATION) + frame(b"3")
    reader.check.is_awaited = True
    reader.check.feed_data(frame(b"4"))
    assert taker.taken == [b"1", b"4"]


@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_a_message_that_arrives_in_parts_is_taken_when_it_is_complete(size: int) -> None:
    reader = Reader()
    taker = Taker(reader)
    for whole in (frame(b"12345"), frame(b"x" * 126)):
        reader.check.feed_data(frame(b"0") + whole[:size])
        reader.check.feed_data(whole[size : size + 1])
        reader.check.feed_data(whole[size + 1 :] + frame(b"6"))
    assert taker.taken == [b"0", b"12345", b"6", b"0", b"x" * 126, b"6"]
    assert (reader.fed, reader.calls) == (b"", [])


def test_a_part_is_the_readers_when_messages_are_no_longer_taken() -> None:
    reader = Reader()
    taker = Taker(reader)
    whole = frame(b"12345")
    reader.check.feed_data(whole[:4])
    reader.check.is_awaited = False
    reader.check.feed_data(whole[4:] + frame(b"6"))
    assert (taker.taken, reader.fed) == ([], whole + frame(b"6"))


def test_a_part_is_read_before_the_end() -> None:
    reader = Reader()
    Taker(reader)
    reader.check.feed_data(frame(b"1") + frame(b"12345")[:-1])
    assert (reader.fed, reader.ended) == (b"", False)
    reader.check.feed_eof()
    assert (reader.fed, reader.ended) == (frame(b"12345")[:-1], True)


def test_the_size_of_a_part_is_bounded() -> None:
    reader = Reader()
    taker = Taker(reader)
    whole = frame(b"x" * 60_000)
    reader.check.feed_data(whole[:PART_SIZE_MAX])
    assert reader.fed == b""
    reader.check.feed_data(whole[PART_SIZE_MAX : PART_SIZE_MAX + 1])
    assert reader.fed == whole[: PART_SIZE_MAX + 1]
    reader.check.feed_data(whole[PART_SIZE_MAX + 1 :])
    assert (taker.taken, reader.fed) == ([], whole)


def test_text_that_is_not_utf_8_is_the_readers_if_it_is_checked() -> None:
    for checks_text, taken in ((True, [b"1"]), (False, [b"1", b"\xff", b"2"])):
        reader = Reader(checks_text=checks_text)
        taker = Taker(reader)
        reader.check.feed_data(frame(b"1") + frame(b"\xff") + frame(b"2"))
        assert taker.taken == taken
        assert reader.fed == (frame(b"\xff") + frame(b"2") if checks_text else b"")


@pytest.mark.parametrize(
    ("payload", "in_turn"),
    [
        (b"[]", TURN_FRAMES_MAX),
        (b"x" * 65_535, 1),
        # One header of eight bytes more than the turn has.
        (b"x" * (TURN_SIZE_MAX // 4 - 8), 4),
    ],
)
def test_many_messages_are_taken_in_turns_while_reading_is_paused(
    payload: bytes, in_turn: int
) -> None:
    reader = Reader()
    taker = Taker(reader)
    one = frame(payload)
    reader.check.feed_data(one * (in_turn * 2 + 1) + one[:5])
    assert (len(taker.taken), reader.held) == (in_turn, [True])
    reader.check.feed_data(one[5:] + one)  # bytes that were already on their way
    assert len(taker.taken) == in_turn
    while reader.calls:
        reader.turn()
    assert taker.taken == [payload] * (in_turn * 2 + 3)
    assert (reader.held[-1], reader.fed) == (False, b"")


def test_messages_that_wait_for_a_turn_are_the_readers_after_one_that_is() -> None:
    reader = Reader()
    taker = Taker(reader)
    rest = frame(b"other") + frame(b"2") * TURN_FRAMES_MAX
    reader.check.feed_data(frame(b"1") * TURN_FRAMES_MAX + rest)
    while reader.calls:
        reader.turn()
    assert (taker.taken, reader.fed) == ([b"1"] * TURN_FRAMES_MAX, rest)
    assert reader.held[-1] is False


def test_messages_that_wait_for_a_turn_are_not_taken_after_the_receiver_has_stopped() -> None:
    reader = Reader()
    taker = Taker(reader)
    reader.check.feed_data(frame(b"1") * (TURN_FRAMES_MAX + 1))
    reader.check.take = None
    reader.turn()
    assert (len(taker.taken), reader.fed) == (TURN_FRAMES_MAX, frame(b"1"))


def test_frames_that_are_not_allowed_end_the_connection_behind_those_before_them() -> None:
    reader = Reader()
    taker = Taker(reader)
    over, _ = reader.check.feed_data(frame(b"1") + frame(b"2", masked=False) + frame(b"3"))
    assert (taker.taken, over, [error.code for error in reader.errors]) == ([b"1"], True, [1002])
    reader.check.is_awaited = True
    reader.check.feed_data(frame(b"4"))
    assert taker.taken == [b"1"]
