# SPDX-License-Identifier: BSD-3-Clause
"""What answers that nobody reads may hold in memory."""

import pytest

from pyaiot.doors.unread_answers import UNREAD_GRACE_S, UnreadAnswers
from pyaiot.errors import Refused


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
    answers = UnreadAnswers(100)
    asked(answers, 60)
    asked(answers, 40)
    with pytest.raises(Refused):
        asked(answers, 1)
    assert answers.size == 100


def test_what_was_read_makes_room() -> None:
    answers = UnreadAnswers(100)
    first = asked(answers, 60)
    second = asked(answers, 40)
    first.waiting = 10
    asked(answers, 50)
    second.waiting = 0
    asked(answers, 40)
    assert answers.size == 100


def test_one_address_holds_half_of_the_room_and_the_others_get_the_rest() -> None:
    answers = UnreadAnswers(100)
    asked(answers, 50, principal="192.0.2.1")
    with pytest.raises(Refused):
        asked(answers, 1, principal="192.0.2.1")
    asked(answers, 50, principal="192.0.2.2")


def test_an_answer_larger_than_all_room_is_given_when_no_other_waits() -> None:
    answers = UnreadAnswers(100)
    asked(answers, 500, principal="192.0.2.1")
    with pytest.raises(Refused):
        asked(answers, 1, principal="192.0.2.2")


def test_who_reads_slowly_is_cut_off_after_a_while_when_others_need_the_room() -> None:
    answers = UnreadAnswers(100)
    old = asked(answers, 60)
    asked(answers, 40, now=5.0)
    with pytest.raises(Refused):
        asked(answers, 10, now=UNREAD_GRACE_S - 0.1)
    client = Connection()
    assert answers.admit(client, "", 50, UNREAD_GRACE_S) == [old]


def test_an_address_over_its_share_loses_its_own_answers_only() -> None:
    answers = UnreadAnswers(100)
    asked(answers, 50, principal="192.0.2.2")
    own = asked(answers, 50, principal="192.0.2.1")
    client = Connection()
    assert answers.admit(client, "192.0.2.1", 40, UNREAD_GRACE_S) == [own]


def test_an_answer_that_is_about_to_be_written_keeps_its_room() -> None:
    answers = UnreadAnswers(100)
    answers.admit(Connection(), "", 80, 0.0)
    with pytest.raises(Refused):
        answers.admit(Connection(), "", 80, 0.0)


def test_a_connection_that_is_closed_holds_nothing() -> None:
    answers = UnreadAnswers(100)
    client = asked(answers, 100, principal="192.0.2.1")
    answers.remove(client)
    answers.remove(client)
    assert answers.size == 0
    asked(answers, 50, principal="192.0.2.1")
