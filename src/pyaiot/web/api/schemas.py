# SPDX-License-Identifier: BSD-3-Clause
"""The types of the responses of the HTTP API. Fields are named as in messages (`data`, `ts`)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.history.store import EventKind
from pyaiot.messages import ReceiptState

Ts = Annotated[float, Meta(description="Unix time in seconds.")]
Uid = Annotated[str, Meta(description="The node.")]
Resource = Annotated[str, Meta(description="The resource.")]
Next = Annotated[
    str | None,
    Meta(description="The `cursor` of the next page; null if there is no next page."),
]
Number = Annotated[float | None, Meta(description="The number; absent if the reading has none.")]
Unit = Annotated[str, Meta(description="SenML name of the unit; absent if there is none.")]


C = TypeVar("C", bound=type)


def schema_name(name: str) -> Callable[[C], C]:
    """The class has this name in the OpenAPI document, which generated clients rely on."""

    def rename(cls: C) -> C:
        cls.__name__ = name
        return cls

    return rename


class _Response(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


@schema_name("Info")
class BrokerInfo(_Response, frozen=True, kw_only=True):
    """This broker."""

    title: Annotated[str, Meta(description="Title of the dashboard.")]
    version: Annotated[str, Meta(description="Version of Pyaiot.")]
    history: Annotated[bool, Meta(description="Whether there is a history to query.")]
    may_command: Annotated[bool, Meta(description="Whether the client may write to resources.")]
    nodes: Annotated[int, Meta(description="Number of online nodes.")]
    gateways: Annotated[int, Meta(description="Number of connected gateways.")]


@schema_name("Gateway")
class GatewayInfo(_Response, frozen=True, kw_only=True):
    """A connected gateway."""

    name: Annotated[
        str, Meta(description="The name that the gateway gave itself; `legacy` if none.")
    ]
    protocol: Annotated[str, Meta(description="The protocol of its nodes.")]
    version: Annotated[str, Meta(description="Version of its software.")]
    ignored: Annotated[
        int, Meta(description="Messages of devices on topics that belong to no node.")
    ]
    ignored_topic: Annotated[
        str, Meta(description="The topic of the last of these, shortened; empty if there is none.")
    ]


class Gateways(_Response, frozen=True, kw_only=True):
    """The connected gateways."""

    gateways: list[GatewayInfo]


class LatestReading(_Response, frozen=True, kw_only=True, omit_defaults=True):
    """A resource of a node and its latest reading."""

    name: Resource
    data: Annotated[Any, Meta(description="The value as the device sent it.")]
    value: Number = None
    unit: Unit = ""
    retained: Annotated[
        bool,
        Meta(description="A stored value: its age is unknown, and `ts` is 0."),
    ] = False
    ts: Ts


@schema_name("Node")
class NodeState(_Response, frozen=True, kw_only=True):
    """An online node."""

    uid: Uid
    gateway: Annotated[str, Meta(description="Name of its gateway.")]
    ts: Annotated[float, Meta(description="When it came online, in Unix seconds; 0: unknown.")]
    resources: list[LatestReading]


@schema_name("Nodes")
class NodesPage(_Response, frozen=True, kw_only=True):
    """A page of the online nodes, in the order in which they came online."""

    nodes: list[NodeState]
    next: Next


CommandState: TypeAlias = ReceiptState | Literal["pending"]


@schema_name("Command")
class CommandStatus(_Response, frozen=True, kw_only=True):
    """A command and its state."""

    id: Annotated[str, Meta(description="Its id below `/api/commands`.")]
    uid: Uid
    resource: Resource
    state: Annotated[CommandState, Meta(description="`pending`, or the state in the receipt.")]
    detail: Annotated[str, Meta(description="The response code of the node, or a reason.")] = ""
    elapsed_ms: Annotated[
        float, Meta(description="Milliseconds from the command to its receipt.")
    ] = 0.0
    ts: Annotated[float, Meta(description="When it was issued, in Unix seconds.")]


class StoredReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A recorded reading, or an aggregated step.

    A reading has either `value` or `data`. A step has its begin in `ts`, and the aggregates of its
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


class Readings(_Response, frozen=True, kw_only=True):
    """Readings or steps of one resource, by time."""

    uid: Uid
    resource: Resource
    readings: list[StoredReading]
    next: Next


class ExportedReading(_Response, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an export as NDJSON."""

    uid: Uid
    resource: Resource
    ts: Ts
    value: Number = None
    unit: Unit = ""
    data: Annotated[Any, Meta(description="The value, if it is not a number.")] = UNSET


class StoredEvent(_Response, frozen=True, kw_only=True):
    """An event of a node, a gateway or the history itself."""

    ts: Ts
    kind: Annotated[EventKind, Meta(description="Kind of the event.")]
    uid: Annotated[str, Meta(description="The node; empty if the event concerns none.")]
    gateway: Annotated[str, Meta(description="The gateway; empty if the event concerns none.")]
    detail: Annotated[str, Meta(description="The reason as text.")]
    until: Annotated[float | None, Meta(description="The end of a gap, in Unix seconds.")]
    lost: Annotated[int, Meta(description="The number of messages lost in a gap.")]


class Events(_Response, frozen=True, kw_only=True):
    """Events, by time."""

    events: list[StoredEvent]
    next: Next


class StoredCommand(_Response, frozen=True, kw_only=True):
    """A recorded command of any client, and its receipt."""

    ts: Ts
    uid: Uid
    resource: Resource
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


class StoredCommands(_Response, frozen=True, kw_only=True):
    """Commands, by time."""

    commands: list[StoredCommand]
    next: Next
