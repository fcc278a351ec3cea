# SPDX-License-Identifier: BSD-3-Clause
"""A node as Home Assistant sees it: description, entities and published state. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.homeassistant.discovery import Description, component_key, config_payload
from pyaiot.homeassistant.entities import DESCRIPTIONS, Entity, state_text
from pyaiot.homeassistant.names import Topics, escaped
from pyaiot.messages import LastValue, Reading, RegisteredNode
from pyaiot.model import UNKNOWN, ResourceType, infer

ENTITIES_MAX: Final = 256
"""Largest number of entities of one node. Further resources are not shown."""
EARLIER_MAX: Final = 1024
"""Largest number of components of earlier discovery messages of one node that are removed. Others
are not removed.
"""
_DESCRIPTION_LENGTH_MAX: Final = 64


class ShownNode:
    """A node that is shown. There is one object for each uid."""

    __slots__ = (
        *("_by_escaped", "_label", "_room", "_types", "announcements", "config_hash", "device"),
        *("earlier", "entities", "is_announced", "is_online", "readings", "sent", "uid"),
    )

    def __init__(self, uid: str, device: str, earlier: frozenset[str]) -> None:
        """`earlier`: keys of the components in the discovery message of an earlier run."""
        self.uid = uid
        self.device = device
        self.earlier = earlier
        self.readings: dict[str, Reading] = {}
        """The latest reading of each resource."""
        self.entities: dict[str, Entity] = {}
        """By resource."""
        self._types: dict[str, ResourceType] = {}
        """Types that the broker described, where a reading alone does not suggest the type."""
        self.is_online = False
        self.is_announced = False
        """Its discovery message was published."""
        self.config_hash = 0
        self.sent: dict[str, bytes] = {}
        """The latest published state of each resource."""
        self.announcements = 0
        """Discovery messages that were published."""
        self._by_escaped: dict[str, str] = {}
        self._label = ""
        self._room = ""

    def read(self, reading: Reading) -> bool:
        """Handle a reading. Returns whether the discovery message changes."""
        resource = reading.resource
        before = self.readings.get(resource)
        if before is None and len(self.readings) >= ENTITIES_MAX:
            return False
        self.readings[resource] = reading
        if resource in DESCRIPTIONS:
            return before is None or before.data != reading.data
        if resource in self.entities:
            return False
        self._add(resource, reading)
        return True

    def _add(self, resource: str, reading: Reading | None) -> None:
        self.entities[resource] = Entity(self._type(resource, reading))
        self._by_escaped[escaped(resource)] = resource

    def _type(self, resource: str, reading: Reading | None) -> ResourceType:
        described = self._types.get(resource)
        if described is not None:
            return described
        return UNKNOWN if reading is None else infer(resource, reading.data, unit=reading.unit)

    def describe_types(self, types: Mapping[str, ResourceType], *, complete: bool) -> list[str]:
        """Handle types that the broker describes. Returns the resources whose entities change.
        `complete`: types of other resources are removed.
        """
        after = {} if complete else dict(self._types)
        after.update(types)
        after = {resource: it for resource, it in after.items() if it != UNKNOWN}
        before, self._types = self._types, after
        touched = [it for it in {**before, **after} if before.get(it) != after.get(it)]
        changed = []
        for resource in touched:
            reading = self.readings.get(resource)
            is_new = resource not in self.entities
            if resource in DESCRIPTIONS or (is_new and len(self.entities) >= ENTITIES_MAX):
                continue
            if reading is None and resource not in after:
                # Nothing is known about the resource any more, not even a value.
                self.entities.pop(resource, None)
                self._by_escaped.pop(escaped(resource), None)
            else:
                self._add(resource, reading)
            changed.append(resource)
        return changed

    def describe(self, record: RegisteredNode) -> bool:
        """Handle the registry entry of the node. Returns whether the discovery message changes."""
        changed = (self._label, self._room) != (record.label, record.room)
        self._label, self._room = record.label, record.room
        return changed

    def state(self, resource: str) -> tuple[bytes | None, bool]:
        """The state of a resource (None if it has none), and whether its entity was replaced."""
        reading, entity = self.readings.get(resource), self.entities.get(resource)
        if reading is None or entity is None:
            return None, False
        state = entity.state(reading.data, reading.number)
        kind = entity.type.kind
        if kind == "command" or (state is not None and not (kind == "text" and reading.unit)):
            return state, False
        if resource in self._types:
            return state, False
        # The first value may have been the exception, such as `n/a` before `12.5 V`. A text after
        # numbers is the exception itself: it has no state.
        found = Entity(self._type(resource, reading))
        if found.type.kind in ("", "text", kind):
            return state, False
        self.entities[resource] = found
        return found.state(reading.data, reading.number), True

    def config(self, topics: Topics) -> bytes:
        """The discovery message. It also removes components that no longer exist."""
        keys = {component_key(resource, entity) for resource, entity in self.entities.items()}
        removed = sorted(self.earlier - keys)[:EARLIER_MAX]
        self.earlier = frozenset(removed) | keys
        return config_payload(topics, self.device, self._description(), self.entities, removed)

    def _description(self) -> Description:
        return Description(
            name=self._label or self._text("name") or self.uid,
            room=self._room,
            vendor=self._text("vendor"),
            model=self._text("board") or self._text("mcu"),
            version=self._text("version") or self._text("os"),
        )

    def _text(self, resource: str) -> str:
        reading = self.readings.get(resource)
        if reading is None:
            return ""
        return state_text(reading.data)[:_DESCRIPTION_LENGTH_MAX]

    def resources(self) -> Iterator[str]:
        """Resources that have an entity and a reading."""
        return (resource for resource in self.entities if resource in self.readings)

    def resource_of(self, escaped_resource: str) -> str | None:
        """The resource of a topic; None if it has no entity."""
        return self._by_escaped.get(escaped_resource)


def reading_of(uid: str, value: LastValue) -> Reading:
    """The last value of an offline node, as the reading that it was."""
    return Reading(
        uid=uid,
        resource=value.resource,
        data=value.data,
        ts=value.ts,
        number=value.number,
        unit=value.unit,
    )
