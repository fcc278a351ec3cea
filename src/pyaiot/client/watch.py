# SPDX-License-Identifier: BSD-3-Clause
"""The bounded queue of events between a client and one of its readers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, Self, TypeVar

from pyaiot.backlog import Backlog, BacklogFull
from pyaiot.client.errors import Behind
from pyaiot.client.view import Event

PLAIN_MAX: Final = 10_000
"""Queued events of a watch. Beyond that, readings are conflated to the latest of each resource."""
COST_MAX: Final = 16 * 1024 * 1024
"""Queued bytes of a watch. Beyond that, readings are conflated; if the latest ones are still more,
its reader gets `Behind`."""
_TAKE_MAX: Final = 1000

E = TypeVar("E", bound=Event)


class Watch(Generic[E]):
    """An asynchronous iterator of events. It ends when its client is closed.

    A slow reader gets only the latest reading of each resource. A reader that falls further behind
    gets `Behind`. Raises `OperatorError` if the broker no longer accepts the client.
    """

    def __init__(
        self,
        wanted: Callable[[Event], bool],
        first: Iterable[Event] = (),
        *,
        kind: type[E] | Any,
        begin: Callable[["Watch[E]"], Awaitable[None]] | None = None,
    ) -> None:
        """Yields the events of type `kind` for which `wanted` is true, starting with `first`.

        `begin`: awaited before the first event is read.
        """
        self._wanted = wanted
        self._begin = begin
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
        """Number of readings replaced by a later one of the same resource before they were read."""
        return self._backlog.conflated

    def add(self, event: Event) -> None:
        """Queue an event. Never waits."""
        if self._ended or not isinstance(event, self._kind) or not self._wanted(event):
            return
        try:
            self._backlog.add(event)
        except BacklogFull as error:
            self.end(Behind(f"the watch was read too slowly ({error}); start another one"))
        self._wake.set()

    def end(self, error: Exception | None = None) -> None:
        """End the watch. Queued events are still read, then `error` is raised, if any."""
        if not self._ended:
            self._ended, self._error = True, error
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if self._begin is not None:
            begin, self._begin = self._begin, None
            await begin(self)
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
        event: E = self._taken.popleft()  # type: ignore[assignment]  # `add` checked its type
        return event


class SelectedNode:
    """The node of a watch. Its uid may be a label until that is resolved. None: all nodes."""

    def __init__(self, uid: str | None) -> None:
        self.uid = uid

    async def resolve(self, resolved: Callable[[str], Awaitable[str]]) -> bool:
        """Replace a label by the uid. Returns whether it was one."""
        before = self.uid
        if before is not None:
            self.uid = await resolved(before)
        return self.uid != before

    def includes(self, event: Event) -> bool:
        return self.uid is None or getattr(event, "uid", None) == self.uid
