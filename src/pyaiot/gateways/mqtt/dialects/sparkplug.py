# SPDX-License-Identifier: BSD-3-Clause
"""Sparkplug B: edge nodes and their devices. Pure.

Eclipse Sparkplug 3.0, sections 4 (topics) and 6.4 (payloads). Pyaiot is not a primary host
application: it publishes no STATE.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.devices import DeviceTable, LearnedDevice, ResourceBudget
from pyaiot.gateways.mqtt.dialects.dialect import (
    NAMES_MAX,
    PAYLOAD_MAX,
    DeviceChanged,
    DeviceDescription,
    DeviceMessage,
    DevicePresence,
    DialectEvent,
    NotUnderstood,
    is_level,
    resource_of,
    type_of,
    uid_of,
)
from pyaiot.gateways.mqtt.dialects.sparkplug_payload import (
    NUMBERS,
    TEXTS,
    MetricType,
    SparkplugMetric,
    SparkplugPayload,
    command_payload,
    read_payload,
    typed,
    value_of,
)
from pyaiot.gateways.mqtt.dialects.units import NO_UNIT, unit_of

NAMESPACE: Final = "spBv1.0"
REBIRTH_INTERVAL_S: Final = 30.0
"""The shortest interval between two requests for birth messages to one edge node."""
REBIRTH_METRIC: Final = "Node Control/Rebirth"
SEQUENCE_NUMBERS: Final = 256
"""The sequence number after 255 is 0 (section 6.4.27)."""

_BD_SEQ: Final = "bdSeq"
_CONTROL: Final = ("Node Control/", "Device Control/", _BD_SEQ, "Properties/")
_EDGE: Final = frozenset({"NBIRTH", "NDATA", "NDEATH"})
_DEVICE: Final = frozenset({"DBIRTH", "DDATA", "DDEATH"})


class _Known:
    """A metric of a birth message."""

    __slots__ = ("alias", "datatype", "name", "resource")

    def __init__(self, metric: SparkplugMetric, resource: str) -> None:
        self.name = metric.name
        self.alias = metric.alias
        self.datatype = metric.datatype
        self.resource = resource


class _Device(LearnedDevice):
    __slots__ = ("by_alias", "by_name", "edge", "group", "name")

    def __init__(self, budget: ResourceBudget, group: str, edge: str, name: str = "") -> None:
        super().__init__(uid_of("spb", group, edge, *([name] if name else [])), budget)
        self.group = group
        self.edge = edge
        self.name = name
        """Empty for the edge node itself."""
        self.by_name: dict[str, _Known] = {}
        self.by_alias: dict[int, _Known] = {}


class _Edge(_Device):
    __slots__ = ("bd_seq", "devices", "rebirth_at", "sequence")

    def __init__(self, budget: ResourceBudget, group: str, edge: str) -> None:
        super().__init__(budget, group, edge)
        self.sequence: int | None = None
        """The sequence number of its latest message; None before the first birth."""
        self.bd_seq: Any = None
        """The connection number of the latest birth; None if the birth has none."""
        self.rebirth_at = float("-inf")
        self.devices: dict[str, _Device] = {}


class SparkplugDialect:
    """See `Dialect`."""

    name: ClassVar[str] = "sparkplug"
    title: ClassVar[str] = "Sparkplug B"

    def __init__(self, groups: Sequence[str] = (), *, unix_time: Callable[[], float]) -> None:
        """`groups`: the accepted group ids; empty: all."""
        self._groups = tuple(groups)
        self._devices: DeviceTable[_Device] = DeviceTable()
        self._unix_time = unix_time

    @property
    def filters(self) -> Sequence[str]:
        return tuple(f"{NAMESPACE}/{group}/#" for group in self._groups) or (f"{NAMESPACE}/#",)

    def receive(
        self, topic: str, payload: bytes, *, retained: bool, now: float
    ) -> Sequence[DialectEvent] | None:
        if not topic.startswith(f"{NAMESPACE}/"):
            return None
        found = _read_topic(topic)
        if found is None:
            return []  # of host applications
        group, kind, edge, name = found
        if retained:
            return []  # only STATE may be retained (section 6.4)
        if len(payload) > PAYLOAD_MAX:
            raise ProtocolError(f"more than {PAYLOAD_MAX} bytes")
        edge_node = self._edge(group, edge, now)
        return list(self._receive(edge_node, kind, name, read_payload(payload), now))

    def describe(self, uid: str) -> DeviceDescription:
        return self._devices[uid].describe()

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        device = self._devices.get(uid)
        known = None
        if device is not None:
            known = next((it for it in device.by_name.values() if it.resource == resource), None)
        if device is None or known is None:
            raise ProtocolError("the device has no such resource")
        value = typed(device.types[resource], known.datatype, text)
        payload = command_payload(known.name, known.alias, known.datatype, value, self._ts_ms())
        kind = f"DCMD/{device.edge}/{device.name}" if device.name else f"NCMD/{device.edge}"
        return DeviceMessage(f"{NAMESPACE}/{device.group}/{kind}", payload)

    def _ts_ms(self) -> int:
        return int(self._unix_time() * 1000)

    # -- messages -------------------------------------------------------------------------------

    def _edge(self, group: str, edge: str, now: float) -> _Edge:
        device = self._devices.get(uid_of("spb", group, edge))
        if not isinstance(device, _Edge):
            device = _Edge(self._devices.budget, group, edge)
            self._add(device, now)
        self._devices.seen(device, now)
        return device

    def _add(self, device: _Device, now: float) -> None:
        evicted = self._devices.add(device, now)
        edge = (
            None
            if evicted is None
            else self._devices.get(uid_of("spb", evicted.group, evicted.edge))
        )
        if evicted is not None and isinstance(edge, _Edge):
            edge.devices.pop(evicted.name, None)

    def _receive(
        self, edge: _Edge, kind: str, name: str, payload: SparkplugPayload, now: float
    ) -> Iterator[DialectEvent]:
        if kind == "NDEATH":
            died = _bd_seq(payload)
            if died is not None and edge.bd_seq is not None and died != edge.bd_seq:
                return  # the last will of an earlier connection (section 6.4.21)
            edge.sequence = None
            for device in (edge, *edge.devices.values()):
                yield DevicePresence(device.uid, online=False)
            return
        in_order = self._check_sequence(edge, kind, payload.sequence)
        if kind == "DDEATH":
            if name in edge.devices:
                yield DevicePresence(edge.devices[name].uid, online=False)
        elif kind in {"NBIRTH", "DBIRTH"}:
            device = self._device(edge, name, now)
            if kind == "NBIRTH":
                edge.bd_seq = _bd_seq(payload)
            yield from self._birth(device, payload)
        else:
            known = edge if not name else edge.devices.get(name)
            if known is not None and known.by_name:
                yield from self._data(known, payload)
            else:
                in_order = False
        if not in_order:
            yield from self._request_rebirth(edge, now)

    def _check_sequence(self, edge: _Edge, kind: str, sequence: int | None) -> bool:
        """Whether the message follows the previous one without a gap (section 6.4.27). NBIRTH
        begins with any number."""
        before, edge.sequence = edge.sequence, sequence
        if kind == "NBIRTH":
            return True
        return before is not None and sequence == (before + 1) % SEQUENCE_NUMBERS

    def _request_rebirth(self, edge: _Edge, now: float) -> Iterator[DialectEvent]:
        if now - edge.rebirth_at < REBIRTH_INTERVAL_S:
            return
        edge.rebirth_at = now
        payload = command_payload(
            REBIRTH_METRIC, None, MetricType.BOOLEAN, value=True, ts_ms=self._ts_ms()
        )
        yield DeviceMessage(f"{NAMESPACE}/{edge.group}/NCMD/{edge.edge}", payload)

    def _device(self, edge: _Edge, name: str, now: float) -> _Device:
        if not name:
            return edge
        device = edge.devices.get(name)
        if device is None:
            device = edge.devices[name] = _Device(self._devices.budget, edge.group, edge.edge, name)
            try:
                self._add(device, now)
            except ProtocolError:
                del edge.devices[name]
                raise
        self._devices.seen(device, now)
        return device

    def _birth(self, device: _Device, payload: SparkplugPayload) -> Iterator[DialectEvent]:
        device.forget_types()
        device.by_name.clear()
        device.by_alias.clear()
        device.set_detail("name", device.name or device.edge)
        device.set_detail("vendor", device.group)
        for metric in payload.metrics:
            if not metric.name or metric.name.startswith(_CONTROL):
                continue
            resource = resource_of(*metric.name.split("/"))
            if resource in device.types or metric.name in device.by_name:
                yield NotUnderstood(f"{device.uid} {resource}", "two metrics have this name")
                continue
            if not self._add_metric(device, resource, metric):
                yield NotUnderstood(f"{device.uid} {resource}", "its type is not understood")
        device.changed = False
        yield DeviceChanged(device.uid)
        yield DevicePresence(device.uid, online=True)
        for metric in payload.metrics:
            known = device.by_name.get(metric.name)
            if known is not None and metric.value is not None:
                yield device.value(known.resource, metric.value)

    def _add_metric(self, device: _Device, resource: str, metric: SparkplugMetric) -> bool:
        unit = NO_UNIT
        properties = metric.properties
        writable = False if properties.get("readOnly") is True else None
        if metric.datatype in NUMBERS:
            unit = unit_of(properties.get("engUnit"))
            it = type_of(
                "number",
                unit=unit.senml,
                minimum=properties.get("engLow"),
                maximum=properties.get("engHigh"),
                writable=writable,
            )
        elif metric.datatype == MetricType.BOOLEAN:
            it = type_of("boolean", on="true", off="false", writable=writable)
        elif metric.datatype in TEXTS:
            it = type_of("text", writable=writable)
        else:
            return False
        if not device.set_type(resource, it, unit):
            return False
        known = device.by_name[metric.name] = _Known(metric, resource)
        if metric.alias is not None:
            device.by_alias[metric.alias] = known
        return True

    def _data(self, device: _Device, payload: SparkplugPayload) -> Iterator[DialectEvent]:
        for metric in payload.metrics:
            known = device.by_name.get(metric.name) if metric.name else None
            if known is None and metric.alias is not None:
                known = device.by_alias.get(metric.alias)
            if known is None or metric.is_historical:
                continue  # a value of the past would look like the newest
            value = metric.value
            if value is None:
                value = value_of(known.datatype, metric.raw)
            if value is not None:
                yield device.value(known.resource, value)


@functools.lru_cache(maxsize=NAMES_MAX)
def _read_topic(topic: str) -> tuple[str, str, str, str] | None:
    """Group, type, edge node and device in a topic; None if it is not a topic of an edge node.
    Raises `ProtocolError`."""
    levels = topic.split("/")
    if not all(map(is_level, levels)):
        raise ProtocolError("a level of the topic is too long or not printable")
    match levels[1:]:
        case ["STATE", *_] | [_, "STATE", *_] | [_, "NCMD" | "DCMD", *_]:
            return None
        case [group, kind, edge] if kind in _EDGE:
            return group, kind, edge, ""
        case [group, kind, edge, name] if kind in _DEVICE:
            return group, kind, edge, name
        case _:
            raise ProtocolError("the topic is not of the form spBv1.0/GROUP/TYPE/NODE")


def _bd_seq(payload: SparkplugPayload) -> Any:
    """The number of a connection in its birth and its death; None if absent."""
    return next((it.value for it in payload.metrics if it.name == _BD_SEQ), None)
