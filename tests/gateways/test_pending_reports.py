# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that do not acknowledge: their report of the value is the word."""

import functools

import pytest

from pyaiot.gateways.pending_reports import PendingReports


class Waiting:
    """Expectations of a test, and how they ended."""

    def __init__(self) -> None:
        self.reports = PendingReports()
        self.ended: list[tuple[str, bool | str]] = []
        self.expected = {
            name: self.reports.expect(uid, resource, payload, functools.partial(self._end, name))
            for name, uid, resource, payload in (
                ("led on", "A", "led", "1"),
                ("led on again", "A", "led", "1"),
                ("led off", "A", "led", "0"),
                ("other node", "B", "led", "1"),
            )
        }

    def _end(self, name: str, how: bool | str) -> None:
        self.ended.append((name, how))


def test_report_of_the_value_ends_each_wait_for_it_and_no_other() -> None:
    waiting = Waiting()
    waiting.reports.receive_report("A", "led", "1")
    assert waiting.ended == [("led on", True), ("led on again", True)]
    assert len(waiting.reports) == 2


@pytest.mark.parametrize(
    ("uid", "resource", "data"),
    [("A", "led", "2"), ("A", "robot", "1"), ("C", "led", "1"), ("A", "led", None)],
)
def test_another_report_ends_nothing(uid: str, resource: str, data: object) -> None:
    waiting = Waiting()
    waiting.reports.receive_report(uid, resource, data)
    assert waiting.ended == []
    assert len(waiting.reports) == 4


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        ("1", 1),
        ("true", True),
        ("23.5", 23.5),
        ("21.50", 21.5),
        ("[1, 2]", [1, 2]),
        ("null", None),
        ("on", "on"),
    ],
)
def test_report_may_be_json_of_another_type(payload: str, data: object) -> None:
    reports = PendingReports()
    ended: list[bool | str] = []
    reports.expect("A", "r", payload, ended.append)
    reports.receive_report("A", "r", data)
    assert ended == [True]


def test_node_that_leaves_ends_its_waits_without_a_report() -> None:
    waiting = Waiting()
    waiting.reports.left("A")
    assert waiting.ended == [("led on", False), ("led on again", False), ("led off", False)]
    waiting.reports.left("A")
    assert len(waiting.reports) == 1


def test_forgotten_wait_is_not_ended_and_uses_no_memory() -> None:
    waiting = Waiting()
    for echo in waiting.expected.values():
        waiting.reports.forget(echo)
        waiting.reports.forget(echo)
    waiting.reports.receive_report("A", "led", "1")
    waiting.reports.left("B")
    assert waiting.ended == []
    assert len(waiting.reports) == 0
    assert waiting.reports._by_uid == {}


def test_a_refusal_ends_the_oldest_wait_for_that_command_and_no_other() -> None:
    waiting = Waiting()
    waiting.reports.refuse("A", "led", "0", "too hot")
    waiting.reports.refuse("A", "led", "1", "broken")
    waiting.reports.refuse("C", "led", "1", "broken")
    assert waiting.ended == [("led off", "too hot"), ("led on", "broken")]
    assert len(waiting.reports) == 2
