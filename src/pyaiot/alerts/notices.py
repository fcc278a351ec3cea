# SPDX-License-Identifier: BSD-3-Clause
"""Collects alerts into notices for a channel, and decides when to send them. Pure.

`now` is a monotonic time in seconds. The first change of an alert is sent at once. Changes within
the following minute are combined, so that a thousand alerts are one message.
"""

from collections import deque
from typing import Final

import msgspec

from pyaiot.alerts.alert import Alert
from pyaiot.alerts.watches import Phase

NOTICE_INTERVAL_S: Final = 60.0
"""Shortest interval between two notices to a channel. Changes in between are combined."""
LINES_MAX: Final = 10
"""Largest number of alerts listed in one notice. Of further ones, only the number is given."""
WAITING_MAX: Final = 1000
"""Largest number of changes queued for the next notice. Of further ones, only the number is sent.
"""
ATTEMPTS_MAX: Final = 5
"""Attempts to send a notice, with growing delays. Then the notice is dropped and counted."""
RETRY_S: Final = 15.0
"""Delay before the second attempt. It is doubled for each further one."""


class Notice(msgspec.Struct, frozen=True):
    """A message for people: a title and lines of text."""

    title: str
    body: str
    severity: str
    """The highest severity among its raised alerts; `info` if all were cleared."""
    attempts: int = 0


class NoticeQueue:
    """The queue of one channel."""

    def __init__(self) -> None:
        self.dropped = 0
        """Notices that could not be sent, since the start."""
        self.sent = 0
        self.problem = ""
        """Why the last attempt failed; empty if it succeeded."""
        self._waiting: deque[tuple[Phase, Alert]] = deque()
        self._beyond = 0
        self._next_at = 0.0
        self._failed: Notice | None = None

    def add(self, phase: Phase, alert: Alert) -> None:
        """Queue a raised or cleared alert."""
        if len(self._waiting) >= WAITING_MAX:
            self._beyond += 1
        else:
            self._waiting.append((phase, alert))

    def get_timer(self) -> float | None:
        """Time at which `take` returns the next notice; None: nothing is queued."""
        return self._next_at if self._failed or self._waiting else None

    def take(self, now: float) -> Notice | None:
        """The notice to send now. Report its result with `sent_at` or `failed_at`."""
        if now < self._next_at:
            return None
        if self._failed is not None:
            notice, self._failed = self._failed, None
            return notice
        if not self._waiting:
            return None
        changes, beyond = list(self._waiting), self._beyond
        self._waiting.clear()
        self._beyond = 0
        self._next_at = now + NOTICE_INTERVAL_S
        return _notice(changes, beyond)

    def sent_at(self, now: float) -> None:
        """Report that the notice was sent."""
        self.sent += 1
        self.problem = ""
        self._next_at = now + NOTICE_INTERVAL_S

    def failed_at(self, notice: Notice, problem: str, now: float) -> None:
        """Report that the notice could not be sent. It is retried up to `ATTEMPTS_MAX` times."""
        self.problem = problem
        attempts = notice.attempts + 1
        self._next_at = now + RETRY_S * 2 ** (attempts - 1)
        if attempts >= ATTEMPTS_MAX:
            self.dropped += 1
            return
        self._failed = Notice(notice.title, notice.body, notice.severity, attempts)


_SEVERITIES: Final = ("info", "warning", "critical")


def _notice(changes: list[tuple[Phase, Alert]], beyond: int) -> Notice:
    raised = [alert for phase, alert in changes if phase == "raised"]
    severity = max((alert.severity for alert in raised), key=_SEVERITIES.index, default="info")
    if len(changes) == 1 and not beyond:
        phase, alert = changes[0]
        return Notice(_title(phase, alert), _line(phase, alert), severity)
    parts = []
    if raised:
        parts.append(f"{len(raised)} raised")
    if len(changes) > len(raised):
        parts.append(f"{len(changes) - len(raised)} cleared")
    if beyond:
        parts.append(f"{beyond} more")
    lines = [_line(phase, alert) for phase, alert in changes[:LINES_MAX]]
    left = len(changes) - len(lines) + beyond
    if left:
        lines.append(f"and {left} more")
    return Notice(f"Alerts: {', '.join(parts)}", "\n".join(lines), severity)


def _title(phase: Phase, alert: Alert) -> str:
    return alert.title if phase == "raised" else f"Cleared: {alert.title}"


def _line(phase: Phase, alert: Alert) -> str:
    subject = "/".join(filter(None, (alert.uid or f"gateway {alert.gateway}", alert.resource)))
    value = f" ({alert.value})" if alert.value and phase == "raised" else ""
    return f"{_title(phase, alert)}: {subject}{value}"
