# SPDX-License-Identifier: BSD-3-Clause
"""The types of the messages between gateways, broker and clients, and the limits of their fields.
The wire keeps historic names (`endpoint`, `value`); the code has those of the glossary."""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.messages.limits import (
    COMMAND_TIMEOUT_MAX_S,
    IGNORED_TOPICS_MAX,
    NAME_LENGTH_MAX,
    READINGS_OF_MAX,
    REFUSALS_MAX,
    TYPES_MAX,
    LeftReason,
    Name,
    ReceiptState,
    RefusalText,
    ResourceName,
    Topic,
    Uid,
    UnixTime,
)
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import MAPPINGS_MAX, TopicMapping
from pyaiot.readings import INTEGER_MAX, TEXT_LENGTH_MAX, read_quantity, read_text

SUBPROTOCOL: Final = "pyaiot.v2"

_INTEGER_BITS: Final = 256
"""An integer of more bits is not an identifier, and `check` refuses it."""


class _Message(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", kw_only=True
):
    pass


class Join(_Message, frozen=True, kw_only=True, tag="new"):
    """A client requests the current state. It may repeat the request."""

    data: Literal["client"]
    """Historic. It distinguishes this message from the `new` of a node."""
    registry: bool = False
    """Also send `node` and `forgotten`: the registry, offline nodes included, now and later."""


class Subscription(_Message, frozen=True, kw_only=True, tag="subscribe"):
    """A client filters what it gets from now on. An absent list means all."""

    uids: Annotated[tuple[Name, ...], Meta(max_length=10_000)] | None = None
    """The nodes to send messages of. Messages of no node, such as `gateway`, are always sent."""
    resources: Annotated[tuple[Name, ...], Meta(max_length=256)] | None = msgspec.field(
        name="endpoints", default=None
    )
    """The resources whose readings to send. `new`, `reset` and `out` are always sent."""
    tags: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)] | None = None
    """Only nodes with one of these tags. As tags change, nodes appear or are sent as `out`."""
    gateways: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)] | None = None
    """Only nodes of gateways with one of these names."""
    readings_of: Annotated[tuple[Name, ...], Meta(max_length=READINGS_OF_MAX)] | None = None
    """Readings of these nodes only; `seen` names every 5 s all nodes that sent some. The latest of
    nodes that are added are sent at once; the answer to `new` has those of all nodes."""
    readings_named: Annotated[tuple[Name, ...], Meta(max_length=256)] | None = None
    """Besides those of `readings_of`, readings of these resources, of any node."""


class Command(_Message, frozen=True, kw_only=True, tag="command"):
    """A request to write a resource. It ends in exactly one receipt with the same `id`."""

    id: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Any text that identifies the receipt. Towards the gateway, the broker uses its own."""
    uid: Uid
    resource: ResourceName = msgspec.field(name="endpoint")
    payload: str
    """The text to write, at most 64 kB as UTF-8."""
    timeout_s: Annotated[float, Meta(gt=0, le=COMMAND_TIMEOUT_MAX_S)] = msgspec.field(
        name="timeout", default=5.0
    )
    """Seconds within which the node must answer. Nothing is sent to the node after that."""
    not_after: float | None = None
    """To a gateway that sends its `clock`: when the command expires, in seconds of that clock. A
    command that arrives later is not sent to the node. The broker sets it."""
    client: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = msgspec.field(name="src", default="")
    """The client that issued the command. The broker sets it, whatever the client sent."""


class Receipt(_Message, frozen=True, kw_only=True, tag="receipt"):
    """The final state of a command."""

    id: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
    """The `id` of the command."""
    state: ReceiptState
    """`confirmed`: the node confirmed it or reported the new value. `refused`: the node refused it.
    `timeout`: no answer in time, the outcome is unknown. `unreachable`: the network or the gateway
    failed. `unknown`: no such node. `forbidden`: the broker refused it. `sent`: it was sent through
    a gateway without receipts, and the node did not report the new value in time."""
    detail: Annotated[str, Meta(max_length=256)] = ""
    """For people: the response code of the node, or the reason."""
    elapsed_ms: float = 0.0
    """Milliseconds from the command to its receipt, measured by the sender of the receipt."""


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """The first message of a gateway, and of the broker to a client: it identifies the sender."""

    name: Name
    """Name of the gateway, for people; `broker` from the broker."""
    protocol: Name
    """The protocol of its nodes, for example `CoAP`; `pyaiot.v2` from the broker."""
    version: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Version of the sending program."""
    accepts_rules: bool = False
    """Of a gateway: the broker may send it `rules`."""
    accepts_mappings: bool = False
    """Of a gateway: the broker may send it `mappings`."""
    instance: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Of a gateway: random for each process. A new link of the same instance replaces the old."""
    group: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Of a gateway: those of a group share nodes. The last one that reports a node has it."""
    clock: float | None = None
    """Of a gateway: its monotonic clock in seconds, for the field `not_after` of commands."""


class GatewayState(_Message, frozen=True, kw_only=True, tag="gateway"):
    """The link of a gateway to the broker is up or lost."""

    name: Name
    """As in its `hello`; `legacy` if it sent none."""
    protocol: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """As in its `hello`."""
    version: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """As in its `hello`."""
    state: Literal["connected", "lost"]
    """Whether its link to the broker is up."""
    ts: UnixTime = 0.0


class Ignored(_Message, frozen=True, kw_only=True, tag="ignored"):
    """What a gateway did not take: messages on topics of no node, refused clients and messages."""

    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the gateway. Set by the broker."""
    count: Annotated[int, Meta(ge=0, le=2**53)]
    """Number of ignored messages since the gateway started."""
    topic: Topic
    """Topic of the latest one, truncated."""
    topics: Annotated[tuple[Topic, ...], Meta(max_length=IGNORED_TOPICS_MAX)] = ()
    """The latest different topics, truncated, the latest last."""
    ts: UnixTime = 0.0
    """Unix time in seconds of the latest one."""
    refused: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Number of times that the embedded MQTT broker refused a client since the gateway started."""
    refusal: RefusalText = ""
    """Which client was refused last, and why, truncated; empty if none was."""
    messages_refused: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Number of messages of devices that the gateway refused since it started."""
    refusals: Annotated[tuple[RefusalText, ...], Meta(max_length=REFUSALS_MAX)] = ()
    """What was refused, from where and why: the latest different texts, the latest last."""
    refusal_times: Annotated[tuple[UnixTime, ...], Meta(max_length=REFUSALS_MAX)] = ()
    """Unix time in seconds of each of `refusals`; empty if unknown."""


class NodeAppeared(_Message, frozen=True, kw_only=True, tag="new"):
    """A node is online. Repeated for a known node, it changes nothing."""

    uid: Uid
    ts: UnixTime = 0.0
    """Unix time in seconds at which the node was first seen; 0 if unknown."""
    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the gateway that has the node. Set by the broker."""
    secured: bool = False
    """The node proved its uid with a credential. The broker refuses it to nodes without one."""


class Reading(_Message, frozen=True, kw_only=True, tag="update"):
    """A value of a resource, with `value` and `unit` if it is a number (SenML units)."""

    uid: Uid
    resource: ResourceName = msgspec.field(name="endpoint")
    data: Any
    """As the device sent it: most often text, else any JSON value."""
    ts: UnixTime = 0.0
    """Unix time in seconds at which the gateway received it; 0 if unknown."""
    retained: bool = False
    """An MQTT broker retained the value. Its time is unknown: `ts` is 0. It is not recorded."""
    number: float | None = msgspec.field(name="value", default=None)
    """The number in `data`; absent if `data` is not a number."""
    unit: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Unit of the number, by its SenML name: `Cel`, `hPa`, `%RH`; absent if there is none."""

    @classmethod
    def received(cls, uid: str, resource: str, data: object, ts: float) -> "Reading":
        """A reading as a device sent it, with the number and unit of its text.

        An integer that a double cannot represent becomes text: other readers of JSON round it.
        """
        if type(data) is int and abs(data) > INTEGER_MAX and data.bit_length() <= _INTEGER_BITS:
            data = str(data)
        if type(data) is str and len(data) <= TEXT_LENGTH_MAX:
            data, quantity = read_text(data, resource)
        else:
            quantity = read_quantity(data, resource)
        if quantity is None:
            return cls(uid=uid, resource=resource, data=data, ts=ts)
        number, unit = quantity.number, quantity.unit
        return cls(uid=uid, resource=resource, data=data, ts=ts, number=number, unit=unit)


class NodeReset(_Message, frozen=True, kw_only=True, tag="reset"):
    """The node rebooted: its earlier values are no longer valid."""

    uid: Uid
    ts: UnixTime = 0.0


class NodeLeft(_Message, frozen=True, kw_only=True, tag="out"):
    """The node is offline, or its state is unknown (`gateway lost`)."""

    uid: Uid
    ts: UnixTime = 0.0
    reason: LeftReason = "left"
    """`silent`: nothing was received for the offline timeout. `left`: its gateway reported it."""
    unsecured: bool = False
    """From a gateway: the credential of the node was removed, so that the uid is free again for
    nodes without one. The broker heeds it from the gateway that had the node last."""


class NodeDescribed(_Message, frozen=True, kw_only=True, tag="describe"):
    """What resources of a node are. From a gateway: by metadata of the device or the attributes of
    its links, sent once and when it changes. To clients that joined with `registry`: all that is
    known, for resources of which a reading does not show as much.
    """

    uid: Uid
    types: Annotated[dict[ResourceName, ResourceType], Meta(max_length=TYPES_MAX)]
    """Types by resource. An empty type removes it; a resource that is absent keeps its type."""
    complete: bool = False
    """Other resources of the node are described no more."""


class LastValue(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """The last value of a resource of an offline node, with the fields of its reading."""

    resource: ResourceName = msgspec.field(name="endpoint")
    data: Any
    ts: UnixTime = 0.0
    """Unix time in seconds at which the gateway received it; 0 if unknown."""
    retained: bool = False
    number: float | None = msgspec.field(name="value", default=None)
    unit: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""

    @classmethod
    def of(cls, reading: Reading) -> "LastValue":
        return cls(
            resource=reading.resource,
            data=reading.data,
            ts=reading.ts,
            retained=reading.retained,
            number=reading.number,
            unit=reading.unit,
        )


class RegisteredNode(_Message, frozen=True, kw_only=True, tag="node"):
    """What the registry has of a node. Sent to clients that joined with `registry`."""

    uid: Uid
    state: Literal["online", "offline", "waiting", "banned"]
    """`waiting`: a newcomer that nobody has accepted. `banned`: its messages are refused."""
    protocol: str = ""
    """Protocol of that gateway."""
    gateway: str = ""
    """Name of the gateway that has it, or had it last."""
    first_seen: UnixTime = 0.0
    """Unix time in seconds; 0: never seen, people added it."""
    last_seen: UnixTime = 0.0
    """Unix time in seconds; 0: never. While a node is online, its readings are newer."""
    boots: int = 0
    """Reboots that were reported."""
    reason: str = ""
    """Why it is offline, as in `out`; empty if unknown."""
    revision: int = 0
    """Incremented with each edit."""
    label: str = ""
    """Name that people gave it; empty if none."""
    room: str = ""
    """Where it is; empty if unset."""
    latitude: float | None = None
    """Degrees north; absent if unset."""
    longitude: float | None = None
    """Degrees east; absent if unset."""
    tags: tuple[str, ...] = ()
    """Tags that people gave it, in order."""
    notes: str = ""
    """Notes of people."""
    interval_s: float = msgspec.field(name="interval", default=0.0)
    """Seconds between two readings, as people expect them; 0: unknown."""
    offline_after_s: float = msgspec.field(name="offline_after", default=0.0)
    """Offline timeout of this node in seconds; 0: that of its gateway."""
    types: Annotated[dict[Name, ResourceType], Meta(max_length=TYPES_MAX)] = {}
    """Types that people gave to resources, by name. `describe` has all that is known of them."""
    values: tuple[LastValue, ...] = ()
    """Last values of an offline or waiting node."""


class NodeForgotten(_Message, frozen=True, kw_only=True, tag="forgotten"):
    """A node was removed from the registry. Sent to clients that joined with `registry`."""

    uid: Uid


class AlertsChanged(_Message, frozen=True, kw_only=True, tag="alerts"):
    """Alerts or rules changed: query them again. To clients with `registry`, once a second."""

    version: Annotated[int, Meta(ge=0, le=2**53)]
    """Incremented with each change, until the broker restarts."""


class ViewsChanged(_Message, frozen=True, kw_only=True, tag="views"):
    """Saved views changed: query them again. Sent to clients that joined with `registry`."""

    version: Annotated[int, Meta(ge=0, le=2**53)]
    """Incremented with each change, until the broker restarts."""


class NodeRules(_Message, frozen=True, kw_only=True, tag="rules"):
    """To the gateway of a node: what people decided about it."""

    uid: Uid
    offline_after_s: float = msgspec.field(name="offline_after", default=0.0)
    """Offline timeout of this node in seconds; 0: that of the gateway."""
    banned: bool = False
    """Remove the node, and refuse its messages."""


class TopicMappings(_Message, frozen=True, kw_only=True, tag="mappings"):
    """To a gateway of MQTT: all mappings of plain topics that people saved. They replace those of
    the last such message.
    """

    mappings: Annotated[tuple[TopicMapping, ...], Meta(max_length=MAPPINGS_MAX)]
    """In the order in which a topic is compared with them."""


class NodesSeen(_Message, frozen=True, kw_only=True, tag="seen"):
    """Nodes with a sign of life since the last `seen`: without a reading from a gateway, with one
    from the broker to a client with `readings_of` or `readings_named`."""

    uids: Annotated[tuple[Name, ...], Meta(max_length=1000)]
    """The nodes."""
    ts: UnixTime = 0.0


class UidsSecured(_Message, frozen=True, kw_only=True, tag="secured"):
    """Uids for which a gateway has credentials of devices. The broker refuses them to nodes without
    one at all gateways, also while the device or the gateway is not connected.

    A gateway sends all of them on each link, in several messages if necessary, and new ones later.
    `unsecured` of `out` ends it for one uid.
    """

    uids: Annotated[tuple[Name, ...], Meta(max_length=1000)]
    """The uids."""
    follows: bool = False
    """These are further ones. False: the broker forgets those of earlier messages."""


class Joined(_Message, frozen=True, kw_only=True, tag="joined"):
    """The answer to the `new` of a client is complete."""

    nodes: int
    """Number of online nodes."""
    ts: UnixTime = 0.0


class Problem(_Message, frozen=True, kw_only=True, tag="error"):
    """A message of the peer was refused. Its other messages are still accepted."""

    detail: Annotated[str, Meta(max_length=256)]
    """For people: what was invalid or not allowed."""
    uid: str = ""
    """The node of the refused message."""
    owner: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """To a gateway: the owner of the node, if that is the reason. It may be claimed later."""


class Checkpoint(_Message, frozen=True, kw_only=True, tag="checkpoint"):
    """A gateway requests confirmation of what it sent before. The broker returns the message a
    second later, when a broker that is killed no longer loses that. What was not confirmed is sent
    again on the next link.
    """

    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """Chosen by the gateway. Only the latest one is returned."""
    clock: float | None = None
    """As in `hello`. A gateway sends a checkpoint with its clock at least every ten seconds."""


class ReadingsDropped(_Message, frozen=True, kw_only=True, tag="dropped"):
    """A gateway dropped readings while it had no broker. The history records an event `gap`."""

    ts: UnixTime
    until: Annotated[float, Meta(description="Unix time of the last one, in seconds.")]
    lost: Annotated[int, Meta(ge=0, le=2**53)]
    """Readings that the broker may not have received. It has the latest values."""


FromClient: TypeAlias = Join | Subscription | Command
ToClient: TypeAlias = (
    Hello
    | GatewayState
    | Ignored
    | NodeAppeared
    | Reading
    | NodeReset
    | NodeLeft
    | Joined
    | Receipt
    | Problem
    | RegisteredNode
    | NodeDescribed
    | NodeForgotten
    | AlertsChanged
    | ViewsChanged
    | NodesSeen
)
FromGateway: TypeAlias = (
    Hello
    | Ignored
    | NodeAppeared
    | Reading
    | NodeReset
    | NodeLeft
    | Receipt
    | Checkpoint
    | ReadingsDropped
    | NodesSeen
    | NodeDescribed
    | UidsSecured
)
ToGateway: TypeAlias = Command | Problem | Checkpoint | NodeRules | TopicMappings
NodeEvent: TypeAlias = NodeAppeared | NodeDescribed | Reading | NodeReset | NodeLeft
Message: TypeAlias = FromClient | ToClient | FromGateway | ToGateway
