# SPDX-License-Identifier: BSD-3-Clause
"""What a program has not had yet of what it watches: a bounded queue between the two."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Self, TypeVar

from pyaiot.backlog import Backlog, BacklogFull
from pyaiot.client.errors import Behind
from pyaiot.client.view import Event

PLAIN_MAX: Final = 10_000
"""Events that wait in one watch as they are. Beyond, readings are conflated to the latest."""
COST_MAX: Final = 16 * 1024 * 1024
"""Bytes that wait in one watch. More: `Behind` is raised to its reader."""
_TAKE_MAX: Final = 1000

E = TypeVar("E", bound=Event)


class Watch(Generic[E]):
    """Iterate over it with `async for`. It ends with its client.

    A reader that is slow gets the latest reading of each resource only; one that is slower still
    gets `Behind`. Raises `OperatorError` if the broker lets the client in no more.
    """

    def __init__(
        self, wanted: Callable[[Event], bool], first: Iterable[Event] = (), *, kind: type[E] | Any
    ) -> None:
        """`wanted` events come, beginning with those of `first`; `kind` is what they are."""
        self._wanted = wanted
        self._kind = kind
        self._backlog: Backlog[Event] = Backlog(cost_max=COST_MAX, plain_max=PLAIN_MAX)
        self._taken: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        for event in first:
            self.add(event)

    @property
    def conflated(self) -> int:
        """Readings that a later one of the same resource replaced before they were read."""
        return self._backlog.conflated

    def add(self, event: Event) -> None:
        """An event happened. Never waits."""
        if self._ended or not isinstance(event, self._kind) or not self._wanted(event):
            return
        try:
            self._backlog.add(event)
        except BacklogFull as error:
            self.end(Behind(f"this watch was read too slowly ({error}): begin another one"))
        self._wake.set()

    def end(self, error: Exception | None = None) -> None:
        """No more events come. What waits is still read, then the error is raised, if any."""
        if not self._ended:
            self._ended, self._error = True, error
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while not self._taken:
            self._taken.extend(self._backlog.take(_TAKE_MAX))
            if self._taken:
                break
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        event: E = self._taken.popleft()  # type: ignore[assignment]  # `add` looked at its kind
        return event
