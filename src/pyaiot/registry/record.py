# SPDX-License-Identifier: BSD-3-Clause
"""The record of a node: what was observed, and what people annotated. Pure."""

import sys
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.errors import ProtocolError
from pyaiot.messages import NAME_LENGTH_MAX, RegisteredNode, encode
from pyaiot.registry.last_values import NO_VALUES, decode_values
from pyaiot.registry.resource_types import (
    NO_TYPES,
    PeopleTypes,
    TypeEdits,
    Types,
    edited_types,
    stored_types,
    types_of,
)

LABEL_LENGTH_MAX: Final = 64
"""Longest label and room, in characters. Longer ones are refused."""
TAG_LENGTH_MAX: Final = 32
"""Longest tag, in characters. Longer ones are refused."""
TAGS_MAX: Final = 16
"""Largest number of tags of one node. Further ones are refused."""
NOTES_LENGTH_MAX: Final = 2000
"""Longest notes of a node, in characters. Longer ones are refused."""
INTERVAL_MAX_S: Final = 366 * 86_400.0
"""Longest reporting interval and offline timeout of a node, in seconds."""
OFFLINE_AFTER_MIN_S: Final = 1.0
"""Shortest offline timeout of a node, in seconds. With a shorter one it would go offline between
two messages.
"""

AdmissionState: TypeAlias = Literal["accepted", "waiting", "banned"]
"""`waiting`: a new node that nobody has accepted yet. `banned`: its messages are refused."""
NodeState: TypeAlias = Literal["online", "offline", "waiting", "banned"]

Label = Annotated[
    str, Meta(max_length=LABEL_LENGTH_MAX, description="Name that people gave it; empty if none.")
]
Room = Annotated[str, Meta(max_length=LABEL_LENGTH_MAX, description="Where it is; empty if unset.")]
Latitude = Annotated[float, Meta(ge=-90, le=90, description="Degrees north; null if unset.")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="Degrees east; null if unset.")]
Tag = Annotated[str, Meta(min_length=1, max_length=TAG_LENGTH_MAX)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=TAGS_MAX, description="Tags, in order.")]
Notes = Annotated[str, Meta(max_length=NOTES_LENGTH_MAX, description="Notes of people.")]
Interval = Annotated[
    float,
    Meta(
        ge=0,
        le=INTERVAL_MAX_S,
        description="Seconds between two readings, as people expect them; 0: unknown. Its values"
        " are stale after two and a half intervals.",
    ),
]
OfflineAfter = Annotated[
    float,
    Meta(
        ge=0,
        le=INTERVAL_MAX_S,
        description="Offline timeout of this node in seconds, at least 1; 0: that of its gateway.",
    ),
]


class Annotations(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """The annotations of a node, made by people."""

    label: Label = ""
    room: Room = ""
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    tags: Tags = ()
    notes: Notes = ""
    interval_s: Interval = 0.0
    offline_after_s: OfflineAfter = 0.0
    types: PeopleTypes = msgspec.field(default_factory=lambda: NO_TYPES)


NOTHING_ADDED: Final = Annotations()


class Edit(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """A change of annotations: absent fields are unchanged, null clears a field (RFC 7396)."""

    label: Label | UnsetType | None = UNSET
    room: Room | UnsetType | None = UNSET
    latitude: Latitude | UnsetType | None = UNSET
    longitude: Longitude | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    add_tags: Tags | UnsetType = UNSET
    """Tags to add."""
    remove_tags: Tags | UnsetType = UNSET
    """Tags to remove."""
    notes: Notes | UnsetType | None = UNSET
    interval_s: Interval | UnsetType | None = UNSET
    offline_after_s: OfflineAfter | UnsetType | None = UNSET
    types: TypeEdits | UnsetType | None = UNSET
    admission: Literal["accepted", "banned"] | UnsetType = UNSET
    """`accepted`: accept a new node, or lift a ban. `banned`: refuse its messages."""

    def apply(self, before: Annotations) -> Annotations:
        """The annotations after this edit. Raises `ProtocolError` if they are invalid."""
        changes: dict[str, Any] = {}
        for name in Annotations.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                changes[name] = getattr(NOTHING_ADDED, name) if value is None else value
        if self.types is not UNSET:
            changes["types"] = edited_types(before.types, self.types)
        for name in ("label", "room"):
            if name in changes:
                changes[name] = changes[name].strip()
        tags = changes.get("tags", before.tags)
        added = () if self.add_tags is UNSET else self.add_tags
        removed = () if self.remove_tags is UNSET else self.remove_tags
        if "tags" in changes or added or removed:
            kept = dict.fromkeys(tag.strip() for tag in (*tags, *added))
            changes["tags"] = tuple(tag for tag in kept if tag not in removed)
        after = msgspec.structs.replace(before, **changes)
        _check(after)
        return after


def _check(annotations: Annotations) -> None:
    """Raises `ProtocolError`."""
    for text, what in ((annotations.label, "label"), (annotations.room, "room")):
        if not text.isprintable():
            raise ProtocolError(f"a {what} has printable characters only")
    lines = annotations.notes.replace("\r\n", "\n").replace("\t", " ").split("\n")
    if not all(line.isprintable() for line in lines):
        raise ProtocolError("notes have printable characters and line breaks only")
    if len(annotations.tags) > TAGS_MAX:
        raise ProtocolError(f"a node has at most {TAGS_MAX} tags")
    if not all(tag and tag.isprintable() and "," not in tag for tag in annotations.tags):
        raise ProtocolError("a tag has printable characters and no comma")
    if 0 < annotations.offline_after_s < OFFLINE_AFTER_MIN_S:
        raise ProtocolError(f"an offline timeout has at least {OFFLINE_AFTER_MIN_S:.0f} s, or is 0")
    if (annotations.latitude is None) != (annotations.longitude is None):
        raise ProtocolError("a position has a latitude and a longitude")


class NodeRecord(msgspec.Struct, gc=False, kw_only=True):
    """A node in the registry."""

    uid: str
    number: int = 0
    """Sequence number of the node, in the order of registration."""
    protocol: str = ""
    """Protocol of its last gateway; empty if unknown."""
    gateway: str = ""
    """Name of its last gateway."""
    first_seen: float = 0.0
    """Unix time in seconds; 0: never seen, the node was registered by people."""
    last_seen: float = 0.0
    """Unix time in seconds; 0: never seen."""
    boots: int = 0
    """Number of reboots that its gateway reported."""
    secured: bool = False
    """The node has authenticated with a credential: nodes without one cannot use its uid."""
    reason: str = ""
    """Why it is offline: the reason of its `out` message; empty if unknown."""
    admission: AdmissionState = "accepted"
    revision: int = 0
    """Incremented by each edit."""
    annotations: Annotations = NOTHING_ADDED
    described: Types = msgspec.field(default_factory=lambda: NO_TYPES)
    """Types of its resources as described by its gateway."""
    is_online: bool = False
    values: bytes = NO_VALUES
    """Last values of an offline node: a JSON array of `LastValue`."""

    @property
    def state(self) -> NodeState:
        if self.admission != "accepted":
            return self.admission
        return "online" if self.is_online else "offline"

    @property
    def name(self) -> str:
        """Its label, or else its uid."""
        return self.annotations.label or self.uid

    @property
    def is_edited(self) -> bool:
        """Whether people registered, edited, accepted or banned it. Such a node is never removed
        to make room.
        """
        return self.revision > 0

    @property
    def is_stored(self) -> bool:
        """Whether it is stored. New nodes that wait for approval, without edits, are in memory
        only.
        """
        return self.admission != "waiting" or self.is_edited


def edited_copy(record: NodeRecord, edit: Edit) -> NodeRecord:
    """A copy of the record with the edit. Raises `ProtocolError`."""
    annotations = edit.apply(record.annotations)
    copy = msgspec.structs.replace(
        record,
        revision=record.revision + 1,
        annotations=NOTHING_ADDED if annotations == NOTHING_ADDED else annotations,
    )
    if edit.admission is not UNSET:
        copy.admission = edit.admission
    return copy


def registered_node(record: NodeRecord, values: bytes) -> RegisteredNode:
    """The record for clients. `values`: a JSON array of `LastValue`."""
    added = record.annotations
    return RegisteredNode(
        uid=record.uid,
        state=record.state,
        protocol=record.protocol,
        gateway=record.gateway,
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        boots=record.boots,
        reason=record.reason,
        revision=record.revision,
        label=added.label,
        room=added.room,
        latitude=added.latitude,
        longitude=added.longitude,
        tags=added.tags,
        notes=added.notes,
        interval_s=added.interval_s,
        offline_after_s=added.offline_after_s,
        types=added.types,
        values=() if values == NO_VALUES else tuple(decode_values(values)),
    )


_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


RecordRow: TypeAlias = tuple[Any, ...]
"""Uid, followed by the values of `OBSERVED_COLUMNS` or `EDITED_COLUMNS`."""

OBSERVED_COLUMNS: Final = (
    *("protocol", "gateway", "first_seen", "last_seen", "boots", "reason", "secured"),
    *("described", "last_values"),
)
"""Columns of observations. Gateways change them; they are written asynchronously."""
EDITED_COLUMNS: Final = (
    *("admission", "revision", "label", "room", "latitude", "longitude", "tags", "notes"),
    *("interval_s", "offline_after_s", "types"),
)
"""Columns of annotations. They are on disk before an edit is answered."""
COLUMNS: Final = ("uid", *OBSERVED_COLUMNS, *EDITED_COLUMNS)


def observed_row(record: NodeRecord) -> RecordRow:
    """The uid and `OBSERVED_COLUMNS` except the last one, `last_values`."""
    return (
        *(record.uid, record.protocol, record.gateway, record.first_seen, record.last_seen),
        *(record.boots, record.reason, int(record.secured)),
        stored_types(record.described),
    )


def edited_row(record: NodeRecord) -> RecordRow:
    """The uid and `EDITED_COLUMNS`."""
    added = record.annotations
    return (
        *(record.uid, record.admission, record.revision, added.label, added.room),
        *(added.latitude, added.longitude, encode(added.tags).decode(), added.notes),
        *(added.interval_s, added.offline_after_s, stored_types(added.types)),
    )


@lru_cache(1024)
def _tags(text: str) -> Tags:
    """Return one shared tuple for equal tags, because few are different."""
    return tuple(sys.intern(tag) for tag in _decode_tags(text))


_TYPES: Final = (
    *(str, str, str, float, float, int, str, int, str, str),
    *(str, int, str, str, float | None, float | None, str, str, float, float, str),
)
"""Types of `COLUMNS`. SQLite accepts values of any type in any column."""
_ADMISSIONS: Final[dict[str, AdmissionState]] = {it: it for it in get_args(AdmissionState)}


def record_of(row: RecordRow) -> NodeRecord:
    """A record from `COLUMNS`. Raises `ValueError`, `LookupError` or `TypeError` for a row that
    Pyaiot did not write.
    """
    uid, protocol, gateway, first_seen, last_seen, boots, reason, secured, *edited = row
    described, values, admission, revision, label, room, latitude, longitude, *edited = edited
    tags, notes, interval, offline, types = edited
    if not all(map(isinstance, row, _TYPES)):
        raise TypeError("a column has a value of another type")
    if not 0 < len(uid) <= NAME_LENGTH_MAX:
        raise ValueError("a uid is not valid")
    annotations = Annotations(
        label=label,
        room=sys.intern(room),
        latitude=latitude,
        longitude=longitude,
        tags=_tags(tags),
        notes=notes,
        # The zeros and empty types of most records are the same objects.
        interval_s=interval or 0.0,
        offline_after_s=offline or 0.0,
        types=types_of(types),
    )
    return NodeRecord(
        uid=uid,
        # Few different texts for many records.
        protocol=sys.intern(protocol),
        gateway=sys.intern(gateway),
        first_seen=first_seen,
        last_seen=last_seen,
        boots=boots,
        reason=sys.intern(reason),
        secured=bool(secured),
        admission=_ADMISSIONS[admission],
        revision=revision,
        annotations=NOTHING_ADDED if annotations == NOTHING_ADDED else annotations,
        described=types_of(described),
        values=NO_VALUES if values == "[]" else values.encode(),
    )
