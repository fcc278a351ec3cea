# SPDX-License-Identifier: BSD-3-Clause
"""The interface of a history store: one writer, many readers, and the rows that readers get.

Times of rows and queries are Unix time in seconds; stores keep whole microseconds. A range includes
`start` and excludes `end`; None is open. A range lacks rows that retention deleted, without notice.
A result that is too large is an error, never silently truncated.
"""

from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from pyaiot.errors import PyaiotError, Refused
from pyaiot.history.clock import ClockState
from pyaiot.history.rows import WriteBatch
from pyaiot.messages import ReceiptState

if TYPE_CHECKING:
    from pyaiot.history.reader import HistoryReader

ROWS_MAX: Final = 100_000
"""Largest number of rows of one result. A query for more is refused; pages and exports are not
limited."""
QUERY_LIMIT_S: Final = 30.0
"""Longest duration of one query. After that it is cancelled and refused."""
QUERIES_MAX: Final = 64
"""Largest numbers of short and of wide queries that are open at once, most of them waiting for a
connection. Further ones are refused."""
SHORT_LIMIT_S: Final = 0.1
"""Longest duration of a short query. After that it is run again as a wide one."""


class StoreError(PyaiotError):
    """The store cannot be written or read now. The text is the reason; a retry may succeed."""


class StoreReplaced(StoreError):
    """The written store is no longer at its location: open it again and record a gap."""


class RowsRefused(PyaiotError):
    """The store will never accept these rows: leave them out."""


class TooManyRows(Refused):
    """The result has more rows than the limit: narrow the range, or use pages."""


class TooSlow(Refused):
    """The query took too long, or too many queries are open: narrow the range, or retry later."""


class BadQuery(Refused):
    """The query is not valid: a foreign cursor, or a step that is not a whole number."""


class RetentionPolicy(msgspec.Struct, frozen=True):
    """The retention of each kind of row in days; None: for ever.

    Minutes are kept at least as long as readings, and hours at least as long as minutes, because
    they are computed from them.
    """

    readings_days: float | None = 30.0
    minutes_days: float | None = 365.0
    hours_days: float | None = 3650.0
    events_days: float | None = 365.0
    """Events and commands."""

    def oldest(self, now: float) -> "Oldest":
        """The Unix times before which rows are deleted, at the Unix time `now`."""
        readings = _before(now, self.readings_days)
        minutes = min(readings, _before(now, self.minutes_days))
        hours = min(minutes, _before(now, self.hours_days))
        return Oldest(readings, minutes, hours, _before(now, self.events_days))


class Oldest(msgspec.Struct, frozen=True):
    """Unix times before which rows are deleted. 0: none."""

    readings: float
    minutes: float
    hours: float
    events: float


def retention_policy(
    readings: float, minutes: float, hours: float, events: float
) -> RetentionPolicy:
    """The policy from the days in the settings, where 0 means for ever."""
    return RetentionPolicy(*(days or None for days in (readings, minutes, hours, events)))


def _before(now: float, days: float | None) -> float:
    return 0.0 if days is None else max(0.0, now - days * 86400)


class _Row(msgspec.Struct, frozen=True, gc=False):
    pass


class ReadingRow(_Row, frozen=True):
    """One reading. It has a `number`, perhaps with a `unit`, or `data`."""

    ts: float
    number: float | None = None
    unit: str = ""
    data: Any = None
    """Text or any JSON value that is not a number; otherwise None."""


class LastRow(_Row, frozen=True):
    """The latest recorded reading of a resource."""

    uid: str
    resource: str
    reading: ReadingRow


class BucketRow(_Row, frozen=True):
    """The numbers of one step. If the unit changed within it, there is one row for each unit."""

    ts: float
    """The start of the step."""
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
    """An event of a node, a gateway or the recorder itself.

    `started` and `stopped` are events of the recorder. `gap`: from `ts` to `until`, `lost` messages
    were not recorded.
    """

    ts: float
    kind: EventKind
    uid: str = ""
    gateway: str = ""
    detail: str = ""
    until: float | None = None
    lost: int = 0


class CommandRow(_Row, frozen=True):
    """A command and its receipt. `state` None: no receipt, for example after a power cut."""

    ts: float
    uid: str
    resource: str
    payload: str
    client: str
    """The name that the broker gave to the client that issued it."""
    who: str
    """The issuer, as in the audit log; empty if unknown."""
    client_id: str
    """The `id` that the client gave the command; empty until the receipt."""
    state: ReceiptState | None
    detail: str
    elapsed_ms: float | None


class StateRow(_Row, frozen=True):
    """The state of a node at a time."""

    uid: str
    kind: EventKind | None
    """The last earlier event that concerns whether the node is online; None if there is none."""
    ts: float
    """The time of that event; 0 if there is none."""
    detail: str


R = TypeVar("R")


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Some rows in order, and the cursor of the next page."""

    rows: list[R]
    cursor: str | None
    """For the next page of the same query; None if there are no more rows now."""

    def whole(self) -> list[R]:
        """The rows, if there is no next page. Raises `TooManyRows`."""
        if self.cursor is not None:
            raise TooManyRows(
                f"there are more than {len(self.rows)} rows: narrow the range, or use pages"
            )
        return self.rows


class StateAt(msgspec.Struct, frozen=True):
    """The values and states of nodes at a time."""

    values: Page[LastRow]
    """The last earlier reading of each resource."""
    states: list[StateRow]
    """The states of the nodes in `values`, in that order."""
    was_recorded: bool
    """False: the recorder was stopped. Values and states are from before that."""


class Chunk(msgspec.Struct, frozen=True):
    """A part of an export: readings of one resource, in order."""

    uid: str
    resource: str
    rows: list[ReadingRow]


class Writer(Protocol):
    """The only writer of a store, used by one thread. After a `StoreError`, open a new one."""

    def write(self, batch: WriteBatch, now: float) -> None:
        """Commit a batch in one transaction, which is durable when this returns. Raises
        `StoreError`, `StoreReplaced`, or `RowsRefused`, after which the writer is still usable.

        `now` is Unix time: readings that are too old at that time are left out. A batch whose
        commit is uncertain may be written again.
        """
        ...

    def run_retention(self, now: float, *, retention_now: float | None = None) -> bool:
        """Do one short step of downsampling and deletion. Returns whether there is more to do.

        Deletes rows that are too old at the Unix time `retention_now` (default: `now`). Raises
        `StoreError`.
        """
        ...

    def location_problem(self) -> str:
        """Why the store is no longer at its location; empty if it is.

        Fast, and callable from any thread.
        """
        ...

    def reusable_bytes(self) -> int:
        """Size of the space of deleted rows, which new rows use before the store grows. Raises
        `StoreError`."""
        ...

    def verify(self, retention_now: float) -> None:
        """Read back the last row. Raises `StoreError` if it is missing.

        `retention_now`: that of the last `run_retention`. Rows that it may have deleted are not
        checked.
        """
        ...

    def clock_state(self) -> ClockState | None:
        """The state that `save_clock` wrote, or the time of the newest row; None if there is none.

        Raises `StoreError`.
        """
        ...

    def server_time(self) -> float | None:
        """Unix time by the clock that all writers of this store share; None: this machine's.

        Raises `StoreError`.
        """
        ...

    def save_clock(self, state: ClockState) -> None:
        """Write the state for the next run. Raises `StoreError`."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """A location for a history."""

    name: str
    """For display: the path of the file, or the URL without its password."""

    def claim(self) -> None:
        """Lock the location for this process. Raises `OperatorError` if a retry cannot succeed."""
        ...

    def release(self) -> None:
        """Unlock it. Does nothing if it is not locked."""
        ...

    def open_writer(self) -> Writer:
        """Open the store, created or migrated if needed. Call it on the writer's thread.

        Raises `StoreError`.
        """
        ...

    def history(self) -> "HistoryReader":
        """A reader for the running loop."""
        ...
