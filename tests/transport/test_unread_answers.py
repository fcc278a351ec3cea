# SPDX-License-Identifier: BSD-3-Clause
"""What answers that nobody reads may hold in memory."""

import pytest

from pyaiot.errors import Refused
from pyaiot.transport.unread_answers import (
    SMALL_ANSWER_BYTES_MAX,
    TINY_ANSWER_BYTES_MAX,
    UNREAD_GRACE_S,
    UnreadAnswers,
)

MB = 1_000_000


class Connection:
    def __init__(self) -> None:
        self.waiting = 0

    def unread(self) -> int:
        return self.waiting


def asked(
    answers: UnreadAnswers, size: int, *, principal: str = "", now: float = 0.0
) -> Connection:
    """A client that asks for an answer and reads nothing of it."""
    client = Connection()
    answers.admit(client, principal, size, now)
    client.waiting = size
    answers.written(client)
    return client


def test_answers_in_all_are_bounded() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 60 * MB)
    asked(answers, 40 * MB)
    with pytest.raises(Refused):
        asked(answers, 1 * MB)
    assert answers.size == 100 * MB


def test_what_was_read_makes_room() -> None:
    answers = UnreadAnswers(100 * MB)
    first = asked(answers, 60 * MB)
    second = asked(answers, 40 * MB)
    first.waiting = 10 * MB
    asked(answers, 50 * MB)
    second.waiting = 0
    asked(answers, 40 * MB)
    assert answers.size == 100 * MB


def test_one_address_holds_half_of_the_room_and_the_others_get_the_rest() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 50 * MB, principal="192.0.2.1")
    with pytest.raises(Refused):
        asked(answers, 1 * MB, principal="192.0.2.1")
    asked(answers, 50 * MB, principal="192.0.2.2")


def test_an_answer_larger_than_all_room_is_given_when_no_other_waits() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 500 * MB, principal="192.0.2.1")
    with pytest.raises(Refused):
        asked(answers, 1 * MB, principal="192.0.2.2")


def test_who_reads_slowly_is_cut_off_after_a_while_when_others_need_the_room() -> None:
    answers = UnreadAnswers(100 * MB)
    old = asked(answers, 60 * MB)
    asked(answers, 40 * MB, now=5.0)
    with pytest.raises(Refused):
        asked(answers, 10 * MB, now=UNREAD_GRACE_S - 0.1)
    client = Connection()
    assert answers.admit(client, "", 50 * MB, UNREAD_GRACE_S) == [old]


def test_an_address_over_its_share_loses_its_own_answers_only() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 50 * MB, principal="192.0.2.2")
    own = asked(answers, 50 * MB, principal="192.0.2.1")
    client = Connection()
    assert answers.admit(client, "192.0.2.1", 40 * MB, UNREAD_GRACE_S) == [own]


def test_an_answer_that_is_about_to_be_written_keeps_its_room() -> None:
    answers = UnreadAnswers(100 * MB)
    answers.admit(Connection(), "", 80 * MB, 0.0)
    with pytest.raises(Refused):
        answers.admit(Connection(), "", 80 * MB, 0.0)


def test_a_connection_that_is_closed_holds_nothing() -> None:
    answers = UnreadAnswers(100 * MB)
    client = asked(answers, 100 * MB, principal="192.0.2.1")
    answers.remove(client)
    answers.remove(client)
    assert answers.size == 0
    asked(answers, 50 * MB, principal="192.0.2.1")


def test_small_answers_have_room_that_large_ones_cannot_take_and_tiny_ones_always() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 100 * MB)
    for _ in range(100 * MB // SMALL_ANSWER_BYTES_MAX):
        asked(answers, SMALL_ANSWER_BYTES_MAX)
    with pytest.raises(Refused):
        asked(answers, SMALL_ANSWER_BYTES_MAX)
    with pytest.raises(Refused):
        asked(answers, SMALL_ANSWER_BYTES_MAX + 1)
    asked(answers, TINY_ANSWER_BYTES_MAX)


def test_an_address_over_its_share_is_still_told_that_the_system_lives() -> None:
    answers = UnreadAnswers(100 * MB)
    asked(answers, 50 * MB, principal="192.0.2.1")
    asked(answers, SMALL_ANSWER_BYTES_MAX, principal="192.0.2.1")
    asked(answers, TINY_ANSWER_BYTES_MAX, principal="192.0.2.1")
