# SPDX-License-Identifier: BSD-3-Clause
"""Types of resources: those that people set, those that gateways described, and their limits.
Pure.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pyaiot.errors import ProtocolError, Refused
from pyaiot.messages import TYPES_MAX, TYPES_SIZE_MAX, ResourceName, encode
from pyaiot.model import (
    CHOICE_LENGTH_MAX,
    CHOICES_MAX,
    PRECISION_MAX,
    TYPE_TEXT_LENGTH_MAX,
    UNKNOWN,
    ColourForm,
    ResourceKind,
    ResourceType,
    check_type,
    fitted,
)

PEOPLE_TYPES_SIZE_MAX: Final = 16 * 1024
"""Largest size of the types that people set for one node, in bytes of JSON. More are refused."""
DESCRIBED_SIZE_OF_GATEWAY_MAX: Final = 16 * 1024 * 1024
"""Largest size of the types that one gateway described, for all its nodes including offline ones.
Further descriptions are refused; their resources keep inferred types.
"""
DESCRIBED_SIZE_MAX: Final = 64 * 1024 * 1024
"""The same, for all gateways together."""

Types: TypeAlias = Mapping[str, ResourceType]
"""Types by resource name."""
NO_TYPES: Final[dict[str, ResourceType]] = {}
"""Shared by most records: must not be changed."""

_Text = Annotated[str, Meta(max_length=TYPE_TEXT_LENGTH_MAX)]
_Word = Annotated[str, Meta(max_length=CHOICE_LENGTH_MAX)]
_Choices = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=CHOICE_LENGTH_MAX)], ...],
    Meta(max_length=CHOICES_MAX),
]
_Precision = Annotated[int, Meta(ge=0, le=PRECISION_MAX)]


class TypeEdit(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """A change of the type that people set for a resource: absent fields are unchanged, null
    clears a field (RFC 7396). The fields are those of `ResourceType`.
    """

    kind: ResourceKind | UnsetType | None = UNSET
    unit: _Text | UnsetType | None = UNSET
    minimum: float | UnsetType | None = UNSET
    maximum: float | UnsetType | None = UNSET
    step: float | UnsetType | None = UNSET
    precision: _Precision | UnsetType | None = UNSET
    choices: _Choices | UnsetType | None = UNSET
    writable: bool | UnsetType | None = UNSET
    label: _Text | UnsetType | None = UNSET
    device_class: _Text | UnsetType | None = UNSET
    on: _Word | UnsetType | None = UNSET
    off: _Word | UnsetType | None = UNSET
    form: ColourForm | UnsetType | None = UNSET

    def apply(self, before: ResourceType) -> ResourceType:
        """The type after this edit; `UNKNOWN` if nothing is left. Raises `ProtocolError`."""
        changes: dict[str, Any] = {"source": "people"}
        for name in TypeEdit.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                changes[name] = getattr(UNKNOWN, name) if value is None else value
        for name in ("unit", "label", "device_class"):
            if name in changes:
                changes[name] = changes[name].strip()
        after = check_type(msgspec.structs.replace(before, **changes))
        return UNKNOWN if msgspec.structs.replace(after, source="") == UNKNOWN else after


TypeEdits: TypeAlias = Annotated[
    dict[ResourceName, TypeEdit | None],
    Meta(
        max_length=TYPES_MAX,
        description="Types of resources by name: absent ones stay, null clears.",
    ),
]
PeopleTypes: TypeAlias = Annotated[
    dict[ResourceName, ResourceType],
    Meta(max_length=TYPES_MAX, description="Types that people gave to resources, by name."),
]


def edited_types(before: Types, edits: TypeEdits | None) -> dict[str, ResourceType]:
    """The types that people set for the resources, after an edit. Raises `ProtocolError`."""
    if edits is None:
        return {}
    after = dict(before)
    for resource, edit in edits.items():
        if not resource.isprintable():
            raise ProtocolError("a resource has 1 to 64 printable characters")
        try:
            it = UNKNOWN if edit is None else edit.apply(before.get(resource, UNKNOWN))
        except ProtocolError as error:
            raise ProtocolError(f"{resource}: {error}") from error
        after.pop(resource, None)
        if it is not UNKNOWN:
            after[resource] = it
    if len(after) > TYPES_MAX:
        raise ProtocolError(f"a node has at most {TYPES_MAX} resources with a type")
    if len(encode(after)) > PEOPLE_TYPES_SIZE_MAX:
        raise ProtocolError(f"the types of a node have at most {PEOPLE_TYPES_SIZE_MAX} bytes")
    return after


_decode_types = msgspec.json.Decoder(dict[str, ResourceType]).decode


def stored_types(types: Types) -> str:
    """The text of a column that contains these types."""
    return encode(dict(types)).decode() if types else "{}"


def types_of(text: str) -> dict[str, ResourceType]:
    """The types in a column. They may be shared: do not change them. Raises `ValueError` for text
    that Pyaiot did not write.
    """
    if text == "{}":
        return NO_TYPES
    try:
        return {name: check_type(it) for name, it in _decode_types(text).items()}
    except (msgspec.MsgspecError, ProtocolError) as error:
        raise ValueError(f"a type of a resource is not valid: {error}") from error


def _origin(it: ResourceType) -> Literal["metadata", "links"]:
    return "links" if it.source == "links" else "metadata"


class DescribedTypes:
    """Tracks the size of what gateways described. Limits it per node, per gateway and in total."""

    def __init__(self) -> None:
        self.used = 0
        """Total size in bytes."""
        self._of_node: dict[str, tuple[str, int]] = {}
        """Gateway and size in bytes, for each node with described types."""
        self._of_gateway: dict[str, int] = {}

    def merged(
        self, uid: str, gateway: str, before: Types, described: Types, *, complete: bool
    ) -> Types:
        """The types of a node after its gateway described some. Raises `Refused` at a limit.

        `described`: an empty type removes a description. `complete`: resources that are not in it
        lose theirs.
        """
        after = {} if complete else dict(before)
        for resource, it in described.items():
            after.pop(resource, None)
            if it != UNKNOWN:
                source: Literal["metadata", "links"] = (
                    "links" if it.source == "links" else "metadata"
                )
                after[resource] = msgspec.structs.replace(fitted(it), source=source)
        if len(after) > TYPES_MAX:
            raise Refused(f"a node has at most {TYPES_MAX} resources with a type")
        size = len(encode(after)) if after else 0
        if size > TYPES_SIZE_MAX:
            raise Refused(f"the types of a node have at most {TYPES_SIZE_MAX} bytes")
        owner, old = self._of_node.get(uid, (gateway, 0))
        grown = size - old
        of_gateway = self._of_gateway.get(gateway, 0) + (grown if owner == gateway else size)
        if grown > 0 and (
            of_gateway > DESCRIBED_SIZE_OF_GATEWAY_MAX or self.used + grown > DESCRIBED_SIZE_MAX
        ):
            raise Refused("the types of all nodes of this gateway are too large")
        self.keep(uid, gateway, size)
        return after or NO_TYPES

    def load(self, uid: str, gateway: str, types: Types) -> Types:
        """Types of a node from a store; empty if they exceed a limit."""
        if not types:
            return NO_TYPES
        try:
            return self.merged(uid, gateway, NO_TYPES, types, complete=True)
        except Refused:
            return NO_TYPES

    def keep(self, uid: str, gateway: str, size: int) -> None:
        """Record the size of the types of a node; 0: it has none."""
        owner, old = self._of_node.pop(uid, ("", 0))
        self.used += size - old
        if old:
            self._of_gateway[owner] -= old
            if not self._of_gateway[owner]:
                del self._of_gateway[owner]
        if size:
            self._of_node[uid] = gateway, size
            self._of_gateway[gateway] = self._of_gateway.get(gateway, 0) + size
