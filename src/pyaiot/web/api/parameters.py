# SPDX-License-Identifier: BSD-3-Clause
"""The query parameters of the HTTP API: one type for each operation. Pure."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.errors import requirement
from pyaiot.history.store import ROWS_MAX, EventKind
from pyaiot.messages import COMMAND_TIMEOUT_MAX_S, NAME_LENGTH_MAX
from pyaiot.registry.node_filter import ADMITTED, NodeFilter, frozen
from pyaiot.registry.record import NodeState
from pyaiot.web.problems import ProblemError

NODES_PER_PAGE: Final = 1000
"""Nodes of one page: default and largest `limit`."""
THINGS_PER_PAGE: Final = 100
"""Thing Descriptions of one page: default and largest `limit`."""
CURSOR_LENGTH_MAX: Final = 256
"""Longest cursor, in characters. A longer one is refused."""
STATE_ROWS_MAX: Final = 10_000
"""Readings of one page of a past state: default and largest `limit`."""
FILTERS_MAX: Final = 64
"""Largest number of names in one filter."""
STEP_MAX_S: Final = 366 * 86_400
"""Longest step of an aggregation, in seconds."""

MOMENT: Final = (
    r"^([0-9]{1,12}(\.[0-9]{1,9})?|-[0-9]{1,6}(\.[0-9]{1,3})?[smhd]"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2}))$"
)
Moment = Annotated[
    str,
    Meta(
        pattern=MOMENT,
        description="Unix seconds, a time with its offset (`2026-11-25T10:00:00Z`; `+` is `%2B` in"
        " a URL), or a time before now (`-90s`, `-15m`, `-1h`, `-7d`).",
        examples=["-1h"],
    ),
]
From = Annotated[
    Moment,
    Meta(
        description="Start of the range, inclusive: Unix seconds, a time with its offset"
        " (`2026-11-25T10:00:00Z`; `+` is `%2B` in a URL), or a time before now (`-90s`, `-15m`,"
        " `-1h`, `-7d`). Absent: from the oldest row."
    ),
]
To = Annotated[
    Moment, Meta(description="End of the range, exclusive, written as `from`. Absent: now.")
]
Cursor = Annotated[
    str,
    Meta(
        max_length=CURSOR_LENGTH_MAX,
        description="`next` of the previous page. The other parameters must be the same.",
    ),
]
Limit = Annotated[
    int,
    Meta(
        ge=1,
        le=ROWS_MAX,
        description="Rows of one page. Absent: all rows, or the problem `too-many-rows`.",
    ),
]
Order = Annotated[Literal["oldest", "newest"], Meta(description="Which rows come first.")]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
StreamFormat: TypeAlias = Literal["csv", "ndjson", "senml", "arrow"]
Format: TypeAlias = Literal["json", "csv", "ndjson", "senml", "arrow"]
AGGREGATES: Final = ("mean", "min", "max", "last", "count")


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


WithTags: TypeAlias = Annotated[
    tuple[Name, ...],
    Meta(
        description="Only nodes with one of these tags (may be repeated).", max_length=FILTERS_MAX
    ),
]
OfGateways: TypeAlias = Annotated[
    tuple[Name, ...],
    Meta(
        description="Only nodes of these gateways (may be repeated).",
        max_length=FILTERS_MAX,
    ),
]


class FilterQuery(Query, frozen=True, kw_only=True):
    """The nodes to select. All conditions must hold; for a repeated one, any of its values."""

    uid: (
        Annotated[
            tuple[Name, ...],
            Meta(description="Only these nodes (may be repeated).", max_length=FILTERS_MAX),
        ]
        | None
    ) = None
    state: (
        Annotated[
            tuple[NodeState, ...],
            Meta(
                description="Only nodes in these states (may be repeated). Absent: `online` and"
                " `offline`.",
                max_length=FILTERS_MAX,
            ),
        ]
        | None
    ) = None
    tag: WithTags | None = None
    gateway: OfGateways | None = None
    protocol: (
        Annotated[
            tuple[Name, ...],
            Meta(
                description="Only nodes of these protocols, in any case (may be repeated).",
                max_length=FILTERS_MAX,
            ),
        ]
        | None
    ) = None
    room: (
        Annotated[
            tuple[Name, ...],
            Meta(
                description="Only nodes in these rooms (may be repeated).", max_length=FILTERS_MAX
            ),
        ]
        | None
    ) = None
    q: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=256,
                description="Only nodes with all of these words in uid, label, room, tags or"
                " notes, ignoring case.",
            ),
        ]
        | None
    ) = None

    def node_filter(self) -> NodeFilter:
        protocols = None if self.protocol is None else map(str.lower, self.protocol)
        return NodeFilter(
            uids=frozen(self.uid),
            states=ADMITTED if self.state is None else frozenset(self.state),
            tags=frozen(self.tag),
            gateways=frozen(self.gateway),
            protocols=frozen(protocols),
            rooms=frozen(self.room),
            words=NodeFilter.words_of(self.q or ""),
        )

    @property
    def is_empty(self) -> bool:
        """Whether no condition is set. A text without words counts as no condition."""
        set_ones = [name for name in FilterQuery.__struct_fields__ if getattr(self, name)]
        return set_ones in ([], ["q"]) and not self.node_filter().words


class NodesQuery(FilterQuery, frozen=True, kw_only=True):
    """The nodes to return."""

    limit: Annotated[
        int,
        Meta(
            ge=1,
            le=NODES_PER_PAGE,
            description="Nodes per page. A page has fewer if they are large.",
        ),
    ] = NODES_PER_PAGE
    cursor: Cursor | None = None


class ThingsQuery(Query, frozen=True, kw_only=True):
    """The descriptions to return."""

    limit: Annotated[
        int, Meta(ge=1, le=THINGS_PER_PAGE, description="Descriptions of one page.")
    ] = THINGS_PER_PAGE
    cursor: Cursor | None = None


class WriteQuery(Query, frozen=True, kw_only=True):
    """The timeout of the command."""

    timeout: Annotated[
        float,
        Meta(gt=0, le=COMMAND_TIMEOUT_MAX_S, description="Timeout of the command in seconds."),
    ] = 5.0


class RangeQuery(Query, frozen=True, kw_only=True):
    """A time range."""

    from_: From | None = msgspec.field(name="from", default=None)
    to: To | None = None

    def start(self, now: float) -> float | None:
        """Unix time. Raises `ProblemError`."""
        return None if self.from_ is None else read_moment(self.from_, "from", now)

    def end(self, now: float) -> float | None:
        """Unix time. Raises `ProblemError`."""
        return None if self.to is None else read_moment(self.to, "to", now)


class HistoryQuery(RangeQuery, frozen=True, kw_only=True):
    """The readings to return, and their format."""

    every: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=STEP_MAX_S,
                description="Aggregate numbers in steps of this many seconds, counted from the"
                " epoch in UTC. Requires `from`.",
            ),
        ]
        | None
    ) = None
    tz: (
        Annotated[
            str,
            Meta(
                max_length=64,
                pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$",
                description="IANA name of a time zone, such as `Europe/Paris`: steps are its"
                " local days, of 23 or 25 hours when daylight saving time changes. Requires"
                " `every=86400`.",
            ),
        ]
        | None
    ) = None
    agg: (
        Annotated[
            str,
            Meta(
                pattern=f"^({'|'.join(AGGREGATES)})(,({'|'.join(AGGREGATES)})){{0,4}}$",
                description="Aggregates of a step: one of `mean`, `min`, `max`, `last`, `count`, or"
                " several, separated by commas. The first one is `value`; if there are several,"
                " each is also its own field. Absent: `mean`. Requires `every`.",
            ),
        ]
        | None
    ) = None
    limit: Limit | None = None
    cursor: Cursor | None = None
    order: Order = "oldest"
    format: (
        Annotated[
            Format,
            Meta(
                description="Absent: what `Accept` prefers, else JSON. All formats except JSON are"
                " streams of any length, without pages, oldest first."
            ),
        ]
        | None
    ) = None

    @property
    def aggregates(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.agg or "mean").split(",")))


class StateQuery(Query, frozen=True, kw_only=True):
    """The time, and the nodes to return."""

    at: Annotated[Moment, Meta(description="The time, written as `from`. Absent: now.")] | None = (
        None
    )
    uid: Annotated[Name, Meta(description="Only this node.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=STATE_ROWS_MAX, description="Readings of one page.")] = (
        STATE_ROWS_MAX
    )
    cursor: Cursor | None = None

    def time(self, now: float) -> float:
        """The moment as a Unix time. Raises `ProblemError`."""
        return now if self.at is None else read_moment(self.at, "at", now)


class ExportQuery(RangeQuery, frozen=True, kw_only=True):
    """The readings to return, and their format."""

    uid: Annotated[Name, Meta(description="Only readings of this node.")] | None = None
    resource: Annotated[Name, Meta(description="Only resources with this name.")] | None = None
    format: (
        Annotated[StreamFormat, Meta(description="Absent: what `Accept` prefers, else CSV.")] | None
    ) = None


class EventsQuery(RangeQuery, frozen=True, kw_only=True):
    """The events to return."""

    uid: Annotated[Name, Meta(description="Only readings of this node.")] | None = None
    kind: (
        Annotated[
            tuple[EventKind, ...],
            Meta(description="Only these kinds (may be repeated).", max_length=FILTERS_MAX),
        ]
        | None
    ) = None
    limit: Limit | None = None
    cursor: Cursor | None = None
    order: Order = "oldest"


class CommandsQuery(RangeQuery, frozen=True, kw_only=True):
    """The commands to return."""

    uid: Annotated[Name, Meta(description="Only commands to this node.")] | None = None
    limit: Limit | None = None
    cursor: Cursor | None = None
    order: Order = "oldest"


class StreamQuery(Query, frozen=True, kw_only=True):
    """The events to receive."""

    uid: (
        Annotated[
            tuple[Name, ...],
            Meta(description="Only these nodes (may be repeated).", max_length=FILTERS_MAX),
        ]
        | None
    ) = None
    resource: (
        Annotated[
            tuple[Name, ...],
            Meta(
                description="Only readings of these resources (may be repeated). Other events of"
                " nodes are always sent.",
                max_length=FILTERS_MAX,
            ),
        ]
        | None
    ) = None
    tag: WithTags | None = None
    gateway: OfGateways | None = None


Q = TypeVar("Q", bound=Query)


def read_query(kind: type[Q], given: Iterable[tuple[str, str]]) -> Q:
    """The validated parameters of a request. Raises `ProblemError`."""
    lists, names = _parameters(kind)
    fields: dict[str, Any] = {}
    for name, text in given:
        if name in lists:
            fields.setdefault(name, []).append(text)
        elif name in fields:
            raise ProblemError(400, "bad-request", f"the parameter {name[:64]!r} occurs twice")
        elif name not in names:
            raise ProblemError(400, "bad-request", f"unknown parameter {name[:64]!r}")
        else:
            fields[name] = text
    try:
        query = msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        _check_moments(fields)
        raise ProblemError(400, "bad-request", requirement(str(error), kind)[:300]) from error
    except UnicodeError as error:
        raise ProblemError(400, "bad-request", "a parameter is not valid UTF-8") from error
    for name in fields:
        value = getattr(query, names[name])
        # msgspec also converts the texts `null` and `nan`.
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise ProblemError(400, "bad-request", f"invalid value for {name}")
    return query


def _check_moments(fields: dict[str, Any]) -> None:
    """Raise `ProblemError` with the valid forms of a time if a parameter is not a valid time."""
    for name in ("from", "to", "at"):
        text = fields.get(name, "0")
        if not re.fullmatch(MOMENT, text):
            raise ProblemError(
                400,
                "bad-request",
                f"{name}: {text[:64]!r} is not a time: use Unix seconds, a time with its offset"
                " (2026-11-25T10:00:00Z), or an age (-90s, -15m, -1h, -1d)",
            )


@cache  # msgspec looks up the annotations of all base classes each time
def _parameters(kind: type[Query]) -> tuple[frozenset[str], dict[str, str]]:
    """The names of the repeatable parameters, and the attribute of each parameter."""
    hints = get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    lists = (field.encode_name for field in fields if "tuple" in str(hints[field.name]))
    return frozenset(lists), {field.encode_name: field.name for field in fields}


_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_moment(text: str, name: str, now: float) -> float:
    """The Unix time of a `Moment` that matches its pattern.

    Raises `ProblemError` if it is not a valid date or before 1970.
    """
    if text.startswith("-"):
        return max(0.0, now - float(text[1:-1]) * _UNITS_S[text[-1]])
    if re.fullmatch(r"[0-9.]+", text):
        return float(text)
    try:
        ts = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise ProblemError(400, "bad-request", f"{name}: not a valid date or time") from error
    if ts < 0:
        raise ProblemError(400, "bad-request", f"{name}: a time before 1970")
    return ts
