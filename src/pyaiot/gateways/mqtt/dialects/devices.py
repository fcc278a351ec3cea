# SPDX-License-Identifier: BSD-3-Clause
"""Devices that describe themselves over several messages. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceChanged,
    DeviceDescription,
    DeviceValue,
    DialectEvent,
    is_number,
    label_of,
)
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit
from pyaiot.model import ResourceType

RESOURCES_MAX: Final = 50_000
"""Largest number of resources of all devices of one dialect. Further ones are left out."""
QUIET_S: Final = 3600.0
"""A full table evicts the longest silent device for a new one, if it has been silent for this long.
Otherwise the messages of the new device are not understood."""


class ResourceBudget:
    """Counts the resources of the devices of one table."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0


PATHS_MAX: Final = 2 * RESOURCES_PER_DEVICE_MAX
"""Largest number of value names of one device whose resources are remembered. Further names are
looked up in each message."""


_Known: TypeAlias = dict[str, "str | _Known"]


class LearnedDevice:
    """A device, and what it has reported about itself so far."""

    __slots__ = (
        *("_budget", "_known", "_known_count", "changed", "details", "seen_at", "types", "uid"),
        "units",
    )

    def __init__(self, uid: str, budget: ResourceBudget) -> None:
        self.uid = uid
        self._budget = budget
        self.types: dict[str, ResourceType] = {}
        self.units: dict[str, DeviceUnit] = {}
        """Units by resource, for resources whose numbers have a unit."""
        self._known: _Known = {}
        """Resources by the path of names in its messages; empty: the value is left out."""
        self._known_count = 0
        self.details: dict[str, str] = {}
        self.changed = True
        """Whether the description changed since it was reported."""
        self.seen_at = 0.0

    def set_type(self, resource: str, it: ResourceType, unit: DeviceUnit = NO_UNIT) -> bool:
        """Add or change a resource. Returns False if the limit is reached; the resource is then
        left out."""
        known = self.types.get(resource)
        if known is None:
            if len(self.types) >= RESOURCES_PER_DEVICE_MAX or self._budget.used >= RESOURCES_MAX:
                return False
            self._budget.used += 1
        if known is not it and known != it:
            self.types[resource] = it
            self.changed = True
        self.units[resource] = unit
        return True

    def remember(self, names: Sequence[str], resource: str) -> None:
        """Remember which resource a value belongs to, for later messages; empty: the value is left
        out."""
        known = self._known
        for name in names[:-1]:
            below = known.get(name)
            if below is None and self._known_count < PATHS_MAX:
                below = known[name] = {}
            if type(below) is not dict:
                return
            known = below
        if self._known_count < PATHS_MAX and names[-1] not in known:
            known[names[-1]] = resource
            self._known_count += 1

    @property
    def names_known(self) -> int:
        """The number of remembered values, at most `PATHS_MAX`."""
        return self._known_count

    def known_values(self, document: Mapping[str, Any]) -> list[DeviceValue] | None:
        """The values of a message; None if one of them is a list or its resource is not
        remembered."""
        values: list[DeviceValue] = []
        return values if self._collect_known(self._known, document, values) else None

    def _collect_known(
        self, known: "_Known", document: Mapping[str, Any], values: list[DeviceValue]
    ) -> bool:
        for name, value in document.items():
            resource = known.get(name)
            if type(value) is dict:
                if type(resource) is not dict or not self._collect_known(resource, value, values):
                    return False
            elif value is None:
                continue
            elif type(resource) is not str or type(value) is list:
                return False
            elif resource:
                values.append(self.value(resource, value))
        return True

    def forget_types(self) -> None:
        self._budget.used -= len(self.types)
        self.types.clear()
        self.units.clear()
        self.forget_names()
        self.changed = True

    def forget_names(self) -> None:
        """Forget the resources of all values, so that they are found again."""
        self._known.clear()
        self._known_count = 0

    def set_detail(self, name: str, text: object) -> None:
        """`name`: `name`, `vendor`, `board` or `version`. Values other than text are ignored."""
        label = label_of(text)
        if label and self.details.get(name) != label:
            self.details[name] = label
            self.changed = True

    def value(self, resource: str, data: Any) -> DeviceValue:
        """A value of one of its resources, with its unit."""
        unit = self.units.get(resource)
        if unit is None or type(data) is str:
            return DeviceValue(self.uid, resource, data, None)
        senml, printed = unit
        if printed:
            return DeviceValue(self.uid, resource, unit.reported(data))
        return DeviceValue(self.uid, resource, data, senml if is_number(data) else None)

    def with_change(self, events: list[DialectEvent]) -> list[DialectEvent]:
        """The events, after `DeviceChanged` if its description changed since it was reported."""
        if self.changed:
            self.changed = False
            events.insert(0, DeviceChanged(self.uid))
        return events

    def describe(self) -> DeviceDescription:
        return DeviceDescription(dict(self.types), {"name": self.uid, **self.details})


DeviceType = TypeVar("DeviceType", bound=LearnedDevice)


class DeviceTable(Generic[DeviceType]):
    """At most `DEVICES_MAX` devices by uid, the least recently seen first."""

    def __init__(self) -> None:
        self._by_uid: OrderedDict[str, DeviceType] = OrderedDict()
        self.budget = ResourceBudget()

    def __len__(self) -> int:
        return len(self._by_uid)

    def get(self, uid: str) -> DeviceType | None:
        return self._by_uid.get(uid)

    def values(self) -> list[DeviceType]:
        return list(self._by_uid.values())

    def seen(self, device: DeviceType, now: float) -> None:
        device.seen_at = now
        self._by_uid.move_to_end(device.uid)

    def seen_or_added(self, uid: str, make: Callable[[], DeviceType], now: float) -> DeviceType:
        """The device with this uid, which was seen now; a new one if there is none. Raises
        `ProtocolError` as `add` does."""
        device = self._by_uid.get(uid)
        if device is None:
            device = make()
            self.add(device, now)
        self.seen(device, now)
        return device

    def add(self, device: DeviceType, now: float) -> DeviceType | None:
        """Add a new device. Returns one that was evicted. Raises `ProtocolError` if it is full."""
        evicted = None
        if len(self._by_uid) >= DEVICES_MAX:
            oldest = next(iter(self._by_uid.values()))
            if now - oldest.seen_at < QUIET_S:
                raise ProtocolError(f"there are {DEVICES_MAX} devices already")
            evicted = self.remove(oldest.uid)
        device.seen_at = now
        self._by_uid[device.uid] = device
        return evicted

    def remove(self, uid: str) -> DeviceType | None:
        device = self._by_uid.pop(uid, None)
        if device is not None:
            self.budget.used -= len(device.types)
        return device

    def __getitem__(self, uid: str) -> DeviceType:
        return self._by_uid[uid]
