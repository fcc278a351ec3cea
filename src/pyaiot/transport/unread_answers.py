# SPDX-License-Identifier: BSD-3-Clause
"""Answers that their clients have not read yet: how much memory they may hold in all. Pure."""

from collections import Counter
from typing import Final, Protocol

from pyaiot.errors import Refused

UNREAD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of answers of one listener that their clients have not read. More: the oldest answer is cut
off if it is older than `UNREAD_GRACE_S`, else the new request is answered 503."""
UNREAD_SHARE: Final = 0.5
"""The part of these that one address may hold. More: 503. Loopback is left out."""
SMALL_ANSWER_BYTES_MAX: Final = 64 * 1024
"""Answers up to this size have as much room once more, which large ones cannot take."""
TINY_ANSWER_BYTES_MAX: Final = 4 * 1024
"""Answers up to this size, such as of `/healthz`, are never refused."""
UNREAD_GRACE_S: Final = 10.0
"""So long an answer is left alone, however slowly it is read, when others need the room."""
UNREAD_LIMIT_S: Final = 30.0
"""A client that takes nothing of its answer for so long is cut off."""


class Reader(Protocol):
    """The connection that an answer goes to."""

    def unread(self) -> int:
        """Bytes that were written and that the system has not taken."""
        ...


class _Answer:
    __slots__ = ("principal", "since", "size", "writing")

    def __init__(self, principal: str, size: int, since: float) -> None:
        self.principal = principal
        self.size = size
        self.since = since
        self.writing = True


class UnreadAnswers:
    """At most one answer for each connection. `now` is the loop's time in seconds."""

    def __init__(self, total_max: int = UNREAD_BYTES_MAX) -> None:
        self.size = 0
        """Bytes, as they were when somebody looked."""
        self._total_max = total_max
        self._share = int(total_max * UNREAD_SHARE)
        self._answers: dict[Reader, _Answer] = {}
        self._held: Counter[str] = Counter()

    def admit(self, reader: Reader, principal: str, size: int, now: float) -> list[Reader]:
        """Reserve room for an answer that is about to be written. Returns readers to cut off.

        Raises `Refused` when there is no room.
        """
        self.remove(reader)
        if self._lacks_room(principal, size):
            self._refresh()
        cut_off: list[Reader] = []
        while self._lacks_room(principal, size):
            old = self._oldest(principal if self._over_share(principal, size) else "")
            if old is None or now - self._answers[old].since < UNREAD_GRACE_S:
                raise Refused("too many answers wait to be read")
            self.remove(old)
            cut_off.append(old)
        self._answers[reader] = _Answer(principal, size, now)
        self._count(principal, size)
        return cut_off

    def written(self, reader: Reader) -> None:
        """All of the answer was handed to the system, or waits in the socket."""
        answer = self._answers.get(reader)
        if answer is not None:
            answer.writing = False
            self._look(reader, answer)

    def remove(self, reader: Reader) -> None:
        """Its connection is closed, or its answer is read."""
        answer = self._answers.pop(reader, None)
        if answer is not None:
            self._count(answer.principal, -answer.size)

    def _lacks_room(self, principal: str, size: int) -> bool:
        """One answer alone may be as large as it is."""
        if size <= TINY_ANSWER_BYTES_MAX:
            return False
        room = self._total_max * _factor(size)
        return (self.size > 0 and self.size + size > room) or self._over_share(principal, size)

    def _over_share(self, principal: str, size: int) -> bool:
        held = self._held[principal] if principal else 0
        return held > 0 and held + size > self._share * _factor(size)

    def _refresh(self) -> None:
        for reader, answer in list(self._answers.items()):
            self._look(reader, answer)

    def _look(self, reader: Reader, answer: _Answer) -> None:
        unread = reader.unread()
        if answer.writing and not unread:
            return  # it is not written yet
        self._count(answer.principal, unread - answer.size)
        answer.size = unread
        if not unread:
            del self._answers[reader]

    def _oldest(self, principal: str) -> Reader | None:
        for reader, answer in self._answers.items():
            if not principal or answer.principal == principal:
                return reader
        return None

    def _count(self, principal: str, size: int) -> None:
        self.size += size
        if principal:
            self._held[principal] += size
            if not self._held[principal]:
                del self._held[principal]


def _factor(size: int) -> int:
    return 2 if size <= SMALL_ANSWER_BYTES_MAX else 1
