# SPDX-License-Identifier: BSD-3-Clause
"""Applies a mapping to one message, as a trial. Pure."""

from typing import Any, NamedTuple

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import DeviceValue
from pyaiot.gateways.mqtt.dialects.mapping import MappingDialect
from pyaiot.messages import Reading
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import TopicMapping


class TriedValue(NamedTuple):
    """A value in the message."""

    reading: Reading
    type: ResourceType
    command_topic: str
    """The topic of its commands; empty if it cannot be written."""


class TriedMessage(NamedTuple):
    """The node and the values of a message."""

    uid: str
    name: str
    values: tuple[TriedValue, ...]


def check_mapping(mapping: TopicMapping) -> None:
    """Raises `OperatorError` for an invalid mapping."""
    MappingDialect((mapping,))


def try_mapping(mapping: TopicMapping, topic: str, payload: str) -> TriedMessage:
    """Apply a mapping to a message. Raises `ProtocolError` with the reason if the message gives no
    values, and `OperatorError` for an invalid mapping."""
    dialect = MappingDialect((mapping,))
    content = payload.encode(errors="surrogatepass")
    events = dialect.receive(topic, content, retained=False, now=0.0)
    if events is None:
        raise ProtocolError(f"the topic is not of the form {mapping.topic}")
    found = [it for it in events if isinstance(it, DeviceValue)]
    if not found:
        raise ProtocolError("the payload has no value at the places of the mapping")
    uid = found[0].uid
    description = dialect.describe(uid)
    return TriedMessage(
        uid,
        description.details["name"],
        tuple(
            TriedValue(
                _reading(it),
                description.types[it.resource],
                dialect.command_topic(uid, it.resource),
            )
            for it in found
        ),
    )


def _reading(value: DeviceValue) -> Reading:
    data: Any = value.data
    if value.unit is not None:
        return Reading(
            uid=value.uid, resource=value.resource, data=data, number=data, unit=value.unit
        )
    return Reading.received(value.uid, value.resource, data, 0.0)
