# SPDX-License-Identifier: BSD-3-Clause
"""The types of the responses of the HTTP API. Fields are named as in messages (`data`, `ts`)."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.accounts.roles import Role
from pyaiot.messages import COMMAND_TIMEOUT_MAX_S, Name, ReceiptState, ResourceName
from pyaiot.model import ResourceType
from pyaiot.registry.record import (
    Edit,
    Interval,
    Label,
    Latitude,
    Longitude,
    NodeState,
    Notes,
    OfflineAfter,
    Room,
    Tags,
)
from pyaiot.registry.resource_types import PeopleTypes
from pyaiot.web.client_access import ClientKind

REGISTRATIONS_MAX: Final = 1000
"""Largest number of nodes of one registration."""

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
    """The name of the class in the OpenAPI document, which generated clients rely on."""

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
    history: Annotated[bool, Meta(description="Whether the broker has a history.")]
    history_problem: Annotated[
        str,
        Meta(
            description="Why nothing is recorded now; empty if it is, and for clients that may not"
            " write to resources."
        ),
    ]
    may_command: Annotated[bool, Meta(description="Whether the client may write to resources.")]
    may_add_devices: Annotated[
        bool, Meta(description="Whether the client may give devices credentials.")
    ]
    access: Annotated[
        ClientKind,
        Meta(
            description="How the client has access: `session`, `token`, `anonymous`, or `local`"
            " where nobody signs in."
        ),
    ]
    role: Annotated[Role, Meta(description="The role of the client.")]
    user: Annotated[str, Meta(description="Name of its user or token; empty if it has none.")]
    scope: Annotated[str, Meta(description="Its scope, for people; empty: all nodes.")]
    scope_tags: Annotated[tuple[str, ...], Meta(description="The tags of its scope.")]
    scope_gateways: Annotated[tuple[str, ...], Meta(description="The gateways of its scope.")]
    nodes: Annotated[int, Meta(description="Number of online nodes.")]
    registered: Annotated[int, Meta(description="Number of nodes in the registry.")]
    waiting: Annotated[int, Meta(description="Number of new nodes that wait for approval.")]
    gateways: Annotated[int, Meta(description="Number of connected gateways.")]
    clients: Annotated[int, Meta(description="Number of connected clients: dashboards, programs.")]
    clients_behind: Annotated[int, Meta(description="Clients for which messages wait.")]
    messages: Annotated[int, Meta(description="Messages for all clients since the start.")]


@schema_name("Gateway")
class GatewayInfo(_Response, frozen=True, kw_only=True):
    """A connected gateway."""

    name: Annotated[str, Meta(description="Name of the gateway; `legacy` if it did not send one.")]
    protocol: Annotated[str, Meta(description="The protocol of its nodes.")]
    version: Annotated[str, Meta(description="Version of its software.")]
    broker: Annotated[str, Meta(description="Its broker in the cluster; empty: this one.")]
    readings: Annotated[int, Meta(description="Readings since its link was opened.")]
    ignored: Annotated[
        int, Meta(description="Messages of devices on topics that belong to no node.")
    ]
    ignored_topic: Annotated[
        str, Meta(description="The topic of the last one, shortened; empty if there is none.")
    ]
    ignored_topics: Annotated[
        list[str], Meta(description="The latest distinct topics of these, the newest last.")
    ]
    refused: Annotated[
        int, Meta(description="Connections of clients that were refused; repeated ones count.")
    ]
    refusal: Annotated[
        str, Meta(description="The latest of these and the reason; empty if there was none.")
    ]
    messages_refused: Annotated[int, Meta(description="Messages of devices that it refused.")]
    refusals: Annotated[
        list[str],
        Meta(
            description="What was refused, from where and why: the last different ones, the last"
            " one at the end."
        ),
    ]
    refusal_times: Annotated[
        list[float],
        Meta(description="Unix time in seconds of each of `refusals`; empty if unknown."),
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
        Meta(description="A retained value: its age is unknown, and `ts` is 0."),
    ] = False
    ts: Ts


@schema_name("Node")
class NodeInfo(_Response, frozen=True, kw_only=True):
    """A node of the registry."""

    uid: Uid
    state: Annotated[
        NodeState,
        Meta(
            description="`waiting`: a new node that nobody has accepted. `banned`: its messages"
            " are refused."
        ),
    ]
    label: Label
    room: Room
    latitude: Latitude | None
    longitude: Longitude | None
    tags: Tags
    notes: Notes
    interval_s: Interval
    offline_after_s: OfflineAfter
    types: PeopleTypes
    revision: Annotated[
        int,
        Meta(
            description="Incremented by each edit. The `ETag` of the node begins with it:"
            " `If-Match` compares only this part."
        ),
    ]
    protocol: Annotated[str, Meta(description="Protocol of its gateway; empty if unknown.")]
    gateway: Annotated[str, Meta(description="Name of its gateway, or of its last one.")]
    ts: Annotated[
        float,
        Meta(description="When it came online, in Unix seconds; 0: offline or unknown."),
    ]
    first_seen: Annotated[
        float, Meta(description="Unix seconds; 0: registered by people, never seen.")
    ]
    last_seen: Annotated[float, Meta(description="Unix seconds; 0: never.")]
    boots: Annotated[int, Meta(description="Number of reported reboots.")]
    reason: Annotated[
        str,
        Meta(description="Why it is offline: the reason of its `out` message; empty if unknown."),
    ]
    resources: Annotated[
        list[LatestReading],
        Meta(description="Latest values; for an offline node, the last ones."),
    ]
    resource_types: Annotated[
        dict[str, ResourceType] | UnsetType,
        Meta(description="Types of the resources, by name. Absent in pages of nodes."),
    ] = UNSET


@schema_name("Nodes")
class NodesPage(_Response, frozen=True, kw_only=True):
    """A page of nodes, in the order in which they were first seen."""

    nodes: list[NodeInfo]
    next: Next


class NodeRegistration(Edit, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node to register, with what people add to it."""

    uid: Annotated[Name, Meta(description="The node. It may never have been seen.")]


class Registrations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to register or to edit: all or none."""

    nodes: Annotated[tuple[NodeRegistration, ...], Meta(max_length=REGISTRATIONS_MAX)]


class ChangedNodes(_Response, frozen=True, kw_only=True):
    """The nodes that a request changed."""

    uids: Annotated[list[str], Meta(description="The nodes, by uid.")]


class CommandForMany(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to several nodes."""

    resource: Annotated[ResourceName, Meta(description="The resource to write.")]
    payload: Annotated[str, Meta(description="The value to write: text of at most 64 kB.")]
    timeout: Annotated[
        float,
        Meta(gt=0, le=COMMAND_TIMEOUT_MAX_S, description="Timeout of each command in seconds."),
    ] = 5.0


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


class CommandStatuses(_Response, frozen=True, kw_only=True):
    """The commands to several nodes, each with its final state."""

    commands: list[CommandStatus]


class AuditRecord(_Response, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the audit log."""

    ts: Ts
    action: Annotated[
        str,
        Meta(
            description="`command`, `sign-in`, `sign-out`, `gateway-connect`,"
            " `gateway-disconnect`, the name of an operation that changes something, such as"
            " `edit`, or of a command line, such as `token-add`."
        ),
    ]
    who: Annotated[
        str,
        Meta(
            description="`user:NAME`, `token:NAME`, `gateway:NAME`, `invitation:ID`,"
            " `rule:ID`, `homeassistant`, `anonymous`, or `local`: somebody on the machine of the"
            " broker."
        ),
    ]
    address: Annotated[
        str, Meta(description="IP address, or `command line`; absent: a part of the broker.")
    ] = msgspec.field(name="from", default="")
    result: Annotated[
        str,
        Meta(description="`ok`, `refused` or `failed`; of a command, the state of its receipt."),
    ]
    uids: Annotated[tuple[str, ...], Meta(description="The nodes.")] = ()
    resource: Annotated[str, Meta(description="The resource of a command.")] = ""
    detail: Annotated[str, Meta(description="Details, never a secret or a payload.")] = ""
    suppressed: Annotated[
        int,
        Meta(description="Number of refused attempts before this one without an entry."),
    ] = 0


class AuditPage(_Response, frozen=True, kw_only=True):
    """Entries of the audit log, the newest first."""

    entries: list[AuditRecord]
    next: Next


class DeviceProtocol(_Response, frozen=True, kw_only=True):
    """A protocol in which devices connect to this process."""

    name: Annotated[str, Meta(description="Its name in `protocol`.")]
    title: Annotated[str, Meta(description="The name that people see.")]
    has_credentials: Annotated[
        bool,
        Meta(description="Whether devices can authenticate. If not, no credential is created."),
    ]


class DeviceEntry(_Response, frozen=True, kw_only=True):
    """A device with credentials."""

    uid: str
    protocols: Annotated[tuple[str, ...], Meta(description="Protocols of its credentials.")]
    created_at: Annotated[float, Meta(description="When the latest was created, in Unix seconds.")]


class Devices(_Response, frozen=True, kw_only=True):
    """The devices with credentials, and the protocols in which one can be added."""

    is_here: Annotated[
        bool,
        Meta(
            description="Whether gateways run in this process. If not, run `aiot device add` on"
            " their machines."
        ),
    ]
    protocols: list[DeviceProtocol]
    devices: list[DeviceEntry]


SummaryLanguage: TypeAlias = Literal["en", "fr", "de"]


class NewDeviceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device that gets a credential."""

    uid: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$",
            description="Its uid: letters, digits and `.`, `_`, `:`, `-`.",
        ),
    ]
    protocol: Annotated[str, Meta(description="One of the protocols of `GET /api/devices`.")]
    language: Annotated[SummaryLanguage, Meta(description="Of the `summary`.")] = "en"


class DeviceSnippet(_Response, frozen=True, kw_only=True):
    """What to paste into a device or a program."""

    board: Annotated[str, Meta(description="`riot`, `micropython`, `arduino` or `shell`.")]
    text: str


class NewDeviceCredential(_Response, frozen=True, kw_only=True):
    """A credential that was made. Its secret is shown only here."""

    uid: str
    protocol: str
    summary: Annotated[str, Meta(description="Where the device connects, with the secret.")]
    secret: Annotated[str, Meta(description="Empty: the protocol has no credentials.")]
    snippets: list[DeviceSnippet]
    is_local_only: Annotated[
        bool, Meta(description="The listener accepts only devices on this machine.")
    ]
