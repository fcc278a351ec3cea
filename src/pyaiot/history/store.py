# SPDX-License-Identifier: BSD-3-Clause
"""What a store of history is: one writer, many readers, and the rows that readers get.

Times of rows and questions are Unix time in seconds; stores keep whole microseconds. A range is
from `start`, inclusive, to `end`, exclusive; None is open. What a range does not hold because it
was trimmed away is not there; what does not fit into an answer is never left out in silence.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import PyaiotError, Refused
from pyaiot.history.clock import ClockState
from pyaiot.history.rows import Batch
from pyaiot.messages import ReceiptState

ROWS_MAX: Final = 100_000
"""Rows of one answer. A question that asks for more is refused; pages and exports have no end."""
QUERY_LIMIT_S: Final = 30.0
"""One question to the store. One that takes longer is ended, and refused."""
QUERIES_MAX: Final = 64
"""Questions to the store at once, most of which wait for a reader, of short ones and of wide ones.
One more is refused."""
SHORT_LIMIT_S: Final = 0.1
"""A question that the readers of short ones do not answer in that time waits for the others."""


class StoreError(PyaiotError):
    """The store cannot be written or read now. The text says why; trying again may work."""


class StoreReplaced(StoreError):
    """What was written is not where it was written any more: open it anew, and tell of a gap."""


class RowsRefused(PyaiotError):
    """The store will never take these rows: leave them out."""


class TooManyRows(Refused):
    """The answer would have more rows than were asked for or fit: narrow the range, or page."""


class TooSlow(Refused):
    """The question took too long, or too many are asked: narrow the range, or come back later."""


class BadQuery(Refused):
    """The question makes no sense: a cursor that is none of ours, a step that is not whole."""


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days what is kept, None: for ever.

    Minutes are kept at least as long as readings, and hours as minutes: one is made of the other.
    """

    readings_days: float | None = 30.0
    minutes_days: float | None = 365.0
    hours_days: float | None = 3650.0
    events_days: float | None = 365.0
    """Events and commands."""

    def oldest(self, now: float) -> "Oldest":
        """Unix times before which things are not kept, at the Unix time `now`."""
        readings = _before(now, self.readings_days)
        minutes = min(readings, _before(now, self.minutes_days))
        hours = min(minutes, _before(now, self.hours_days))
        return Oldest(readings, minutes, hours, _before(now, self.events_days))


@dataclass(frozen=True, slots=True)
class Oldest:
    """Unix times; what is older goes. 0: nothing goes."""

    readings: float
    minutes: float
    hours: float
    events: float


def keep_days(readings: float, minutes: float, hours: float, events: float) -> Keep:
    """Of days as settings say them, where 0 is for ever."""
    return Keep(*(days or None for days in (readings, minutes, hours, events)))


def _before(now: float, days: float | None) -> float:
    return 0.0 if days is None else max(0.0, now - days * 86400)


class _Row(msgspec.Struct, frozen=True, gc=False):
    pass


class ReadingRow(_Row, frozen=True):
    """One reading. Either it is a `number`, perhaps with a `unit`, or `data` is what was sent."""

    ts: float
    number: float | None = None
    unit: str = ""
    data: Any = None
    """Text, or any JSON value, where it was no number; else None."""


class LastRow(_Row, frozen=True):
    """The latest reading that is kept of a resource."""

    uid: str
    resource: str
    reading: ReadingRow


class BucketRow(_Row, frozen=True):
    """The numbers of one step. Where a resource changed its unit, there is one for each unit."""

    ts: float
    """Begin of the step."""
    unit: str
    min: float
    mean: float
    max: float
    count: int
    last: float


EventKind: TypeAlias = Literal[
    "appeared", "reset", "left", "gateway connected", "gateway lost", "started", "stopped", "gap"
]


class EventRow(_Row, frozen=True):
    """Something that happened: to a node, to a gateway, or to the recorder itself.

    `started` and `stopped` are the recorder's; `gap` says that from `ts` to `until` it could not
    keep all, and `lost` so many messages.
    """

    ts: float
    kind: EventKind
    uid: str = ""
    gateway: str = ""
    detail: str = ""
    until: float | None = None
    lost: int = 0


class CommandRow(_Row, frozen=True):
    """A command and its receipt. `state` None: no receipt is known, say after a power cut."""

    ts: float
    uid: str
    resource: str
    payload: str
    client: str
    """Who wished it: the broker's name of that client."""
    client_id: str
    """The `id` that the client gave the command; known with the receipt."""
    state: ReceiptState | None
    detail: str
    elapsed_ms: float | None


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows in order, and where to go on."""

    rows: list[R]
    cursor: str | None
    """For the next page of the same question; None: there are no more rows now."""

    def whole(self) -> list[R]:
        """The rows, if they are all there are. Raises `TooManyRows`."""
        if self.cursor is not None:
            raise TooManyRows(
                f"there are more than {len(self.rows)} rows: narrow the range, or page"
            )
        return self.rows


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an export: readings of one resource, in order."""

    uid: str
    resource: str
    rows: list[ReadingRow]


class History(Protocol):
    """The door for those who ask. Belongs to one event loop, which it never holds up.

    Every method may raise `StoreError`, `TooSlow`, `BadQuery` and, for a `limit` above
    `ROWS_MAX`, `TooManyRows`. A question whose task is cancelled is given up by the store too.
    """

    async def last(
        self, uid: str | None = None, *, limit: int = ROWS_MAX, cursor: str | None = None
    ) -> Page[LastRow]:
        """The latest kept reading of each resource, of one node or of all, by uid and resource."""
        ...

    async def readings(
        self,
        uid: str,
        resource: str,
        *,
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[ReadingRow]:
        """Readings of one resource by time."""
        ...

    async def buckets(
        self,
        uid: str,
        resource: str,
        *,
        start: float,
        end: float,
        step_s: int,
        limit: int = ROWS_MAX,
    ) -> list[BucketRow]:
        """The numbers of one resource for each step in which there are any.

        Steps count from the epoch, in UTC, and are whole: the first holds `start`, the last what
        is just before `end`. Taken from the coarsest table that fits: steps of whole hours or
        minutes reach back as far as these are kept, others as far as readings. Raises
        `TooManyRows`.
        """
        ...

    def export(
        self,
        *,
        uid: str | None = None,
        resource: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> AsyncIterator[Chunk]:
        """All readings in the range, by uid, resource and time, in constant memory.

        What is recorded meanwhile may be in it or not. Close it if you leave early.
        """
        ...

    async def events(
        self,
        *,
        uid: str | None = None,
        kinds: Sequence[EventKind] = (),
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[EventRow]:
        """What happened, by time. No `kinds`: all of them."""
        ...

    async def commands(
        self,
        *,
        uid: str | None = None,
        start: float | None = None,
        end: float | None = None,
        newest_first: bool = False,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> Page[CommandRow]:
        """Commands and what became of them, by the time at which they were given."""
        ...

    async def close(self) -> None:
        """End what is running, and the readers."""
        ...


class Writer(Protocol):
    """The one writer of a store, for one thread. After a `StoreError`, close it and open anew."""

    def write(self, batch: Batch, now: float) -> None:
        """Keep all of a batch or nothing. Kept for good when it returns.

        Raises `StoreError`, `StoreReplaced`, or `RowsRefused`, after which the writer goes on.
        `now` is Unix time: readings that are too old at it are left out. Writing a batch again that
        may have been kept does no harm.
        """
        ...

    def tidy(self, now: float, *, retention_now: float | None = None) -> bool:
        """One short step of downsampling and trimming; whether there is more to do.

        What is trimmed is too old at the Unix time `retention_now`, else at `now`. Raises
        `StoreError`.
        """
        ...

    def place_problem(self) -> str:
        """Whether what is at its place is another store, or none; empty if it is the same.

        Quick, and for any thread.
        """
        ...

    def verify(self, retention_now: float) -> None:
        """Read back, as a reader does, what was written last. Raises `StoreError`.

        `retention_now` is that of the last `tidy`: what that may trim is not looked for.
        """
        ...

    def clock_state(self) -> ClockState | None:
        """What `save_clock` kept, or the time of the newest row; None if there is none.

        Raises `StoreError`.
        """
        ...

    def save_clock(self, state: ClockState) -> None:
        """Keep it for the next run. Raises `StoreError`."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """A place where history is kept."""

    name: str
    """For people: the path of the file, the URL without its password."""

    def claim(self) -> None:
        """Take the place for this process. Raises `OperatorError` if that can never work."""
        ...

    def release(self) -> None:
        """Give it free again. Does nothing if it was not claimed."""
        ...

    def open_writer(self) -> Writer:
        """Open it, made or migrated if need be, on the writer's thread. Raises `StoreError`."""
        ...

    def history(self) -> History:
        """A door for those who ask, on the running loop."""
        ...
