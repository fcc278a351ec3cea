# SPDX-License-Identifier: BSD-3-Clause
"""Plain topics that an operator maps to nodes and resources: `sensors/{node}/{resource}`. Pure.

For devices without a description. A mapping states which topic levels name the node and the
resource, and where the values are in the payload.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.gateways.mqtt.dialects.devices import DeviceTable, LearnedDevice, ResourceBudget
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICE_PAYLOAD_MAX,
    LEVEL_LENGTH_MAX,
    DeviceChanged,
    DeviceDescription,
    DeviceMessage,
    DeviceRemoved,
    DialectEvent,
    NotUnderstood,
    is_level,
    is_number,
    leaves,
    plain_value,
    read_json,
    read_text,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.templates import NoValue, pick
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, DeviceUnit, read_unit
from pyaiot.model import encode
from pyaiot.model.topic_mapping import FIELDS_MAX, MAPPINGS_MAX, TopicMapping

_PLACEHOLDER: Final = re.compile(r"\{(node|resource)\}")
_PATH_STEP: Final = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d{1,4})\]")


class _Device(LearnedDevice):
    __slots__ = ("commands", "mappings")

    def __init__(self, name: str, budget: ResourceBudget) -> None:
        super().__init__(uid_of("map", name), budget)
        self.commands: dict[str, str] = {}
        """The topic of the command of each resource that can be written."""
        self.mappings: list[TopicMapping] = []
        """The mappings that made its resources."""


class _Mapping:
    """One mapping, checked. Raises `OperatorError`."""

    def __init__(self, it: TopicMapping) -> None:
        self.it = it
        self.levels = it.topic.split("/")
        names = [found[1] for level in self.levels if (found := _PLACEHOLDER.fullmatch(level))]
        where = f"mqtt.mapping: the topic {it.topic}"
        if names.count("node") + bool(it.node) != 1:
            raise OperatorError(f"{where} needs one level {{node}}, or set node.")
        if len(names) != len(set(names)) or len(it.topic) > 2 * LEVEL_LENGTH_MAX:
            raise OperatorError(f"{where} has a placeholder twice, or is too long.")
        for level in self.levels:
            if level != "+" and not _PLACEHOLDER.fullmatch(level) and not is_level(level):
                raise OperatorError(
                    f"{where} has the level {level!r}, which is not a valid level of a topic."
                )
        if self.levels[0] in {"node", "gateway"} or self.levels[0].startswith("$"):
            raise OperatorError(f"{where} begins with a reserved level.")
        if len(it.fields) + len(it.columns) > FIELDS_MAX:
            raise OperatorError(f"{where} has more than {FIELDS_MAX} fields.")
        if it.payload == "csv" and not it.columns:
            raise OperatorError(f"{where} needs columns: the names of the values in a line.")
        self.fields = {name: _read_path(path, where) for name, path in it.fields.items()}

    @property
    def filter(self) -> str:
        return "/".join("+" if _PLACEHOLDER.fullmatch(level) else level for level in self.levels)

    def match(self, levels: Sequence[str]) -> dict[str, str] | None:
        """The placeholders of a topic; None if the mapping does not apply to it."""
        if len(levels) != len(self.levels):
            return None
        names: dict[str, str] = {}
        for mine, level in zip(self.levels, levels, strict=True):
            if mine[0] == "{" and mine[-1] == "}":
                names[mine[1:-1]] = level
            elif mine not in ("+", level):
                return None
        return names

    def values(self, payload: bytes) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The values of a payload with their names. The name is empty if the topic names the
        resource."""
        match self.it.payload:
            case "text":
                yield (), plain_value(read_text(payload).strip())
            case "csv":
                yield from self._columns(read_text(payload))
            case _:
                yield from self._members(read_json(payload))

    def _columns(self, text: str) -> Iterator[tuple[tuple[str, ...], Any]]:
        try:
            row = next(csv.reader([text.strip()]), [])
        except csv.Error as error:
            raise ProtocolError(f"no line of CSV: {error}") from error
        for name, cell in zip(self.it.columns, row, strict=False):
            if name and cell.strip():
                yield (name,), plain_value(cell.strip())

    def _members(self, document: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if self.fields:
            for name, path in self.fields.items():
                try:
                    yield (name,), pick(document, path)
                except NoValue:
                    continue
        elif isinstance(document, dict):
            yield from leaves(document)
        else:
            yield (), document


class MappingDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "mapping"
    title: ClassVar[str] = "Mapped topics"

    def __init__(self, mappings: Sequence[TopicMapping]) -> None:
        """`mappings`: those of the settings. Raises `OperatorError` for an invalid one."""
        if len(mappings) > MAPPINGS_MAX:
            raise OperatorError(f"mqtt.mapping has more than {MAPPINGS_MAX} mappings.")
        self._of_settings = [_Mapping(it) for it in mappings]
        self._mappings = self._of_settings
        self._devices: DeviceTable[_Device] = DeviceTable()

    def set_saved(self, saved: Sequence[TopicMapping]) -> Sequence[DialectEvent]:
        """Use these in addition to the mappings of the settings, which are compared first.

        Devices of removed or changed mappings are removed. Such a device returns with its next
        message if another mapping matches its topic.
        """
        events: list[DialectEvent] = []
        self._mappings = list(self._of_settings)
        for it in saved[:MAPPINGS_MAX]:
            try:
                self._mappings.append(_Mapping(it))
            except OperatorError as error:
                # The broker checked it, but may have another version.
                events.append(NotUnderstood("a saved mapping", str(error)))
        kept = [each.it for each in self._mappings]
        for device in self._devices.values():
            if not all(it in kept for it in device.mappings):
                self._devices.remove(device.uid)
                events.append(DeviceRemoved(device.uid))
        return events

    @property
    def filters(self) -> Sequence[str]:
        return tuple(dict.fromkeys(each.filter for each in self._mappings))

    def receive(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,  # noqa: ARG002 - the shape of all dialects
        now: float,
    ) -> Sequence[DialectEvent] | None:
        levels = topic.split("/")
        for mapping in self._mappings:
            names = mapping.match(levels)
            if names is not None:
                return list(self._receive(mapping, topic, names, payload, now))
        return None

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command_topic(self, uid: str, resource: str) -> str:
        """The topic of the commands of a resource; empty if it cannot be written."""
        return self._devices[uid].commands.get(resource, "")

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        topic = None if device is None else device.commands.get(resource)
        if device is None or topic is None:
            raise ProtocolError("this resource cannot be written: its mapping has no command")
        return DeviceMessage(topic, encode(device.types[resource], text).encode())

    def _receive(
        self, mapping: _Mapping, topic: str, names: Mapping[str, str], payload: bytes, now: float
    ) -> Iterator[DialectEvent]:
        if not payload:
            return
        if len(payload) > DEVICE_PAYLOAD_MAX:
            raise ProtocolError(f"more than {DEVICE_PAYLOAD_MAX} bytes")
        if not all(map(is_level, names.values())):
            raise ProtocolError("a level of the topic is too long or not printable")
        values = list(mapping.values(payload))
        name = mapping.it.node or names["node"]
        device = self._devices.get(uid_of("map", name))
        if device is None:
            device = _Device(name, self._devices.budget)
            self._devices.add(device, now)
            device.set_detail("name", name)
        if mapping.it not in device.mappings:
            device.mappings.append(mapping.it)
        self._devices.seen(device, now)
        found = []
        for inner, value in values:
            resource = resource_of(*([names["resource"]] if "resource" in names else []), *inner)
            if self._add(device, mapping, topic, names, resource, value):
                found.append(device.value(resource, value))
        if device.changed:
            device.changed = False
            yield DeviceChanged(device.uid)
        yield from found

    def _add(
        self,
        device: _Device,
        mapping: _Mapping,
        topic: str,
        names: Mapping[str, str],
        resource: str,
        value: Any,
    ) -> bool:
        """Whether the device has, or had, the resource."""
        if resource in device.types:
            return True
        writable = bool(mapping.it.command)
        unit = NO_UNIT
        if is_number(value):
            unit = self._unit(mapping, resource)
            if writable and unit.printed:
                unit = NO_UNIT
            it = type_of("number", unit=unit.senml, writable=writable)
        elif isinstance(value, bool):
            it = type_of("boolean", on="true", off="false", writable=writable)
        else:
            it = type_of("json" if isinstance(value, list | dict) else "text", writable=writable)
        if not device.set_type(resource, it, unit):
            return False
        if writable:
            device.commands[resource] = (
                mapping.it.command.replace("{topic}", topic)
                .replace("{node}", names.get("node", mapping.it.node))
                .replace("{resource}", names.get("resource", resource))
            )
        return True

    def _unit(self, mapping: _Mapping, resource: str) -> DeviceUnit:
        return read_unit(mapping.it.units.get(resource, ""), resource)


def _read_path(path: str, where: str) -> tuple[str | int, ...]:
    """A path such as `$.a.b[0]`; the leading `$.` is optional. Raises `OperatorError`."""
    rest = path.removeprefix("$")
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        found = _PATH_STEP.match(rest, at)
        if found is None:
            raise OperatorError(f"{where} has the path {path!r}: write it as $.a.b[0].")
        steps.append(found[1] if found[1] is not None else int(found[2]))
        at = found.end()
    return tuple(steps)
