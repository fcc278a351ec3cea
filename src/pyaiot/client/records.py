# SPDX-License-Identifier: BSD-3-Clause
"""Records of nodes in the registry of a broker, edits of them, and conditions. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypedDict

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.messages import Reading
from pyaiot.model import UNKNOWN, ResourceType, TypedValue, decode, infer

EntryState: TypeAlias = Literal["online", "offline", "waiting", "banned"]
"""`waiting`: a new node that is not accepted yet. `banned`: its messages are refused."""
ALL_STATES: Final[tuple[EntryState, ...]] = ("online", "offline", "waiting", "banned")
OneOrMore: TypeAlias = str | Iterable[str]


class NodeEdit(TypedDict, total=False):
    """What people add to a node. Absent fields are unchanged; None clears a field."""

    label: str | None
    """Name of the node, at most 64 characters."""
    room: str | None
    latitude: float | None
    """Degrees north. A position has both coordinates."""
    longitude: float | None
    tags: Iterable[str] | None
    """All its tags. At most 16, of at most 32 characters, without commas."""
    add_tags: Iterable[str]
    remove_tags: Iterable[str]
    notes: str | None
    interval_s: float | None
    """Seconds between two readings, as people expect them; 0: unknown."""
    offline_after_s: float | None
    """Offline timeout of this node in seconds; 0: that of its gateway."""
    types: Mapping[str, Mapping[str, Any] | None] | None
    """Types of resources by name: fields of `ResourceType`, where absent ones are unchanged and
    None clears one. None instead of the fields clears the type."""


class Conditions(TypedDict, total=False):
    """Which nodes are selected. All conditions must hold; of several values of one, one must.

    An empty list selects no node.
    """

    uid: OneOrMore | None
    state: OneOrMore | None
    """`EntryState`. Absent: online and offline nodes."""
    tag: OneOrMore | None
    gateway: OneOrMore | None
    protocol: OneOrMore | None
    """In any case of letters."""
    room: OneOrMore | None
    text: str | None
    """Words that must all occur in uid, label, room, tags or notes."""


class ResourceEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A resource of a node: what it is, and its latest reading."""

    name: str
    type: ResourceType
    """All that is known of it: its kind, its unit, and what may be written."""
    reading: Reading | None = None
    """None: it has sent none, such as a button."""

    @property
    def value(self) -> TypedValue:
        """The latest value by its type (`pyaiot.model.decode`): a number, true or false, a text.

        None if there is no reading, or if its text does not fit the type.
        """
        if self.reading is None:
            return None
        try:
            return decode(self.type, self.reading.data)
        except ProtocolError:
            return None


class RegistryEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A node of the registry, online or not."""

    uid: str
    state: EntryState = "online"
    label: str = ""
    """Name that people gave it; empty if none."""
    room: str = ""
    latitude: float | None = None
    longitude: float | None = None
    tags: tuple[str, ...] = ()
    notes: str = ""
    interval_s: float = 0.0
    offline_after_s: float = 0.0
    revision: int = 0
    """Incremented with each edit. `Client.edit` with it fails if people edited the node since."""
    protocol: str = ""
    gateway: str = ""
    """Name of the gateway that has it, or had it last."""
    ts: float = 0.0
    """Unix time in seconds at which it came online; 0: it is not, or unknown."""
    first_seen: float = 0.0
    """Unix time in seconds; 0: never seen, people added it."""
    last_seen: float = 0.0
    """Unix time in seconds; 0: never."""
    boots: int = 0
    reason: str = ""
    """Why it is offline: `silent`, `left` or `gateway lost`; empty if unknown."""
    resources: dict[str, Reading] = msgspec.field(default_factory=dict)
    """Latest readings by resource; of a node that is not online, its last ones."""
    types: dict[str, ResourceType] = msgspec.field(default_factory=dict)
    """Types that people gave to resources, by name."""
    resource_types: dict[str, ResourceType] = msgspec.field(default_factory=dict)
    """All that the broker knows of each resource, by name. Only `Client.node` fills it."""

    def resource(self, name: str) -> ResourceEntry:
        """A resource by name. Raises `KeyError` if the node has none with this name."""
        reading = self.resources.get(name)
        it = self.resource_types.get(name) or self.types.get(name)
        if it is None and reading is None:
            raise KeyError(name)
        if it is None and reading is not None:
            it = infer(name, reading.data, unit=reading.unit)
        return ResourceEntry(name=name, type=it or UNKNOWN, reading=reading)

    @property
    def name(self) -> str:
        """Its label, else its resource `name`, else its uid."""
        reading = self.resources.get("name")
        own = reading.data if reading is not None and isinstance(reading.data, str) else ""
        return self.label or own or self.uid

    @property
    def seen_at(self) -> float:
        """Unix time in seconds at which it was last seen, with its readings; 0: never."""
        return max(self.last_seen, max((it.ts for it in self.resources.values()), default=0.0))


class _Resource(msgspec.Struct, frozen=True):
    """A resource, in the form of the HTTP API."""

    name: str
    data: Any = None
    value: float | None = None
    unit: str = ""
    retained: bool = False
    ts: float = 0.0

    def reading(self, uid: str) -> Reading:
        return Reading(
            uid=uid,
            resource=self.name,
            data=self.data,
            ts=self.ts,
            retained=self.retained,
            number=self.value,
            unit=self.unit,
        )


class NodeDocument(RegistryEntry, frozen=True, kw_only=True, eq=False):
    """A node in the form of the HTTP API."""

    resources: list[_Resource]  # type: ignore[assignment]

    def record(self) -> RegistryEntry:
        values = {name: getattr(self, name) for name in RegistryEntry.__struct_fields__}
        values["resources"] = {it.name: it.reading(self.uid) for it in self.resources}
        return RegistryEntry(**values)


class NodesDocument(msgspec.Struct):
    """A page of nodes."""

    nodes: list[NodeDocument]
    next: str | None = None


def query_of(conditions: Conditions) -> list[tuple[str, str]] | None:
    """The query parameters of these conditions; None if one is an empty list.

    Raises `TypeError` for an unknown condition.
    """
    _check_names(conditions, Conditions, "condition")
    given: dict[str, Any] = {name: it for name, it in conditions.items() if it is not None}
    query = []
    for name, value in given.items():
        values = [value] if isinstance(value, str) else list(value)
        if not values:
            return None
        query += [("q" if name == "text" else name, one) for one in values]
    return query


def body_of(edit: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of an edit, perhaps with a `uid`. Raises `TypeError` for an unknown field."""
    _check_names(edit, NodeEdit, "field", "uid")
    lists = ("tags", "add_tags", "remove_tags")
    return {
        name: _tags(value) if name in lists and value is not None else value
        for name, value in edit.items()
    }


def _tags(value: OneOrMore) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _check_names(given: Mapping[str, Any], kind: type, what: str, *more: str) -> None:
    for name in given:
        if name not in kind.__annotations__ and name not in more:
            raise TypeError(f"there is no {what} {name!r}")
