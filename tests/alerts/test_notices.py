# SPDX-License-Identifier: BSD-3-Clause
"""What a channel gets, and when."""

import pytest

from pyaiot.alerts import notices
from pyaiot.alerts.alert import Alert
from pyaiot.alerts.notices import ATTEMPTS_MAX, NOTICE_INTERVAL_S, RETRY_S, NoticeQueue


def alert(uid: str = "a", severity: str = "warning") -> Alert:
    return Alert(
        id=f"warm {uid}",
        rule="warm",
        title="Too warm",
        severity=severity,  # type: ignore[arg-type]
        uid=uid,
        resource="temperature",
        value="31 °C",
    )


def test_the_first_alert_is_sent_at_once_with_its_value() -> None:
    queue = NoticeQueue()
    queue.add("raised", alert())

    notice = queue.take(0.0)

    assert notice is not None
    assert notice.title == "Too warm"
    assert notice.body == "Too warm: a/temperature (31 °C)"
    assert notice.severity == "warning"


def test_what_follows_within_a_minute_is_one_notice() -> None:
    queue = NoticeQueue()
    queue.add("raised", alert())
    queue.take(0.0)
    queue.add("cleared", alert())
    queue.add("raised", alert("b", "critical"))
    assert queue.take(NOTICE_INTERVAL_S - 1) is None
    assert queue.get_timer() == NOTICE_INTERVAL_S

    notice = queue.take(NOTICE_INTERVAL_S)

    assert notice is not None
    assert notice.title == "Alerts: 1 raised, 1 cleared"
    assert notice.body.splitlines() == [
        "Cleared: Too warm: a/temperature",
        "Too warm: b/temperature (31 °C)",
    ]
    assert notice.severity == "critical"


def test_a_storm_is_one_notice_with_ten_lines_and_the_number_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "WAITING_MAX", 100)
    queue = NoticeQueue()
    for number in range(500):
        queue.add("raised", alert(str(number)))

    notice = queue.take(0.0)

    assert notice is not None
    assert notice.title == "Alerts: 100 raised, 400 more"
    lines = notice.body.splitlines()
    assert (len(lines), lines[-1]) == (11, "and 490 more")
    assert queue.take(1000.0) is None


def test_a_notice_that_was_not_sent_is_tried_again_with_growing_pauses() -> None:
    queue = NoticeQueue()
    queue.add("raised", alert())
    now, pauses = 0.0, []
    for _ in range(ATTEMPTS_MAX - 1):
        notice = queue.take(now)
        assert notice is not None
        queue.failed_at(notice, "no route", now)
        timer = queue.get_timer()
        assert timer is not None
        pauses.append(timer - now)
        now = timer
    assert pauses == [RETRY_S, 2 * RETRY_S, 4 * RETRY_S, 8 * RETRY_S]

    notice = queue.take(now)
    assert notice is not None
    queue.failed_at(notice, "no route", now)

    assert (queue.dropped, queue.problem) == (1, "no route")
    assert queue.get_timer() is None


def test_a_notice_that_was_sent_ends_the_problem() -> None:
    queue = NoticeQueue()
    queue.add("raised", alert())
    notice = queue.take(0.0)
    assert notice is not None
    queue.failed_at(notice, "no route", 0.0)
    queue.take(RETRY_S)
    queue.sent_at(RETRY_S)

    assert (queue.sent, queue.problem, queue.dropped) == (1, "", 0)
