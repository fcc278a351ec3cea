# SPDX-License-Identifier: BSD-3-Clause
"""Reports refused messages and clients, so that the owner of a device can find the reason.

It sends at most one report in `IGNORED_INTERVAL_S`, for any number of devices.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from pyaiot.messages import (
    IGNORED_TOPICS_MAX,
    REFUSAL_LENGTH_MAX,
    REFUSALS_MAX,
    TOPIC_LENGTH_MAX,
    Ignored,
)

IGNORED_INTERVAL_S: Final = 5.0
"""The shortest interval between two reports of ignored messages and refused clients to the
broker."""
DESCRIBED_INTERVAL_S: Final = 0.1
"""The shortest interval between two texts of refused messages."""


class Rejections:
    """Counts ignored messages, refused messages and refused clients, and sends reports of them."""

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
        self._report = Ignored(count=0, topic="")
        """The current report without the lists."""
        self._topics: dict[str, float] = {}
        """The latest ignored topics, the latest at the end, and the Unix time of each."""
        self._refusals: dict[str, float] = {}
        """The latest texts of refusals, the latest at the end, and the Unix time of each."""
        self._messages_refused = 0
        self._described_at = float("-inf")

    @property
    def report(self) -> Ignored | None:
        """The current report; None if nothing was ignored or refused."""
        if not (self._topics or self._report.refused or self._messages_refused):
            return None
        return msgspec.structs.replace(
            self._report,
            topics=tuple(self._topics),
            messages_refused=self._messages_refused,
            refusals=tuple(self._refusals),
            refusal_times=tuple(self._refusals.values()),
        )

    @property
    def ignored(self) -> int:
        """Number of messages that devices published on topics that belong to no node."""
        return self._report.count

    def ignore(self, topic: str) -> None:
        """A device published a message on a topic that belongs to no node."""
        shown = printable(topic)[:TOPIC_LENGTH_MAX]
        self._add(self._topics, shown, IGNORED_TOPICS_MAX)
        self._change(count=self._report.count + 1, topic=shown)

    def refuse(self, refusal: str) -> None:
        """A client was refused. `refusal`: the client and the reason."""
        shown = printable(refusal)[:REFUSAL_LENGTH_MAX]
        self._add(self._refusals, shown, REFUSALS_MAX)
        self._change(refused=self._report.refused + 1, refusal=shown)

    def refuse_message(self, text: str, *details: object) -> None:
        """A message of a device was refused. `text`: as in the log, with the address and the
        reason. In a flood, one text is made in `DESCRIBED_INTERVAL_S`; the others are only
        counted."""
        self._messages_refused += 1
        now = self._loop.time()
        if now - self._described_at >= DESCRIBED_INTERVAL_S:
            self._described_at = now
            shown = printable(text % details)[:REFUSAL_LENGTH_MAX]
            self._add(self._refusals, shown, REFUSALS_MAX)
        self._schedule()

    def close(self) -> None:
        """Send no further reports."""
        if self._timer is not None:
            self._timer.cancel()

    def _add(self, latest: dict[str, float], text: str, most: int) -> None:
        """Append a text as the latest one, and drop the first one beyond `most`."""
        latest.pop(text, None)
        latest[text] = self._unix_time()
        if len(latest) > most:
            del latest[next(iter(latest))]

    def _change(self, **changes: object) -> None:
        self._report = msgspec.structs.replace(self._report, **changes)
        self._schedule()

    def _schedule(self) -> None:
        if self._is_reported:
            self._is_reported = False
            self._report = msgspec.structs.replace(self._report, ts=self._unix_time())
        if self._timer is None:
            self._send_report()

    def _send_report(self) -> None:
        self._timer = None
        report = self.report
        if self._is_reported or report is None:
            return
        self._is_reported = True
        self._send(report)
        self._timer = self._loop.call_later(IGNORED_INTERVAL_S, self._send_report)


def printable(text: str) -> str:
    """Text of a peer on one line, without characters that affect the display of other text."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
