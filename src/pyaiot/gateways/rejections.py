# SPDX-License-Identifier: BSD-3-Clause
"""Reports what a gateway did not take, so that the owner of a device finds out why it is missing.

At most one report in `IGNORED_INTERVAL_S`, however many devices there are.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from pyaiot.messages import (
    IGNORED_TOPICS_MAX,
    REFUSAL_LENGTH_MAX,
    TOPIC_LENGTH_MAX,
    Ignored,
)

IGNORED_INTERVAL_S: Final = 5.0
"""The shortest interval between two reports of ignored messages and refused clients to the
broker."""


class Rejections:
    """Counts ignored messages and refused clients, and sends reports of them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unix_time: Callable[[], float],
        send: Callable[[Ignored], None],
    ) -> None:
        """`send` is called with each report. Without a link it does nothing."""
        self._loop = loop
        self._unix_time = unix_time
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._is_reported = True
        self._topics: dict[str, None] = {}
        """The latest topics that were ignored, the latest last."""
        self.report: Ignored | None = None
        """The current report; None: nothing was ignored or refused."""

    @property
    def ignored(self) -> int:
        """Messages that devices published under topics of no node, since the start."""
        return 0 if self.report is None else self.report.count

    def ignore(self, topic: str) -> None:
        """A device published a message under a topic of no node."""
        before = self._before()
        shown = printable(topic)[:TOPIC_LENGTH_MAX]
        self._topics.pop(shown, None)
        self._topics[shown] = None
        if len(self._topics) > IGNORED_TOPICS_MAX:
            del self._topics[next(iter(self._topics))]
        self._change(
            Ignored(
                count=before.count + 1,
                topic=shown,
                topics=tuple(self._topics),
                ts=self._unix_time(),
                refused=before.refused,
                refusal=before.refusal,
            )
        )

    def refuse(self, refusal: str) -> None:
        """A client was refused. `refusal`: which one, and why."""
        before = self._before()
        self._change(
            Ignored(
                count=before.count,
                topic=before.topic,
                topics=before.topics,
                ts=self._unix_time(),
                refused=before.refused + 1,
                refusal=printable(refusal)[:REFUSAL_LENGTH_MAX],
            )
        )

    def close(self) -> None:
        """Send no further reports."""
        if self._timer is not None:
            self._timer.cancel()

    def _before(self) -> Ignored:
        return self.report or Ignored(count=0, topic="")

    def _change(self, report: Ignored) -> None:
        self.report = report
        self._is_reported = False
        if self._timer is None:
            self._send_report()

    def _send_report(self) -> None:
        self._timer = None
        if self._is_reported or self.report is None:
            return
        self._is_reported = True
        self._send(self.report)
        self._timer = self._loop.call_later(IGNORED_INTERVAL_S, self._send_report)


def printable(text: str) -> str:
    """Text of a peer on one line, without characters that affect the display of other text."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
