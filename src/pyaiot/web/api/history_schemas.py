# SPDX-License-Identifier: BSD-3-Clause
"""The types of the responses of the history."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.history.store import EventKind
from pyaiot.messages import ReceiptState
from pyaiot.web.api.schemas import LatestReading, Next, Number, Resource, Ts, Uid, Unit


class StoredReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A recorded reading, or an aggregated step.

    A reading has either `value` or `data`. A step has its start in `ts`, and the aggregates of its
    numbers if several were requested.
    """

    ts: Ts
    value: Number = None
    unit: Unit = ""
    data: Annotated[Any, Meta(description="The value, if it is not a number.")] = UNSET
    min: float | UnsetType = UNSET
    mean: float | UnsetType = UNSET
    max: float | UnsetType = UNSET
    last: float | UnsetType = UNSET
    count: int | UnsetType = UNSET


class Readings(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """Readings or steps of one resource, by time."""

    uid: Uid
    resource: Resource
    readings: list[StoredReading]
    next: Next


class ExportedReading(msgspec.Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an export as NDJSON."""

    uid: Uid
    resource: Resource
    ts: Ts
    value: Number = None
    unit: Unit = ""
    data: Annotated[Any, Meta(description="The value, if it is not a number.")] = UNSET


class StoredEvent(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """An event of a node, a gateway or the history itself."""

    ts: Ts
    kind: Annotated[EventKind, Meta(description="Kind of the event.")]
    uid: Annotated[str, Meta(description="The node; empty if the event concerns none.")]
    gateway: Annotated[str, Meta(description="The gateway; empty if the event concerns none.")]
    detail: Annotated[str, Meta(description="The reason as text.")]
    until: Annotated[float | None, Meta(description="The end of a gap, in Unix seconds.")]
    lost: Annotated[int, Meta(description="The number of messages lost in a gap.")]


class Events(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """Events, by time."""

    events: list[StoredEvent]
    next: Next


class PastNode(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A node at a past time."""

    uid: Uid
    state: Annotated[
        Literal["online", "offline"] | None,
        Meta(description="Null: the history has no earlier event of the node."),
    ]
    since: Annotated[float, Meta(description="Since when, in Unix seconds; 0: unknown.")]
    reason: Annotated[str, Meta(description="Why it is offline; otherwise empty.")]
    resources: Annotated[
        list[LatestReading],
        Meta(description="The last reading of each resource before that time, by resource name."),
    ]


class PastState(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """The nodes at a past time, by uid. A node whose readings fill two pages is on both."""

    ts: Ts
    was_recorded: Annotated[
        bool,
        Meta(
            description="False: nothing was recorded then, because the broker was stopped. The"
            " values and states are of the time before."
        ),
    ]
    nodes: list[PastNode]
    next: Next


class StoredCommand(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A recorded command of any client, and its receipt."""

    ts: Ts
    uid: Uid
    resource: Resource
    who: Annotated[
        str | None,
        Meta(
            description="Who issued it, as in the audit log: `user:NAME`, `token:NAME`, `local`;"
            " empty: unknown; null if the client may not write to resources."
        ),
    ]
    payload: Annotated[
        str | None,
        Meta(description="The written value; null if the client may not write to resources."),
    ]
    state: Annotated[
        ReceiptState | None,
        Meta(description="The state in the receipt; null if no receipt is known."),
    ]
    detail: Annotated[str, Meta(description="The response code of the node, or a reason.")]
    elapsed_ms: Annotated[
        float | None, Meta(description="Milliseconds from the command to its receipt.")
    ]


class StoredCommands(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """Commands, by time."""

    commands: list[StoredCommand]
    next: Next
