# SPDX-License-Identifier: BSD-3-Clause
"""What is sent to a channel, and when. Pure. `now` is a monotonic time in seconds.

The first change of an alert is sent at once. Changes that follow within a minute are sent together,
so that a thousand alerts are one message and not a thousand.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from pyaiot.alerts.alert import Alert
from pyaiot.alerts.watches import Phase

NOTICE_INTERVAL_S: Final = 60.0
"""Between two notices to a channel. What happens meanwhile is one notice."""
LINES_MAX: Final = 10
"""Alerts that one notice lists. It has the number of the others."""
WAITING_MAX: Final = 1000
"""Changes that wait for the next notice. Of further ones, only their number is sent."""
ATTEMPTS_MAX: Final = 5
"""Attempts to send a notice, with growing pauses. Then it is dropped and counted."""
RETRY_S: Final = 15.0
"""Before the second attempt. Each further pause is twice as long."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for people: one line of title, and lines of text."""

    title: str
    body: str
    severity: str
    """The most severe one of its alerts that were raised; `info` if all were cleared."""
    attempts: int = 0


class NoticeQueue:
    """The notices of one channel."""

    def __init__(self) -> None:
        self.dropped = 0
        """Notices that could not be sent, since the start."""
        self.sent = 0
        self.problem = ""
        """Why the last attempt failed; empty if it did not."""
        self._waiting: deque[tuple[Phase, Alert]] = deque()
        self._beyond = 0
        self._next_at = 0.0
        self._failed: Notice | None = None

    def add(self, phase: Phase, alert: Alert) -> None:
        """An alert was raised or cleared."""
        if len(self._waiting) >= WAITING_MAX:
            self._beyond += 1
        else:
            self._waiting.append((phase, alert))

    def get_timer(self) -> float | None:
        """When `take` returns the next notice; None: there is none."""
        return self._next_at if self._failed or self._waiting else None

    def take(self, now: float) -> Notice | None:
        """The notice to send now. Call `sent_at` or `failed_at` for it."""
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
        """The notice was sent."""
        self.sent += 1
        self.problem = ""
        self._next_at = now + NOTICE_INTERVAL_S

    def failed_at(self, notice: Notice, problem: str, now: float) -> None:
        """The notice could not be sent. It is tried again, up to a limit."""
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
