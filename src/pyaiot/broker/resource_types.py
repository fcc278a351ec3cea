# SPDX-License-Identifier: BSD-3-Clause
"""The types of the resources of a node: for clients, and to check commands. Pure.

The record of the node has the types that people and gateways stated. The rest is inferred when a
resource is new or when its type is needed, but never for each reading.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.state import KnownNode
from pyaiot.messages import NodeDescribed
from pyaiot.model import (
    UNKNOWN,
    ResourceType,
    certain,
    infer,
    is_evident,
    payload_for,
    resolve,
)
from pyaiot.registry.record import NodeRecord


class ObservedValue(Protocol):
    """A reading, or the last value of an offline node."""

    @property
    def data(self) -> Any: ...

    @property
    def unit(self) -> str: ...


def type_of(record: NodeRecord, resource: str, reading: ObservedValue | None) -> ResourceType:
    """Everything known about a resource. `reading`: its value, if there is one."""
    data, unit = (None, "") if reading is None else (reading.data, reading.unit)
    return resolve(
        record.annotations.types.get(resource),
        record.described.get(resource),
        infer(resource, data, unit=unit),
    )


def stated_resources(record: NodeRecord) -> set[str]:
    """The resources that people or a gateway described."""
    if not record.described and not record.annotations.types:
        return set()
    return {*record.described, *record.annotations.types}


def changes(node: KnownNode, resources: Iterable[str]) -> list[ToAll]:
    """The message for clients about those of the resources whose type has changed."""
    changed: dict[str, ResourceType] = {}
    for resource in resources:
        it = type_of(node.record, resource, node.readings.get(resource))
        if is_evident(it):
            it = UNKNOWN
        if it != node.types.get(resource, UNKNOWN):
            changed[resource] = it
    if not changed:
        return []
    after = {**node.types, **changed}
    node.types = {resource: it for resource, it in after.items() if it is not UNKNOWN}
    node.set_units(
        {
            resource: it.unit
            for resource, it in node.types.items()
            if it.kind == "number" and it.unit and it.source in ("people", "metadata")
        }
    )
    if node.is_waiting:
        return []
    message = NodeDescribed(uid=node.uid, types=changed)
    return [ToAll(message, node.sequence, is_registry=True)]


def changes_offline(record: NodeRecord, resources: Iterable[str]) -> list[ToAll]:
    """The same for an offline node: without inferred types."""
    types = {resource: _stated(record, resource) for resource in resources}
    return [ToAll(NodeDescribed(uid=record.uid, types=types), is_registry=True)] if types else []


def everything_of(node: KnownNode) -> NodeDescribed | None:
    """The types of an online node for a client that joins; None if there are none."""
    return NodeDescribed(uid=node.uid, types=dict(node.types)) if node.types else None


def everything_stated(record: NodeRecord) -> NodeDescribed | None:
    """The types of an offline node for a client that joins."""
    types = {resource: _stated(record, resource) for resource in stated_resources(record)}
    return NodeDescribed(uid=record.uid, types=types) if types else None


def _stated(record: NodeRecord, resource: str) -> ResourceType:
    return resolve(record.annotations.types.get(resource), record.described.get(resource), None)


def payload_of_command(node: KnownNode, resource: str, value: str) -> str:
    """The payload to send, in the representation of the device. Raises `ProtocolError` if people or
    metadata of the device do not permit the value."""
    record = node.record
    return payload_for(
        type_of(record, resource, node.readings.get(resource)),
        certain(record.annotations.types.get(resource), record.described.get(resource)),
        value,
    )
