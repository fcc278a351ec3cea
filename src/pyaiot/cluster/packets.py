# SPDX-License-Identifier: BSD-3-Clause
"""The packets that brokers of a cluster exchange. Pure.

A packet is one line of JSON, the header, followed in a frame by a second line: a JSON array of
items. The second line is encoded once for all brokers that get the same items.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError
from pyaiot.messages import (
    NAME_LENGTH_MAX,
    LeftReason,
    Name,
    NodeDescribed,
    NodeReset,
    Reading,
    Receipt,
    ResourceName,
    Uid,
    UnixTime,
)

PACKET_SIZE_MAX: Final = 1024 * 1024
"""Largest packet in bytes, the default limit of nats-server. Larger ones are not decoded."""
LEVEL: Final = 1
"""Of the packets that this version sends. A broker works together with those of its own level and
of the ones next to it.

Raise it when a packet changes so that a broker of the level before cannot read it, and send to that
broker what it can read. Fields with defaults may be added without that: they are ignored where they
are unknown. `tests/cluster/level-1.packets` has packets of each level that must be understood."""
ITEMS_PER_FRAME_MAX: Final = 1000
"""Largest number of items of one frame between brokers. More are split."""
RESOURCES_OF_INTEREST_MAX: Final = 256
"""Largest number of resources that a broker requests of all nodes. With more, it requests all
values.
"""
SEEN_UIDS_MAX: Final = 1000
"""Nodes of one `ValuesSent`. More are sent in several."""
UIDS_OF_INTEREST_MAX: Final = 10_000
"""Largest number of nodes that a broker requests individually. With more, it requests the values
of all.
"""

Run = Annotated[str, Meta(pattern="^[0-9a-f]{8,32}$")]
Number = Annotated[int, Meta(ge=0, le=2**53)]
_Text = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]


class _Header(msgspec.Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """The first line of a packet."""


class Beacon(_Header, frozen=True, gc=False, tag="beacon", omit_defaults=True, kw_only=True):
    """Sent to all brokers every second: this broker is alive, and these are the positions of its
    streams.
    """

    sender: Run
    name: Name
    level: Annotated[int, Meta(ge=1, le=1000)] = LEVEL
    version: _Text = ""
    clock: float = 0.0
    """Monotonic clock of the sender in seconds."""
    time: float = 0.0
    """Its wall clock, Unix time in seconds; 0: unknown."""
    streams: Annotated[dict[Run, tuple[Number, Number]], Meta(max_length=1000)] = {}
    """For each broker that requested a stream: its generation, and the number of the next frame."""
    leaves: bool = False
    """The broker stops: its gateways connect to other brokers."""
    nodes: Number = 0
    gateways: Number = 0
    clients: Number = 0
    url: Annotated[str, Meta(max_length=256)] = ""
    events_run: _Text = ""
    """The run in its ids of `/api/events`."""
    recorded: float = 0.0
    """What it published before this time of `clock` is in the history; 0: unknown."""
    late_s: Annotated[float, Meta(ge=0)] = 0.0
    """The largest age of a reading of the last hour when it was recorded."""
    parts: bool = False
    """It understands `Interest.resources` and `seen`."""
    readings: Annotated[dict[Number, Number], Meta(max_length=1000)] = {}
    """Readings of each of its gateways since its link was opened, by its number."""


class StreamRequest(_Header, frozen=True, gc=False, tag="stream", kw_only=True):
    """Sent to one broker: begin a new generation of its stream with a snapshot of its state."""

    sender: Run
    generation: Number


class FrameHeader(_Header, frozen=True, gc=False, tag="frame", kw_only=True):
    """Header of a frame; items of the stream follow."""

    sender: Run
    generation: Number
    number: Number
    """0 for the first frame of a generation, incremented for each further one."""


Header: TypeAlias = Beacon | StreamRequest | FrameHeader


class _Item(msgspec.Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """An item of a frame."""


class GatewayItem(_Item, frozen=True, gc=False, tag="gateway", omit_defaults=True, kw_only=True):
    """A gateway was linked to the sender, or has changed."""

    number: Number
    name: _Text
    protocol: _Text = ""
    version: _Text = ""
    instance: _Text = ""
    group: _Text = ""
    identity: _Text = ""
    has_token: bool = False
    linked_at: float | None = None
    """When it opened this link, by its own clock."""
    is_away: bool = False
    """Its link is lost, and the grace period for reconnecting runs."""


class GatewayGone(_Item, frozen=True, gc=False, tag="gateway-lost", kw_only=True):
    """The gateway is lost. Its nodes were released before."""

    number: Number


class NodeClaim(_Item, frozen=True, gc=False, tag="claim", omit_defaults=True, kw_only=True):
    """The sender owns a node. See `claims`."""

    uid: Uid
    gateway: Number
    term: Number
    ts: UnixTime = 0.0
    """When the node came online."""
    secured: bool = False
    is_waiting: bool = False
    is_new: bool = False
    """It has no values yet. Other brokers discard those that they have."""


class Release(_Item, frozen=True, gc=False, tag="release", omit_defaults=True, kw_only=True):
    """The sender no longer owns a node."""

    uid: Uid
    ts: UnixTime = 0.0
    reason: LeftReason = "left"
    is_claimed: bool = False
    """The sender has received a claim of another broker, which may not have reached the receiver
    yet."""


class CurrentValues(_Item, frozen=True, gc=False, tag="values", omit_defaults=True, kw_only=True):
    """All current values of a node; it has no others."""

    uid: Uid
    readings: Annotated[tuple[Reading, ...], Meta(max_length=512)]
    is_part: bool = False
    """Further values follow, because they do not fit into one frame."""


class Interest(_Item, frozen=True, gc=False, tag="interest", omit_defaults=True, kw_only=True):
    """The nodes whose values the sender needs from now on. Answered by `ValuesSent`."""

    number: Number
    """Incremented with each `Interest` of the sender."""
    everything: bool = False
    uids: Annotated[tuple[Name, ...], Meta(max_length=UIDS_OF_INTEREST_MAX)] = ()
    resources: Annotated[tuple[Name, ...], Meta(max_length=RESOURCES_OF_INTEREST_MAX)] = ()
    """Resources whose values it needs of all nodes."""
    seen: bool = False
    """It needs to know every few seconds which nodes sent readings."""


class Order(_Item, frozen=True, gc=False, tag="order", omit_defaults=True, kw_only=True):
    """A command for a node of the receiver. It is answered by a receipt with the same id."""

    id: _Text
    uid: Uid
    resource: ResourceName
    payload: str
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)]
    not_after: float | None = None
    """Deadline by the clock of the receiver; None: not known yet."""


class Edited(_Item, frozen=True, gc=False, tag="edited", kw_only=True):
    """A node was edited in the registry of the sender."""

    uid: Uid
    row: Annotated[list[Any], Meta(max_length=32)]
    """The annotations: values of `record.EDITED_COLUMNS`."""


class Forgotten(_Item, frozen=True, gc=False, tag="forgotten", kw_only=True):
    """A node was removed from the registry."""

    uid: Uid


class DocumentSet(_Item, frozen=True, gc=False, tag="document", kw_only=True):
    """A document beside the registry was set, or removed: a saved view, a rule of alerts."""

    kind: _Text
    key: Annotated[str, Meta(max_length=512)]
    body: Annotated[str, Meta(max_length=64 * 1024)] | None


class ValuesSent(_Item, frozen=True, gc=False, tag="values-sent", omit_defaults=True, kw_only=True):
    """The values of the `Interest` with this number were sent."""

    number: Number
    seen: Annotated[tuple[Uid, ...], Meta(max_length=SEEN_UIDS_MAX)] = ()
    """Nodes that sent readings since the last time; it may be repeated for these only."""


class SnapshotEnd(_Item, frozen=True, gc=False, tag="end"):
    """The snapshot is complete: the sender has no other gateways and nodes."""


ClusterItem: TypeAlias = (
    GatewayItem
    | GatewayGone
    | NodeClaim
    | Release
    | CurrentValues
    | Interest
    | Order
    | Edited
    | Forgotten
    | DocumentSet
    | ValuesSent
    | SnapshotEnd
    | Reading
    | NodeReset
    | NodeDescribed
    | Receipt
)

_decode_header = msgspec.json.Decoder(Header).decode
_decode_items = msgspec.json.Decoder(list[ClusterItem]).decode
_encode = msgspec.json.Encoder().encode


def encode_header(header: Header) -> bytes:
    return _encode(header)


def encode_items(items: Sequence[ClusterItem]) -> bytes:
    return _encode(items)


def frame(header: FrameHeader, items: bytes) -> bytes:
    """Encode a packet from its header and from encoded items."""
    return _encode(header) + b"\n" + items


def decode_packet(data: bytes) -> tuple[Header, bytes]:
    """Decode the header, and return the items of a frame still encoded. Raises `ProtocolError`."""
    if len(data) > PACKET_SIZE_MAX:
        raise ProtocolError(f"a packet of more than {PACKET_SIZE_MAX} bytes")
    line, _, rest = data.partition(b"\n")
    try:
        return _decode_header(line), rest
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a packet: {error}") from error


def decode_items(data: bytes) -> list[ClusterItem]:
    """Raises `ProtocolError`."""
    try:
        return _decode_items(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not items: {error}") from error
