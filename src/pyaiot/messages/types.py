# SPDX-License-Identifier: BSD-3-Clause
"""The messages of clients and gateways, and which of all messages each side sends. Those about
nodes are in `nodes`."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.messages.limits import (
    COMMAND_TIMEOUT_MAX_S,
    IGNORED_TOPICS_MAX,
    NAME_LENGTH_MAX,
    READINGS_OF_MAX,
    REFUSALS_MAX,
    Name,
    ReceiptState,
    RefusalText,
    ResourceName,
    Topic,
    Uid,
    UnixTime,
)
from pyaiot.messages.nodes import (
    MessageStruct,
    NodeAppeared,
    NodeDescribed,
    NodeForgotten,
    NodeLeft,
    NodeReset,
    NodeRules,
    NodesSeen,
    Reading,
    RegisteredNode,
)
from pyaiot.model.topic_mapping import MAPPINGS_MAX, TopicMapping

SUBPROTOCOL: Final = "pyaiot.v2"


class Join(MessageStruct, frozen=True, kw_only=True, tag="new"):
    """A client requests the current state. It may repeat the request."""

    data: Literal["client"]
    """Historic. It distinguishes this message from the `new` of a node."""
    registry: bool = False
    """Also send `node` and `forgotten`: the registry, offline nodes included, now and later."""


class Subscription(MessageStruct, frozen=True, kw_only=True, tag="subscribe"):
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


class Command(MessageStruct, frozen=True, kw_only=True, tag="command"):
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
    """The client that issued the command. The broker replaces the value that the client sent."""


class Receipt(MessageStruct, frozen=True, kw_only=True, tag="receipt"):
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


class Hello(MessageStruct, frozen=True, kw_only=True, tag="hello"):
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


class GatewayState(MessageStruct, frozen=True, kw_only=True, tag="gateway"):
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


class Ignored(MessageStruct, frozen=True, kw_only=True, tag="ignored"):
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


class AlertsChanged(MessageStruct, frozen=True, kw_only=True, tag="alerts"):
    """Alerts or rules changed: query them again. To clients with `registry`, once a second."""

    version: Annotated[int, Meta(ge=0, le=2**53)]
    """Incremented with each change, until the broker restarts."""


class ViewsChanged(MessageStruct, frozen=True, kw_only=True, tag="views"):
    """Saved views changed: query them again. Sent to clients that joined with `registry`."""

    version: Annotated[int, Meta(ge=0, le=2**53)]
    """Incremented with each change, until the broker restarts."""


class TopicMappings(MessageStruct, frozen=True, kw_only=True, tag="mappings"):
    """To a gateway of MQTT: all mappings of plain topics that people saved. They replace those of
    the last such message.
    """

    mappings: Annotated[tuple[TopicMapping, ...], Meta(max_length=MAPPINGS_MAX)]
    """In the order in which a topic is compared with them."""


class UidsSecured(MessageStruct, frozen=True, kw_only=True, tag="secured"):
    """Uids for which a gateway has credentials of devices. The broker refuses them to nodes without
    one at all gateways, also while the device or the gateway is not connected.

    A gateway sends all of them on each link, in several messages if necessary, and new ones later.
    `unsecured` of `out` ends it for one uid.
    """

    uids: Annotated[tuple[Name, ...], Meta(max_length=1000)]
    """The uids."""
    follows: bool = False
    """These are further ones. False: the broker forgets those of earlier messages."""


class Joined(MessageStruct, frozen=True, kw_only=True, tag="joined"):
    """The answer to the `new` of a client is complete."""

    nodes: int
    """Number of online nodes."""
    ts: UnixTime = 0.0


class Problem(MessageStruct, frozen=True, kw_only=True, tag="error"):
    """A message of the peer was refused. Its other messages are still accepted."""

    detail: Annotated[str, Meta(max_length=256)]
    """For people: what was invalid or not allowed."""
    uid: str = ""
    """The node of the refused message."""
    owner: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """To a gateway: the owner of the node, if that is the reason. It may be claimed later."""


class Checkpoint(MessageStruct, frozen=True, kw_only=True, tag="checkpoint"):
    """A gateway requests confirmation of what it sent before. The broker returns the message a
    second later, when a broker that is killed no longer loses that. What was not confirmed is sent
    again on the next link.
    """

    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """Chosen by the gateway. Only the latest one is returned."""
    clock: float | None = None
    """As in `hello`. A gateway sends a checkpoint with its clock at least every ten seconds."""


class ReadingsDropped(MessageStruct, frozen=True, kw_only=True, tag="dropped"):
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
