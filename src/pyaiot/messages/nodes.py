# SPDX-License-Identifier: BSD-3-Clause
"""The messages about nodes, and the limits of their fields. The wire keeps historic names
(`endpoint`, `value`); the code has those of the glossary."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from pyaiot.messages.limits import (
    NAME_LENGTH_MAX,
    TYPES_MAX,
    LeftReason,
    Name,
    ResourceName,
    Uid,
    UnixTime,
)
from pyaiot.model import ResourceType
from pyaiot.readings import INTEGER_MAX, TEXT_LENGTH_MAX, read_quantity, read_text

_INTEGER_BITS: Final = 256
"""An integer of more bits is not an identifier, and `check` refuses it."""


class MessageStruct(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", kw_only=True
):
    """The base of all messages."""


class NodeAppeared(MessageStruct, frozen=True, kw_only=True, tag="new"):
    """A node is online. Repeated for a known node, it changes nothing."""

    uid: Uid
    ts: UnixTime = 0.0
    """Unix time in seconds at which the node was first seen; 0 if unknown."""
    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the gateway that has the node. Set by the broker."""
    secured: bool = False
    """The node proved its uid with a credential. The broker refuses it to nodes without one."""


class Reading(MessageStruct, frozen=True, kw_only=True, tag="update"):
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


class NodeReset(MessageStruct, frozen=True, kw_only=True, tag="reset"):
    """The node rebooted: its earlier values are no longer valid."""

    uid: Uid
    ts: UnixTime = 0.0


class NodeLeft(MessageStruct, frozen=True, kw_only=True, tag="out"):
    """The node is offline, or its state is unknown (`gateway lost`)."""

    uid: Uid
    ts: UnixTime = 0.0
    reason: LeftReason = "left"
    """`silent`: nothing was received for the offline timeout. `left`: its gateway reported it."""
    unsecured: bool = False
    """From a gateway: the credential of the node was removed, so that the uid is free again for
    nodes without one. The broker heeds it from the gateway that had the node last."""


class NodeDescribed(MessageStruct, frozen=True, kw_only=True, tag="describe"):
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


class RegisteredNode(MessageStruct, frozen=True, kw_only=True, tag="node"):
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


class NodeForgotten(MessageStruct, frozen=True, kw_only=True, tag="forgotten"):
    """A node was removed from the registry. Sent to clients that joined with `registry`."""

    uid: Uid


class NodesSeen(MessageStruct, frozen=True, kw_only=True, tag="seen"):
    """Nodes with a sign of life since the last `seen`: without a reading from a gateway, with one
    from the broker to a client with `readings_of` or `readings_named`."""

    uids: Annotated[tuple[Name, ...], Meta(max_length=1000)]
    """The nodes."""
    ts: UnixTime = 0.0


class NodeRules(MessageStruct, frozen=True, kw_only=True, tag="rules"):
    """To the gateway of a node: what people decided about it."""

    uid: Uid
    offline_after_s: float = msgspec.field(name="offline_after", default=0.0)
    """Offline timeout of this node in seconds; 0: that of the gateway."""
    banned: bool = False
    """Remove the node, and refuse its messages."""
