# SPDX-License-Identifier: BSD-3-Clause
"""What the HTTP API answers, as types. Names are those of the messages (`data`, `value`, `ts`)."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.history.store import EventKind
from pyaiot.messages import ReceiptState

Ts = Annotated[float, Meta(description="Unix time in seconds.")]
Uid = Annotated[str, Meta(description="The node.")]
Resource = Annotated[str, Meta(description="The resource.")]
Next = Annotated[
    str | None,
    Meta(description="The `cursor` of the next page; null if there is none now."),
]
Number = Annotated[float | None, Meta(description="The number; absent if the reading states none.")]
Unit = Annotated[str, Meta(description="Unit of the number, by its SenML name; absent if none.")]


class _Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class Info(_Answer, frozen=True, kw_only=True):
    """This broker."""

    title: Annotated[str, Meta(description="Title of the page.")]
    version: Annotated[str, Meta(description="Version of Pyaiot.")]
    history: Annotated[bool, Meta(description="Whether readings are kept and can be asked for.")]
    may_command: Annotated[bool, Meta(description="Whether you may write to resources.")]
    nodes: Annotated[int, Meta(description="Nodes that are there now.")]
    gateways: Annotated[int, Meta(description="Gateways that are connected now.")]


class Gateway(_Answer, frozen=True, kw_only=True):
    """A gateway that is connected."""

    name: Annotated[str, Meta(description="As it calls itself; `legacy` if it does not.")]
    protocol: Annotated[str, Meta(description="What its nodes speak.")]
    version: Annotated[str, Meta(description="Version of its program.")]
    ignored: Annotated[
        int, Meta(description="Messages that devices published under topics of no node.")
    ]
    ignored_topic: Annotated[
        str, Meta(description="The topic of the last of these, cut; empty if there is none.")
    ]


class Gateways(_Answer, frozen=True, kw_only=True):
    """The gateways that are connected now."""

    gateways: list[Gateway]


class LatestReading(_Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A resource of a node and the latest that was heard of it."""

    name: Resource
    data: Annotated[Any, Meta(description="As the device sent it.")]
    value: Number = None
    unit: Unit = ""
    retained: Annotated[
        bool,
        Meta(description="A broker of the protocol retained it; its age is unknown and `ts` is 0."),
    ] = False
    ts: Ts


class Node(_Answer, frozen=True, kw_only=True):
    """A node that is there."""

    uid: Uid
    gateway: Annotated[str, Meta(description="Name of the gateway that has it.")]
    ts: Annotated[float, Meta(description="When it appeared, in Unix seconds; 0: unknown.")]
    resources: list[LatestReading]


class Nodes(_Answer, frozen=True, kw_only=True):
    """A page of the nodes that are there, in the order in which they appeared."""

    nodes: list[Node]
    next: Next


CommandState: TypeAlias = ReceiptState | Literal["pending"]


class Command(_Answer, frozen=True, kw_only=True):
    """A command and what became of it."""

    id: Annotated[str, Meta(description="Its name below `/api/commands`.")]
    uid: Uid
    resource: Resource
    state: Annotated[CommandState, Meta(description="`pending`, or what the receipt says.")]
    detail: Annotated[str, Meta(description="The node's code, or a reason.")] = ""
    elapsed_ms: Annotated[
        float, Meta(description="Milliseconds from the command to its receipt.")
    ] = 0.0
    ts: Annotated[float, Meta(description="When it was given, in Unix seconds.")]


class StoredReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One reading that was kept, or one step of many.

    A reading has either `value` or `data`. A step has its begin in `ts` and, where they were asked
    for, what became of the numbers in it.
    """

    ts: Ts
    value: Number = None
    unit: Unit = ""
    data: Annotated[Any, Meta(description="What was sent, where it was no number.")] = UNSET
    min: float | UnsetType = UNSET
    mean: float | UnsetType = UNSET
    max: float | UnsetType = UNSET
    last: float | UnsetType = UNSET
    count: int | UnsetType = UNSET


class Readings(_Answer, frozen=True, kw_only=True):
    """Readings or steps of one resource, by time."""

    uid: Uid
    resource: Resource
    readings: list[StoredReading]
    next: Next


class ExportedReading(_Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A line of an export as NDJSON."""

    uid: Uid
    resource: Resource
    ts: Ts
    value: Number = None
    unit: Unit = ""
    data: Annotated[Any, Meta(description="What was sent, where it was no number.")] = UNSET


class Event(_Answer, frozen=True, kw_only=True):
    """Something that happened to a node, to a gateway, or to the history itself."""

    ts: Ts
    kind: Annotated[EventKind, Meta(description="What happened.")]
    uid: Annotated[str, Meta(description="The node; empty if it is about none.")]
    gateway: Annotated[str, Meta(description="The gateway; empty if it is about none.")]
    detail: Annotated[str, Meta(description="The reason, for people.")]
    until: Annotated[float | None, Meta(description="Of a gap: its end, in Unix seconds.")]
    lost: Annotated[int, Meta(description="Of a gap: messages that were not kept.")]


class Events(_Answer, frozen=True, kw_only=True):
    """What happened, by time."""

    events: list[Event]
    next: Next


class StoredCommand(_Answer, frozen=True, kw_only=True):
    """A command that was given by whomever, and its receipt."""

    ts: Ts
    uid: Uid
    resource: Resource
    payload: Annotated[
        str | None,
        Meta(description="What was to be written; null for who may look and not command."),
    ]
    state: Annotated[
        ReceiptState | None, Meta(description="What the receipt says; null: none is known.")
    ]
    detail: Annotated[str, Meta(description="The node's code, or a reason.")]
    elapsed_ms: Annotated[
        float | None, Meta(description="Milliseconds from the command to its receipt.")
    ]


class StoredCommands(_Answer, frozen=True, kw_only=True):
    """Commands, by time."""

    commands: list[StoredCommand]
    next: Next
