# SPDX-License-Identifier: BSD-3-Clause
"""How far the recorder is, and how late readings were."""

from pyaiot.history.progress import LATENESS_KEPT_S, MARKS_MAX, ReadingAges, RecordedMarks


def test_everything_before_a_mark_is_recorded_when_its_messages_are() -> None:
    marks = RecordedMarks()
    assert marks.note(5, 3, 10.0) == 0.0
    assert marks.note(9, 5, 11.0) == 10.0
    assert marks.note(9, 8, 12.0) == 10.0
    assert marks.note(9, 9, 13.0) == 13.0


def test_marks_that_wait_are_limited_and_the_first_stay() -> None:
    marks = RecordedMarks()
    for at in range(MARKS_MAX + 10):
        marks.note(at + 1, 0, float(at))
    assert marks.note(1000, MARKS_MAX + 10, 500.0) == MARKS_MAX - 1
    assert marks.note(1000, 1000, 501.0) == 501.0


def test_the_largest_age_is_of_the_last_hour() -> None:
    lateness = ReadingAges()
    assert lateness.largest_s == 0.0
    lateness.note(30.0, 0.0)
    lateness.note(90.0, 10.0)
    lateness.note(5.0, 100.0)
    assert lateness.largest_s == 90.0
    lateness.note(1.0, LATENESS_KEPT_S + 200.0)
    assert lateness.largest_s == 1.0
